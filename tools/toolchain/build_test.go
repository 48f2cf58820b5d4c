package toolchain

import (
	"context"
	"fmt"
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
	root, err := Repository()
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

func repositoryOf(t *testing.T) (string, versions) {
	t.Helper()
	root, err := Repository()
	if err != nil {
		t.Fatal(err)
	}
	v, err := readVersions(root)
	if err != nil {
		t.Fatal(err)
	}
	return root, v
}

// What is built here has a version of its own to tell; a plugin of another one than its SDK's would not be found.
func TestVersionsAreThoseOfTheModule(t *testing.T) {
	root, v := repositoryOf(t)
	for name, said := range map[string]string{
		"tools/pulumi/go.mod":                   "github.com/pulumi/pulumi/pkg/v3 " + v.cli + " ",
		"tools/standins/go.mod":                 cliSDK + " " + v.cli + "\n",
		"tools/standins/command/main.go":        fmt.Sprintf("version = %q", strings.TrimPrefix(v.plugins["command"], "v")),
		"tools/standins/random/main.go":         fmt.Sprintf("version = %q", strings.TrimPrefix(v.plugins["random"], "v")),
		"tools/bridged/aws/info/info.go":        fmt.Sprintf("Version = %q", strings.TrimPrefix(v.plugins["aws"], "v")),
		"tools/bridged/postgresql/info/info.go": fmt.Sprintf("Version = %q", strings.TrimPrefix(v.plugins["postgresql"], "v")),
	} {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), said) {
			t.Errorf("%s does not say %q", name, said)
		}
	}
}

func TestMissingSDK(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"module x\n": cliSDK,
		"module x\n\nrequire " + cliSDK + " v3.1.0\n": "whose version the plugin",
		"module": "go.mod",
	} {
		if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := readVersions(dir)
		wantError(t, err, want)
	}
}

func TestPrepare(t *testing.T) {
	_, v := repositoryOf(t)
	home, first, second := t.TempDir(), &Tools{BinDir: t.TempDir(), plugins: v.plugins}, &Tools{BinDir: t.TempDir(), plugins: v.plugins}
	for _, tools := range []*Tools{first, first, second} {
		env, err := tools.Prepare(home)
		if err != nil {
			t.Fatal(err)
		}
		if env[0] != "PULUMI_HOME="+home {
			t.Errorf("environment is %q", env)
		}
		for name, version := range v.plugins {
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
	t.Setenv(EnvOffline, "1")
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
