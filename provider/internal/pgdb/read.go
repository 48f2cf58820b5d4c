package pgdb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"plan-charge/provider/internal/value"
)

// Difference is a declared row that the table does not hold like that.
type Difference struct {
	// Index is the row's position in what was declared.
	Index int
	// Missing means that the table has no row with this key.
	Missing bool
	// Live holds what the table has in the columns that differ.
	Live map[string]any
}

// Compare says where the table differs from the declared rows, which it leaves as they are. Declared columns that the
// table does not have are left out. The error is ErrNoTable when the table does not exist.
func Compare(ctx context.Context, tx pgx.Tx, spec Spec, rows []Row) (*Table, []Difference, error) {
	t, err := Inspect(ctx, tx, spec.Schema, spec.Table)
	if err != nil {
		return nil, nil, err
	}
	for _, k := range spec.Keys {
		if _, ok := t.Columns[k]; !ok {
			return t, nil, fmt.Errorf("%s has no key column %s", t, k)
		}
	}
	columns := slices.DeleteFunc(Columns(rows), func(c string) bool { _, ok := t.Columns[c]; return !ok })
	known := make([]Row, len(rows))
	for i, r := range rows {
		known[i] = Row{Name: r.Name, Secret: r.Secret, Values: map[string]any{}}
		for c, v := range r.Values {
			if slices.Contains(columns, c) {
				known[i].Values[c] = v
			}
		}
	}
	if len(rows) == 0 {
		return t, nil, nil
	}
	// What does not fit its column (any more) differs from whatever is there.
	if _, err := t.load(ctx, tx, "declared", columns, known, 0); err != nil {
		return t, nil, err
	}
	differences, err := t.compare(ctx, tx, spec, known)
	return t, differences, err
}

// compare returns the loaded rows that the table does not hold as declared, in their order.
func (t *Table) compare(ctx context.Context, tx pgx.Tx, spec Spec, rows []Row) ([]Difference, error) {
	var columns, selected, conditions []string
	for _, c := range Columns(rows) {
		if slices.Contains(spec.Keys, c) {
			continue
		}
		q := pgx.Identifier{c}.Sanitize()
		columns = append(columns, c)
		condition := t.Columns[c].differs("t."+q, "d."+q)
		conditions = append(conditions, "("+condition+")")
		selected = append(selected, condition, t.Columns[c].output("t."+q))
	}
	key := "t." + pgx.Identifier{spec.Keys[0]}.Sanitize()
	sql := fmt.Sprintf("SELECT d.pgrows_row, %s IS NULL", key)
	if len(selected) > 0 {
		sql += ", " + strings.Join(selected, ", ")
	}
	sql += fmt.Sprintf(" FROM pg_temp.pgrows_declared d LEFT JOIN %s t ON %s WHERE %s IS NULL", t.Identifier(), onKeys(spec.Keys, "t", "d"), key)
	if len(conditions) > 0 {
		sql += " OR " + strings.Join(conditions, " OR ")
	}
	found, err := tx.Query(ctx, sql+" ORDER BY 1")
	if err != nil {
		return nil, fmt.Errorf("compare with %s: %w", t, err)
	}
	defer found.Close()
	var differences []Difference
	for found.Next() {
		d := Difference{Live: map[string]any{}}
		differs := make([]bool, len(columns))
		live := make([]*string, len(columns))
		into := []any{&d.Index, &d.Missing}
		for i := range columns {
			into = append(into, &differs[i], &live[i])
		}
		if err := found.Scan(into...); err != nil {
			return nil, fmt.Errorf("compare with %s: %w", t, err)
		}
		for i, c := range columns {
			if _, declared := rows[d.Index].Values[c]; declared && differs[i] && !d.Missing {
				d.Live[c] = fromText(live[i], t.Columns[c].Type)
			}
		}
		if d.Missing || len(d.Live) > 0 {
			differences = append(differences, d)
		}
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("compare with %s: %w", t, err)
	}
	return differences, nil
}

