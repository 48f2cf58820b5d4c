package pgdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"plan-charge/provider/internal/value"
)

// staged are rows in a temporary table whose columns have the types of the managed table's, so that every value went
// through PostgreSQL's input of its type. Its columns pgrows_row and pgrows_group hold a row's position and its group. It
// goes with the transaction.
type staged struct {
	table   string // its name, quoted
	rows    []Row
	columns []string
	// groups are the sets of columns that rows declare, and groupOf the one of each row.
	groups  [][]string
	groupOf []int
	// problems are the values that do not fit their columns. They are NULL in the table.
	problems []Problem
}

// tables counts temporary tables, so that no transaction makes two of the same name.
var tables atomic.Int64

// stage loads the columns of rows. It stops where as many values as limit do not fit; 0 means all.
func (t *Table) stage(ctx context.Context, tx pgx.Tx, columns []string, rows []Row, limit int) (*staged, error) {
	if limit == 0 {
		limit = len(rows)*len(columns) + 1
	}
	s := &staged{table: fmt.Sprintf("pg_temp.pgrows_%d", tables.Add(1)), rows: rows, columns: columns}
	s.group()
	if err := s.create(ctx, tx, t); err != nil {
		return nil, err
	}
	text := s.encode(t, limit)
	if len(s.problems) >= limit {
		return s, nil
	}
	return s, s.fill(ctx, tx, t, text, limit)
}

// group finds the rows that declare the same columns.
func (s *staged) group() {
	numbers := map[string]int{}
	s.groupOf = make([]int, len(s.rows))
	for i, r := range s.rows {
		declared := slices.DeleteFunc(slices.Clone(s.columns), func(c string) bool { _, ok := r.Values[c]; return !ok })
		mask := strings.Join(declared, "\x00")
		number, seen := numbers[mask]
		if !seen {
			number = len(s.groups)
			numbers[mask] = number
			s.groups = append(s.groups, declared)
		}
		s.groupOf[i] = number
	}
}

// inGroup is the SQL condition under which the row called d is in a group.
func (s *staged) inGroup(group int) string { return fmt.Sprintf("d.pgrows_group = %d", group) }

func (s *staged) create(ctx context.Context, tx pgx.Tx, t *Table) error {
	columns := []string{"pgrows_row int PRIMARY KEY", "pgrows_group int"}
	for _, c := range s.columns {
		columns = append(columns, pgx.Identifier{c}.Sanitize()+" "+t.Columns[c].Type.Name)
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s (%s) ON COMMIT DROP", s.table, strings.Join(columns, ", "))); err != nil {
		return fmt.Errorf("make a temporary table (the user needs TEMPORARY on the database): %w", err)
	}
	return nil
}

// encode returns the values, by row and column, as PostgreSQL reads them.
func (s *staged) encode(t *Table, limit int) [][]*string {
	text := make([][]*string, len(s.rows))
	for i, r := range s.rows {
		text[i] = make([]*string, len(s.columns))
		for j, c := range s.columns {
			v, ok := r.Values[c]
			if !ok {
				continue
			}
			var err error
			text[i][j], err = value.Text(v, t.Columns[c].Type)
			switch {
			case err != nil:
				s.problems = append(s.problems, Problem{Row: r.Name, Column: c, Reason: err.Error()})
			case text[i][j] == nil && t.Columns[c].NotNull:
				s.problems = append(s.problems, Problem{Row: r.Name, Column: c, Reason: "is null, but the column is NOT NULL"})
			}
		}
		if len(s.problems) >= limit {
			break
		}
	}
	return text
}

// fill copies the rows into the temporary table, again and again until all values that do not fit are found.
func (s *staged) fill(ctx context.Context, tx pgx.Tx, t *Table, text [][]*string, limit int) error {
	refused := map[[2]int]bool{} // by row and column
	for {
		at, err := copyIn(ctx, tx, s.table, s.columns, s.lines(text))
		if err != nil {
			return err
		}
		if at == nil {
			break
		}
		i, j := at.row, at.index(s.columns)
		if j < 0 || i < 0 || i >= len(s.rows) || refused[[2]int{i, j}] {
			return fmt.Errorf("load the declared rows: %s", at.message)
		}
		refused[[2]int{i, j}] = true
		text[i][j] = nil
		column := s.columns[j]
		s.problems = append(s.problems, Problem{Row: s.rows[i].Name, Column: column, Reason: at.reason(s.rows[i].Secret, t.Columns[column].Type)})
		if len(s.problems) >= limit {
			return nil
		}
	}
	_, err := tx.Exec(ctx, "ANALYZE "+s.table)
	return err
}

// lines are the rows in COPY's text format.
func (s *staged) lines(text [][]*string) []byte {
	var lines []byte
	for i, row := range text {
		lines = strconv.AppendInt(lines, int64(i), 10)
		lines = strconv.AppendInt(append(lines, '\t'), int64(s.groupOf[i]), 10)
		for _, v := range row {
			lines = value.AppendCopy(append(lines, '\t'), v)
		}
		lines = append(lines, '\n')
	}
	return lines
}

// misfit is a value that PostgreSQL did not take.
type misfit struct {
	row     int
	where   string // starts with the name of the column
	message string
}

// index is the position of the column, or -1. A name may hold a colon, so the longest one that fits is meant.
func (m *misfit) index(columns []string) int {
	best := -1
	for i, c := range columns {
		if (m.where == c || strings.HasPrefix(m.where, c+":")) && (best < 0 || len(c) > len(columns[best])) {
			best = i
		}
	}
	return best
}

func (m *misfit) reason(secret bool, t value.Type) string {
	if secret {
		return fmt.Sprintf("the value (secret) does not fit the column's type %s", t.Name)
	}
	return fmt.Sprintf("%s (the column's type is %s)", m.message, t.Name)
}

var copyContext = regexp.MustCompile(`^COPY [^,]*, line ([0-9]+), column ((?s:.*))$`)

// copyIn sends lines in COPY's text format. Lines that do not fit make a misfit and leave the transaction usable.
func copyIn(ctx context.Context, tx pgx.Tx, table string, columns []string, lines []byte) (*misfit, error) {
	inner, err := tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	names := strings.Join(append([]string{"pgrows_row", "pgrows_group"}, quoteAll(columns)...), ", ")
	_, err = inner.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(lines), fmt.Sprintf("COPY %s (%s) FROM STDIN", table, names))
	if err == nil {
		return nil, inner.Commit(ctx)
	}
	if rollback := inner.Rollback(ctx); rollback != nil {
		return nil, errors.Join(err, rollback)
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return nil, err
	}
	m := copyContext.FindStringSubmatch(pg.Where)
	if m == nil {
		return nil, fmt.Errorf("load the declared rows: %s", pg.Message)
	}
	line, err := strconv.Atoi(m[1])
	if err != nil {
		return nil, err
	}
	return &misfit{row: line - 1, where: m[2], message: pg.Message}, nil
}
