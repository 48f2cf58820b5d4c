package pgdb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
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
	declared, err := t.stage(ctx, tx, columns, known, 0)
	if err != nil {
		return t, nil, err
	}
	differences, err := t.compare(ctx, tx, spec, declared)
	return t, differences, err
}

// compare returns the declared rows that the table does not hold as declared, in their order.
func (t *Table) compare(ctx context.Context, tx pgx.Tx, spec Spec, declared *staged) ([]Difference, error) {
	var columns, selected, conditions []string
	for _, c := range declared.columns {
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
	sql += fmt.Sprintf(" FROM %s d LEFT JOIN %s t ON %s WHERE %s IS NULL", declared.table, t.Identifier(), onKeys(spec.Keys, "t", "d"), key)
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
			if _, owned := declared.rows[d.Index].Values[c]; owned && differs[i] && !d.Missing {
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
