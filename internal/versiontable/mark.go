package versiontable

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The mark is kept in comments, so that it travels with a dump of the database. Databases carry it: its form stays.
const (
	revisionPrefix = "plan-charge: migrated to "  // in the comment of the table
	keyPrefix      = "plan-charge: migrated for " // in the comment of the column
)

// Mark is what the last successful migration left.
type Mark struct {
	// Revision that it left.
	Revision string
	// Key names what it depended on; nil where it did not say.
	Key *string
}

// ReadMark returns the mark of the last migration, and false when none left one. The error is ErrNoTable when there is no
// such table.
func (t Table) ReadMark(ctx context.Context, q Querier) (Mark, bool, error) {
	var table, column *string
	err := q.QueryRow(ctx, `SELECT obj_description($1::regclass, 'pg_class'),
		col_description($1::regclass, (SELECT attnum FROM pg_attribute WHERE attrelid = $1::regclass AND attname = $2))`,
		t.identifier(), t.Column).Scan(&table, &column)
	if err != nil {
		return Mark{}, false, t.describe("read", err)
	}
	revision := after(revisionPrefix, table)
	if revision == nil {
		return Mark{}, false, nil
	}
	return Mark{Revision: *revision, Key: after(keyPrefix, column)}, true, nil
}

// after returns what follows the prefix in a comment, or nil where somebody else wrote the comment.
func after(prefix string, comment *string) *string {
	if comment == nil {
		return nil
	}
	rest, ours := strings.CutPrefix(*comment, prefix)
	if !ours {
		return nil
	}
	return &rest
}

// Beginner is what a *pgx.Conn, a pgx.Tx and a *pgxpool.Pool have in common to write with.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// WriteMark notes on the table what a migration left, all of it or nothing. It needs the table's owner.
func (t Table) WriteMark(ctx context.Context, db Beginner, m Mark) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return t.describe("mark", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	var key *string // where there is none, that of an earlier migration goes
	if m.Key != nil {
		text := keyPrefix + *m.Key
		key = &text
	}
	revision := revisionPrefix + m.Revision
	if err := comment(ctx, tx, "TABLE "+t.identifier(), &revision); err != nil {
		return t.describe("mark", err)
	}
	if err := comment(ctx, tx, "COLUMN "+pgx.Identifier{t.Schema, t.Name, t.Column}.Sanitize(), key); err != nil {
		return t.describe("mark", err)
	}
	return tx.Commit(ctx)
}

// comment writes a comment; nil removes it. COMMENT takes no parameters, so the server is asked to quote its text.
func comment(ctx context.Context, tx pgx.Tx, on string, text *string) error {
	var literal string
	if err := tx.QueryRow(ctx, "SELECT quote_nullable($1::text)", text).Scan(&literal); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "COMMENT ON "+on+" IS "+literal)
	return err
}
