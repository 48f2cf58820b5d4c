package edge

import (
	"path"
	"strings"
	"testing"
)

func TestMatchPath(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"*", "/", true},
		{"*", "/a/b", true},
		{"/api/*", "/api/v1/x", true},
		{"api/*", "/api/", true},
		{"/api/*", "/api", false},
		{"/api/*", "/API/x", false},
		{"*.jpg", "/a/b.jpg", true},
		{"*.jpg", "/a/b.jpg2", false},
		{"/a?c", "/abc", true},
		{"/a?c", "/ac", false},
		{"/a*b*c", "/aXbXbc", true},
		{"/a*b*c", "/aXcXb", false},
		{"/a%2Fb", "/a%2Fb", true},
		{"/", "/", true},
		{"", "/x", false},
		{"/a.b+c", "/a.b+c", true},
		{"/a.b+c", "/aXbbc", false},
		{`/a\*`, `/a\b`, true},
	} {
		if got := matchPath(c.pattern, c.path); got != c.want {
			t.Errorf("pattern %q, path %q: %t", c.pattern, c.path, got)
		}
	}
}

// slowMatch is the definition, with no thought for speed.
func slowMatch(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '*':
		return slowMatch(pattern[1:], text) || text != "" && slowMatch(pattern, text[1:])
	default:
		return text != "" && (pattern[0] == '?' || pattern[0] == text[0]) && slowMatch(pattern[1:], text[1:])
	}
}

func FuzzMatchPath(f *testing.F) {
	for _, seed := range [][2]string{{"*", ""}, {"a*b?c", "aXXbYc"}, {"**a", "aa"}, {"*a*a*a", "aaaa"}, {`a\*b.`, `a\xb.`}} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, text string) {
		pattern, text = strings.TrimPrefix(pattern, "/"), strings.TrimPrefix(text, "/")
		// The definition takes exponential time. Patterns and encoded paths are ASCII.
		if len(pattern) > 12 || len(text) > 16 || !isASCII(pattern+text) || strings.HasPrefix(pattern, "/") || strings.HasPrefix(text, "/") {
			t.Skip()
		}
		if got, want := matchPath(pattern, text), slowMatch(pattern, text); got != want {
			t.Errorf("pattern %q, text %q: %t, want %t", pattern, text, got, want)
		}
		if !strings.ContainsAny(pattern, `[]\/`) && !strings.Contains(text, "/") {
			if std, err := path.Match(pattern, text); err == nil && std != matchPath(pattern, text) {
				t.Errorf("pattern %q, text %q: path.Match says %t", pattern, text, std)
			}
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > 127 }) < 0
}

func FuzzHost(f *testing.F) {
	for _, seed := range []string{"", "site.example", "SITE.example:443", "[::1]:80", "::1", "d1.localhost:4580", "a:b:c", ".", "x.", "[", "]:1"} {
		f.Add(seed)
	}
	known := []Distribution{
		{ID: "1", Domain: "d1.cloudfront.net", Aliases: []string{"site.example"}},
		{ID: "2", Domain: "d2.cloudfront.net", Aliases: []string{"other.example"}},
	}
	f.Fuzz(func(t *testing.T, header string) {
		name := hostName(header)
		if again := hostName(name); again != name && !strings.ContainsAny(name, ":[].") {
			t.Errorf("%q gives %q, and that gives %q", header, name, again)
		}
		d, found := choose(known, header)
		if found && d.ID == "1" && name != "site.example" && name != "d1.cloudfront.net" && name != "d1.localhost" {
			t.Errorf("%q was taken for the first site", header)
		}
		if found && d.ID == "2" && name != "other.example" && name != "d2.cloudfront.net" && name != "d2.localhost" {
			t.Errorf("%q was taken for the second site", header)
		}
		if _, found := choose(nil, header); found {
			t.Error("found one of none")
		}
	})
}
