package resource

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/value"
)

// maxShown bounds how many rows a diff names.
const maxShown = 1000

// Diff says which columns of which rows would change, with the types that the state remembers and no connection.
func (r *rows) Diff(ctx context.Context, req p.DiffRequest) (p.DiffResponse, error) {
	ignored, err := ignoredPaths(req.IgnoreChanges)
	if err != nil {
		return p.DiffResponse{}, err
	}
	d := &differ{
		old: decode(req.State), new: decode(req.Inputs), types: rememberedTypes(req.State), ignore: ignored,
		found: map[string]p.PropertyDiff{},
	}
	d.settings()
	d.rows()
	if v := req.State.Get(driftKey); v.IsString() && v.AsString() != "" {
		d.add(p.Update, driftKey)
	}
	if v := req.State.Get(notSeenKey); v.IsString() && v.AsString() != "" {
		d.add(p.Update, notSeenKey)
	}
	if d.left > 0 {
		p.GetLogger(ctx).Info(leaving(d.new, d.left, d.leaving))
	}
	if d.omitted > 0 {
		p.GetLogger(ctx).Info(fmt.Sprintf("%d rows differ; the first %d are shown", d.shown+d.omitted, d.shown))
	}
	return p.DiffResponse{HasChanges: len(d.found) > 0, DetailedDiff: d.found}, nil
}

// differ collects differences.
type differ struct {
	old, new *inputs
	types    map[string]value.Type
	ignore   []resource.PropertyPath
	found    map[string]p.PropertyDiff

	shown, omitted int      // rows that are named, and rows beyond
	left           int      // rows that are no longer declared
	leaving        []string // the first of them by name
}

// leaving says what becomes of rows that are no longer declared.
func leaving(in *inputs, count int, names []string) string {
	fate, named := "stay", ""
	switch in.onRemove {
	case pgdb.SoftDelete:
		fate = "are marked as deleted"
	case pgdb.Delete:
		fate = "are deleted for good"
	}
	if len(names) > 0 && in.onRemove != pgdb.Retain {
		if named = ": " + strings.Join(names, "; "); count > len(names) {
			named += fmt.Sprintf(" and %d more", count-len(names))
		}
	}
	return fmt.Sprintf("rows that leave the program, and %s in %s.%s (onRemove: %s): %d%s", fate, in.schema, in.table, in.onRemove, count, named)
}

func (d *differ) add(kind p.DiffKind, path ...any) {
	if ignores(d.ignore, path...) {
		return
	}
	d.found[resource.PropertyPath(path).String()] = p.PropertyDiff{Kind: kind}
}

// settings compares everything but the rows.
func (d *differ) settings() {
	for _, s := range []struct {
		key      string
		old, new string
		kind     p.DiffKind
	}{
		// Another table is another resource: its rows are written before those of the old one are removed as declared.
		{"schema", d.old.schema, d.new.schema, p.UpdateReplace},
		{"table", d.old.table, d.new.table, p.UpdateReplace},
		{"keyColumns", strings.Join(d.old.keys, "\x00"), strings.Join(d.new.keys, "\x00"), p.Update},
		{"columns", strings.Join(d.old.columns, "\x00"), strings.Join(d.new.columns, "\x00"), p.Update},
		{"triggers", strings.Join(d.old.triggers, "\x00"), strings.Join(d.new.triggers, "\x00"), p.Update},
		{"createdAtColumn", d.old.createdAt, d.new.createdAt, p.Update},
		{"updatedAtColumn", d.old.updatedAt, d.new.updatedAt, p.Update},
		{"softDeleteColumn", d.old.softDelete, d.new.softDelete, p.Update},
		{"onRemove", string(d.old.onRemove), string(d.new.onRemove), p.Update},
		{"file", d.old.file, d.new.file, p.Update},
		{digestKey, d.old.digest, d.new.digest, p.Update},
		{"mode", string(d.old.mode), string(d.new.mode), p.Update},
		{"maxDeletes", strconv.Itoa(d.old.maxDeletes), strconv.Itoa(d.new.maxDeletes), p.Update},
	} {
		switch {
		case d.new.unknown[s.key]:
			d.add(p.Update, s.key)
		case s.old != s.new:
			kind := s.kind
			switch {
			case kind != p.Update:
			case s.old == "":
				kind = p.Add
			case s.new == "":
				kind = p.Delete
			}
			d.add(kind, s.key)
		}
	}
}

