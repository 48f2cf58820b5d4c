package gateway_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// emulatorPID finds the emulator's process by the script it runs, which is this cloud's own.
func (c *cloud) emulatorPID(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Skip("needs /proc")
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		if err == nil && strings.Contains(string(line), filepath.Join(c.dir, "emulator", "launch.py")) {
			return pid
		}
	}
	t.Fatal("the emulator does not run")
	return 0
}

// TestEmulatorCrash kills the emulator under a running service: calls wait for the next one, which knows the account.
func TestEmulatorCrash(t *testing.T) {
	c := start(t)
	s := c.site(t, "crashes", "1", nil)
	s.awaitSteady(t)
	c.json(t, "secretsmanager", "CreateSecret", map[string]any{"Name": "kept-secret", "SecretString": "kept"}, nil)
	time.Sleep(3 * time.Second) // its state is written every two seconds
	client := s.client("/any")
	defer client.stop()
	old := c.emulatorPID(t)
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var secret struct{ SecretString string }
	c.json(t, "secretsmanager", "GetSecretValue", map[string]any{"SecretId": "kept-secret"}, &secret)
	if secret.SecretString != "kept" {
		t.Errorf("the secret is %q after the crash", secret.SecretString)
	}
	if c.emulatorPID(t) == old {
		t.Error("the old emulator still runs")
	}
	eventually(t, 60*time.Second, "the service is steady again", func() (bool, string) {
		v := s.service(t)
		status, _, err := s.ask(t.Context(), "/any", "let-me-in")
		return v.steady() && status == 200 && c.engine.Running() >= 2, fmt.Sprintf("%+v %d %v %d containers", v, status, err, c.engine.Running())
	})
	client.stop()
	t.Logf("%d requests, statuses %v, longest gap %s", client.requests, client.statuses, client.longest)
}

// TestFaults injects each kind of fault into a call.
func TestFaults(t *testing.T) {
	c := start(t)
	for _, tc := range []struct{ kind, want string }{
		{"reset", "reset"}, {"lose", "reset"},
	} {
		t.Run(tc.kind, func(t *testing.T) {
			if err := c.gateway.Inject(faultOn("ecs", "ListClusters", tc.kind)); err != nil {
				t.Fatal(err)
			}
			got := c.try("ecs", "ListClusters")
			if !strings.Contains(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if got := c.try("ecs", "ListClusters"); got != "" {
				t.Errorf("the next call fails too: %s", got)
			}
		})
	}
	if err := c.gateway.Inject(faultOn("", "", "explode")); err == nil {
		t.Error("an unknown kind was accepted")
	}
}
