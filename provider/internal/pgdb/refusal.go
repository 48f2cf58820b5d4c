package pgdb

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var _ error = (*refusal)(nil)

// refusal hides the text of the error that it wraps, which may hold values.
type refusal struct {
	text string
	err  error
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.err }

// Classes of PostgreSQL's error codes that matter here. A table's own functions may raise any code, so no list of them says
// which are about a row.
const (
	dataException    = "22"
	raisedByFunction = "P0"
	pastRows         = "25 40 53 54 55 57 58 08 F0 XX" // state, rollback, resources, operator, system
)

// class is the first part of an error's code.
func class(pg *pgconn.PgError) string { return pg.Code[:min(2, len(pg.Code))] }

// mayBeRow says whether an error may be about what a row holds.
func mayBeRow(pg *pgconn.PgError) bool { return !strings.Contains(pastRows, class(pg)) }

// quotesValues says whether the message itself, not only its detail, may hold values.
func quotesValues(pg *pgconn.PgError) bool {
	switch class(pg) {
	case dataException, raisedByFunction:
		return true
	case "23", "42", "44":
		return false
	}
	return mayBeRow(pg) // a code of the table's own
}

// refusal describes why the table did not take what was written; row is the position of the row at fault, or negative. Where
// secrets are about it keeps to what PostgreSQL says without values. Nothing of a row is shown that is not declared.
func (t *Table) refusal(ctx context.Context, tx pgx.Tx, err error, declared *staged, row int) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return fmt.Errorf("write %s: %w", t, err)
	}
	where, secret := t.String(), false
	if declared != nil {
		secret = declared.secret(row)
		if row >= 0 {
			where += ", row " + declared.name(ctx, tx, row)
		}
	}
	if pg.ColumnName != "" {
		where += ", column " + pg.ColumnName
	}
	reason := pg.Message
	if secret && quotesValues(pg) {
		reason = "a value (secret) was refused"
	}
	if detail := t.detail(ctx, tx, pg, declared); detail != "" && !secret {
		reason += " (" + detail + ")"
	}
	if t.Filtered && pg.Code == pgerrcode.UniqueViolation {
		reason += "; row-level security hides rows of the table from this user, perhaps the one with this key"
	}
	return &refusal{text: fmt.Sprintf("nothing was written: %s: %s", where, reason), err: err}
}

// detail is what PostgreSQL adds to a message, if it shows nothing but columns that are declared: the detail of a constraint on
// a whole row quotes all of it.
func (t *Table) detail(ctx context.Context, tx pgx.Tx, pg *pgconn.PgError, declared *staged) string {
	switch pg.Code {
	case pgerrcode.UniqueViolation, pgerrcode.ForeignKeyViolation, pgerrcode.ExclusionViolation:
	default:
		return ""
	}
	if declared == nil {
		return ""
	}
	var columns []string
	inner, err := tx.Begin(ctx)
	if err != nil {
		return ""
	}
	defer inner.Rollback(context.WithoutCancel(ctx))
	err = inner.QueryRow(ctx, `
		SELECT array_agg(DISTINCT a.attname::text) FROM (
			SELECT unnest(CASE WHEN conrelid = $1 THEN conkey ELSE confkey END) AS num FROM pg_constraint WHERE conname = $2 AND $1 IN (conrelid, confrelid)
			UNION
			SELECT unnest(confkey) FROM pg_constraint WHERE conname = $2 AND confrelid = $1
			UNION
			SELECT d.refobjsubid FROM pg_class i JOIN pg_index x ON x.indexrelid = i.oid JOIN pg_depend d ON d.objid = i.oid AND d.classid = 'pg_class'::regclass
			WHERE i.relname = $2 AND x.indrelid = $1 AND d.refclassid = 'pg_class'::regclass AND d.refobjid = $1
		) c JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = c.num AND c.num > 0`, t.OID, pg.ConstraintName).Scan(&columns)
	if err != nil || len(columns) == 0 || slices.ContainsFunc(columns, func(c string) bool { return !slices.Contains(declared.columns, c) }) {
		return ""
	}
	return pg.Detail
}

var tuple = regexp.MustCompile(`\(([0-9]+),([0-9]+)\)`)

// lockedRow is the position of the row whose lock was not to be had, or -1: PostgreSQL tells its place in the table.
func (w *writer) lockedRow(ctx context.Context, pg *pgconn.PgError) int {
	place := tuple.FindString(pg.Where)
	if place == "" {
		return -1
	}
	row := -1
	err := w.probe(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, fmt.Sprintf("SELECT coalesce(min(d.%s), -1) FROM %s d JOIN %s t ON %s WHERE t.ctid = $1::text::tid",
			w.declared.position, w.declared.table, w.t.Identifier(), w.declared.onKeys(w.spec.Keys, "t", "d")), place).Scan(&row)
	})
	if err != nil {
		return -1
	}
	return row
}