// List returns every row of the table, soft-deleted ones left out, in the order of the keys.
func List(ctx context.Context, tx pgx.Tx, spec Spec, columns []string) (*Table, []Row, error) {
	t, err := Inspect(ctx, tx, spec.Schema, spec.Table)
	if err != nil {
		return nil, nil, err
	}
	owned := []string{spec.CreatedAt, spec.UpdatedAt, spec.SoftDelete}
	for _, c := range slices.Concat(spec.Keys, columns, owned) {
		if _, ok := t.Columns[c]; !ok && c != "" {
			return t, nil, fmt.Errorf("%s has no column %s; it has %s", t, c, strings.Join(t.Order, ", "))
		}
	}
	var names, selected []string
	for _, c := range t.Order {
		wanted := len(columns) == 0 || slices.Contains(columns, c) || slices.Contains(spec.Keys, c)
		if wanted && !t.Columns[c].Generated && !slices.Contains(owned, c) {
			names = append(names, c)
			selected = append(selected, t.Columns[c].output(pgx.Identifier{c}.Sanitize()))
		}
	}
	for _, k := range spec.Keys {
		if !slices.Contains(names, k) {
			return t, nil, fmt.Errorf("%s: the key column %s is generated or owned by the database", t, k)
		}
	}
	sql := fmt.Sprintf("SELECT %s FROM %s", strings.Join(selected, ", "), t.Identifier())
	if spec.SoftDelete != "" {
		sql += fmt.Sprintf(" WHERE %s IS NULL", pgx.Identifier{spec.SoftDelete}.Sanitize())
	}
	found, err := tx.Query(ctx, sql+" ORDER BY "+strings.Join(quoteAll(spec.Keys), ", "))
	if err != nil {
		return t, nil, fmt.Errorf("read %s: %w", t, err)
	}
	defer found.Close()
	var rows []Row
	for found.Next() {
		text := make([]*string, len(names))
		into := make([]any, len(names))
		for i := range text {
			into[i] = &text[i]
		}
		if err := found.Scan(into...); err != nil {
			return t, nil, fmt.Errorf("read %s: %w", t, err)
		}
		row := Row{Values: map[string]any{}}
		for i, c := range names {
			row.Values[c] = fromText(text[i], t.Columns[c].Type)
		}
		rows = append(rows, row)
	}
	if err := found.Err(); err != nil {
		return t, nil, fmt.Errorf("read %s: %w", t, err)
	}
	return t, rows, nil
}

// output is the SQL expression that gives a column's value as text that fromText reads.
func (c Column) output(column string) string {
	if c.Type.IsArray() {
		return fmt.Sprintf("array_to_json(%s)::text", column)
	}
	return column + "::text"
}

// fromText turns a live value into the one that a program would declare for it.
func fromText(text *string, t value.Type) any {
	if text == nil {
		return nil
	}
	switch t.Base {
	case "bool":
		return *text == "true" || *text == "t"
	case "int2", "int4", "int8", "float4", "float8", "numeric":
		if f, ok := exact(*text); ok {
			return f
		}
		return *text
	}
	if t.IsArray() || t.IsJSON() {
		dec := json.NewDecoder(bytes.NewReader([]byte(*text)))
		dec.UseNumber()
		var v any
		if dec.Decode(&v) == nil {
			if v, ok := fromJSON(v, t.IsArray()); ok {
				return v
			}
		}
	}
	return *text
}

// fromJSON keeps lists and objects whose numbers survive, and leaves every other document as text.
func fromJSON(v any, array bool) (any, bool) {
	switch v := v.(type) {
	case []any:
		for i := range v {
			e, ok := fromJSONElement(v[i], array)
			if !ok {
				return nil, false
			}
			v[i] = e
		}
		return v, true
	case map[string]any:
		for k := range v {
			e, ok := fromJSONElement(v[k], array)
			if !ok {
				return nil, false
			}
			v[k] = e
		}
		return v, true
	}
	return nil, false
}

func fromJSONElement(v any, array bool) (any, bool) {
	switch n := v.(type) {
	case json.Number:
		if f, ok := exact(n.String()); ok {
			return f, true
		}
		return n.String(), array // an array's element may be written as a string, a document's number may not
	case []any, map[string]any:
		return fromJSON(v, array)
	}
	return v, true
}

// exact reads a number that comes out again as it went in.
func exact(text string) (float64, bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, false
	}
	back, err := value.Scalar(f)
	return f, err == nil && back == text
}
