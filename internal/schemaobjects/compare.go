package schemaobjects

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Verb says what became of an object.
type Verb string

// The verbs, as a message shows them.
const (
	Dropped Verb = "dropped"
	Changed Verb = "changed"
	Added   Verb = "added"
)

// Changes are the objects in which two snapshots differ.
type Changes map[string]Verb

// Diff returns how a schema differs from what it was, but for what is ignored. Kinds that one of the two left out are not
// compared, nor definitions that different servers printed.
func Diff(was, is Snapshot, ignore Patterns) Changes {
	changes := Changes{}
	put := func(object string, verb Verb) {
		kind, _, _ := strings.Cut(object, " ")
		if !slices.Contains(was.LeftOut, kind) && !slices.Contains(is.LeftOut, kind) && !ignore.Match(object) {
			changes[object] = verb
		}
	}
	for object, before := range was.Objects {
		switch now, there := is.Objects[object]; {
		case !there:
			put(object, Dropped)
		case was.Major == is.Major && before != now:
			put(object, Changed)
		}
	}
	for object := range is.Objects {
		if _, there := was.Objects[object]; !there {
			put(object, Added)
		}
	}
	return changes
}

// StillMissing returns the dropped objects that a later snapshot does not have either.
func (c Changes) StillMissing(later Snapshot) Changes {
	missing := Changes{}
	for object, verb := range c {
		if _, there := later.Objects[object]; verb == Dropped && !there {
			missing[object] = verb
		}
	}
	return missing
}

// Difference is one line about a change.
type Difference struct {
	Verb   Verb
	Object string
	// With are the columns, constraints, indexes and so on that went or came together with their table.
	With []string
}

func (d Difference) String() string { return string(d.Verb) + " " + d.Object }

// Fold returns one difference for a table that went or came with all that belongs to it; sorted, what was dropped first.
func (c Changes) Fold() []Difference {
	with := map[string][]string{}
	var heads []string
	for object, verb := range c {
		if parent, ok := c.folds(object, verb); ok {
			with[parent] = append(with[parent], object)
		} else {
			heads = append(heads, object)
		}
	}
	order := []Verb{Dropped, Changed, Added}
	slices.SortFunc(heads, func(a, b string) int {
		return cmp.Or(cmp.Compare(slices.Index(order, c[a]), slices.Index(order, c[b])), cmp.Compare(a, b))
	})
	list := make([]Difference, len(heads))
	for i, object := range heads {
		slices.Sort(with[object])
		list[i] = Difference{c[object], object, with[object]}
	}
	return list
}

// folds returns the table or view that an object went or came with.
func (c Changes) folds(object string, verb Verb) (string, bool) {
	for _, parent := range parents(object) {
		if v, ok := c[parent]; ok && v == verb && verb != Changed {
			return parent, true
		}
	}
	return "", false
}

// Undo returns the snapshot as it would be without these differences from what it was before.
func (s Snapshot) Undo(differences []Difference, was Snapshot) Snapshot {
	s.Objects = maps.Clone(s.Objects)
	for _, d := range differences {
		for _, object := range append([]string{d.Object}, d.With...) {
			if digest, there := was.Objects[object]; there {
				s.Objects[object] = digest
			} else {
				delete(s.Objects, object)
			}
		}
	}
	return s
}

// Lines writes differences for people, at most as many as given.
func Lines(differences []Difference, most int) []string {
	var lines []string
	for i, d := range differences {
		if i == most {
			return append(lines, fmt.Sprintf("and %d more", len(differences)-most))
		}
		lines = append(lines, d.String())
	}
	return lines
}
