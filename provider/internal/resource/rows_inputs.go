package resource

import (
	"fmt"
	"slices"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/rowid"
	"plan-charge/provider/internal/value"
)

const (
	defaultSchema = "public"
	// maxName is the length in bytes at which PostgreSQL cuts names.
	maxName = 63
	// maxFailures bounds how many mistakes are reported in one go.
	maxFailures = 50
)

var inputNames = []string{
	"changesFile", "columns", "createdAtColumn", "file", "keyColumns", "maxDeletes", "mode", "onRemove", "rows", "schema", "softDeleteColumn", "table", "triggers",
	"updatedAtColumn",
}

// inputs are what a program declares, or a state remembers, about the rows of a table.
type inputs struct {
	schema, table                    string
	keys, columns, triggers          []string
	createdAt, updatedAt, softDelete string
	onRemove                         pgdb.Removal
	rows                             []row
	// The rows of a file, where there is one.
	file, digest, changesFile string
	mode                      pgdb.Mode
	maxDeletes, rowCount      int
	// unknown holds the names of inputs that are not known yet.
	unknown map[string]bool
	// hidden means that keys are secret, so that nothing outside may name a row by its key.
	hidden bool

	failures []p.CheckFailure
}

// row is one row with its values as properties, which know whether they are secret or not known yet.
type row struct {
	label string // "" where the key is not known yet
	name  string // the label, or a stand-in for it
	place string // where the row stands in the inputs, such as rows[2]
	cells map[string]property.Value
	// unknown means that the row as a whole is not known yet.
	unknown bool
	// ignored are columns whose value is written to a new row only.
	ignored []string
}

func (in *inputs) refuse(path, reason string, args ...any) {
	in.failures = append(in.failures, p.CheckFailure{Property: path, Reason: fmt.Sprintf(reason, args...)})
}

// decode reads inputs, or a state, which has the same form and more. Mistakes are collected in failures.
func decode(m property.Map) *inputs {
	in := &inputs{unknown: map[string]bool{}, schema: defaultSchema, onRemove: pgdb.Retain, mode: pgdb.Upsert}
	in.name(m, "schema", &in.schema)
	in.name(m, "table", &in.table)
	in.name(m, "createdAtColumn", &in.createdAt)
	in.name(m, "updatedAtColumn", &in.updatedAt)
	in.name(m, "softDeleteColumn", &in.softDelete)
	var onRemove string
	in.text(m, "onRemove", &onRemove)
	if onRemove != "" {
		in.onRemove = pgdb.Removal(onRemove)
	}
	in.names(m, "keyColumns", &in.keys)
	in.names(m, "columns", &in.columns)
	in.list(m, "triggers", &in.triggers)
	in.readRows(m.Get("rows"))
	in.readFile(m)
	return in
}

func (in *inputs) text(m property.Map, key string, into *string) bool {
	v := m.Get(key)
	switch {
	case v.IsComputed():
		in.unknown[key] = true
	case v.IsString():
		*into = v.AsString()
		return true
	case !v.IsNull():
		in.refuse(key, "is not a string")
	}
	return false
}

func (in *inputs) name(m property.Map, key string, into *string) {
	if in.text(m, key, into) {
		in.checkName(key, *into)
	}
}

func (in *inputs) checkName(path, name string) {
	switch {
	case name == "":
		in.refuse(path, "is empty, but has to be a name")
	case strings.ContainsRune(name, 0):
		in.refuse(path, "has a zero byte, which no name in PostgreSQL can have")
	case len(name) > maxName:
		in.refuse(path, "has %d bytes, but names in PostgreSQL have at most %d", len(name), maxName)
	}
}

