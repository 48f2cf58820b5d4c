package versiontable

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/schemaobjects"
)

// The mark is a row, which travels with a dump of the database. Only its owner can read it.
const (
	markTable  = schemaobjects.OwnSchema + ".mark"
	markFormat = 1
)

// Before there was that table the mark was kept in comments. Databases carry them, and a version of that time that is used
// once more writes them again: where there are some they are newer than the row, because writing it removes them.
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
	// Schema is what it was made of; nil where it was not noted.
	Schema *schemaobjects.Snapshot
}

// NewerMarkError means that a later version of plan-charge left a mark that this one cannot read.
type NewerMarkError struct{ Format int }

func (e *NewerMarkError) Error() string {
	return fmt.Sprintf("a newer version of plan-charge left its mark in %s: format %d, this version reads up to %d; use the newer one", markTable, e.Format, markFormat)
}

// Inspect reads the schema's objects, but for the version table, which is the migration tool's.
func (t Table) Inspect(ctx context.Context, db schemaobjects.Beginner) (schemaobjects.Snapshot, error) {
	return schemaobjects.Inspect(ctx, db, schemaobjects.Name{Schema: t.Schema, Table: t.Name}, schemaobjects.Limit)
}

// ReadMark returns the mark of the last migration, and false when none left one. The error is ErrNoTable when there is
// neither a mark nor a version table, and a *NewerMarkError for a mark that cannot be read.
func (t Table) ReadMark(ctx context.Context, q Querier) (Mark, bool, error) {
	m, marked, commentErr := t.readComments(ctx, q)
	if marked || commentErr != nil && !errors.Is(commentErr, ErrNoTable) {
		return m, marked, commentErr
	}
	m, marked, err := t.readRow(ctx, q)
	if err != nil {
		return Mark{}, false, err
	}
	if !marked {
		return Mark{}, false, commentErr
	}
	return m, true, nil
}

func (t Table) readComments(ctx context.Context, q Querier) (Mark, bool, error) {
	if there, err := exists(ctx, q, t.identifier()); err != nil || !there {
		return Mark{}, false, t.missing(err)
	}
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

func (t Table) readRow(ctx context.Context, q Querier) (Mark, bool, error) {
	format, err := t.readFormat(ctx, q)
	if err != nil || format == 0 {
		return Mark{}, false, err
	}
	var m Mark
	var s schemaobjects.Snapshot
	var major *int // no objects, no server that printed them
	err = q.QueryRow(ctx, `SELECT revision, key, server_major, objects, left_out FROM `+markTable+` WHERE version_table = $1`, t.String()).
		Scan(&m.Revision, &m.Key, &major, &s.Objects, &s.LeftOut)
	if err != nil {
		return Mark{}, false, fmt.Errorf("read %s: %w", markTable, err)
	}
	if major != nil {
		s.Major = *major
		m.Schema = &s
	}
	return m, true, nil
}

// readFormat returns the format of this version table's row, 0 when there is none. It is the column that every format has.
func (t Table) readFormat(ctx context.Context, q Querier) (int, error) {
	there, err := exists(ctx, q, markTable)
	if err != nil || !there {
		return 0, err
	}
	var format int
	err = q.QueryRow(ctx, `SELECT format FROM `+markTable+` WHERE version_table = $1`, t.String()).Scan(&format)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("read %s: %w", markTable, err)
	case format > markFormat:
		return format, &NewerMarkError{Format: format}
	}
	return format, nil
}

// WriteMark notes what a migration left, all of it or nothing. It needs the version table's owner, and the right to create
// a schema. The error is ErrNoTable when there is no version table, and a *NewerMarkError where a newer version's mark stays.
func (t Table) WriteMark(ctx context.Context, db schemaobjects.Beginner, m Mark) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return t.describe("mark", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if there, err := exists(ctx, tx, t.identifier()); err != nil || !there {
		return t.missing(err)
	}
	if _, err := t.readFormat(ctx, tx); err != nil {
		return err
	}
	if err := t.writeRow(ctx, tx, m); err != nil {
		return fmt.Errorf("write %s: %w", markTable, err)
	}
	if err := t.removeComments(ctx, tx); err != nil {
		return t.describe("mark", err)
	}
	return tx.Commit(ctx)
}

func (t Table) writeRow(ctx context.Context, tx pgx.Tx, m Mark) error {
	for _, statement := range []string{
		`CREATE SCHEMA IF NOT EXISTS ` + schemaobjects.OwnSchema,
		`CREATE TABLE IF NOT EXISTS ` + markTable + ` (
			version_table text PRIMARY KEY, format int NOT NULL, revision text NOT NULL, key text,
			server_major int, objects jsonb, left_out text[], at timestamptz NOT NULL)`,
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	var major, objects, leftOut any // NULL where they were not noted
	if m.Schema != nil {
		text, err := json.Marshal(m.Schema.Objects) // as text, for connections that do not ask the server for types
		if err != nil {
			return err
		}
		major, objects, leftOut = m.Schema.Major, string(text), m.Schema.LeftOut
	}
	_, err := tx.Exec(ctx, `INSERT INTO `+markTable+` (version_table, format, revision, key, server_major, objects, left_out, at)
		VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, now()) ON CONFLICT (version_table) DO UPDATE SET format = excluded.format,
		revision = excluded.revision, key = excluded.key, server_major = excluded.server_major, objects = excluded.objects,
		left_out = excluded.left_out, at = excluded.at`, t.String(), markFormat, m.Revision, m.Key, major, objects, leftOut)
	return err
}

// removeComments removes what a version before left; the comments of others stay.
func (t Table) removeComments(ctx context.Context, tx pgx.Tx) error {
	m, marked, err := t.readComments(ctx, tx)
	if err != nil || !marked {
		return err
	}
	statements := `COMMENT ON TABLE ` + t.identifier() + ` IS NULL`
	if m.Key != nil {
		statements += `; COMMENT ON COLUMN ` + pgx.Identifier{t.Schema, t.Name, t.Column}.Sanitize() + ` IS NULL`
	}
	_, err = tx.Exec(ctx, statements)
	return err
}

// exists asks for a table without failing, which would end the transaction.
func exists(ctx context.Context, q Querier, identifier string) (bool, error) {
	var there bool
	err := q.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, identifier).Scan(&there)
	return there, err
}
