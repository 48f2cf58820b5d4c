package pgdb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// List returns every row of the table, soft-deleted ones left out, in the order of the keys.
func List(ctx context.Context, tx pgx.Tx, spec Spec, columns []string) (*Table, []Row, error) {
	t, err := Inspect(ctx, tx, spec.Schema, spec.Table)
	if err != nil {
		return nil, nil, err
	}
	if t.Filtered {
		return t, nil, fmt.Errorf("row-level security hides rows of %s from this user, so its rows cannot be read whole", t)
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
