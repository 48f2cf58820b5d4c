package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"

	"plan-charge/internal/testkit/cache"
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

func TestFingerprintCoversWhatIsBuilt(t *testing.T) {
	tests := []struct {
		name, file, text string
		changes          bool
	}{
		{"main", "main.go", "package main\n\nfunc main() {}\n", true},
		{"imported package", "used/used.go", "package used\n\nfunc Run() {}\n", true},
		{"new file in an imported package", "used/more.go", "package used\n", true},
		{"embedded file", "used/text/a.txt", "bye", true},
		{"module file", "go.mod", "module example\n\ngo 1.25\n", true},
		{"new sums", "go.sum", "x v1.0.0 h1:x\n", true},
		{"assembly", "used/a.s", "", true},
		{"package that is not imported", "other/other.go", "package other\n\nvar X int\n", false},
		{"test", "main_test.go", "package main\n\nvar x int\n", false},
		{"text", "README.txt", "changed", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := program(t)
			before, err := fingerprint(dir)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, tt.file), tt.text)
			after, err := fingerprint(dir)
			if err != nil {
				t.Fatal(err)
			}
			if (before != after) != tt.changes {
				t.Errorf("changed %s: fingerprint changed %v, want %v", tt.file, before != after, tt.changes)
			}
		})
	}
}

func TestFingerprintFollowsLocalReplacements(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "app/go.mod"), "module app\n\ngo 1.26\n\nrequire lib v0.0.0\n\nreplace lib => ../lib\n")
	write(t, filepath.Join(dir, "app/main.go"), "package main\n\nimport \"lib/deep\"\n\nfunc main() { deep.Run() }\n")
	write(t, filepath.Join(dir, "lib/go.mod"), "module example.org/its-own-name\n")
	write(t, filepath.Join(dir, "lib/deep/deep.go"), "package deep\n\nfunc Run() {}\n")
	before, err := fingerprint(filepath.Join(dir, "app"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "lib/deep/deep.go"), "package deep\n\nfunc Run() { println() }\n")
	after, err := fingerprint(filepath.Join(dir, "app"))
	if err != nil {
		t.Fatal(err)
	}
	if before == after {
		t.Error("a change in the replaced module went unseen")
	}
}

// The fingerprint is our own reading of Go's rules; this holds it against what the go tool takes, for this module.
func TestFingerprintSeesWhatTheGoToolSees(t *testing.T) {
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	root, err := moduleRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := &closure{files: map[string]bool{}, packages: map[string]bool{}}
	if err := c.addModule(root, ""); err != nil {
		t.Fatal(err)
	}
	if err := c.addPackage(dir); err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-deps", "-f", `{{if .Module}}{{if .Module.Main}}{{$d := .Dir}}{{range .GoFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{range .EmbedFiles}}{{$d}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`, ".")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(out)) {
		if !c.files[name] {
			t.Errorf("the go tool builds %s, the fingerprint leaves it out", name)
		}
	}
}

func TestBuildOnce(t *testing.T) {
	t.Setenv(cache.EnvDir, t.TempDir())
	ctx, dir := context.Background(), program(t)
	first, err := build(ctx, dir, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	// With no go command but `go env`, a second build can only be the kept binary.
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\n[ \"$1\" = env ] || { echo \"called: go $*\" >&2; exit 1; }\nexec %s \"$@\"\n", goTool)
	write(t, filepath.Join(bin, "go"), script)
	if err := os.Chmod(filepath.Join(bin, "go"), 0o755); err != nil {
		t.Fatal(err)
	}
	path := os.Getenv("PATH")
	t.Setenv("PATH", bin+":"+path)
	again, err := build(ctx, dir, os.Stderr)
	if err != nil {
		t.Fatalf("unchanged program was built again: %v", err)
	}
	if again != first {
		t.Errorf("unchanged program has another binary: %s, before %s", again, first)
	}
	write(t, filepath.Join(dir, "used/text/a.txt"), "changed")
	if _, err := build(ctx, dir, os.Stderr); err == nil || !strings.Contains(err.Error(), "go build") {
		t.Errorf("changed program: got %v, want an attempt to build", err)
	}
	t.Setenv("PATH", path)
	changed, err := build(ctx, dir, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(changed).Output()
	if err != nil || !strings.HasPrefix(string(out), "changed") {
		t.Errorf("changed program says %q, %v", out, err)
	}
}

func TestBuildErrorNamesTheFault(t *testing.T) {
	t.Setenv(cache.EnvDir, t.TempDir())
	dir := program(t)
	write(t, filepath.Join(dir, "main.go"), "package main\n\nfunc main() { undefinedThing() }\n")
	_, err := build(context.Background(), dir, &bytes.Buffer{})
	if err == nil || !strings.Contains(err.Error(), "undefinedThing") {
		t.Errorf("got %v, want the compiler's message", err)
	}
}

func TestRunPluginForwards(t *testing.T) {
	t.Setenv(cache.EnvDir, t.TempDir())
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
	t.Setenv(cache.EnvDir, t.TempDir())
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
	t.Setenv(cache.EnvDir, t.TempDir())
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

func TestEmbedPatterns(t *testing.T) {
	got := embedPatterns("a.txt \"b c.txt\" `d e` all:dir")
	want := []string{"a.txt", "b c.txt", "d e", "all:dir"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func FuzzEmbedPatterns(f *testing.F) {
	f.Add("a \"b c\" `d")
	f.Fuzz(func(t *testing.T, line string) {
		for _, p := range embedPatterns(line) {
			if p == "" && !strings.ContainsAny(line, "\"`") {
				t.Errorf("empty pattern from %q", line)
			}
		}
	})
}