func (in *inputs) list(m property.Map, key string, into *[]string) {
	v := m.Get(key)
	if v.HasComputed() {
		in.unknown[key] = true
		return
	}
	if v.IsNull() {
		return
	}
	if !v.IsArray() {
		in.refuse(key, "is not a list")
		return
	}
	for i, e := range v.AsArray().All {
		if !e.IsString() {
			in.refuse(fmt.Sprintf("%s[%d]", key, i), "is not a string")
			continue
		}
		*into = append(*into, e.AsString())
	}
}

func (in *inputs) names(m property.Map, key string, into *[]string) {
	in.list(m, key, into)
	var names []string
	for i, name := range *into {
		path := fmt.Sprintf("%s[%d]", key, i)
		in.checkName(path, name)
		if slices.Contains(names, name) {
			in.refuse(path, "names the column %q a second time", name)
			continue
		}
		names = append(names, name)
	}
	*into = names
}

// readRows takes the list that a program gives, and the object by key that check makes of it.
func (in *inputs) readRows(v property.Value) {
	in.hidden = v.Secret()
	switch {
	case v.IsComputed():
		in.unknown["rows"] = true
	case v.IsNull():
	case v.IsArray():
		for i, e := range v.AsArray().All {
			place := fmt.Sprintf("rows[%d]", i)
			in.readRow(place, "("+place+", key not known yet)", e)
		}
	case v.IsMap():
		for label, e := range v.AsMap().AllStable {
			in.readRow(resource.PropertyPath{"rows", label}.String(), label, e)
		}
	default:
		in.refuse("rows", "is not a list of rows")
	}
	in.tellApart()
	for _, r := range in.rows {
		for _, k := range in.keys {
			in.hidden = in.hidden || r.cells[k].Secret()
		}
	}
}

func (in *inputs) readRow(place, name string, v property.Value) {
	r := row{place: place, name: name, cells: map[string]property.Value{}}
	switch {
	case v.IsComputed():
		r.unknown = true
	case v.IsMap():
		for c, cell := range v.AsMap().All {
			if v.Secret() {
				cell = cell.WithSecret(true)
			}
			r.cells[c] = cell
		}
		in.complete(&r)
		if r.label = in.label(r); r.label != "" {
			r.name = r.label
		}
	default:
		in.refuse(place, "is not an object of columns and values")
		return
	}
	in.rows = append(in.rows, r)
}

// complete adds the NULLs that a row has without naming them.
func (in *inputs) complete(r *row) {
	for _, c := range append(slices.Clone(in.columns), in.softDelete) {
		if _, ok := r.cells[c]; !ok && c != "" && c != in.createdAt && c != in.updatedAt && !slices.Contains(in.keys, c) {
			r.cells[c] = property.New(property.Null)
		}
	}
}

// label is the row's key as a name, or "" where it is not known, incomplete or unusable.
func (in *inputs) label(r row) string { return in.labelBy(r, rowid.Label) }

// exactLabel is the label of a key as it is written.
func (in *inputs) exactLabel(r row) string { return in.labelBy(r, rowid.ExactLabel) }

func (in *inputs) labelBy(r row, name func(columns, values []string) string) string {
	if len(in.keys) == 0 {
		return ""
	}
	values := make([]string, len(in.keys))
	for i, k := range in.keys {
		cell, ok := r.cells[k]
		if !ok || cell.IsNull() || cell.HasComputed() {
			return ""
		}
		plain, err := fromProperty(cell)
		if err != nil {
			return ""
		}
		if values[i], err = value.Scalar(plain); err != nil {
			return ""
		}
	}
	return name(in.keys, values)
}

// tellApart gives rows labels as their keys are written where the usual ones are alike: text that looks like a uuid may differ
// in the case of its letters.
func (in *inputs) tellApart() {
	first := map[string]int{}
	for i := range in.rows {
		label := in.rows[i].label
		if label == "" {
			continue
		}
		other, twice := first[label]
		if !twice {
			first[label] = i
			continue
		}
		if a, b := in.exactLabel(in.rows[other]), in.exactLabel(in.rows[i]); a != b {
			in.rows[other].label, in.rows[other].name = a, a
			in.rows[i].label, in.rows[i].name = b, b
		}
	}
}

