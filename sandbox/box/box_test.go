package box

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plan-charge/tools/toolchain"
)

func TestABoxKeepsItsPorts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	t.Setenv(EnvState, dir)
	t.Setenv(EnvOffset, "1000")
	first, err := Open()
	if err != nil || first.Dir != dir || first.Ports != PortsAt(1000) || first.GatewayURL() != "http://127.0.0.1:5566" {
		t.Fatalf("%+v, %v", first, err)
	}
	if cfg, err := first.AWS(t.Context()); err != nil || cfg.Region != Region || *cfg.BaseEndpoint != first.GatewayURL() {
		t.Errorf("calls to AWS would go to %v in %s, %v", cfg.BaseEndpoint, cfg.Region, err)
	}
	t.Setenv(EnvOffset, "2000") // the addresses are part of the stack's state by now
	if again, err := Open(); err != nil || again.Ports != first.Ports {
		t.Errorf("%+v, %v", again, err)
	}
	if err := os.WriteFile(first.File("settings.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(); err == nil || !strings.Contains(err.Error(), "settings.json") {
		t.Errorf("a damaged file: %v", err)
	}
	for _, wrong := range []string{"-1", "40001", "x"} {
		t.Setenv(EnvOffset, wrong)
		if _, err := Open(); err == nil || !strings.Contains(err.Error(), EnvOffset+`: found "`+wrong+`", allowed is`) {
			t.Errorf("offset %s: %v", wrong, err)
		}
	}
}

func TestABoxKeepsItsNetwork(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	t.Setenv(EnvState, dir)
	t.Setenv(EnvNetwork, NetworkPrivate)
	first, err := Open()
	if err != nil || !first.WantsPrivate() || first.NetworkNow().Kind != NetworkOpen {
		t.Fatalf("%+v, %v", first, err) // it is open as long as it never ran
	}
	t.Setenv(EnvNetwork, NetworkOpen)
	if again, err := Open(); err != nil || !again.WantsPrivate() {
		t.Errorf("%+v, %v", again, err)
	}
	if err := os.WriteFile(first.File("settings.json"), []byte(`{"ports": {}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(EnvNetwork, NetworkPrivate)
	if before, err := Open(); err != nil || before.WantsPrivate() {
		t.Errorf("one of before there was a choice: %+v, %v", before, err)
	}
	t.Setenv(EnvNetwork, "closed")
	if _, err := Open(); err == nil || !strings.Contains(err.Error(), EnvNetwork+`: found "closed", allowed is private or open`) {
		t.Errorf("got %v", err)
	}
}

func TestATakenPortIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	if err := (Ports{Edge: taken}).Free(); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("port %d, which the sandbox's edge needs, is in use", taken)) {
		t.Errorf("got %v", err)
	}
}

func TestCommandsRunInTheBox(t *testing.T) {
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "sh"), []byte("#!/bin/sh\necho $0 $WHERE\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	b := &Box{Tools: &toolchain.Tools{BinDir: bin}, variables: []string{"WHERE=inside"}}
	cmd := b.Command(t.Context(), "sh")
	cmd.Stdout = nil
	out, err := cmd.Output()
	if want := filepath.Join(bin, "sh") + " inside\n"; err != nil || string(out) != want {
		t.Errorf("got %q, %v, want %q: the box's own programs go before the machine's", out, err, want)
	}
	if os.Getenv("WHERE") != "" {
		t.Error("the box's variables leak into this process")
	}
}
