package pgdb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

var _ error = (*UncertainError)(nil)

// UncertainError means that the connection was lost during COMMIT and that nobody can say what became of it.
type UncertainError struct {
	Err error // why the connection was lost
}

func (e *UncertainError) Error() string {
	return fmt.Sprintf("the connection was lost during COMMIT (%s), and it could not be found out whether the rows were written: all of them are, or none. `pulumi refresh` tells", message(e.Err))
}

func (e *UncertainError) Unwrap() error { return e.Err }

// verdict bounds how long Change asks what became of a COMMIT.
const verdict = 15 * time.Second

// commit commits. Where the connection is lost meanwhile it asks, on another one, what became of the transaction.
func (d *Database) commit(ctx context.Context, tx pgx.Tx) error {
	var id *string
	if err := tx.QueryRow(ctx, "SELECT pg_current_xact_id_if_assigned()::text").Scan(&id); err != nil {
		return err
	}
	conn := tx.Conn()
	err := tx.Commit(ctx)
	var pg *pgconn.PgError
	if err == nil || errors.As(err, &pg) && pg.Severity == "ERROR" && !conn.IsClosed() || errors.Is(err, pgx.ErrTxCommitRollback) {
		return err
	}
	if id == nil { // nothing was written
		return err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), verdict)
	defer cancel()
	for {
		switch d.outcome(ctx, *id) {
		case "committed":
			return nil
		case "aborted":
			return fmt.Errorf("the connection was lost during COMMIT, and nothing was written: %s", message(err))
		}
		select {
		case <-ctx.Done():
			return &UncertainError{Err: err}
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// outcome is what became of a transaction, "" where it cannot be said (yet).
func (d *Database) outcome(ctx context.Context, id string) string {
	conn, err := d.observe(ctx)
	if err != nil {
		return ""
	}
	defer conn.Close(context.WithoutCancel(ctx))
	var status *string
	if err := conn.QueryRow(ctx, "SELECT pg_xact_status($1::text::xid8)", id).Scan(&status); err != nil || status == nil {
		return ""
	}
	return *status
}
