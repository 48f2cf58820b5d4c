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
		known[i] = Row{Name: r.Name, Secret: r.Secret, OnlyNew: r.OnlyNew, Values: map[string]any{}}
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
	differences, err := t.compare(ctx, tx, spec, declared, 0)
	if err == nil && t.Filtered && slices.ContainsFunc(differences, func(d Difference) bool { return d.Missing }) {
		return t, nil, fmt.Errorf("row-level security hides rows of %s from this user, so it cannot be told whether rows are missing", t)
	}
	return t, differences, err
}

// compare returns the declared rows that the table does not hold as declared, in their order; the first of them where there is
// a limit.
func (t *Table) compare(ctx context.Context, tx pgx.Tx, spec Spec, declared *staged, limit int) ([]Difference, error) {
	var columns, selected, conditions []string
	for _, c := range t.values(spec, declared) {
		if declared.groupsWith("d", func(g group) bool { return slices.Contains(g.update, c) }) == "false" {
			continue
		}
		columns = append(columns, c)
		condition := declared.differs(t, c, "t", "d")
		conditions = append(conditions, "("+condition+")")
		selected = append(selected, condition, t.Columns[c].output("t."+pgx.Identifier{c}.Sanitize()))
	}
	sql := fmt.Sprintf("SELECT d.%s, t.tableoid IS NULL", declared.position)
	if len(selected) > 0 {
		sql += ", " + strings.Join(selected, ", ")
	}
	sql += fmt.Sprintf(" FROM %s d LEFT JOIN %s t ON %s WHERE t.tableoid IS NULL", declared.table, t.Identifier(), declared.onKeys(spec.Keys, "t", "d"))
	if len(conditions) > 0 {
		sql += " OR " + strings.Join(conditions, " OR ")
	}
	sql += " ORDER BY 1"
	if limit > 0 {
		sql += fmt.Sprintf(" LIMIT %d", limit)
	}
	found, err := tx.Query(ctx, sql)
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
		owned := declared.groupAt(d.Index).update
		for i, c := range columns {
			if differs[i] && !d.Missing && slices.Contains(owned, c) {
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

// values are the declared columns that may differ in a row that was found by its key: the key itself is among them only
// where another spelling counts as the same.
func (t *Table) values(spec Spec, declared *staged) []string {
	return slices.DeleteFunc(slices.Clone(declared.columns), func(c string) bool {
		return slices.Contains(spec.Keys, c) && (!t.Columns[c].Loose || declared.asText[c])
	})
}
