package redact_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"plan-charge/internal/redact"
)

func TestKnownPasswordInEverySpelling(t *testing.T) {
	const password = `p@ss:w/o'rd"%1 é`
	r := redact.New()
	r.AddURL("postgresql://owner:" + url.QueryEscape(password) + "@db.example:5432/app?sslmode=require")
	for name, text := range map[string]string{
		"raw":          "password is " + password + " here",
		"query":        "x " + url.QueryEscape(password) + " y",
		"path":         "x " + url.PathEscape(password) + " y",
		"lower hex":    "x p%40ss%3aw%2fo%27rd%22%251%20%c3%a9 y",
		"ini":          "x " + strings.ReplaceAll(url.QueryEscape(password), "%", "%%") + " y",
		"json":         `x p@ss:w/o'rd\"%1 é y`,
		"sql":          `x p@ss:w/o''rd"%1 é y`,
		"whole url":    "connecting to postgresql://owner:" + url.QueryEscape(password) + "@db.example:5432/app",
		"another user": "postgresql+psycopg://app:other-secret@db/app: other",
	} {
		got := r.String(text)
		for _, leak := range []string{password, url.QueryEscape(password), url.PathEscape(password), "other-secret", "ss%3", "ss:w"} {
			if strings.Contains(got, leak) {
				t.Errorf("%s: %q is still in %q", name, leak, got)
			}
		}
		if !strings.Contains(got, redact.Mask) {
			t.Errorf("%s: nothing was removed from %q", name, got)
		}
	}
}

func TestLooksLikeSecret(t *testing.T) {
	r := redact.New()
	for in, want := range map[string]string{
		"postgresql://u:p@h/d":                   "postgresql://u:***@h/d",
		"postgresql://u:p@x@h/d":                 "postgresql://u:***@h/d",
		"redis://:pw@h":                          "redis://:***@h",
		"password=abc host=x":                    "password=*** host=x",
		`{"password": "abc", "user": "u"}`:       `{"password": ***, "user": "u"}`,
		"PGPASSWORD=abc":                         "PGPASSWORD=***",
		"Authorization: Bearer abc.def":          "Authorization: Bearer ***",
		"password authentication failed for u":   "password authentication failed for u",
		"see https://example.com/a:b and c@d.ef": "see https://example.com/a:b and c@d.ef",
		"":                                       "",
	} {
		if got := r.String(in); got != want {
			t.Errorf("String(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestErrorKeepsItsCause(t *testing.T) {
	r := redact.New("hunter22")
	err := r.Error(fmt.Errorf("login with hunter22: %w", io.EOF))
	if !errors.Is(err, io.EOF) {
		t.Error("the cause is lost")
	}
	if strings.Contains(err.Error(), "hunter22") {
		t.Errorf("the secret is in %q", err)
	}
	if r.Error(nil) != nil {
		t.Error("no error became one")
	}
}

func TestWriterJoinsChunksBeforeItLooks(t *testing.T) {
	var out bytes.Buffer
	w := redact.NewWriter(&out, redact.New("hunter22"))
	for _, chunk := range []string{"the word is hun", "ter22 and\nmore hunt", "er22"} {
		fmt.Fprint(w, chunk)
	}
	w.Flush()
	if want := "the word is *** and\nmore ***\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func FuzzNoPasswordSurvives(f *testing.F) {
	f.Add("abcd1234", "before", "after")
	f.Add("p@:/ %25", "postgresql://u:", "@h/d")
	f.Fuzz(func(t *testing.T, password, before, after string) {
		if len(password) < 6 || strings.Contains(password, "*") {
			t.Skip()
		}
		r := redact.New(password)
		for _, form := range []string{password, url.QueryEscape(password), url.PathEscape(password)} {
			if got := r.String(before + " " + form + " " + after); strings.Contains(got, form) && !strings.Contains(before+after+" ", form) {
				t.Fatalf("%q is left in %q", form, got)
			}
		}
	})
}
