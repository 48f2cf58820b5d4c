package pgdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Removal says what becomes of rows that are no longer declared.
type Removal string

// The removals that there are.
const (
	Retain     Removal = "retain"
	SoftDelete Removal = "softDelete"
	Delete     Removal = "delete"
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
	t, problems, err := Check(ctx, tx, spec, rows)
	if err != nil {
		return nil, out, err
	}
	if len(problems) > 0 {
		return t, out, &ProblemsError{Table: t.String(), Problems: problems}
	}
	if err := t.lock(ctx, tx, spec); err != nil {
		return t, out, err
	}
	if err := t.unambiguous(ctx, tx, spec, rows); err != nil {
		return t, out, err
	}
	w := &writer{t: t, tx: tx, spec: spec, rows: rows}
	if err := w.write(ctx, &out); err != nil {
		return t, out, err
	}
	if removal != Retain && len(gone) > 0 {
		if out.Removed, err = t.remove(ctx, tx, spec, gone, goneKeys, removal, true); err != nil {
			return t, out, err
		}
	}
	if len(rows) > 0 {
		out.Unsettled, err = w.unsettled(ctx)
	}
	return t, out, err
}

// Remove takes rows out of the table as told and returns how many it was. A row that is not there is no error.
func Remove(ctx context.Context, tx pgx.Tx, spec Spec, gone []Row, removal Removal) (int, error) {
	if removal == Retain || len(gone) == 0 {
		return 0, nil
	}
	t, err := Inspect(ctx, tx, spec.Schema, spec.Table)
	if errors.Is(err, ErrNoTable) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if err := t.lock(ctx, tx, spec); err != nil {
		return 0, err
	}
	return t.remove(ctx, tx, spec, gone, spec.Keys, removal, false)
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
func (t *Table) unambiguous(ctx context.Context, tx pgx.Tx, spec Spec, rows []Row) error {
	if t.IsUnique(spec.Keys) || len(rows) == 0 {
		return nil
	}
	found, err := tx.Query(ctx, fmt.Sprintf("SELECT d.pgrows_row, count(*) FROM pg_temp.pgrows_declared d JOIN %s t ON %s GROUP BY 1 HAVING count(*) > 1 ORDER BY 1 LIMIT %d",
		t.Identifier(), onKeys(spec.Keys, "t", "d"), maxProblems))
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
		problems = append(problems, Problem{Row: rows[row].Name, Column: strings.Join(spec.Keys, ", "),
			Reason: fmt.Sprintf("%d rows of the table have this key, so it is not clear which one is meant", count)})
	}
	if err := found.Err(); err != nil {
		return fmt.Errorf("compare keys with %s: %w", t, err)
	}
	if len(problems) > 0 {
		return &ProblemsError{Table: t.String(), Problems: problems}
	}
	return nil
}

// writer writes the loaded rows.
type writer struct {
	t    *Table
	tx   pgx.Tx
	spec Spec
	rows []Row
}

// groups returns the declared columns of each group of rows that declare the same ones, by the group's number.
func (w *writer) groups() [][]string {
	var groups [][]string
	all := Columns(w.rows)
	seen := map[string]bool{}
	for _, r := range w.rows {
		var mask strings.Builder
		var columns []string
		for _, c := range all {
			if _, ok := r.Values[c]; ok {
				mask.WriteByte('+')
				columns = append(columns, c)
			} else {
				mask.WriteByte('-')
			}
		}
		if !seen[mask.String()] {
			seen[mask.String()] = true
			groups = append(groups, columns)
		}
	}
	return groups
}

func (w *writer) write(ctx context.Context, out *Outcome) error {
	for group, columns := range w.groups() {
		where := fmt.Sprintf("d.pgrows_group = %d", group)
		inserted, updated, err := w.writeRange(ctx, group, columns, where)
		if err == nil {
			out.Inserted += inserted
			out.Updated += updated
			continue
		}
		return w.blame(ctx, group, columns, err)
	}
	return nil
}