// title names a row in messages.
func (in *inputs) title(r row) string {
	switch {
	case !in.hidden && r.label != "":
		return r.label
	case !in.hidden:
		return r.place
	case strings.Contains(r.place, `"`): // by key
		return "(secret)"
	}
	return r.place
}

func (r row) path(column string) string {
	return r.place + strings.TrimPrefix(resource.PropertyPath{"x", column}.String(), "x")
}

// normal is what check makes of the inputs: defaults filled in, and the rows by key, so that a diff's paths, and with them
// a preview, name the row and the column.
func (in *inputs) normal(m property.Map) property.Map {
	if _, ok := m.GetOk("schema"); !ok {
		m = m.Set("schema", property.New(in.schema))
	}
	if _, ok := m.GetOk("onRemove"); !ok {
		m = m.Set("onRemove", property.New(string(in.onRemove)))
	}
	if in.file != "" {
		return m.Set("mode", property.New(string(in.mode))).Set("maxDeletes", property.New(float64(in.maxDeletes))).Set(digestKey, property.New(in.digest))
	}
	if in.unknown["rows"] || in.unknown["keyColumns"] || in.unknown["file"] {
		return m
	}
	return m.Set("rows", in.rowsByKey())
}

// rowsByKey returns the rows as an object. Rows whose key is not known yet go by their place.
func (in *inputs) rowsByKey() property.Value {
	byKey := make(map[string]property.Value, len(in.rows))
	for _, r := range in.rows {
		if r.unknown {
			byKey[r.name] = property.New(property.Computed)
			continue
		}
		byKey[r.name] = property.New(r.cells)
	}
	return property.New(byKey).WithSecret(in.hidden)
}

// spec is what the database is told about the table.
func (in *inputs) spec() pgdb.Spec {
	return pgdb.Spec{Schema: in.schema, Table: in.table, Keys: in.keys, CreatedAt: in.createdAt, UpdatedAt: in.updatedAt, SoftDelete: in.softDelete}
}

func (in *inputs) id() string {
	return rowid.ID{Schema: in.schema, Table: in.table, KeyColumns: in.keys}.String()
}

// known returns the rows whose key is known, and their positions. Values that are not known yet are left out.
func (in *inputs) known() ([]pgdb.Row, []int, error) {
	var rows []pgdb.Row
	var positions []int
	for i, r := range in.rows {
		if r.label == "" {
			continue
		}
		d := pgdb.Row{Name: in.title(r), Values: make(map[string]any, len(r.cells)), Secret: in.hidden, OnlyNew: r.ignored}
		for c, cell := range r.cells {
			if cell.HasComputed() {
				d.Pending = append(d.Pending, c)
				continue
			}
			plain, err := fromProperty(cell)
			if err != nil {
				return nil, nil, fmt.Errorf("row %s, column %s %w", d.Name, c, err)
			}
			d.Values[c] = plain
			d.Secret = d.Secret || cell.HasSecrets()
		}
		rows = append(rows, d)
		positions = append(positions, i)
	}
	return rows, positions, nil
}

// gone returns the rows of the old inputs that the new ones do not declare, and the columns that they are found by. One that
// is declared in another spelling may be among them: the database tells.
func (in *inputs) gone(old *inputs) ([]pgdb.Row, []string, error) {
	if old == nil {
		return nil, in.keys, nil
	}
	labels := map[string]bool{}
	for _, r := range in.rows {
		labels[in.exactLabel(r)] = true
	}
	before, positions, err := old.known()
	if err != nil {
		return nil, nil, err
	}
	var gone []pgdb.Row
	for i, row := range before {
		if !labels[old.exactLabel(old.rows[positions[i]])] || !slices.Equal(old.keys, in.keys) {
			gone = append(gone, row)
		}
	}
	return gone, old.keys, nil
}
