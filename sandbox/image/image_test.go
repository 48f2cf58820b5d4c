package image_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plan-charge/internal/testkit/cache"
	"plan-charge/internal/testkit/freeport"
	"plan-charge/sandbox/engine"
	"plan-charge/sandbox/image"
)

// files writes a folder of files by their text.
func files(t *testing.T, texts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range texts {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func newStore(t *testing.T) image.Store {
	t.Helper()
	t.Setenv(cache.EnvDir, t.TempDir())
	return image.Store{Dir: filepath.Join(t.TempDir(), "images")}
}

// run starts an image's container and returns what it writes until it ends.
func run(t *testing.T, found engine.Image, command ...string) string {
	t.Helper()
	if found == nil {
		t.Fatal("there is no such image")
	}
	spec := engine.Spec{ID: strings.Repeat("a", 64), Dir: t.TempDir(), IP: "127.0.0.1", Command: command}
	log, err := os.OpenFile(filepath.Join(spec.Dir, "log"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	spec.Log = log
	process, err := found.Start(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	<-process.Done()
	data, err := os.ReadFile(log.Name())
	if err != nil || process.ExitCode() != 0 {
		t.Fatalf("exit code %d, %v: %s", process.ExitCode(), err, data)
	}
	return string(data)
}

func TestAnImageIsACopyOfItsFolder(t *testing.T) {
	store := newStore(t)
	dir := files(t, map[string]string{"serve": "#!/bin/sh\ncat /app/text; cat \"$(dirname \"$0\")/link\"; echo $SERVICE_VERSION\n", "text": "first\n", ".git/HEAD": "x"})
	if err := os.Symlink("text", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	request := image.Request{Reference: "registry.example:5000/my/app:1.0.0", Folder: dir, Command: []string{"sh", "-c", "cat /app/text && cat link && echo $SERVICE_VERSION"}}
	if _, err := store.Add(t.Context(), io.Discard, request); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte("second\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	other := image.Store{Dir: store.Dir} // as the running sandbox has it
	if got := run(t, other.Find(request.Reference)); got != "first\nfirst\n1.0.0\n" {
		t.Errorf("the image runs %q", got)
	}
	if got := run(t, other.Find(request.Reference), "sh", "-c", "ls -a /app | wc -l"); strings.TrimSpace(got) != "5" {
		t.Errorf("the copy has %s entries, want serve, text, link and the two of every folder", got)
	}
	if other.Find("registry.example:5000/my/app:2") != nil || other.Find("my/app:1.0.0") != nil {
		t.Error("an image that nobody added is found")
	}

	_, err := store.Add(t.Context(), io.Discard, request)
	wantError(t, err, image.ErrTaken, "--force")
	request.Replace = true
	if _, err := store.Add(t.Context(), io.Discard, request); err != nil {
		t.Fatal(err)
	}
	if got := run(t, other.Find(request.Reference)); got != "second\nsecond\n1.0.0\n" {
		t.Errorf("the replaced image runs %q", got)
	}
	all, err := store.List()
	if err != nil || len(all) != 1 || all[0].Reference != request.Reference || !all[0].Present() {
		t.Errorf("listed: %+v, %v", all, err)
	}
	if err := store.Remove(request.Reference); err != nil || other.Find(request.Reference) != nil {
		t.Errorf("after its removal the image is still found (%v)", err)
	}
	wantError(t, store.Remove(request.Reference), image.ErrUnknown, "image list")
}

// TestPythonProject installs a project whose requirements name a file of the folder.
func TestPythonProject(t *testing.T) {
	store := newStore(t)
	dir := files(t, map[string]string{
		"requirements.txt": "-r more.txt\n", "more.txt": "# nothing\n",
		"app/__main__.py": "import sys; print(sys.prefix != sys.base_prefix, sys.argv)",
	})
	added, err := store.Add(t.Context(), io.Discard, image.Request{Reference: "app:1", Folder: dir})
	if err != nil {
		t.Fatal(err)
	}
	found := store.Find("app:1")
	if got := run(t, found); !strings.HasPrefix(got, "True") {
		t.Errorf("the project does not run in an environment of its own: %s", got)
	}
	// What pip wrote remembers a folder that is no more.
	if got := run(t, found, "pip", "--version"); !strings.Contains(got, filepath.Dir(added.Bin)) {
		t.Errorf("pip runs elsewhere: %s", got)
	}
}

func wantError(t *testing.T, err, kind error, words string) {
	t.Helper()
	switch {
	case err == nil:
		t.Fatal("it is accepted")
	case kind != nil && !errors.Is(err, kind), !strings.Contains(err.Error(), words):
		t.Errorf("got %q, want %v with %q", err, kind, words)
	case strings.Contains(err.Error(), "\n"):
		t.Errorf("more than one line: %q", err)
	}
}

func TestBadInput(t *testing.T) {
	store := newStore(t)
	empty := t.TempDir()
	python := files(t, map[string]string{"requirements.txt": "", "serve.py": ""})
	for name, tc := range map[string]struct {
		request image.Request
		kind    error
		words   string
	}{
		"nothing to run":    {image.Request{Reference: "a:1", Folder: empty}, image.ErrNothingToRun, "after --"},
		"no way to start":   {image.Request{Reference: "a:1", Folder: python}, image.ErrNothingToRun, "uvicorn"},
		"no such program":   {image.Request{Reference: "a:1", Folder: empty, Command: []string{"./serve"}}, image.ErrNothingToRun, `"./serve"`},
		"no such folder":    {image.Request{Reference: "a:1", Folder: empty + "/none", Command: []string{"true"}}, nil, "an existing folder"},
		"no tag":            {image.Request{Reference: "my/app", Folder: empty, Command: []string{"true"}}, image.ErrBadName, "my/app:1.0.0"},
		"port and no tag":   {image.Request{Reference: "host:5000/app", Folder: empty, Command: []string{"true"}}, image.ErrBadName, "NAME:TAG"},
		"capitals":          {image.Request{Reference: "My/App:1", Folder: empty, Command: []string{"true"}}, image.ErrBadName, "lower case"},
		"the sandbox's own": {image.Request{Reference: "plan-charge/backend:9", Folder: empty, Command: []string{"true"}, Replace: true}, image.ErrTaken, "another name"},
		"port out of range": {image.Request{Reference: "a:1", Folder: empty, Command: []string{"true"}, Port: 70000}, nil, "1 to 65535"},
		"relative workdir":  {image.Request{Reference: "a:1", Folder: empty, Command: []string{"true"}, Workdir: "app"}, nil, "absolute path"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := store.Add(t.Context(), io.Discard, tc.request)
			wantError(t, err, tc.kind, tc.words)
			if all, err := store.List(); len(all) != 0 || err != nil {
				t.Errorf("it was added all the same: %+v, %v", all, err)
			}
		})
	}
}

func TestRegistry(t *testing.T) {
	store := newStore(t)
	if _, err := store.Add(t.Context(), io.Discard, image.Request{Reference: "host:5000/my/app:1", Folder: t.TempDir(), Command: []string{"true"}}); err != nil {
		t.Fatal(err)
	}
	registry := image.Registry{Sample: image.Program{Dir: "/sample"}, Added: store}
	for reference, want := range map[string]string{
		"postgres:15-alpine": "engine.PostgresImage", "plan-charge/backend:1.0.0": "/sample", "host:5000/plan-charge/backend:2": "/sample",
		"host:5000/my/app:1": store.Dir, "host:5000/my/app": "", "host:5000/my/app:2": "", "plan-charge/backend": "", "plan-charge/backend:missing": "", "other:1": "",
	} {
		found := registry.Find(reference)
		command, _ := found.(engine.CommandImage)
		got := ""
		switch {
		case found == nil:
		case command.Dir == "":
			got = fmt.Sprintf("%T", found)
		case command.Dir == "/sample":
			got = command.Dir
		default:
			got = store.Dir
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", reference, got, want)
		}
	}
}

// TestPort tries programs that listen where they should, and elsewhere.
func TestPort(t *testing.T) {
	store := newStore(t)
	defer image.SetTryTimeout(3 * time.Second)()
	port, other := freeport.Find(), freeport.Find()
	serve := func(args ...string) []string { return append([]string{"python3", "-m", "http.server"}, args...) }
	for name, tc := range map[string]struct {
		command []string
		words   string // of the error, "" for none
		said    string
	}{
		"where it should":    {serve("$PORT", "--bind", "$HOST"), "", "✓"},
		"every address":      {serve("$PORT", "--bind", "0.0.0.0"), "", "✓"},
		"all of the machine": {serve("$PORT"), "", "only one task"},
		"localhost":          {serve("$PORT", "--bind", "127.0.0.1"), "make it listen on $HOST", "✗"},
		"another port":       {serve(fmt.Sprint(other), "--bind", "$HOST"), fmt.Sprintf("does not listen on port %d but on 127.63.0.1:%d", port, other), "✗"},
		"nothing":            {[]string{"sleep", "60"}, "listens on nothing", "✗"},
		"ends":               {[]string{"sh", "-c", "echo no database; exit 3"}, "ended with code 3 before it listened", "✗"},
	} {
		t.Run(name, func(t *testing.T) {
			var said strings.Builder
			_, err := store.Add(t.Context(), &said, image.Request{Reference: "a:1", Folder: t.TempDir(), Command: tc.command, Port: port, Replace: true})
			if !strings.Contains(said.String(), tc.said) {
				t.Errorf("it says %q, want %q in it", &said, tc.said)
			}
			switch {
			case tc.words == "" && err != nil:
				t.Error(err)
			case tc.words == "":
			case !errors.Is(err, image.ErrPort) || !strings.Contains(err.Error(), tc.words):
				t.Errorf("got %v, want %q in it", err, tc.words)
			}
			if l, err := net.Listen("tcp", fmt.Sprintf(":%d", port)); err != nil {
				t.Errorf("the program was left running: %v", err)
			} else {
				l.Close()
			}
		})
	}
}
