package resource

import (
	"fmt"
	"slices"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/value"
)

// check finds every mistake that shows without a database.
func (in *inputs) check(m property.Map) {
	for key := range m.AllStable {
		if !slices.Contains(inputNames, key) && !strings.HasPrefix(key, "__") && key != digestKey {
			in.refuse(key, "is not an input; there are %s", strings.Join(inputNames, ", "))
		}
	}
	for _, key := range []string{"table", "keyColumns"} {
		if v := m.Get(key); v.IsNull() {
			in.refuse(key, "is missing")
		}
	}
	in.checkSource(m)
	if v := m.Get("keyColumns"); v.IsArray() && v.AsArray().Len() == 0 {
		in.refuse("keyColumns", "is empty: name the columns that tell rows apart")
	}
	switch in.onRemove {
	case pgdb.Retain, pgdb.Delete:
	case pgdb.SoftDelete:
		if in.softDelete == "" && !in.unknown["softDeleteColumn"] {
			in.refuse("onRemove", "is %s, which needs softDeleteColumn", pgdb.SoftDelete)
		}
	default:
		in.refuse("onRemove", "is %q, but has to be %s, %s or %s", in.onRemove, pgdb.Retain, pgdb.SoftDelete, pgdb.Delete)
	}
	in.checkOwned()
	if !in.unknown["keyColumns"] {
		in.checkRows()
	}
	if extra := len(in.failures) - maxFailures; extra > 0 {
		in.failures = append(in.failures[:maxFailures], p.CheckFailure{Property: "", Reason: fmt.Sprintf("there are %d more mistakes like these", extra)})
	}
}

// checkOwned refuses columns that have two owners.
func (in *inputs) checkOwned() {
	owner := map[string]string{}
	for _, k := range in.keys {
		owner[k] = "keyColumns"
	}
	for _, o := range []struct{ input, column string }{
		{"createdAtColumn", in.createdAt}, {"updatedAtColumn", in.updatedAt}, {"softDeleteColumn", in.softDelete},
	} {
		if o.column == "" {
			continue
		}
		if other, taken := owner[o.column]; taken {
			in.refuse(o.input, "is %q, which is in %s already", o.column, other)
			continue
		}
		owner[o.column] = o.input
	}
	for i, c := range in.columns {
		if other := owner[c]; other == "createdAtColumn" || other == "updatedAtColumn" {
			in.refuse(fmt.Sprintf("columns[%d]", i), "is %q, which belongs to the database (%s)", c, other)
		}
	}
}

func (in *inputs) checkRows() {
	seen := map[string]string{}
	for _, r := range in.rows {
		if r.unknown {
			continue
		}
		in.checkCells(r)
		if r.label == "" {
			continue
		}
		if first, twice := seen[r.label]; twice {
			name := r.label
			if in.hidden {
				name = "(secret)"
			}
			in.refuse(r.place, "row %s of table %s is declared twice, first as %s", name, in.table, first)
			continue
		}
		seen[r.label] = r.place
	}
}

func (in *inputs) checkCells(r row) {
	where := fmt.Sprintf("row %s of table %s", in.title(r), in.table)
	for _, k := range in.keys {
		cell, ok := r.cells[k]
		switch {
		case !ok:
			in.refuse(r.place, "%s lacks its key column %s", where, k)
		case cell.IsNull():
			in.refuse(r.path(k), "%s has null in its key column %s", where, k)
		case cell.IsArray() || cell.IsMap():
			in.refuse(r.path(k), "%s has a list or object in its key column %s", where, k)
		}
	}
	columns := make([]string, 0, len(r.cells))
	for c := range r.cells {
		columns = append(columns, c)
	}
	slices.Sort(columns)
	for _, c := range columns {
		in.checkName(r.path(c), c)
		if c == in.createdAt || c == in.updatedAt {
			in.refuse(r.path(c), "%s gives %s a value, but that column belongs to the database", where, c)
		}
		cell := r.cells[c]
		if cell.HasComputed() {
			continue
		}
		plain, err := fromProperty(cell)
		if err == nil {
			err = checkScalars(plain)
		}
		if err != nil {
			in.refuse(r.path(c), "%s, column %s: the value %v", where, c, err)
		}
	}
}

// checkScalars finds values inside a cell that would be damaged on their way, whatever the column's type.
func checkScalars(v any) error {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		for _, e := range v {
			if err := checkScalars(e); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		for _, e := range v {
			if err := checkScalars(e); err != nil {
				return err
			}
		}
		return nil
	case string:
		_, err := value.Text(v, value.Type{Base: "text"})
		return err
	}
	_, err := value.Scalar(v)
	return err
}
