package pgdb

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

var _ error = (*refusal)(nil)

// refusal hides the text of the error that it wraps, which may hold values.
type refusal struct {
	text string
	err  error
}

func (e *refusal) Error() string { return e.text }
func (e *refusal) Unwrap() error { return e.err }

// Classes of PostgreSQL's error codes that are about what a row holds. A table's own functions raise codes of their own in
// them, so a list of known codes would not do.
const (
	dataException        = "22"
	constraintViolation  = "23"
	checkOptionViolation = "44"
	raisedByFunction     = "P0"
)

// class is the first part of an error's code.
func class(pg *pgconn.PgError) string { return pg.Code[:min(2, len(pg.Code))] }

// refusesRow says whether an error is about what a row holds.
func refusesRow(pg *pgconn.PgError) bool {
	switch class(pg) {
	case dataException, constraintViolation, checkOptionViolation, raisedByFunction:
		return true
	}
	return false
}

// quotesValues says whether the message itself, not only its detail, may hold values.
func quotesValues(pg *pgconn.PgError) bool {
	return class(pg) == dataException || class(pg) == raisedByFunction
}

// refusal describes why the table did not take what was written. Where secrets are about it keeps to what PostgreSQL says
// without values.
func (t *Table) refusal(err error, row string, secret bool) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return fmt.Errorf("write %s: %w", t, err)
	}
	where := t.String()
	if row != "" {
		where += ", row " + row
	}
	if pg.ColumnName != "" {
		where += ", column " + pg.ColumnName
	}
	reason := pg.Message
	switch {
	case secret && quotesValues(pg):
		reason = "a value (secret) was refused"
	case pg.Detail != "" && !secret:
		reason += " (" + pg.Detail + ")"
	}
	return &refusal{text: fmt.Sprintf("nothing was written: %s: %s", where, reason), err: err}
}
