package lifeline

import (
	"strings"
	"testing"
)

func TestPreviewIsToldByTheCommandLine(t *testing.T) {
	for line, want := range map[string]bool{
		"pulumi preview":                        true,
		"pulumi pre --diff":                     true,
		"/opt/pulumi -s prod preview":           true,
		"pulumi --stack=prod preview":           true,
		"pulumi refresh --preview-only":         true,
		"pulumi destroy --preview-only=true":    true,
		"pulumi up":                             false,
		"pulumi up --yes -m preview":            false,
		"pulumi -s preview up":                  false,
		"pulumi --cwd preview refresh":          false,
		"pulumi refresh --preview-only=false":   false,
		"pulumi destroy --target preview --yes": false,
		"pulumi":                                false,
		"":                                      false,
	} {
		if got := (Engine{args: strings.Fields(line)}).Preview(); got != want {
			t.Errorf("%q is a preview: %v", line, got)
		}
	}
}

// Without an engine above, as in a test, there is none.
func TestNoEngine(t *testing.T) {
	if e := FindEngine(); e.PID != 0 || e.Preview() {
		t.Errorf("found %+v", e)
	}
}
