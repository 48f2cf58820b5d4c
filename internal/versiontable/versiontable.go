// Package versiontable reads which schema revision a database is at, and keeps beside it which one the last migration left.
// Both the provider, which compares the two, and the program that migrates use it.
package versiontable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The names that Alembic uses unless a project changes them.
const (
	DefaultSchema = "public"
	DefaultTable  = "alembic_version"
	DefaultColumn = "version_num"
)

// None is how a message names the revision of a database that was never migrated.
const None = "none"

// markPrefix starts the table comment that names the revision that the last migration left.
const markPrefix = "plan-charge: migrated to "

// ErrNoTable means that the version table does not exist.
var ErrNoTable = errors.New("the version table does not exist")

// Querier is what a *pgx.Conn, a pgx.Tx and a *pgxpool.Pool have in common.
type Querier interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Current returns the revision in the version table: its rows, sorted and joined by a comma when there are several heads,
// "" when it is empty. The error is ErrNoTable when there is no such table.
func Current(ctx context.Context, q Querier, schema, table, column string) (string, error) {
	name := pgx.Identifier{schema, table}.Sanitize()
	rows, err := q.Query(ctx, fmt.Sprintf("SELECT %s::text FROM %s", pgx.Identifier{column}.Sanitize(), name))
	if err != nil {
		return "", describe(err, name)
	}
	heads, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", describe(err, name)
	}
	slices.Sort(heads)
	return strings.Join(heads, ","), nil
}

// Mark notes on the version table that a migration left the given revision there. It needs the table's owner.
func Mark(ctx context.Context, q Querier, schema, table, revision string) error {
	name := pgx.Identifier{schema, table}.Sanitize()
	// COMMENT takes no parameters, so the server is asked to quote its text.
	var literal string
	if err := q.QueryRow(ctx, "SELECT quote_literal($1::text)", markPrefix+revision).Scan(&literal); err != nil {
		return fmt.Errorf("mark %s: %w", name, err)
	}
	if _, err := q.Exec(ctx, fmt.Sprintf("COMMENT ON TABLE %s IS %s", name, literal)); err != nil {
		return fmt.Errorf("mark %s: %w", name, describe(err, name))
	}
	return nil
}

// ReadMark returns the revision that the last migration left, and false when none left a mark. The error is ErrNoTable
// when there is no such table.
func ReadMark(ctx context.Context, q Querier, schema, table string) (string, bool, error) {
	name := pgx.Identifier{schema, table}.Sanitize()
	var comment *string
	if err := q.QueryRow(ctx, "SELECT obj_description($1::regclass, 'pg_class')", name).Scan(&comment); err != nil {
		return "", false, describe(err, name)
	}
	if comment == nil {
		return "", false, nil
	}
	revision, ok := strings.CutPrefix(*comment, markPrefix)
	return revision, ok, nil
}

// Name is a revision as a message shows it.
func Name(revision string) string {
	if revision == "" {
		return None
	}
	return revision
}

// describe turns PostgreSQL's "undefined table" and "undefined schema" into ErrNoTable.
func describe(err error, name string) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000") {
		return fmt.Errorf("%s: %w", name, ErrNoTable)
	}
	return fmt.Errorf("read %s: %w", name, err)
}
