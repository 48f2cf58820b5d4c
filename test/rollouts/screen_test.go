package rollouts

import (
	"fmt"
	"strings"
	"testing"
)

func TestLastScreen(t *testing.T) {
	var out strings.Builder
	for i := range 100 {
		fmt.Fprintf(&out, "line %d\n", i)
	}
	out.WriteString("\terror: " + strings.Repeat("é", 130) + "\r\n\n\n")
	got := strings.Split(lastScreen(out.String()), "\n")
	if len(got) != 39 || got[0] != "line 63" || got[37] != "    error: "+strings.Repeat("é", 109) || got[38] != strings.Repeat("é", 21) {
		t.Errorf("%d lines: %q", len(got), got)
	}
	if got := lastScreen("one\n"); got != "one" {
		t.Errorf("%q", got)
	}
}
