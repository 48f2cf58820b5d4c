package toolchain

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/semver"
)

// TestEnsure builds what is not in the cache, which takes minutes the first time, and starts each program.
func TestEnsure(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the tools")
	}
	t.Setenv(EnvOffline, "1")
	tools, err := Ensure(context.Background(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if tools.Why == "" {
		t.Error("it is not said why it is these tools")
	}
	for name, kind := range tools.Kinds {
		t.Logf("%s: %s", name, kind)
		if info, err := os.Stat(filepath.Join(tools.BinDir, name)); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be run: %v", name, err)
		}
	}
	_, v := repositoryOf(t)
	out, err := exec.Command(filepath.Join(tools.BinDir, "pulumi"), "version").Output()
	if got := "v" + strings.TrimPrefix(strings.TrimSpace(string(out)), "v"); err != nil || semver.Compare(got, v.cli) < 0 {
		t.Errorf("pulumi version is %q, %v; want %s at least", got, err, v.cli)
	}
	started := time.Now()
	again, err := Ensure(context.Background(), os.Stderr)
	if err != nil || again.BinDir != tools.BinDir {
		t.Fatalf("a second call gives %v, %v", again, err)
	}
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("with a full cache it takes %s", took)
	}
}
