package releases

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// history reads releases as "image from>to", one a word, each recorded a minute after the one before.
func history(text string) History {
	var h History
	for i, word := range strings.Fields(text) {
		image, step, _ := strings.Cut(word, "=")
		from, to, _ := strings.Cut(step, ">")
		at := time.Date(2026, 1, 1, 0, i, 0, 0, time.UTC)
		h = append(h, Release{Image: "app:" + image, Revision: to, From: from, First: at, Last: at})
	}
	return h
}

func TestPassed(t *testing.T) {
	for name, tc := range map[string]struct{ history, image, live, want string }{
		"nothing recorded":       {"", "1.0", "0003", ""},
		"unknown image":          {"1.0=>0003 1.1=0003>0004", "0.9", "0004", ""},
		"as it was":              {"1.0=>0003", "1.0", "0003", ""},
		"the newest":             {"1.0=>0003 1.1=0003>0004", "1.1", "0004", ""},
		"one step back":          {"1.0=>0003 1.1=0003>0004", "1.0", "0004", "schema is at 0004 by 1.1; 1.0 knows 0003: not migrated"},
		"two steps back":         {"1.0=>0003 1.1=0003>0004 1.2=0004>0005", "1.0", "0005", "schema is at 0005 by 1.2; 1.0 knows 0003: not migrated"},
		"who brought it":         {"1.0=>0003 1.1=0003>0004 1.2=0004>0004", "1.0", "0004", "schema is at 0004 by 1.1; 1.0 knows 0003: not migrated"},
		"without a migration":    {"1.0=>0003 1.1=0003>0003", "1.0", "0003", ""},
		"names have no order":    {"2=>f00 1=f00>a11", "2", "a11", "schema is at a11 by 1; 2 knows f00: not migrated"},
		"downgraded by hand":     {"1.0=>0003 1.1=0003>0004", "1.1", "0003", ""},
		"and hotfixed then":      {"1.0=>0003 1.1=0003>0004 1.0.1=0003>0003", "1.1", "0003", ""},
		"upgraded by hand":       {"1.0=>0003 1.1=0003>0004", "1.0", "0005", ""},
		"another branch":         {"1.0=>0003 1.1=0003>0004 1.0.1=0003>0003b", "1.1", "0003b", ""},
		"back on another branch": {"1.0=>0003 1.1=0003>0004 1.0.1=0003>0003b", "1.0", "0003b", "schema is at 0003b by 1.0.1; 1.0 knows 0003: not migrated"},
		"downgraded by an image": {"1.0=>0003 1.1=0003>0004 1.2=0004>0005 1.1=0005>0004", "1.2", "0004", ""},
		"emptied":                {"1.0=>0003 1.1=0003>0004", "1.0", "", ""},
		"a moved tag":            {"latest=>0003 latest=0003>0004 1.1=0004>0005", "latest", "0005", "schema is at 0005 by 1.1; latest knows 0004: not migrated"},
	} {
		t.Run(name, func(t *testing.T) {
			h := history(tc.history)
			got, ok := h.Passed("app:"+tc.image, tc.live)
			said := ""
			if ok {
				said = got.String()
			}
			if said != tc.want {
				t.Errorf("%q, want %q", said, tc.want)
			}
		})
	}
}

func TestNames(t *testing.T) {
	one, two := "@sha256:"+strings.Repeat("1", 64), "@sha256:"+strings.Repeat("2", 64)
	for name, tc := range map[string]struct{ image, by, want string }{
		"tags":             {"reg:5000/a/app:1.0", "reg:5000/a/app:1.1", "at 2 by 1.1; 1.0 knows 1"},
		"digests":          {"reg:5000/app" + one, "reg:5000/app" + two, "at 2 by sha256:222222222222; sha256:111111111111 knows 1"},
		"tag and digest":   {"reg/app:1.0" + one, "reg/app:1.1" + two, "at 2 by 1.1; 1.0 knows 1"},
		"two repositories": {"reg/app:1.0", "old/app:1.1", "at 2 by old/app:1.1; reg/app:1.0 knows 1"},
		"no tag":           {"reg:5000/app", "reg:5000/app:1.1", "at 2 by reg:5000/app:1.1; reg:5000/app knows 1"},
		"a tag that moved": {"reg/app:1" + one, "reg/app:1" + two, "at 2 by reg/app:1" + two + "; reg/app:1" + one + " knows 1"},
	} {
		t.Run(name, func(t *testing.T) {
			h := History{{Image: tc.image, Revision: "1"}, {Image: tc.by, Revision: "2", From: "1"}}
			p, ok := h.Passed(tc.image, "2")
			if got, want := p.String(), "schema is "+tc.want+": not migrated"; !ok || got != want {
				t.Errorf("%q (%v), want %q", got, ok, want)
			}
		})
	}
	h := History{{Image: "reg/app:1.0" + one, Revision: "1"}, {Image: "reg/app:1.1" + two, Revision: "2", From: "1"}}
	if _, ok := h.Passed("mirror/app"+one, "2"); !ok {
		t.Error("an image is not known by its digest")
	}
	if _, ok := h.Passed("reg/app:1.0", "2"); ok {
		t.Error("a tag counts as the digest that it once had")
	}
}

func TestAllPassed(t *testing.T) {
	h := history("1.0=>0001 1.1=0001>0002 1.2=0002>0003 1.3=0003>0004")
	if got := slices.Sorted(maps.Keys(h.AllPassed("0004", 2))); !slices.Equal(got, []string{"app:1.1", "app:1.2"}) {
		t.Errorf("the newest two that are passed: %q", got)
	}
	if got := h.AllPassed("0004", 9)["app:1.0"]; got != "schema is at 0004 by 1.3; 1.0 knows 0001: not migrated" {
		t.Errorf("of the oldest: %q", got)
	}
	if got := h.AllPassed("0001", 9); len(got) != 0 {
		t.Errorf("at the first revision: %q", got)
	}
}
