package pgdb

import (
	"context"
	"errors"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Login logs in once, asks for a row and hangs up. The error is the server's *pgconn.PgError when it refused, and an
// *UnreachableError when there was no server to ask.
func (s Settings) Login(ctx context.Context) error {
	pool, err := s.config()
	if err != nil {
		return err
	}
	if err := s.ready(ctx); err != nil {
		return err
	}
	cfg := pool.ConnConfig
	ctx, cancel := context.WithTimeout(ctx, cfg.ConnectTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err == nil {
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, "SELECT 1")
	}
	var refusal *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refusal) && !isAway(refusal.Code):
		return refusal
	}
	return s.unreachable(err)
}

// isAway says whether a server that answers with this code is starting, stopping or in recovery.
func isAway(code string) bool {
	return pgerrcode.IsConnectionException(code) || code == pgerrcode.CannotConnectNow || code == pgerrcode.AdminShutdown || code == pgerrcode.CrashShutdown
}

// Role is what the catalog says about a role.
type Role struct {
	CanLogin bool
	// Expired means that its password was valid until a time that is past.
	Expired bool
	// Limit is how many connections it may have at once, -1 for any number.
	Limit int
}

// FindRole looks a role up, and returns nil when there is none of that name.
func FindRole(ctx context.Context, tx pgx.Tx, name string) (*Role, error) {
	var r Role
	err := tx.QueryRow(ctx, `SELECT rolcanlogin, coalesce(rolvaliduntil <= now(), false), rolconnlimit FROM pg_roles WHERE rolname = $1`, name).
		Scan(&r.CanLogin, &r.Expired, &r.Limit)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return &r, err
}
