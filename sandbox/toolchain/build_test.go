package toolchain

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
