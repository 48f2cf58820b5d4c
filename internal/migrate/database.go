package migrate

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"plan-charge/internal/authority"
	"plan-charge/internal/progress"
	"plan-charge/internal/session"
	"plan-charge/internal/versiontable"
	"plan-charge/internal/wait"
)

// database is the owner's connection, which holds the lock as long as it lives.
type database struct {
	conn  *pgx.Conn
	table versiontable.Table
}

// lockKey is the advisory lock of everybody who migrates this version table.
// Advisory locks are per database, so the database is no part of it.
func lockKey(table versiontable.Table) int64 {
	h := fnv.New64a()
	fmt.Fprintf(h, "plan-charge migration\x00%s\x00%s", table.Schema, table.Name)
	return int64(h.Sum64())
}

// connect opens the owner's connection. A database that refuses or does not answer is tried again until patience
// runs out; wrong credentials are not.
func connect(ctx context.Context, ownerURL string, s Settings, way *session.Way, patience time.Duration, p pace, step *progress.Step) (*database, error) {
	config, err := pgx.ParseConfig(ownerURL)
	if err != nil {
		return nil, fmt.Errorf("the owner's database URL in %s: %w", s.SecretARN, err)
	}
	// The task has the same URL, and its image knows no authority of RDS's: how it connects is not for us.
	if config.TLSConfig, err = authority.Verify(s.Authority, config.Host); err != nil {
		return nil, err
	}
	config.Fallbacks = nil
	if way != nil {
		if err := way.Ready(ctx); err != nil {
			return nil, fmt.Errorf("no connection to the database at %s:%d: %w", config.Host, config.Port, err)
		}
		config.DialFunc = way.DialContext
		// The name is the private network's; it is looked up at the way's other end.
		config.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	}
	if config.ConnectTimeout == 0 || config.ConnectTimeout > 10*time.Second {
		config.ConnectTimeout = 10 * time.Second
	}
	config.RuntimeParams["application_name"] = "plan-charge migrate"
	// The server notices within a minute that this machine is gone, and frees the lock.
	config.RuntimeParams["tcp_keepalives_idle"] = "30"
	config.RuntimeParams["tcp_keepalives_interval"] = "10"
	config.RuntimeParams["tcp_keepalives_count"] = "3"
	started := time.Now()
	for attempt := 1; ; attempt++ {
		conn, err := pgx.ConnectConfig(ctx, config)
		if err == nil {
			return &database{conn: conn, table: s.VersionTable}, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if refusal := authority.Refusal(err, s.Authority); refusal != "" {
			return nil, fmt.Errorf("no connection to the database at %s:%d: %s", config.Host, config.Port, refusal)
		}
		if session.Outside(err) {
			return nil, fmt.Errorf("no connection to the database at %s:%d: %w", config.Host, config.Port, session.ErrOutside)
		}
		if refusedForGood(err) || time.Since(started) > patience {
			return nil, fmt.Errorf("connect to the database at %s:%d as %s, attempt %d after %s: %w",
				config.Host, config.Port, config.User, attempt, time.Since(started).Round(time.Second), err)
		}
		step.Note(fmt.Sprintf("attempt %d failed, trying for %s more", attempt, (patience - time.Since(started)).Round(time.Second)))
		if err := wait.For(ctx, p.database); err != nil {
			return nil, err
		}
	}
}

// refusedForGood tells what waiting cannot mend: the server answered, and the answer was no.
func refusedForGood(err error) bool {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return false
	}
	switch pg.Code {
	case pgerrcode.CannotConnectNow, pgerrcode.AdminShutdown, pgerrcode.CrashShutdown, pgerrcode.TooManyConnections, pgerrcode.SystemError:
		return false
	}
	return true
}

// lock takes the deployers' lock, waiting for the one who holds it.
// It asks again and again instead of waiting inside the server: a waiting statement holds a snapshot, which would
// make CREATE INDEX CONCURRENTLY in the other deployer's migration wait for us.
func (d *database) lock(ctx context.Context, p pace, step *progress.Step) error {
	key := lockKey(d.table)
	var who string
	// Cancelling a statement closes the connection, so who holds the lock has to be known before.
	ended := func(err error) error {
		if who == "" {
			return err
		}
		return fmt.Errorf("another deployment holds the migration lock (%s): %w", who, err)
	}
	for {
		var got bool
		if err := d.conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", key).Scan(&got); err != nil {
			if ctx.Err() != nil {
				return ended(context.Cause(ctx))
			}
			return fmt.Errorf("take the migration lock: %w", err)
		}
		if got {
			return nil
		}
		if found := d.holder(ctx, key); found != "" {
			who = found
		}
		step.Note("held by " + who)
		if err := wait.For(ctx, p.lock); err != nil {
			return ended(err)
		}
	}
}

// holder describes who has the lock, as far as this role may see it.
func (d *database) holder(ctx context.Context, key int64) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	var who string
	err := d.conn.QueryRow(ctx, `
		SELECT format('%s from %s since %s, server process %s', usename, coalesce(client_addr::text, 'this machine'),
		              to_char(backend_start, 'HH24:MI:SS'), a.pid)
		FROM pg_locks l JOIN pg_stat_activity a USING (pid)
		WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
		  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
		  AND l.classid = ($1::bigint >> 32 & 4294967295)::oid AND l.objid = ($1::bigint & 4294967295)::oid
		LIMIT 1`, key).Scan(&who)
	switch {
	case ctx.Err() != nil:
		return ""
	case err != nil:
		return "another session"
	}
	return who
}

// alive keeps the idle connection open through anything between here and the server that forgets idle ones.
func (d *database) alive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return d.conn.Ping(ctx)
}

// revision returns what the version table holds, "" for a database that was never migrated.
func (d *database) revision(ctx context.Context) (string, error) {
	current, err := d.table.Current(ctx, d.conn)
	if errors.Is(err, versiontable.ErrNoTable) {
		return "", nil
	}
	return current, err
}

// close ends the session, and with it the lock.
func (d *database) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = d.conn.Close(ctx)
}