// writeRange updates and inserts the rows of a group that fulfil a condition. A failure leaves the transaction usable.
func (w *writer) writeRange(ctx context.Context, group int, columns []string, where string) (inserted, updated int, err error) {
	inner, err := w.tx.Begin(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer inner.Rollback(context.WithoutCancel(ctx))
	target := w.t.Identifier()
	var values []string
	for _, c := range columns {
		if !slices.Contains(w.spec.Keys, c) {
			values = append(values, c)
		}
	}
	if len(values) > 0 {
		tag, err := inner.Exec(ctx, fmt.Sprintf("UPDATE %s t SET %s FROM pg_temp.pgrows_declared d WHERE %s AND %s AND (%s)",
			target, w.sets(values, columns, "d"), where, onKeys(w.spec.Keys, "t", "d"), w.differences(values, "d")))
		if err != nil {
			return 0, 0, err
		}
		updated = int(tag.RowsAffected())
	}
	into, from := quoteAll(columns), make([]string, 0, len(columns)+2)
	for _, q := range into {
		from = append(from, "d."+q)
	}
	for _, c := range []string{w.spec.CreatedAt, w.spec.UpdatedAt} {
		if c != "" && !slices.Contains(columns, c) {
			into, from = append(into, pgx.Identifier{c}.Sanitize()), append(from, "now()")
		}
	}
	insert := fmt.Sprintf("INSERT INTO %s AS t (%s) SELECT %s FROM pg_temp.pgrows_declared d WHERE %s AND NOT EXISTS (SELECT FROM %s e WHERE %s) ORDER BY d.pgrows_row",
		target, strings.Join(into, ", "), strings.Join(from, ", "), where, target, onKeys(w.spec.Keys, "e", "d"))
	if w.t.IsUnique(w.spec.Keys) { // somebody may have inserted the row since the update
		insert += fmt.Sprintf(" ON CONFLICT (%s) DO ", strings.Join(quoteAll(w.spec.Keys), ", "))
		if len(values) > 0 {
			insert += fmt.Sprintf("UPDATE SET %s WHERE %s", w.sets(values, columns, "EXCLUDED"), w.differences(values, "EXCLUDED"))
		} else {
			insert += "NOTHING"
		}
	}
	tag, err := inner.Exec(ctx, insert)
	if err != nil {
		return 0, 0, err
	}
	return int(tag.RowsAffected()), updated, inner.Commit(ctx)
}

// sets are the assignments of an update from the row called source.
func (w *writer) sets(values, columns []string, source string) string {
	var sets []string
	for _, q := range quoteAll(values) {
		sets = append(sets, q+" = "+source+"."+q)
	}
	if w.spec.UpdatedAt != "" && !slices.Contains(columns, w.spec.UpdatedAt) {
		sets = append(sets, pgx.Identifier{w.spec.UpdatedAt}.Sanitize()+" = now()")
	}
	return strings.Join(sets, ", ")
}

// differences is the SQL condition under which the row in the table is not like that called source.
func (w *writer) differences(values []string, source string) string {
	var conditions []string
	for _, c := range values {
		q := pgx.Identifier{c}.Sanitize()
		conditions = append(conditions, w.t.Columns[c].differs("t."+q, source+"."+q))
	}
	return strings.Join(conditions, " OR ")
}

// blame finds the first row that the table refuses, so that the error can name it.
func (w *writer) blame(ctx context.Context, group int, columns []string, cause error) error {
	var pg *pgconn.PgError
	if !errors.As(cause, &pg) || !refusesRow(pg) {
		return w.t.writeError(cause, "", w.anySecret())
	}
	low, high := 0, len(w.rows) // the first bad row is in [low, high)
	for high-low > 1 {
		middle := (low + high) / 2
		bad, err := w.refused(ctx, group, columns, low, middle)
		if err != nil {
			return w.t.writeError(cause, "", w.anySecret())
		}
		if bad {
			high = middle
		} else {
			low = middle
		}
	}
	return w.t.writeError(cause, w.rows[low].Name, w.rows[low].Secret)
}

// refused says whether the table refuses any row of the group in [low, high). It leaves no trace.
func (w *writer) refused(ctx context.Context, group int, columns []string, low, high int) (bool, error) {
	inner, err := w.tx.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer inner.Rollback(context.WithoutCancel(ctx))
	probe := &writer{t: w.t, tx: inner, spec: w.spec, rows: w.rows}
	_, _, err = probe.writeRange(ctx, group, columns, fmt.Sprintf("d.pgrows_group = %d AND d.pgrows_row >= %d AND d.pgrows_row < %d", group, low, high))
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return true, nil
	}
	return false, err
}

