// Package pgdb talks to PostgreSQL for the provider: it opens connections late and few, looks tables up, and compares
// and writes declared rows in bulk.
package pgdb

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
	// closing is closed by Close, for what is running.
	closing chan struct{}
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

// Look runs f in a transaction that is always rolled back, and once more where its connection is lost: nothing was written.
func (d *Database) Look(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	err := d.run(ctx, 0, f, false)
	var lost *lostError
	if errors.As(err, &lost) {
		err = d.run(ctx, 0, f, false)
	}
	return err
}

// lostError is one of a connection that is no more.
type lostError struct{ error }

func (e *lostError) Unwrap() error { return e.error }

// giveWay is how long Change tries again where PostgreSQL gave way to another transaction, and firstPause about how long it
// waits before the second try; each later pause is twice as long.
const (
	giveWay    = 20 * time.Second
	firstPause = 50 * time.Millisecond
)

// Change runs f in a transaction that is committed when f succeeds. It runs f again where PostgreSQL gave way to another
// transaction, after pauses that grow and are never alike, so that two that hinder one another do not meet again.
func (d *Database) Change(ctx context.Context, f func(context.Context, pgx.Tx) error) error {
	deadline := time.Now().Add(giveWay)
	for tries, pause := 1, firstPause; ; tries, pause = tries+1, 2*pause {
		err := d.run(ctx, 0, f, true)
		var pg *pgconn.PgError
		if !errors.As(err, &pg) || (pg.Code != pgerrcode.SerializationFailure && pg.Code != pgerrcode.DeadlockDetected) {
			return err
		}
		wait := pause/2 + rand.N(pause)
		if time.Now().Add(wait).After(deadline) {
			return fmt.Errorf("tried %d times in %s, each time in the way of another transaction: %w", tries, giveWay, err)
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(wait):
		}
	}
}

func (d *Database) run(ctx context.Context, wait time.Duration, f func(context.Context, pgx.Tx) error, commit bool) error {
	ctx, cancel := d.until(ctx)
	defer cancel()
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
	watch := d.watch(ctx, conn.Conn().PgConn().PID())
	err = watch.explain(f(ctx, tx))
	if err != nil && conn.Conn().IsClosed() && ctx.Err() == nil {
		return &lostError{err}
	}
	if err != nil || !commit {
		return err
	}
	return d.commit(ctx, tx)
}

// until ends a context when the database is closed.
func (d *Database) until(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closing == nil {
		d.closing = make(chan struct{})
	}
	closing := d.closing
	go func() {
		select {
		case <-closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	return ctx, cancel
}

func (d *Database) acquire(ctx context.Context, wait time.Duration) (*pgxpool.Conn, error) {
	pool, err := d.open()
	if err != nil {
		return nil, err
	}
	if err := d.settings.ready(ctx); err != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.lastFailure, d.failedAt = err, time.Now()
		return nil, err
	}
	if wait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, wait)
		defer cancel()
	}
	conn, err := pool.Acquire(ctx)
	if stat := pool.Stat(); err != nil && errors.Is(err, context.DeadlineExceeded) && stat.AcquiredConns() == stat.MaxConns() {
		return nil, fmt.Errorf("all %d connections to %s are at work, or wait for a lock", stat.MaxConns(), d.Address())
	}
	if err != nil && errors.Is(err, context.Canceled) {
		return nil, err
	}
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

// Close ends what is running and the connections. The Database may be used again.
func (d *Database) Close() {
	d.mu.Lock()
	pool, closing := d.pool, d.closing
	d.pool, d.closing = nil, nil
	d.mu.Unlock()
	if closing != nil {
		close(closing)
	}
	if pool != nil {
		pool.Close() // waits until they are given back
	}
}
