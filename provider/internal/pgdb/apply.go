package pgdb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Outcome counts what Apply did.
type Outcome struct {
	Inserted, Updated, Removed int
	// Unsettled are columns that do not hold what was written, because a trigger or rule of the table changed it.
	Unsettled []string
}

// Apply makes the table hold the declared rows and changes nothing else: rows that are there and equal are left alone,
// different ones updated, missing ones inserted. Rows in gone that no declared row has the key of are removed as told. The
// error is a *ProblemsError when the rows cannot be written; then, as with every error, the transaction is of no use.
func Apply(ctx context.Context, tx pgx.Tx, spec Spec, rows, gone []Row, goneKeys []string, removal Removal) (*Table, Outcome, error) {
	var out Outcome
	t, declared, err := prepare(ctx, tx, spec, rows)
	if err != nil {
		return nil, out, err
	}
	if err := t.lock(ctx, tx, spec); err != nil {
		return t, out, err
	}
	if err := t.unambiguous(ctx, tx, spec, declared); err != nil {
		return t, out, err
	}
	w := &writer{t: t, tx: tx, spec: spec, declared: declared}
	if err := w.write(ctx, &out); err != nil {
		return t, out, err
	}
	if removal != Retain && len(gone) > 0 {
		if out.Removed, err = t.remove(ctx, tx, spec, gone, goneKeys, removal, declared); err != nil {
			return t, out, err
		}
	}
	if len(rows) > 0 {
		out.Unsettled, err = t.unsettled(ctx, tx, spec, declared)
	}
	return t, out, err
}

// lock makes other writers wait where no index keeps keys unique. Where one does, it keeps two of them from inserting the
// same row.
func (t *Table) lock(ctx context.Context, tx pgx.Tx, spec Spec) error {
	if t.IsUnique(spec.Keys) {
		return nil
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE", t.Identifier())); err != nil {
		return fmt.Errorf("lock %s, which has no unique index on %s: %w", t, strings.Join(spec.Keys, ", "), err)
	}
	return nil
}

// unambiguous refuses keys that several rows of the table have.
func (t *Table) unambiguous(ctx context.Context, tx pgx.Tx, spec Spec, declared *staged) error {
	if t.IsUnique(spec.Keys) || len(declared.rows) == 0 {
		return nil
	}
	found, err := tx.Query(ctx, fmt.Sprintf("SELECT d.pgrows_row, count(*) FROM %s d JOIN %s t ON %s GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT %d",
		declared.table, t.Identifier(), onKeys(spec.Keys, "t", "d"), maxProblems))
	if err != nil {
		return err
	}
	defer found.Close()
	var problems []Problem
	for found.Next() {
		var row, count int
		if err := found.Scan(&row, &count); err != nil {
			return err
		}
		problems = append(problems, Problem{
			Row: declared.rows[row].Name, Column: strings.Join(spec.Keys, ", "),
			Reason: fmt.Sprintf("%d rows of the table have this key, so it is not clear which one is meant", count),
		})
	}
	if err := found.Err(); err != nil {
		return fmt.Errorf("compare keys with %s: %w", t, err)
	}
	if len(problems) > 0 {
		return &ProblemsError{Table: t.String(), Problems: problems}
	}
	return nil
}

// unsettled returns the columns that differ from what was just written.
func (t *Table) unsettled(ctx context.Context, tx pgx.Tx, spec Spec, declared *staged) ([]string, error) {
	differences, err := t.compare(ctx, tx, spec, declared)
	if err != nil {
		return nil, err
	}
	var columns []string
	for _, d := range differences {
		for c := range d.Live {
			columns = append(columns, c)
		}
	}
	slices.Sort(columns)
	return slices.Compact(columns), nil
}
