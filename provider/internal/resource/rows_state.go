package resource

import (
	"maps"
	"slices"

	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/value"
)

// state is what is remembered: the inputs, and the types of their columns where the table was seen.
func (in *inputs) state(m property.Map, table *pgdb.Table) property.Map {
	m = in.normal(m)
	if in.file != "" || in.unknown["file"] {
		return in.fileState(m, table)
	}
	if in.unknown["rows"] || in.unknown["keyColumns"] {
		return m.Set("rowCount", property.New(property.Computed)).Set("columnTypes", property.New(property.Computed))
	}
	m = m.Set("rowCount", property.New(float64(len(in.rows))))
	if table == nil {
		return m.Set("columnTypes", property.New(property.Computed))
	}
	return m.Set("columnTypes", typesProperty(in.types(table)))
}

// types returns the types of all columns that the rows declare.
func (in *inputs) types(table *pgdb.Table) map[string]value.Type {
	columns := map[string]bool{}
	for _, r := range in.rows {
		for c := range r.cells {
			columns[c] = true
		}
	}
	for _, k := range in.keys {
		columns[k] = true
	}
	return table.Types(slices.Collect(maps.Keys(columns)))
}

func typesProperty(types map[string]value.Type) property.Value {
	m := make(map[string]property.Value, len(types))
	for c, t := range types {
		m[c] = property.New(map[string]property.Value{
			"name": property.New(t.Name), "base": property.New(t.Base), "element": property.New(t.Element),
		})
	}
	return property.New(m)
}

// rememberedTypes reads what typesProperty wrote.
func rememberedTypes(state property.Map) map[string]value.Type {
	types := map[string]value.Type{}
	v := state.Get("columnTypes")
	if !v.IsMap() {
		return types
	}
	for c, t := range v.AsMap().All {
		if !t.IsMap() {
			continue
		}
		part := func(key string) string {
			if s := t.AsMap().Get(key); s.IsString() {
				return s.AsString()
			}
			return ""
		}
		types[c] = value.Type{Name: part("name"), Base: part("base"), Element: part("element")}
	}
	return types
}

// observe changes the rows into what the table has.
func (in *inputs) observe(table *pgdb.Table, positions []int, differences []pgdb.Difference) {
	missing := map[int]bool{}
	for i := range in.rows {
		for c := range in.rows[i].cells {
			if _, ok := table.Columns[c]; !ok {
				delete(in.rows[i].cells, c)
			}
		}
	}
	for _, d := range differences {
		i := positions[d.Index]
		missing[i] = d.Missing
		for c, live := range d.Live {
			secret := in.rows[i].cells[c].HasSecrets()
			in.rows[i].cells[c] = toProperty(live).WithSecret(secret)
		}
	}
	left := in.rows[:0]
	for i, r := range in.rows {
		if !missing[i] {
			left = append(left, r)
		}
	}
	in.rows = left
}
