// Package env reads a command's environment and reports every mistake in it at once.
package env

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Reader reads variables and collects what is wrong with them.
type Reader struct {
	lookup func(string) (string, bool)
	errs   []error
}

// New returns a Reader over a lookup function such as os.LookupEnv.
func New(lookup func(string) (string, bool)) *Reader { return &Reader{lookup: lookup} }

// Optional returns a variable's value without surrounding spaces, or the default when it is unset or empty.
func (r *Reader) Optional(key, fallback string) string {
	value, _ := r.lookup(key)
	if value = strings.TrimSpace(value); value == "" {
		return fallback
	}
	return value
}

// Required returns a variable's value and notes a mistake when there is none.
func (r *Reader) Required(key, what, example string) string {
	value := r.Optional(key, "")
	if value == "" {
		r.Mistake(key, "nothing", what, example)
	}
	return value
}

// List returns the non-empty parts of a comma-separated value, of which at least one is needed.
func (r *Reader) List(key, what, example string) []string {
	var parts []string
	for part := range strings.SplitSeq(r.Optional(key, ""), ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 {
		r.Mistake(key, "nothing", what, example)
	}
	return parts
}

// JSON decodes an optional variable into target; unknown fields are mistakes.
func (r *Reader) JSON(key, what, example string, target any) {
	value := r.Optional(key, "")
	if value == "" {
		return
	}
	decoder := json.NewDecoder(strings.NewReader(value))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(target)
	if err == nil && decoder.More() {
		err = errors.New("more than one JSON value")
	}
	if err != nil {
		r.Mistake(key, fmt.Sprintf("%q (%v)", shorten(value), err), what, example)
	}
}

// Duration returns an optional positive duration.
func (r *Reader) Duration(key string, fallback time.Duration) time.Duration {
	value := r.Optional(key, "")
	if value == "" {
		return fallback
	}
	d, err := time.ParseDuration(value)
	if err != nil || d <= 0 {
		r.Mistake(key, fmt.Sprintf("%q", shorten(value)), "a duration above zero", "30m")
		return fallback
	}
	return d
}

// Mistake notes that a variable holds something other than what is allowed.
func (r *Reader) Mistake(key, found, allowed, example string) {
	r.errs = append(r.errs, fmt.Errorf("%s: found %s; allowed: %s; for example %s", key, found, allowed, example))
}

// Err returns all mistakes joined, or nil.
func (r *Reader) Err() error { return errors.Join(r.errs...) }

func shorten(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
