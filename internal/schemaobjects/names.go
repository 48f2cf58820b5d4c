package schemaobjects

import (
	"regexp"
	"slices"
	"strings"
)

// What a configuration may say, for messages.
const (
	AllowedName    = "the exact name of an object as it is printed: its kind (table, column, constraint, index, type, view, sequence, function, trigger or policy), a space, and its name with its schema"
	AllowedPattern = "as many as wanted of: a kind of object or *, a space, and a name with its schema, in which * stands for anything"
)

// inside are the kinds whose objects belong to a table or view, the name of which theirs begins with.
var inside = []string{"column", "constraint", "index", "trigger", "policy"}

// ValidName says whether a text can be the name of one object.
func ValidName(text string) bool { return !strings.Contains(text, "*") && ValidPattern(text) }

// ValidPattern says whether a text can be a pattern of names.
func ValidPattern(text string) bool {
	kind, name, _ := strings.Cut(text, " ")
	schema, rest, _ := strings.Cut(name, ".")
	return (kind == "*" || slices.Contains(kinds(catalog), kind)) && schema != "" && rest != "" && name == strings.TrimSpace(name)
}

// Patterns name objects that are not compared.
type Patterns []*regexp.Regexp

// NewPatterns reads patterns as ValidPattern allows them.
func NewPatterns(texts []string) Patterns {
	var list Patterns
	for _, text := range texts {
		list = append(list, regexp.MustCompile(`(?s)^`+strings.ReplaceAll(regexp.QuoteMeta(text), `\*`, `.*`)+`$`))
	}
	return list
}

// Match says whether a pattern names the object, or the table or view that it belongs to.
func (p Patterns) Match(object string) bool {
	for _, name := range append(parents(object), object) {
		if slices.ContainsFunc(p, func(re *regexp.Regexp) bool { return re.MatchString(name) }) {
			return true
		}
	}
	return false
}

// parents returns the names of what an object may belong to, or nothing.
func parents(object string) []string {
	kind, name, _ := strings.Cut(object, " ")
	if !slices.Contains(inside, kind) {
		return nil
	}
	owner := name[:lastPart(name)]
	return []string{"table " + owner, "view " + owner}
}

// lastPart returns where the last identifier of a name begins, at the dot before it. One in quotes may have dots in it.
func lastPart(name string) int {
	quoted := false
	dot := 0
	for i, r := range name {
		switch {
		case r == '"': // a doubled one inside quotes turns it off and on again
			quoted = !quoted
		case r == '.' && !quoted:
			dot = i
		}
	}
	return dot
}
