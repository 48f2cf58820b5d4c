package migrate

import (
	"context"
	"fmt"
	"time"
)

// lockWait is a statement of the migration that waits for a table.
//
// A statement that wants a table for itself stands in line behind whoever uses it, and everybody who comes later stands
// in line behind that statement (PostgreSQL's manual, Explicit Locking): one open transaction, left by a report or a
// query editor, and the whole site stands still. So such a wait is bounded.
type lockWait struct {
	pid     int    // of the server process
	mode    string // such as AccessExclusiveLock
	table   string
	began   string // when the statement began, by the server's clock
	holders string // who is in the way
}

func (w lockWait) String() string {
	return fmt.Sprintf("waits for a lock on table %s (%s) behind %s", w.table, w.mode, w.holders)
}

// waits are those statements of this role's newer sessions that keep readers or writers of a table waiting.
func (d *database) waits(ctx context.Context) ([]lockWait, error) {
	rows, err := d.conn.Query(ctx, `
		SELECT w.pid, l.mode, l.relation::regclass::text, w.query_start::text, coalesce(
			(SELECT string_agg(format('%s (server process %s%s%s)', b.usename, b.pid, ', ' || b.state,
			                          ', its transaction began ' || to_char(b.xact_start, 'HH24:MI:SS TZ')), ', ')
			 FROM pg_stat_activity b WHERE b.pid = ANY (pg_blocking_pids(w.pid))), 'somebody who has just gone')
		FROM pg_locks l JOIN pg_stat_activity w USING (pid)
		WHERE NOT l.granted AND l.locktype = 'relation'
		  AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
		  AND w.usename = current_user AND w.datname = current_database()
		  AND w.backend_start > (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid())`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []lockWait
	for rows.Next() {
		var w lockWait
		if err := rows.Scan(&w.pid, &w.mode, &w.table, &w.began, &w.holders); err != nil {
			return nil, err
		}
		all = append(all, w)
	}
	return all, rows.Err()
}

// lockWatch bounds how long the site may stand behind a waiting migration.
type lockWatch struct {
	limit time.Duration
	since map[lockKeyOfWait]time.Time
	note  string // what was cancelled and why, "" for nothing
}

type lockKeyOfWait struct {
	pid          int
	table, began string
}

// look cancels statements that have waited too long, and returns what waits at the moment, "" for nothing. What cannot
// be seen is no error: a lost connection is made again at the migration's end.
func (l *lockWatch) look(ctx context.Context, d *database) string {
	// A statement that is cut off closes the connection, and frees the migration lock with it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	found, err := d.waits(ctx)
	if err != nil {
		return ""
	}
	now, still, text := time.Now(), map[lockKeyOfWait]time.Time{}, ""
	for _, w := range found {
		key := lockKeyOfWait{w.pid, w.table, w.began}
		first, known := l.since[key]
		if !known {
			first = now
		}
		still[key], text = first, w.String()
		if now.Sub(first) < l.limit {
			continue
		}
		if _, err := d.conn.Exec(ctx, "SELECT pg_cancel_backend($1)", w.pid); err == nil {
			l.note = fmt.Sprintf("a statement that %s was cancelled after %s, because everybody else who wants that table waits behind it: "+
				"end what is in the way, or raise migration.lockTimeout", w, l.limit)
		}
	}
	l.since = still
	return text
}
