package releases

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/versiontable"
)

// Table holds the releases, in the database itself, so that they travel with a dump of it. Databases have it: its form
// stays.
const Table = "plan_charge.release"

var create = []string{
	`CREATE SCHEMA IF NOT EXISTS plan_charge`,
	`CREATE TABLE IF NOT EXISTS plan_charge.release (
		id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		version_table text NOT NULL,
		image         text NOT NULL,
		revision      text NOT NULL,
		came_from     text NOT NULL,
		first_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
		last_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
		UNIQUE (version_table, image, revision)
	)`,
	`COMMENT ON TABLE plan_charge.release IS 'Which image was deployed here, and which revision its migration left. An older image is known by it.'`,
}

// Querier is what a *pgx.Conn, a pgx.Tx and a *pgxpool.Pool have in common to read with.
type Querier = versiontable.Querier

// Beginner is what a *pgx.Conn, a pgx.Tx and a *pgxpool.Pool have in common to write with.
type Beginner interface {
	Begin(ctx context.Context) (pgx.Tx, error)
}

// Load returns the releases that migrated by a version table. A database in which none was recorded has none, which is no
// error.
func Load(ctx context.Context, q Querier, t versiontable.Table) (History, error) {
	var there bool
	err := q.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = 'plan_charge' AND c.relname = 'release')`).Scan(&there)
	if err != nil || !there {
		return nil, describe("read", err)
	}
	rows, err := q.Query(ctx, `SELECT image, revision, came_from, first_at, last_at FROM plan_charge.release
		WHERE version_table = $1 ORDER BY id`, t.String())
	if err != nil {
		return nil, describe("read", err)
	}
	history, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Release])
	return history, describe("read", err)
}

// Record notes that an image's migration found one revision and left another, all of it or nothing. A database without
// releases gets the last one that is known otherwise first, if any. It needs the right to create a schema.
func Record(ctx context.Context, db Beginner, t versiontable.Table, r Release, earlier ...Release) error {
	tx, err := db.Begin(ctx)
	if err != nil {
		return describe("write", err)
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	history, err := Load(ctx, tx, t)
	if err != nil {
		return err
	}
	if len(history) == 0 {
		for _, statement := range create {
			if _, err := tx.Exec(ctx, statement); err != nil {
				return describe("make", err)
			}
		}
		for _, e := range earlier {
			if err := insert(ctx, tx, t, e); err != nil {
				return err
			}
			history = append(history, e)
		}
	}
	r.From = history.before(r.From)
	if err := insert(ctx, tx, t, r); err != nil {
		return err
	}
	return describe("write", tx.Commit(ctx))
}

// insert adds a release, or notes that it migrated once more.
func insert(ctx context.Context, tx pgx.Tx, t versiontable.Table, r Release) error {
	_, err := tx.Exec(ctx, `INSERT INTO plan_charge.release (version_table, image, revision, came_from) VALUES ($1, $2, $3, $4)
		ON CONFLICT (version_table, image, revision) DO UPDATE SET last_at = clock_timestamp()`, t.String(), r.Image, r.Revision, r.From)
	return describe("write", err)
}

func describe(doing string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", doing, Table, err)
}
