package tasklog_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"plan-charge/internal/tasklog"
)

func TestFold(t *testing.T) {
	health := func(n int) string {
		return fmt.Sprintf(`INFO:     127.0.0.1:%d - "GET /health HTTP/1.1" 200 OK`, 40000+n)
	}
	unable := func(n int) string {
		return fmt.Sprintf(`2026-11-28T16:00:%02dZ 10.0.0.7:%d "POST /login HTTP/1.1" 503`, n, 50000+n)
	}
	var mixed, want []string
	mixed = append(mixed, "starting")
	for n := range 48 {
		mixed = append(mixed, health(n))
		if n < 40 {
			mixed = append(mixed, unable(n))
		}
	}
	mixed = append(mixed, "Traceback: x", "Traceback: x", `"GET /health HTTP/1.1" 500`, "stopping")
	want = []string{"starting", "… 48 requests of /health answered 200 left out", unable(0) + " (40 times)", "Traceback: x (2 times)", `"GET /health HTTP/1.1" 500`, "stopping"}
	if got := tasklog.Fold(mixed); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}

	for name, lines := range map[string][]string{
		"nothing":                      nil,
		"a few":                        {health(1), "x", health(2), "y", health(3)},
		"steps that differ":            {"Running upgrade 0001 -> 0002", "Running upgrade 0002 -> 0003", "3 of 10", "4 of 10"},
		"answers that differ":          {`"POST /login HTTP/1.1" 503`, `"POST /login HTTP/1.1" 500`, `"POST /login HTTP/1.1" 503`},
		"what fails is never too many": {`"GET /a HTTP/1.1" 500`, `"GET /b HTTP/1.1" 500`, `"GET /c HTTP/1.1" 500`, `"GET /d HTTP/1.1" 500`},
	} {
		if got := tasklog.Fold(lines); !slices.Equal(got, lines) {
			t.Errorf("%s: got %q", name, got)
		}
	}
}

// What is folded makes room for what came before it.
func TestTailReadsPastWhatItFolds(t *testing.T) {
	events := []string{"the cause"}
	for n := range 60 {
		events = append(events, fmt.Sprintf(`"GET /health HTTP/1.1" 200 after %d ms`, n))
	}
	got, err := tasklog.Tail(context.Background(), log{&events}, "g", "n", 4)
	if want := []string{"the cause", "… 60 requests of /health answered 200 left out"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}
