// Package versiontable is where everybody learns which schema revision a database is at, and which one the last migration
// left. The provider compares the two, and the program that migrates reads and writes them.
package versiontable

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// The names that Alembic uses unless a project changes them.
const (
	DefaultSchema = "public"
	DefaultTable  = "alembic_version"
	DefaultColumn = "version_num"
)

// What Parse takes, for messages.
const (
	Allowed = "a table's name, with its schema or without"
	Example = DefaultSchema + "." + DefaultTable
)

// None is how a message names the revision of a database that was never migrated.
const None = "none"

// ErrNoTable means that the version table does not exist.
var ErrNoTable = errors.New("the version table does not exist")

// Querier is what a *pgx.Conn, a pgx.Tx and a *pgxpool.Pool have in common to read with.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Table is a version table: each of its rows is the revision of one head. Names are as the catalog has them.
type Table struct{ Schema, Name, Column string }

// New returns the table of these names; an empty one is Alembic's.
func New(schema, name, column string) Table {
	or := func(s, fallback string) string {
		if s == "" {
			return fallback
		}
		return s
	}
	return Table{or(schema, DefaultSchema), or(name, DefaultTable), or(column, DefaultColumn)}
}

// Parse reads a table's name, with its schema or without; "" is Alembic's table.
func Parse(name string) (Table, error) {
	parts := strings.Split(name, ".")
	switch {
	case name == "":
		return New("", "", ""), nil
	case len(parts) == 1:
		return New("", name, ""), nil
	case len(parts) == 2 && parts[0] != "" && parts[1] != "":
		return New(parts[0], parts[1], ""), nil
	}
	return Table{}, fmt.Errorf("version table: found %q; allowed: %s; for example %s", name, Allowed, Example)
}

// String is the table's name for messages, which Parse reads.
func (t Table) String() string { return t.Schema + "." + t.Name }

func (t Table) identifier() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// Current returns the revision in the table: its rows, sorted and joined by a comma when there are several heads, "" when
// it is empty. The error is ErrNoTable when there is no such table.
func (t Table) Current(ctx context.Context, q Querier) (string, error) {
	if there, err := exists(ctx, q, t.identifier()); err != nil || !there {
		return "", t.missing(err)
	}
	rows, err := q.Query(ctx, fmt.Sprintf("SELECT %s::text FROM %s", pgx.Identifier{t.Column}.Sanitize(), t.identifier()))
	if err != nil {
		return "", t.describe("read", err)
	}
	heads, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return "", t.describe("read", err)
	}
	slices.Sort(heads)
	return strings.Join(heads, ","), nil
}

// Name is a revision as a message shows it.
func Name(revision string) string {
	if revision == "" {
		return None
	}
	return revision
}

// missing is the error of a table that is not there, or the one that kept from asking.
func (t Table) missing(err error) error {
	if err != nil {
		return t.describe("read", err)
	}
	return fmt.Errorf("%s: %w", t.identifier(), ErrNoTable)
}

// describe names the table, and turns PostgreSQL's "undefined table" and "undefined schema" into ErrNoTable.
func (t Table) describe(doing string, err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == pgerrcode.UndefinedTable || pg.Code == pgerrcode.InvalidSchemaName) {
		return fmt.Errorf("%s: %w", t.identifier(), ErrNoTable)
	}
	return fmt.Errorf("%s %s: %w", doing, t.identifier(), err)
}
