package pgdb

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type noticeKey struct{}

// WithNotice makes what runs with the context say what it waits for.
func WithNotice(ctx context.Context, notice func(string)) context.Context {
	return context.WithValue(ctx, noticeKey{}, notice)
}

// lookout is how often a watch looks whether a transaction waits for somebody.
const lookout = time.Second

// watch looks, on a connection of its own, for whom a transaction waits.
type watch struct {
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	holders string
	waiting time.Time // since when, as far as was seen; zero while nobody is in the way
}

// watch starts to look who is in the way of a server process.
func (d *Database) watch(ctx context.Context, pid uint32) *watch {
	w := &watch{done: make(chan struct{})}
	notice, _ := ctx.Value(noticeKey{}).(func(string))
	ctx, w.cancel = context.WithCancel(ctx)
	go func() {
		defer close(w.done)
		var conn *pgx.Conn
		defer func() {
			if conn != nil {
				conn.Close(context.WithoutCancel(ctx))
			}
		}()
		tick := time.NewTicker(lookout)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if conn == nil || conn.IsClosed() {
				if conn, _ = d.observe(ctx); conn == nil {
					continue
				}
			}
			if first := w.look(ctx, conn, pid); first != "" && notice != nil {
				notice("waits for " + first)
			}
		}
	}()
	return w
}

// observe connects beside the pool, which may be waiting as a whole.
func (d *Database) observe(ctx context.Context) (*pgx.Conn, error) {
	cfg, err := d.settings.config()
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, cfg.ConnConfig)
}

// look remembers who is in the way, and returns it where nobody was before.
func (w *watch) look(ctx context.Context, conn *pgx.Conn, pid uint32) string {
	// What other sessions do is shown to the same user and to members of pg_read_all_stats only; the process and its lock are
	// shown to all. The beginning of a query is enough to find it.
	var holders *string
	err := conn.QueryRow(ctx, `
		SELECT string_agg(format('server process %s (%s%s%s)', pid, coalesce(usename, '?'), coalesce(', ' || nullif(application_name, ''), ''),
			coalesce(', ' || state, '') || coalesce(', its transaction began at ' || to_char(xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'), '')
			|| coalesce(', last query: ' || left(regexp_replace(query, '\s+', ' ', 'g'), 100), '')), ' and ' ORDER BY pid)
		FROM pg_stat_activity WHERE pid = ANY (pg_blocking_pids($1::int))`, int32(pid)).Scan(&holders)
	if err != nil {
		return ""
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if holders == nil {
		w.waiting = time.Time{}
		return ""
	}
	w.holders = *holders
	if !w.waiting.IsZero() {
		return ""
	}
	w.waiting = time.Now()
	return w.holders
}

// explain ends the watch and says of an error that comes from waiting who was in the way.
func (w *watch) explain(err error) error {
	w.cancel()
	<-w.done
	var pg *pgconn.PgError
	late := errors.As(err, &pg) && pg.Code == pgerrcode.LockNotAvailable
	if late || errors.Is(err, context.Canceled) || errors.As(err, &pg) && pg.Code == pgerrcode.QueryCanceled {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.holders != "" && (late || !w.waiting.IsZero()) {
			return fmt.Errorf("%w: it waited for %s", err, w.holders)
		}
	}
	return err
}
