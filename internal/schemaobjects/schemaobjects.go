// Package schemaobjects tells which objects a database's schema is made of, so that a later look can name, object by
// object, what was dropped, added or changed by hand.
//
// Left out is what no migration declares: what extensions own, the system's schemas, temporary objects, partitions, and
// what plan-charge keeps itself. Row counts, owners, rights, comments and storage parameters are no part of a definition.
package schemaobjects

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// OwnSchema is where plan-charge keeps what it knows of a database. It is never looked at.
const OwnSchema = "plan_charge"

// Limit bounds how long reading a schema may take.
const Limit = 5 * time.Second

// Snapshot is a schema as it was read.
type Snapshot struct {
	// Major version of the server. Different ones print the same definition differently.
	Major int
	// Objects are digests of definitions by name, such as "column public.users.email".
	Objects map[string]string
	// LeftOut are the kinds that there was no time to read.
	LeftOut []string
}

// Beginner is what a *pgx.Conn, a pgx.Tx and a *pgxpool.Pool have in common to read with in one transaction.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Name is a table's name as the catalog has it.
type Name struct{ Schema, Table string }

// Inspect reads the schema but for one table, and writes nothing. What cannot be read within the limit is left out; in
// which kinds, the snapshot says.
func Inspect(ctx context.Context, db Beginner, except Name, limit time.Duration) (Snapshot, error) {
	s, err := inspect(ctx, db, except, limit)
	if err != nil {
		return Snapshot{}, fmt.Errorf("read the schema's objects: %w", err)
	}
	return s, nil
}

func inspect(ctx context.Context, db Beginner, except Name, limit time.Duration) (Snapshot, error) {
	deadline := time.Now().Add(limit)
	tx, err := db.Begin(ctx)
	if err != nil {
		return Snapshot{}, err
	}
	defer tx.Rollback(context.WithoutCancel(ctx)) // takes the settings back, too
	s := Snapshot{Objects: map[string]string{}}
	if s.Major, err = prepare(ctx, tx); err != nil {
		return Snapshot{}, err
	}
	for i, c := range catalog {
		err := s.read(ctx, tx, c, except, time.Until(deadline))
		if isTimeout(ctx, err) {
			s.LeftOut = kinds(catalog[i:])
			return s, nil
		}
		if err != nil {
			return Snapshot{}, fmt.Errorf("%s: %w", c.kind, err)
		}
	}
	return s, nil
}

// prepare makes the server print definitions in one way, whoever asks, and returns its major version.
func prepare(ctx context.Context, tx pgx.Tx) (int, error) {
	var version string
	err := tx.QueryRow(ctx, `SELECT current_setting('server_version_num'), set_config('search_path', '', true), set_config('TimeZone', 'UTC', true),
		set_config('DateStyle', 'ISO', true), set_config('IntervalStyle', 'postgres', true), set_config('bytea_output', 'hex', true),
		set_config('extra_float_digits', '1', true), set_config('quote_all_identifiers', 'off', true)`).
		Scan(&version, nil, nil, nil, nil, nil, nil, nil)
	if err != nil {
		return 0, err
	}
	number, err := strconv.Atoi(version)
	return number / 10000, err
}

func (s Snapshot) read(ctx context.Context, tx pgx.Tx, c query, except Name, left time.Duration) error {
	// The server ends a statement without ending the connection, which may hold a lock.
	millis := strconv.FormatInt(max(left.Milliseconds(), 1), 10)
	if _, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', $1, true)`, millis); err != nil {
		return err
	}
	var args []any
	if strings.Contains(c.sql, "$1") {
		args = []any{except.Schema, except.Table}
	}
	rows, err := tx.Query(ctx, `SELECT o.name, left(encode(sha256(convert_to(o.definition, 'UTF8')), 'hex'), 12) FROM (`+c.sql+`) AS o(name, definition)`, args...)
	if err != nil {
		return err
	}
	var name, digest string
	_, err = pgx.ForEachRow(rows, []any{&name, &digest}, func() error {
		s.Objects[c.kind+" "+name] = digest
		return nil
	})
	return err
}

func isTimeout(ctx context.Context, err error) bool {
	var pg *pgconn.PgError
	return ctx.Err() == nil && errors.As(err, &pg) && (pg.Code == pgerrcode.QueryCanceled || pg.Code == pgerrcode.LockNotAvailable)
}

// Unread says which kinds were left out that the other snapshot has, or is empty.
func (s Snapshot) Unread(other Snapshot) string {
	left := slices.DeleteFunc(slices.Clone(s.LeftOut), func(kind string) bool { return slices.Contains(other.LeftOut, kind) })
	if len(left) == 0 {
		return ""
	}
	return fmt.Sprintf("a schema too large, or too busy, to compare in %s: left out is every %s", Limit, strings.Join(left, ", "))
}
