package pgdb

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"plan-charge/internal/authority"
	"plan-charge/internal/session"
)

var _ error = (*UnreachableError)(nil)

// UnreachableError means that there is no connection to the database: nothing is known about what is in it.
type UnreachableError struct {
	Address string
	Reason  string // without credentials
	Err     error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("no connection to %s: %s", e.Address, e.Reason)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

func (s Settings) unreachable(err error) error {
	reason := err.Error()
	var pg *pgconn.PgError
	var op *net.OpError
	refusal := authority.Refusal(err, s.SSLRootCert)
	switch {
	case refusal != "":
		reason = refusal
	case session.Outside(err):
		reason = session.ErrOutside.Error()
	case errors.As(err, &pg):
		reason = pg.Message
	case errors.Is(err, context.DeadlineExceeded):
		reason = "it does not answer"
	case errors.As(err, &op):
		reason = op.Error()
	}
	if s.Password != "" {
		reason = strings.ReplaceAll(reason, s.Password, "[secret]")
	}
	return &UnreachableError{Address: s.Address(), Reason: reason, Err: err}
}

// ready opens the way to the server, if there is one to open.
func (s Settings) ready(ctx context.Context) error {
	if s.Way == nil {
		return nil
	}
	err := s.Way.Ready(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return &UnreachableError{Address: s.Address(), Reason: err.Error(), Err: err}
}

// message is what an error says without values.
func message(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Message
	}
	return err.Error()
}
