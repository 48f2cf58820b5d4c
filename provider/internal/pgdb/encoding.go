package pgdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// checkEncoding finds the values with characters that the database's encoding lacks. COPY would refuse them too, but names
// no column then.
func (s *staged) checkEncoding(ctx context.Context, tx pgx.Tx, text [][]*string, limit int) error {
	encoding := tx.Conn().PgConn().ParameterStatus("server_encoding")
	if encoding == "UTF8" || encoding == "SQL_ASCII" { // the latter holds any bytes
		return nil
	}
	seen := map[rune]bool{}
	for _, row := range text {
		for _, v := range row {
			if v == nil {
				continue
			}
			for _, r := range *v {
				if r >= utf8.RuneSelf {
					seen[r] = true
				}
			}
		}
	}
	used := make([]rune, 0, len(seen))
	for r := range seen {
		used = append(used, r)
	}
	slices.Sort(used)
	lacking, err := lackingIn(ctx, tx, encoding, used)
	if err != nil || lacking == "" {
		return err
	}
	for i, row := range text {
		for j, v := range row {
			if v == nil || !strings.ContainsAny(*v, lacking) {
				continue
			}
			row[j] = nil
			reason := fmt.Sprintf("holds a character that the database cannot store, because its encoding is %s", encoding)
			if at := strings.IndexAny(*v, lacking); !s.rows[i].Secret {
				r, _ := utf8.DecodeRuneInString((*v)[at:])
				reason = fmt.Sprintf("holds %q (%U), which the database cannot store, because its encoding is %s", r, r, encoding)
			}
			s.problems = append(s.problems, Problem{Row: s.rows[i].Name, Column: s.columns[j], Reason: reason})
			if len(s.problems) >= limit {
				return nil
			}
		}
	}
	return nil
}

// lackingIn returns those of the characters that an encoding lacks. It asks the server for all of them at once, and for
// halves of them where it refuses.
func lackingIn(ctx context.Context, tx pgx.Tx, encoding string, used []rune) (string, error) {
	if len(used) == 0 {
		return "", nil
	}
	inner, err := tx.Begin(ctx)
	if err != nil {
		return "", err
	}
	_, err = inner.Exec(ctx, "SELECT convert($1::bytea, 'UTF8', $2::text::name)", []byte(string(used)), encoding)
	if err == nil {
		return "", inner.Commit(ctx)
	}
	if rollback := inner.Rollback(ctx); rollback != nil {
		return "", errors.Join(err, rollback)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) || pg.Code != pgerrcode.UntranslatableCharacter {
		return "", fmt.Errorf("ask which characters %s has: %w", encoding, err)
	}
	if len(used) == 1 {
		return string(used), nil
	}
	left, err := lackingIn(ctx, tx, encoding, used[:len(used)/2])
	if err != nil {
		return "", err
	}
	right, err := lackingIn(ctx, tx, encoding, used[len(used)/2:])
	return left + right, err
}
