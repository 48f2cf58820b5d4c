package lastlines

import (
	"bytes"
	"fmt"
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