func (d *differ) rows() {
	if d.new.file != "" || d.new.unknown["file"] {
		return
	}
	if d.new.unknown["rows"] || d.new.unknown["keyColumns"] {
		d.add(p.Update, "rows")
		return
	}
	if d.old.hidden != d.new.hidden {
		d.add(p.Update, "rows")
	}
	before := map[string]*row{}    // by label
	canonical := map[string]*row{} // by what PostgreSQL makes of the key
	for i := range d.old.rows {
		r := &d.old.rows[i]
		before[r.label] = r
		if key, ok := d.canonicalKey(*r, d.old.keys); ok {
			canonical[key] = r
		}
	}
	matched := map[*row]bool{}
	for i := range d.new.rows {
		r := d.new.rows[i]
		if r.label == "" {
			d.name(func() { d.add(p.Add, "rows", r.name) })
			continue
		}
		old, ok := before[r.label]
		if !ok && slices.Equal(d.old.keys, d.new.keys) {
			if key, known := d.canonicalKey(r, d.new.keys); known {
				old, ok = canonical[key]
			}
		}
		if !ok {
			d.name(func() { d.add(p.Add, "rows", r.label) })
			continue
		}
		matched[old] = true
		d.cells(old, r)
	}
	for i := range d.old.rows {
		if r := &d.old.rows[i]; !matched[r] {
			d.left++
			d.name(func() {
				d.add(p.Delete, "rows", r.name)
				if len(d.leaving) < 5 {
					d.leaving = append(d.leaving, r.name)
				}
			})
		}
	}
}

// name runs add for one more row, or counts it where enough are named. Rows with secret keys are not named.
func (d *differ) name(add func()) {
	switch {
	case d.new.hidden || d.old.hidden:
		d.add(p.Update, "rows")
	case d.shown < maxShown:
		d.shown++
		add()
	default:
		d.omitted++
	}
}

// cells compares the columns that the program declares for a row.
func (d *differ) cells(old *row, r row) {
	var changed []func()
	for c, cell := range r.cells {
		before, had := old.cells[c]
		_, managed := d.types[c]
		kind := p.Update
		switch {
		case !had && !managed:
			kind = p.Add // the table has no such column, or it was never looked at
		case d.same(before, cell, c):
			continue
		}
		changed = append(changed, func() { d.add(kind, "rows", r.label, c) })
	}
	if len(changed) > 0 {
		d.name(func() {
			for _, add := range changed {
				add()
			}
		})
	}
}

func (d *differ) same(before, after property.Value, column string) bool {
	if after.HasComputed() || before.HasComputed() {
		return false
	}
	if before.HasSecrets() != after.HasSecrets() && !d.old.hidden {
		return false // or the state would go on showing what has become secret
	}
	a, err := fromProperty(before)
	if err != nil {
		return false
	}
	b, err := fromProperty(after)
	if err != nil {
		return false
	}
	return value.Same(a, b, d.types[column])
}

// canonicalKey is one spelling for all keys that are equal in the table.
func (d *differ) canonicalKey(r row, keys []string) (string, bool) {
	var b strings.Builder
	for _, k := range keys {
		cell, ok := r.cells[k]
		if !ok || cell.HasComputed() {
			return "", false
		}
		plain, err := fromProperty(cell)
		if err != nil {
			return "", false
		}
		c, ok := value.Canonical(plain, d.types[k])
		if !ok {
			return "", false
		}
		if d.types[k].Base == "citext" {
			c = strings.ToLower(c)
		}
		b.WriteString(strconv.Quote(c))
	}
	return b.String(), true
}
