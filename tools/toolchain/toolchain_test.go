package toolchain_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plan-charge/tools/toolchain"
)

// TestEnsure builds what is not in the cache, which takes minutes the first time, and starts each program.
func TestEnsure(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the tools")
	}
	tools, err := toolchain.Ensure(context.Background(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range tools.Kinds {
		t.Logf("%s: %s", name, kind)
		if info, err := os.Stat(filepath.Join(tools.BinDir, name)); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be run: %v", name, err)
		}
	}
	out, err := exec.Command(filepath.Join(tools.BinDir, "pulumi"), "version").Output()
	if got := strings.TrimSpace(string(out)); err != nil || strings.TrimPrefix(got, "v") != toolchain.Version {
		t.Errorf("pulumi version is %q, %v; want %s", got, err, toolchain.Version)
	}
	started := time.Now()
	again, err := toolchain.Ensure(context.Background(), os.Stderr)
	if err != nil || again.BinDir != tools.BinDir {
		t.Fatalf("a second call gives %v, %v", again, err)
	}
	if took := time.Since(started); took > 2*time.Second {
		t.Errorf("with a full cache it takes %s", took)
	}
}