func (w *writer) anySecret() bool {
	return slices.ContainsFunc(w.rows, func(r Row) bool { return r.Secret })
}

// refusesRow says whether an error is about what a row holds.
func refusesRow(pg *pgconn.PgError) bool {
	class := pg.Code[:min(2, len(pg.Code))]
	return class == "23" || class == "22" || class == "44" || class == "P0"
}

// writeError describes why the table did not take what was written. Where secrets are about it keeps to what PostgreSQL
// says without values.
func (t *Table) writeError(err error, row string, secret bool) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return fmt.Errorf("write %s: %w", t, err)
	}
	where := t.String()
	if row != "" {
		where += ", row " + row
	}
	if pg.ColumnName != "" {
		where += ", column " + pg.ColumnName
	}
	reason := pg.Message
	class := pg.Code[:min(2, len(pg.Code))]
	switch {
	case secret && (class == "22" || class == "P0"):
		reason = "a value (secret) was refused" // such messages quote it
	case pg.Detail != "" && !secret:
		reason += " (" + pg.Detail + ")"
	}
	return &writeFailure{text: fmt.Sprintf("nothing was written: %s: %s", where, reason), err: err}
}

// writeFailure hides the text of the error that it wraps, which may hold values.
type writeFailure struct {
	text string
	err  error
}

func (e *writeFailure) Error() string { return e.text }
func (e *writeFailure) Unwrap() error { return e.err }

// remove takes the rows out that gone names, leaving those that a loaded declared row has the key of.
func (t *Table) remove(ctx context.Context, tx pgx.Tx, spec Spec, gone []Row, goneKeys []string, removal Removal, declared bool) (int, error) {
	for _, k := range goneKeys {
		if _, ok := t.Columns[k]; !ok {
			return 0, fmt.Errorf("%s has lost its key column %s, so the rows to remove cannot be found", t, k)
		}
	}
	keysOnly := make([]Row, len(gone))
	for i, r := range gone {
		keysOnly[i] = Row{Name: r.Name, Secret: r.Secret, Values: map[string]any{}}
		for _, k := range goneKeys {
			keysOnly[i].Values[k] = r.Values[k]
		}
	}
	// A key that its column cannot hold (any more) is the key of no row.
	if _, err := t.load(ctx, tx, "gone", goneKeys, keysOnly, 0); err != nil {
		return 0, err
	}
	condition := onKeys(goneKeys, "t", "g")
	if declared {
		condition += fmt.Sprintf(" AND NOT EXISTS (SELECT FROM pg_temp.pgrows_declared d WHERE %s)", onKeys(spec.Keys, "t", "d"))
	}
	statement := fmt.Sprintf("DELETE FROM %s t USING pg_temp.pgrows_gone g WHERE %s", t.Identifier(), condition)
	if removal == SoftDelete {
		soft := pgx.Identifier{spec.SoftDelete}.Sanitize()
		if _, ok := t.Columns[spec.SoftDelete]; !ok {
			return 0, fmt.Errorf("%s has no column %s to mark deleted rows in", t, spec.SoftDelete)
		}
		sets := soft + " = now()"
		if _, ok := t.Columns[spec.UpdatedAt]; ok {
			sets += ", " + pgx.Identifier{spec.UpdatedAt}.Sanitize() + " = now()"
		}
		statement = fmt.Sprintf("UPDATE %s t SET %s FROM pg_temp.pgrows_gone g WHERE t.%s IS NULL AND %s", t.Identifier(), sets, soft, condition)
	}
	tag, err := tx.Exec(ctx, statement)
	if err != nil {
		return 0, t.writeError(err, "", slices.ContainsFunc(gone, func(r Row) bool { return r.Secret }))
	}
	return int(tag.RowsAffected()), nil
}

// unsettled returns the columns that differ from what was just written.
func (w *writer) unsettled(ctx context.Context) ([]string, error) {
	differences, err := w.t.compare(ctx, w.tx, w.spec, w.rows)
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
