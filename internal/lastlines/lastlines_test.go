package lastlines

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	for text, want := range map[string]string{"": "", "one": "one", "one\ntwo\n": "one\ntwo", "one\ntwo\nthree\n\n": "two\nthree"} {
		if got := Of(text, 2); got != want {
			t.Errorf("of %q: %q, want %q", text, got, want)
		}
	}
}

func TestKeeperPassesEverythingOnAndForgetsTheBeginning(t *testing.T) {
	var all bytes.Buffer
	k := Keeper{Next: &all}
	for i := range 5000 {
		fmt.Fprintf(&k, "line %d\n", i)
	}
	if got := k.Last(2); got != "line 4998\nline 4999" {
		t.Errorf("the last lines are %q", got)
	}
	if n := strings.Count(all.String(), "\n"); n != 5000 || len(k.last) > kept {
		t.Errorf("%d lines were passed on and %d bytes kept", n, len(k.last))
	}
}

func TestOfFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	if got := OfFile(path, 2); !strings.Contains(got, "no such file") {
		t.Errorf("of no file: %q", got)
	}
	if err := os.WriteFile(path, []byte("one\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := OfFile(path, 2); got != "two\nthree" {
		t.Errorf("got %q", got)
	}
}
