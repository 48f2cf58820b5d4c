package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// migrations bring the schema from one version to the next; the first makes version 1.
var migrations = []string{
	`CREATE TABLE queues (name text PRIMARY KEY);
	 INSERT INTO queues VALUES ('support'), ('billing')`,
	`CREATE TABLE tickets (
		id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		queue text NOT NULL REFERENCES queues,
		subject text NOT NULL,
		opened timestamptz NOT NULL DEFAULT now())`,
}

// migrate makes what is missing, each version in a transaction, and keeps which one the schema is at.
func migrate(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS schema_migrations (version bigint PRIMARY KEY, dirty boolean NOT NULL)`); err != nil {
		return err
	}
	for {
		done, err := step(ctx, conn)
		if done || err != nil {
			return err
		}
	}
}

func step(ctx context.Context, conn *pgx.Conn) (done bool, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var version int
		if err := tx.QueryRow(ctx, `SELECT version FROM schema_migrations FOR UPDATE`).Scan(&version); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("the schema is at version %d, and this program knows %d", version, len(migrations))
		}
		if done = version == len(migrations); done {
			return nil
		}
		if _, err := tx.Exec(ctx, migrations[version]); err != nil {
			return fmt.Errorf("version %d: %w", version+1, err)
		}
		fmt.Println("migrated to version", version+1)
		if _, err := tx.Exec(ctx, `DELETE FROM schema_migrations`); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO schema_migrations VALUES ($1, false)`, version+1)
		return err
	})
	return done, err
}
