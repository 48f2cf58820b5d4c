package toolchain

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plan-charge/internal/testkit/cache"
)

func TestErrorsSayWhatToDo(t *testing.T) {
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	t.Run("no go", func(t *testing.T) {
		t.Setenv("PATH", t.TempDir())
		_, err := newBuilder(context.Background(), root, io.Discard)
		wantError(t, err, "go tool is not on PATH", "install Go")
	})
	t.Run("old go", func(t *testing.T) {
		dir := t.TempDir()
		script(t, filepath.Join(dir, "go"), "echo go1.21.3")
		t.Setenv("PATH", dir+":/usr/bin:/bin")
		_, err := newBuilder(context.Background(), root, io.Discard)
		wantError(t, err, "go1.21.3", "go1.26")
	})
	t.Run("outside the project", func(t *testing.T) {
		t.Chdir(t.TempDir())
		_, err := Ensure(context.Background(), io.Discard)
		wantError(t, err, "not inside the project")
	})
	for output, want := range map[string]string{
		"write x: no space left on device":                        "disk is full",
		"dial tcp: lookup proxy: no such host":                    "GOPROXY",
		"compile: signal: killed":                                 "memory",
		"main.go:1: syntax error: unexpected name at end of file": "",
	} {
		if got := advice([]byte(output)); !strings.Contains(got, want) || (want == "") != (got == "") {
			t.Errorf("advice on %q is %q, want %q in it", output, got, want)
		}
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q lacks %q", err, p)
		}
	}
}

func TestDigest(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sum := func() string {
		t.Helper()
		s, err := digest(dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	write("a.go", "package a")
	first := sum()
	write("a_test.go", "package a")
	if sum() != first {
		t.Error("a test changes the key, so that it would build everything again")
	}
	write("a.go", "package b")
	if sum() == first {
		t.Error("changed source, same key")
	}
}

// The versions are said here and in go.mod; a plugin of another version than its SDK's would not be found.
func TestVersionsAreThoseOfTheModule(t *testing.T) {
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for module, version := range map[string]string{
		"github.com/pulumi/pulumi/sdk/v3":            "v" + Version,
		"github.com/pulumi/pulumi-aws/sdk/v6":        pluginVersions["aws"],
		"github.com/pulumi/pulumi-command/sdk":       pluginVersions["command"],
		"github.com/pulumi/pulumi-postgresql/sdk/v3": pluginVersions["postgresql"],
		"github.com/pulumi/pulumi-random/sdk/v4":     pluginVersions["random"],
	} {
		if !strings.Contains(string(text), module+" "+version) {
			t.Errorf("go.mod does not require %s %s", module, version)
		}
	}
	cli, err := os.ReadFile(filepath.Join(root, "tools/pulumi/go.mod"))
	if err != nil || !strings.Contains(string(cli), "github.com/pulumi/pulumi/pkg/v3 v"+Version) {
		t.Errorf("the CLI's module is not version %s: %v", Version, err)
	}
}

func TestPrepare(t *testing.T) {
	home, first, second := t.TempDir(), &Tools{BinDir: t.TempDir()}, &Tools{BinDir: t.TempDir()}
	for _, tools := range []*Tools{first, first, second} {
		env, err := tools.Prepare(home)
		if err != nil {
			t.Fatal(err)
		}
		if env[0] != "PULUMI_HOME="+home {
			t.Errorf("environment is %q", env)
		}
		for name, version := range pluginVersions {
			program := "pulumi-resource-" + name
			to, err := os.Readlink(filepath.Join(home, "plugins", "resource-"+name+"-"+version, program))
			if want := filepath.Join(tools.BinDir, program); err != nil || to != want {
				t.Errorf("%s leads to %s, %v; want %s", name, to, err, want)
			}
		}
	}
}

// A second process must not be silent while the first builds.
func TestWaitingIsReported(t *testing.T) {
	var out strings.Builder
	done := make(chan struct{})
	w := writerFunc(func(p []byte) (int, error) {
		out.Write(p)
		if strings.Contains(out.String(), "another process") {
			select {
			case <-done:
			default:
				close(done)
			}
		}
		return len(p), nil
	})
	end := announceWait(w)
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was reported")
	}
	end()
	end() // may be called again
	if !strings.Contains(out.String(), "✓") {
		t.Errorf("the report has no end: %q", out.String())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// A failed build says which part failed and leaves nothing that a later one would take for built.
func TestFailedBuild(t *testing.T) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	dir, store := t.TempDir(), t.TempDir()
	script(t, filepath.Join(dir, "go"), `case "$*" in
env*) exec `+goTool+` "$@" ;;
*net/http*) exit 0 ;;
*) echo "boom: $*" >&2; exit 1 ;;
esac`)
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	t.Setenv(cache.EnvDir, store)
	var out strings.Builder
	var mu sync.Mutex
	_, err = Ensure(context.Background(), writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return out.Write(p)
	}))
	wantError(t, err, "build ", "boom: ")
	if !strings.Contains(out.String(), "✗") {
		t.Errorf("the progress does not end in a failure: %q", out.String())
	}
	if left, _ := filepath.Glob(filepath.Join(store, "*", "*")); slices.ContainsFunc(left, func(path string) bool {
		return !strings.HasSuffix(path, ".lock")
	}) {
		t.Errorf("a failed build left %q", left)
	}
}
