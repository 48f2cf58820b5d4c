package oneline_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"plan-charge/internal/oneline"
)

func TestRead(t *testing.T) {
	r := strings.NewReader("which\nthe rest")
	if line, err := oneline.Read(r); line != "which" || err != nil {
		t.Errorf("got %q, %v", line, err)
	}
	if rest, _ := io.ReadAll(r); string(rest) != "the rest" {
		t.Errorf("left is %q", rest)
	}
	if line, err := oneline.Read(strings.NewReader("cut")); line != "cut" || !errors.Is(err, io.EOF) {
		t.Errorf("got %q, %v", line, err)
	}
	if _, err := oneline.Read(strings.NewReader(strings.Repeat("x", 5000))); err == nil || err.Error() != "a line without an end" {
		t.Errorf("got %v", err)
	}
}
