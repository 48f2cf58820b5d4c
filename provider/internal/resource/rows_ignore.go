package resource

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// ignoredPaths reads what ignoreChanges names. The engine itself sees to what is no part of rows, and to rows as a whole. A
// row goes by its key, so its place in the program is refused.
func ignoredPaths(ignoreChanges []string) ([]resource.PropertyPath, error) {
	var paths []resource.PropertyPath
	for _, text := range ignoreChanges {
		path, err := resource.ParsePropertyPath(text)
		if err != nil {
			if strings.HasPrefix(text, "rows") {
				return nil, fmt.Errorf("ignoreChanges: %q is no path (%w); write a row by its key, such as rows[\"id=3\"].name, or * for every row", text, err)
			}
			continue
		}
		if len(path) > 1 && path[0] == "rows" {
			if _, place := path[1].(int); place {
				return nil, fmt.Errorf("ignoreChanges: %q names a row by its place, but rows go by their key: write rows[\"id=3\"] with the row's key, or rows[\"*\"] for every row", text)
			}
			if len(path) > 3 {
				return nil, fmt.Errorf("ignoreChanges: %q names a part of a value, but a column is ignored as a whole: write %s", text, path[:3])
			}
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// ignores says whether one of the paths holds a path.
func ignores(paths []resource.PropertyPath, at ...any) bool {
	return slices.ContainsFunc(paths, func(p resource.PropertyPath) bool { return p.Contains(resource.PropertyPath(at)) })
}

// ignore makes the inputs what is written when changes of some paths are to be ignored: ignored values of rows stay as they
// were, ignored rows are neither added nor removed.
func (in *inputs) ignore(ignoreChanges []string, old *inputs) error {
	paths, err := ignoredPaths(ignoreChanges)
	if err != nil || len(paths) == 0 {
		return err
	}
	before := map[string]*row{}
	for i := range old.rows {
		before[old.rows[i].label] = &old.rows[i]
	}
	left := in.rows[:0]
	for _, r := range in.rows {
		was, known := before[r.label]
		delete(before, r.label)
		switch {
		case !known && ignores(paths, "rows", r.name):
			continue
		case known:
			r.keep(*was, in.keys, func(c string) bool { return ignores(paths, "rows", r.name, c) })
		}
		left = append(left, r)
	}
	in.rows = left
	for _, r := range old.rows {
		if _, gone := before[r.label]; gone && ignores(paths, "rows", r.name) {
			r.keep(r, in.keys, func(string) bool { return true })
			in.rows = append(in.rows, r)
		}
	}
	return nil
}

// keep takes the ignored values from what the row was.
func (r *row) keep(was row, keys []string, ignored func(column string) bool) {
	for c := range r.cells {
		if slices.Contains(keys, c) || !ignored(c) {
			continue
		}
		if v, had := was.cells[c]; had {
			r.cells[c] = v
		}
		r.ignored = append(r.ignored, c)
	}
	slices.Sort(r.ignored)
}
