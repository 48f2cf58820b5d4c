package pgdb

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Outcome counts what Apply did.
type Outcome struct {
	Inserted, Updated, Removed int
	// Warnings are what is to be said beside that.
	Warnings []string
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
	problems, lapsed, err := t.contested(ctx, tx, spec, declared)
	if err == nil && len(problems) > 0 {
		err = &ProblemsError{Table: t.String(), Problems: problems}
	}
	if err != nil {
		return t, out, err
	}
	w := &writer{t: t, tx: tx, spec: spec, declared: declared}
	if removal != Retain && len(gone) > 0 {
		if w.gone, err = t.stageRemoval(ctx, tx, spec, gone, goneKeys, removal, declared); err != nil {
			return t, out, err
		}
	}
	if err := w.write(ctx, &out); err != nil {
		return t, out, err
	}
	return t, out, t.conclude(ctx, tx, spec, declared, lapsed, &out)
}

// conclude looks at what the table kept of the rows, and does what has to follow a write.
func (t *Table) conclude(ctx context.Context, tx pgx.Tx, spec Spec, declared *staged, lapsed []claim, out *Outcome) error {
	if declared.count() > 0 {
		changed, err := t.kept(ctx, tx, spec, declared)
		if err != nil {
			return err
		}
		out.Warnings = append(out.Warnings, changed...)
	}
	return t.settle(ctx, tx, spec, declared, lapsed, out)
}

// settle does what has to follow a write beside the table.
func (t *Table) settle(ctx context.Context, tx pgx.Tx, spec Spec, declared *staged, lapsed []claim, out *Outcome) error {
	behind, err := t.moveSequences(ctx, tx, declared)
	if err != nil {
		return err
	}
	unowned, err := t.claim(ctx, tx, spec, declared, lapsed)
	if err != nil {
		return err
	}
	out.Warnings = append(out.Warnings, behind...)
	if unowned != "" {
		out.Warnings = append(out.Warnings, unowned)
	}
	return nil
}

// lock makes other writers wait where no index keeps keys unique. Where one does, it keeps two of them from inserting the
// same row.
func (t *Table) lock(ctx context.Context, tx pgx.Tx, spec Spec) error {
	if err := t.queue(ctx, tx); err != nil {
		return fmt.Errorf("wait for other resources that write to %s: %w", t, err)
	}
	if t.IsUnique(spec.Keys) {
		return nil
	}
	if t.Filtered {
		return fmt.Errorf("row-level security hides rows of %s from this user and no unique index covers %s, so it cannot be told which rows are there", t, strings.Join(spec.Keys, ", "))
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf("LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE", t.Identifier())); err != nil {
		return fmt.Errorf("lock %s, which has no unique index on %s: %w", t, strings.Join(spec.Keys, ", "), err)
	}
	return nil
}

// unambiguous refuses keys that several rows of the table have.
func (t *Table) unambiguous(ctx context.Context, tx pgx.Tx, spec Spec, declared *staged) error {
	if t.IsUnique(spec.Keys) || declared.count() == 0 {
		return nil
	}
	found, err := tx.Query(ctx, fmt.Sprintf("SELECT d.%s, count(*) FROM %s d JOIN %s t ON %s GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT %d",
		declared.position, declared.table, t.Identifier(), declared.onKeys(spec.Keys, "t", "d"), maxProblems))
	if err != nil {
		return err
	}
	several, err := pgx.CollectRows(found, pgx.RowToStructByPos[struct{ Row, Count int }])
	if err != nil {
		return fmt.Errorf("compare keys with %s: %w", t, err)
	}
	var problems []Problem
	for _, s := range several {
		problems = append(problems, Problem{
			Row: declared.name(ctx, tx, s.Row), Column: strings.Join(spec.Keys, ", "),
			Reason: fmt.Sprintf("%d rows of the table have this key, so it is not clear which one is meant", s.Count),
		})
	}
	if len(problems) > 0 {
		return &ProblemsError{Table: t.String(), Problems: problems}
	}
	return nil
}

// kept compares the table with what was just written. A row that the table dropped is an error; columns that a trigger or rule
// changed are returned as warnings, because they differ at every look from now on.
func (t *Table) kept(ctx context.Context, tx pgx.Tx, spec Spec, declared *staged) ([]string, error) {
	differences, err := t.compare(ctx, tx, spec, declared, maxProblems)
	if err != nil {
		return nil, err
	}
	var lost []Problem
	var warnings []string
	for _, d := range differences {
		name := declared.name(ctx, tx, d.Index)
		switch {
		case d.Missing:
			reason := "was written without an error, but the table does not hold it: a trigger or rule dropped it or changed its key"
			if t.Filtered {
				reason += ", or row-level security hides it from this user"
			}
			lost = append(lost, Problem{Row: name, Reason: reason})
		default:
			warnings = append(warnings, fmt.Sprintf("row %s: the table does not keep what was written to %s; a trigger or rule changes it, and every refresh will report it",
				name, strings.Join(slices.Sorted(maps.Keys(d.Live)), ", ")))
		}
	}
	if len(lost) > 0 {
		return nil, &ProblemsError{Table: t.String(), Problems: lost}
	}
	return warnings, nil
}
