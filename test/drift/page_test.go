package drift

import (
	"strings"
	"testing"
)

// A part of the changes can be made anew, and the others keep what was seen before.
func TestPageKeepsWhatWasNotTried(t *testing.T) {
	name, deleted, up := sections[0].changes[0].what, sections[0].changes[2].what, quiet[0].after
	first := page("", map[string]string{name: row(name, "a | b", "c"), deleted: row(deleted, "d"), up: row(up, "10")})
	second := page(first, map[string]string{deleted: "", up: row(up, "9")})
	for _, want := range []string{"| " + name + " | a \\| b | c |\n", "## " + sections[0].title, "| " + up + " | 9 |"} {
		if !strings.Contains(second, want) {
			t.Errorf("%q is missing in\n%s", want, second)
		}
	}
	if strings.Contains(second, deleted) || !strings.Contains(first, deleted) {
		t.Error("what has failed keeps its row")
	}
	if page(second, nil) != second {
		t.Error("nothing tried is another page")
	}
}
