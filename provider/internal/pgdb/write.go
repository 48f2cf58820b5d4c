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

// writer writes the declared rows.
type writer struct {
	t        *Table
	tx       pgx.Tx
	spec     Spec
	declared *staged
}

// write updates and inserts all rows, those that declare the same columns at once.
func (w *writer) write(ctx context.Context, out *Outcome) error {
	for group, columns := range w.declared.groups {
		inserted, updated, err := w.writeRange(ctx, columns, w.declared.inGroup(group))
		if err == nil {
			out.Inserted += inserted
			out.Updated += updated
			continue
		}
		return w.blame(ctx, group, columns, err)
	}
	return nil
}

// writeRange updates and inserts the rows, declared with these columns, that fulfil a condition. A failure leaves the transaction usable.
func (w *writer) writeRange(ctx context.Context, columns []string, where string) (inserted, updated int, err error) {
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
		tag, err := inner.Exec(ctx, fmt.Sprintf("UPDATE %s t SET %s FROM %s d WHERE %s AND %s AND (%s)",
			target, w.sets(values, columns, "d"), w.declared.table, where, onKeys(w.spec.Keys, "t", "d"), w.differences(values, "d")))
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
	insert := fmt.Sprintf("INSERT INTO %s AS t (%s) SELECT %s FROM %s d WHERE %s AND NOT EXISTS (SELECT FROM %s e WHERE %s) ORDER BY d.pgrows_row",
		target, strings.Join(into, ", "), strings.Join(from, ", "), w.declared.table, where, target, onKeys(w.spec.Keys, "e", "d"))
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
		return w.t.refusal(cause, "", w.anySecret())
	}
	low, high := 0, len(w.declared.rows) // the first bad row is in [low, high)
	for high-low > 1 {
		middle := (low + high) / 2
		bad, err := w.refused(ctx, group, columns, low, middle)
		if err != nil {
			return w.t.refusal(cause, "", w.anySecret())
		}
		if bad {
			high = middle
		} else {
			low = middle
		}
	}
	return w.t.refusal(cause, w.declared.rows[low].Name, w.declared.rows[low].Secret)
}

// refused says whether the table refuses any row of the group in [low, high). It leaves no trace.
func (w *writer) refused(ctx context.Context, group int, columns []string, low, high int) (bool, error) {
	inner, err := w.tx.Begin(ctx)
	if err != nil {
		return false, err
	}
	defer inner.Rollback(context.WithoutCancel(ctx))
	probe := &writer{t: w.t, tx: inner, spec: w.spec, declared: w.declared}
	_, _, err = probe.writeRange(ctx, columns, fmt.Sprintf("%s AND d.pgrows_row >= %d AND d.pgrows_row < %d", w.declared.inGroup(group), low, high))
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return true, nil
	}
	return false, err
}

func (w *writer) anySecret() bool {
	return slices.ContainsFunc(w.declared.rows, func(r Row) bool { return r.Secret })
}
