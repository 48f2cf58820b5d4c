// Package pgdb talks to PostgreSQL for the provider: it opens connections late and few, looks tables up, and compares
// and writes declared rows in bulk.
package pgdb

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Database is one database that is connected to at first use.
type Database struct {
	settings Settings

	mu   sync.Mutex
	pool *pgxpool.Pool
	// lastFailure and failedAt remember that the database was just found to be out of reach, so that a preview of many
	// resources waits for it once.
	lastFailure error
	failedAt    time.Time
}

// New returns the database that settings name. It opens nothing.
func New(settings Settings) *Database { return &Database{settings: settings} }

// Address names the database without credentials.
func (d *Database) Address() string { return d.settings.Address() }

// patience is how long Glance waits, and how long a failure counts for it.
const (
	patience = 5 * time.Second
	memory   = 30 * time.Second
)

// Glance runs f like Run where a look at the database is welcome but not needed: it waits less, and not at all when the
// database was out of reach a moment ago.
func (d *Database) Glance(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	d.mu.Lock()
	failure, at := d.lastFailure, d.failedAt
	d.mu.Unlock()
	if failure != nil && time.Since(at) < memory {
		return failure
	}
	return d.run(ctx, patience, f, false)
}

// Look runs f in a transaction that is always rolled back.
func (d *Database) Look(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	return d.run(ctx, 0, f, false)
}

// attempts bounds how often a transaction that lost against another one is tried.
const attempts = 4

// Change runs f in a transaction that is committed when f succeeds. It runs f again where PostgreSQL gave way to another
// transaction.
func (d *Database) Change(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	var err error
	for range attempts {
		err = d.run(ctx, 0, f, true)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || (pg.Code != pgerrcode.SerializationFailure && pg.Code != pgerrcode.DeadlockDetected) {
			return err
		}
	}
	return err
}

func (d *Database) run(ctx context.Context, wait time.Duration, f func(context.Context, pgx.Tx) error, commit bool) error {
	conn, err := d.acquire(ctx, wait)
	if err != nil {
		return err
	}
	defer conn.Release()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(context.WithoutCancel(ctx))
	if err := f(ctx, tx); err != nil || !commit {
		return err
	}
	return tx.Commit(ctx)
}

func (d *Database) acquire(ctx context.Context, wait time.Duration) (*pgxpool.Conn, error) {
	pool, err := d.open()
	if err != nil {
		return nil, err
	}
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	conn, err := pool.Acquire(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if err != nil {
		d.lastFailure, d.failedAt = d.settings.unreachable(err), time.Now()
		return nil, d.lastFailure
	}
	d.lastFailure = nil
	return conn, nil
}

func (d *Database) open() (*pgxpool.Pool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pool != nil {
		return d.pool, nil
	}
	cfg, err := d.settings.config()
	if err != nil {
		return nil, err
	}
	if d.pool, err = pgxpool.NewWithConfig(context.Background(), cfg); err != nil { // connects later
		return nil, d.settings.unreachable(err)
	}
	return d.pool, nil
}

// Close ends the connections. The Database may be used again.
func (d *Database) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pool != nil {
		d.pool.Close()
		d.pool = nil
	}
}
