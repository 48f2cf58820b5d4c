package postgres

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
)

func (s *Server) socketURL(user, password, database string) string {
	u := url.URL{Scheme: "postgresql", User: url.UserPassword(user, password), Path: "/" + database}
	u.RawQuery = url.Values{"host": {s.socket}, "port": {strconv.Itoa(s.Port)}}.Encode()
	return u.String()
}

// await returns when the server answers and the master user and its database are there.
func (s *Server) await(ctx context.Context, o Options) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.admin)
		if err == nil {
			err = provide(ctx, conn, o)
			return errors.Join(err, conn.Close(context.WithoutCancel(ctx)))
		}
		select {
		case <-s.done:
			return s.exit
		case <-ctx.Done():
			return fmt.Errorf("waiting for PostgreSQL to answer: %w (last: %w)", ctx.Err(), err)
		case <-tick.C:
		}
	}
}

// provide creates the master user with the rights that RDS gives it, and its database.
func provide(ctx context.Context, conn *pgx.Conn, o Options) error {
	tx, err := conn.Begin(ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(ctx)
	// The password goes in as a parameter and is quoted by the server, so that no error holds it, and the server is told
	// to log no statement and no parameter of this session.
	if _, err := tx.Exec(ctx, `SET LOCAL log_statement = 'none'; SET LOCAL log_min_duration_statement = -1; SET LOCAL log_parameter_max_length = 0; SET LOCAL log_min_error_statement = panic`); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `SELECT set_config('sandbox.user', $1, true), set_config('sandbox.password', $2, true)`, o.User, o.Password); err != nil {
		return err
	}
	// rds_superuser is RDS's name for what a master user may do without being superuser.
	_, err = tx.Exec(ctx, `DO $$
DECLARE
	master text := current_setting('sandbox.user');
BEGIN
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_superuser') THEN
		CREATE ROLE rds_superuser NOLOGIN;
		GRANT pg_monitor, pg_signal_backend TO rds_superuser WITH ADMIN OPTION;
	END IF;
	IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = master) THEN
		EXECUTE format('CREATE ROLE %I LOGIN NOSUPERUSER CREATEDB CREATEROLE PASSWORD %L', master, current_setting('sandbox.password'));
		EXECUTE format('GRANT rds_superuser TO %I', master);
	END IF;
END $$`)
	if err != nil {
		return fmt.Errorf("create the master user %q: %w", o.User, err)
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	var there bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, o.Database).Scan(&there); err != nil {
		return err
	}
	if there {
		return nil
	}
	_, err = conn.Exec(ctx, fmt.Sprintf("CREATE DATABASE %s OWNER %s", pgx.Identifier{o.Database}.Sanitize(), pgx.Identifier{o.User}.Sanitize()))
	if err != nil {
		return fmt.Errorf("create the database %q: %w", o.Database, err)
	}
	return nil
}
