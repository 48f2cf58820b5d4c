package lifeline

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestPreviewIsToldByTheCommandLine(t *testing.T) {
	for line, want := range map[string]bool{
		"pulumi preview":                        true,
		"pulumi pre --diff":                     true,
		"/opt/pulumi -s prod preview":           true,
		"pulumi --stack=prod preview":           true,
		"pulumi refresh --preview-only":         false,
		"pulumi up":                             false,
		"pulumi up --yes -m preview":            false,
		"pulumi -s preview up":                  false,
		"pulumi --cwd preview refresh":          false,
		"pulumi destroy --target preview --yes": false,
		"pulumi":                                false,
		"":                                      false,
	} {
		if got := (Engine{args: strings.Fields(line)}).Preview(); got != want {
			t.Errorf("%q is a preview: %v", line, got)
		}
	}
}

// Without an engine above, as in a test, there is none.
func TestNoEngine(t *testing.T) {
	if e := FindEngine(); e.PID != 0 || e.Preview() {
		t.Errorf("found %+v", e)
	}
}

// The command is found above the process that asks, over what lies between, as a plugin's language host does.
func TestEngineIsFound(t *testing.T) {
	const asked = "PLAN_CHARGE_TEST_ENGINE"
	if os.Getenv(asked) != "" {
		e := FindEngine()
		fmt.Printf("engine %d preview %v.\n", e.PID, e.Preview())
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Skip("there is no shell to dress up")
	}
	dir := t.TempDir()
	script := fmt.Sprintf("sh -c '%s -test.run=^TestEngineIsFound$; true'; true\n", self)
	for name, text := range map[string]string{engineName: string(shell), "preview": script, "up": script} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for name, preview := range map[string]bool{"preview": true, "up": false} {
		cmd := exec.Command(filepath.Join(dir, engineName), name)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), asked+"=1")
		var out strings.Builder
		cmd.Stdout = &out
		if err := cmd.Run(); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("engine %d preview %v.", cmd.Process.Pid, preview); !strings.Contains(out.String(), want) {
			t.Errorf("%s: got %q, want %q", name, out.String(), want)
		}
	}
}
