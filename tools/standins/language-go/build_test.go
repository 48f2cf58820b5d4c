package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gofrs/flock"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// program writes a small module: a main package, one it imports, one it does not, and an embedded file.
func program(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":          "module example\n\ngo 1.26\n",
		"main.go":         "package main\n\nimport \"example/used\"\n\nfunc main() { used.Run() }\n",
		"main_test.go":    "package main\n",
		"used/used.go":    "package used\n\nimport (\n\t_ \"embed\"\n\t\"fmt\"\n\t\"os\"\n)\n\n//go:embed text/*.txt\nvar text string\n\nfunc Run() {\n\tfmt.Print(text, os.Args[1:], os.Getenv(\"WORD\"))\n\twd, _ := os.Getwd()\n\tfmt.Print(wd)\n\tif os.Getenv(\"CODE\") != \"\" {\n\t\tos.Exit(7)\n\t}\n}\n",
		"used/text/a.txt": "hello",
		"other/other.go":  "package other\n",
		"README.txt":      "nothing to build",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	return dir
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The go tool decides what is stale; this is that we let it.
func TestBuildFollowsTheSources(t *testing.T) {
	t.Setenv("PLAN_CHARGE_CACHE", t.TempDir())
	dir := program(t)
	first := built(t, dir)
	if again := built(t, dir); !os.SameFile(again.info, first.info) || again.path != first.path {
		t.Errorf("an unchanged program was linked again: %s, before %s", again.path, first.path)
	}
	write(t, filepath.Join(dir, "README.txt"), "changed")
	if again := built(t, dir); !os.SameFile(again.info, first.info) {
		t.Error("a text beside the sources had the program linked again")
	}
	write(t, filepath.Join(dir, "used/text/a.txt"), "changed")
	changed := built(t, dir)
	if changed.path != first.path {
		t.Errorf("the changed program is at %s, before at %s", changed.path, first.path)
	}
	if out, err := exec.Command(changed.path).Output(); err != nil || !strings.HasPrefix(string(out), "changed") {
		t.Errorf("changed program says %q, %v", out, err)
	}
}

type binary struct {
	path string
	info os.FileInfo
}

func built(t *testing.T, dir string) binary {
	t.Helper()
	path, err := build(context.Background(), dir, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return binary{path, info}
}

// A program may be replaced while it runs, and while others are about to start it.
func TestReplacedWhileItRuns(t *testing.T) {
	t.Setenv("PLAN_CHARGE_CACHE", t.TempDir())
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example\n\ngo 1.26\n")
	source := func(word string) {
		write(t, filepath.Join(dir, "main.go"), fmt.Sprintf("package main\n\nimport (\n\t\"fmt\"\n\t\"io\"\n\t\"os\"\n)\n\nfunc main() {\n\tio.ReadAll(os.Stdin)\n\tfmt.Print(%q)\n}\n", word))
	}
	source("first")
	old := exec.Command(built(t, dir).path)
	stdin, err := old.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	old.Stdout = &said
	if err := old.Start(); err != nil {
		t.Fatal(err)
	}
	path, err := binaryOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	over, failed := make(chan struct{}), make(chan error, 1)
	go func() { // starts it all the time
		defer close(failed)
		for {
			select {
			case <-over:
				return
			default:
				if err := exec.Command(path).Run(); err != nil {
					failed <- err
					return
				}
			}
		}
	}()
	source("second")
	now := built(t, dir)
	close(over)
	if err := <-failed; err != nil {
		t.Errorf("started while it was replaced: %v", err)
	}
	if out, err := exec.Command(now.path).Output(); err != nil || string(out) != "second" {
		t.Errorf("the new one says %q, %v", out, err)
	}
	stdin.Close()
	if err := old.Wait(); err != nil || said.String() != "first" {
		t.Errorf("the old one says %q, %v", said.String(), err)
	}
}

func TestBuildsTakeTurns(t *testing.T) {
	t.Setenv("PLAN_CHARGE_CACHE", t.TempDir())
	dir := program(t)
	path, err := binaryOf(dir)
	if err != nil {
		t.Fatal(err)
	}
	other := flock.New(path + ".lock")
	if err := other.Lock(); err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := build(ctx, dir, os.Stderr); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "another build") {
		t.Errorf("got %v, want to have waited for the other build", err)
	}
}

func TestBuildErrorNamesTheFault(t *testing.T) {
	t.Setenv("PLAN_CHARGE_CACHE", t.TempDir())
	dir := program(t)
	write(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() { undefinedThing() }\n")
	_, err := build(context.Background(), dir, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "undefinedThing") {
		t.Errorf("got %v, want the compiler's message", err)
	}
}

func TestRunPluginForwards(t *testing.T) {
	t.Setenv("PLAN_CHARGE_CACHE", t.TempDir())
	dir, pwd := program(t), t.TempDir()
	h := newHost(context.Background(), "", func() {})
	stream := &pluginStream{ctx: context.Background()}
	err := h.RunPlugin(&pulumirpc.RunPluginRequest{
		Pwd: pwd, Args: []string{"one", "two"}, Env: append(os.Environ(), "WORD=word", "CODE=1"),
		Info: &pulumirpc.ProgramInfo{RootDirectory: dir, ProgramDirectory: dir, EntryPoint: "."},
	}, stream)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hello[one two]word", pwd} {
		if !strings.Contains(stream.stdout.String(), want) {
			t.Errorf("stdout is %q, want it to contain %q", stream.stdout.String(), want)
		}
	}
	if stream.exit != 7 {
		t.Errorf("exit code %d, want 7", stream.exit)
	}
}

func TestRunReportsTheProgramsEnd(t *testing.T) {
	t.Setenv("PLAN_CHARGE_CACHE", t.TempDir())
	for code, want := range map[int]string{0: "", exitBail: "bail", 3: "program exited with non-zero exit code: 3"} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "go.mod"), "module example\n\ngo 1.26\n")
			write(t, filepath.Join(dir, "main.go"), fmt.Sprintf(`package main

import "os"

func main() {
	if os.Getenv("PULUMI_CONFIG") != %q || os.Getenv("PULUMI_STACK") != "dev" || os.Getenv("PULUMI_ENGINE") != "engine:1" {
		os.Exit(99)
	}
	os.Exit(%d)
}
`, `{"a:b":"c"}`, code))
			h := newHost(context.Background(), "", func() {})
			if _, err := h.Handshake(context.Background(), &pulumirpc.LanguageHandshakeRequest{EngineAddress: "engine:1"}); err != nil {
				t.Fatal(err)
			}
			resp, err := h.Run(context.Background(), &pulumirpc.RunRequest{
				Stack: "dev", Pwd: dir, Config: map[string]string{"a:b": "c"},
				Info: &pulumirpc.ProgramInfo{RootDirectory: dir, ProgramDirectory: dir, EntryPoint: "."},
			})
			if err != nil {
				t.Fatal(err)
			}
			got := resp.GetError()
			if resp.GetBail() {
				got = "bail"
			}
			if got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestCancelEndsThePlugin(t *testing.T) {
	t.Setenv("PLAN_CHARGE_CACHE", t.TempDir())
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example\n\ngo 1.26\n")
	write(t, filepath.Join(dir, "main.go"), "package main\n\nimport (\n\t\"fmt\"\n\t\"time\"\n)\n\nfunc main() {\n\tfmt.Println(\"ready\")\n\ttime.Sleep(time.Hour)\n}\n")
	ctx, cancel := context.WithCancel(context.Background())
	h := newHost(ctx, "", cancel)
	stream := &pluginStream{ctx: context.Background()}
	stream.onOutput = cancel // as soon as it says that it runs
	err := h.RunPlugin(&pulumirpc.RunPluginRequest{
		Pwd: dir, Env: os.Environ(), Info: &pulumirpc.ProgramInfo{ProgramDirectory: dir, EntryPoint: "."},
	}, stream)
	if err == nil || ctx.Err() == nil {
		t.Errorf("got %v, want the cancellation", err)
	}
}

// pluginStream collects what RunPlugin sends.
type pluginStream struct {
	grpc.ServerStream
	ctx      context.Context
	stdout   bytes.Buffer
	exit     int32
	onOutput func()
}

func (s *pluginStream) Context() context.Context { return s.ctx }

func (s *pluginStream) Send(r *pulumirpc.RunPluginResponse) error {
	switch out := r.GetOutput().(type) {
	case *pulumirpc.RunPluginResponse_Stdout:
		s.stdout.Write(out.Stdout)
		if s.onOutput != nil {
			s.onOutput()
		}
	case *pulumirpc.RunPluginResponse_Exitcode:
		s.exit = out.Exitcode
	}
	return nil
}
