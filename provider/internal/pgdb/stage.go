package pgdb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
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
// through PostgreSQL's input of its type. It goes with the transaction.
type staged struct {
	table string // its name, quoted
	// position and group are the names of the columns, quoted, that hold a row's position and its group. No column of the
	// managed table is called so.
	position, group string
	rows            []Row // nil where they come from a file
	columns         []string
	file            *fileRows // nil where they are a list
	// groups are the rows that declare the same columns, and groupOf the group of each row.
	groups  []group
	groupOf []int
	// asText are columns that are kept as text, because many values do not fit the type.
	asText map[string]bool
	// problems are the values that do not fit their columns. They are NULL in the table.
	problems []Problem
}

// group is a set of columns that rows declare.
type group struct {
	columns []string
	// update are those of them that a row which is there is given; the others are for new rows.
	update []string
}

// tables counts temporary tables, so that no transaction makes two of the same name.
var tables atomic.Int64

// manyMisfits is how many values of a column have to misfit until its type is taken to be another one than declared for.
const manyMisfits = 10

// stage loads the columns of rows. It stops where as many values as limit do not fit; 0 means that all rows are loaded,
// and a column of which many values do not fit as text.
func (t *Table) stage(ctx context.Context, tx pgx.Tx, columns []string, rows []Row, limit int) (*staged, error) {
	all := limit == 0
	if all {
		limit = len(rows)*len(columns) + 1
	}
	s := t.stagedRows(columns)
	s.rows = rows
	s.groupRows()
	text := s.encode(t, limit)
	if err := s.checkEncoding(ctx, tx, text, limit); err != nil {
		return nil, err
	}
	if len(s.problems) >= limit {
		return s, nil
	}
	for {
		if err := s.create(ctx, tx, t); err != nil {
			return nil, err
		}
		unfit, err := s.fill(ctx, tx, t, text, limit, all)
		if err != nil || unfit == "" {
			return s, err
		}
		s.asText[unfit] = true
		text = s.encode(t, limit)
	}
}

func (t *Table) stagedRows(columns []string) *staged {
	return &staged{columns: columns, asText: map[string]bool{}, position: t.free("pgrows_row"), group: t.free("pgrows_group")}
}

// count is how many rows there are.
func (s *staged) count() int {
	if s.file != nil {
		return s.file.count
	}
	return len(s.rows)
}

// end is a position after that of the last row.
func (s *staged) end() int {
	if s.file != nil {
		return s.file.last + 1
	}
	return len(s.rows)
}

// name names the row at a position in messages.
func (s *staged) name(ctx context.Context, tx pgx.Tx, position int) string {
	if s.file != nil {
		return s.file.name(ctx, tx, s, position)
	}
	return s.rows[position].Name
}

// secret says whether the row at a position keeps its values out of messages; of any row where the position is negative.
func (s *staged) secret(position int) bool {
	switch {
	case s.file != nil:
		return false
	case position >= 0:
		return s.rows[position].Secret
	}
	return slices.ContainsFunc(s.rows, func(r Row) bool { return r.Secret })
}

// groupAt is the group of the row at a position.
func (s *staged) groupAt(position int) group {
	if s.file != nil {
		return s.groups[0]
	}
	return s.groups[s.groupOf[position]]
}

// free is a name, quoted, that no column of the table has.
func (t *Table) free(name string) string {
	for {
		if _, taken := t.Columns[name]; !taken {
			return pgx.Identifier{name}.Sanitize()
		}
		name += "_"
	}
}

// groupRows finds the rows that declare the same columns.
func (s *staged) groupRows() {
	numbers := map[string]int{}
	s.groupOf = make([]int, len(s.rows))
	for i, r := range s.rows {
		var g group
		for _, c := range s.columns {
			if _, declared := r.Values[c]; declared {
				g.columns = append(g.columns, c)
				if !slices.Contains(r.OnlyNew, c) {
					g.update = append(g.update, c)
				}
			}
		}
		mask := strings.Join(g.columns, "\x00") + "\x00\x00" + strings.Join(g.update, "\x00")
		number, seen := numbers[mask]
		if !seen {
			number = len(s.groups)
			numbers[mask] = number
			s.groups = append(s.groups, g)
		}
		s.groupOf[i] = number
	}
}

// groupsWith is the SQL condition under which the row called d is in a group for which has says yes, "" where all are.
func (s *staged) groupsWith(d string, has func(group) bool) string {
	var numbers []string
	for i, g := range s.groups {
		if has(g) {
			numbers = append(numbers, strconv.Itoa(i))
		}
	}
	switch len(numbers) {
	case len(s.groups):
		return ""
	case 0:
		return "false"
	}
	return fmt.Sprintf("%s.%s IN (%s)", d, s.group, strings.Join(numbers, ", "))
}

func (s *staged) create(ctx context.Context, tx pgx.Tx, t *Table) error {
	s.table = fmt.Sprintf("pg_temp.pgrows_%d", tables.Add(1))
	columns := []string{s.position + " int PRIMARY KEY", s.group + " int"}
	if s.file != nil { // large, and all of one group
		columns = []string{s.position + " int"}
	}
	for _, c := range s.columns {
		typ := t.Columns[c].staging()
		if s.asText[c] {
			typ = "text"
		}
		columns = append(columns, pgx.Identifier{c}.Sanitize()+" "+typ)
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s (%s) ON COMMIT DROP", s.table, strings.Join(columns, ", "))); err != nil {
		return fmt.Errorf("make a temporary table (the user needs TEMPORARY on the database): %w", err)
	}
	return nil
}

// encode returns the values, by row and column, as PostgreSQL reads them.
func (s *staged) encode(t *Table, limit int) [][]*string {
	text := make([][]*string, len(s.rows))
	s.problems = nil
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

// fill copies the rows into the temporary table, again and again until all values that do not fit are found. It gives up
// at a column, which it returns, of which many do not fit, if that may be kept as text.
func (s *staged) fill(ctx context.Context, tx pgx.Tx, t *Table, text [][]*string, limit int, keepAsText bool) (unfit string, err error) {
	refused, misfits := map[[2]int]bool{}, make([]int, len(s.columns)) // by row and column; by column
	for {
		at, err := s.copyIn(ctx, tx, bytes.NewReader(s.lines(text)), s.position, s.group)
		if err != nil {
			return "", err
		}
		if at == nil {
			break
		}
		i, j := at.row, at.index(s.columns)
		if j < 0 || i < 0 || i >= len(s.rows) || refused[[2]int{i, j}] {
			return "", fmt.Errorf("load the declared rows: %s", at.message)
		}
		refused[[2]int{i, j}] = true
		text[i][j] = nil
		column := s.columns[j]
		s.problems = append(s.problems, Problem{Row: s.rows[i].Name, Column: column, Reason: at.reason(s.rows[i].Secret, t.Columns[column].Type)})
		if misfits[j]++; keepAsText && misfits[j] == manyMisfits {
			return column, nil
		}
		if len(s.problems) >= limit {
			return "", nil
		}
	}
	_, err = tx.Exec(ctx, "ANALYZE "+s.table)
	return "", err
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

// copyContext finds, in what an error says about where it happened, the line and column of COPY into a temporary table. What a
// type's input function says about itself may stand before.
func copyContext(table string) *regexp.Regexp {
	return regexp.MustCompile(`(?:^|\n)COPY ` + regexp.QuoteMeta(strings.TrimPrefix(table, "pg_temp.")) + `, line ([0-9]+), column ((?s:.*))$`)
}

// copyIn sends lines in COPY's text format; before are the columns before those of the rows. Lines that do not fit make a misfit and leave the transaction usable.
func (s *staged) copyIn(ctx context.Context, tx pgx.Tx, lines io.Reader, before ...string) (*misfit, error) {
	inner, err := tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	names := strings.Join(append(before, quoteAll(s.columns)...), ", ")
	_, err = inner.Conn().PgConn().CopyFrom(ctx, lines, fmt.Sprintf("COPY %s (%s) FROM STDIN", s.table, names))
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
	m := copyContext(s.table).FindStringSubmatch(pg.Where)
	if m == nil {
		return nil, fmt.Errorf("load the declared rows: %s", pg.Message)
	}
	line, err := strconv.Atoi(m[1])
	if err != nil {
		return nil, err
	}
	text := pg.Message
	if pg.Detail != "" { // of a value that is declared
		text += ": " + pg.Detail
	}
	return &misfit{row: line - 1, where: m[2], message: text}, nil
}

// onKeys is the SQL condition that joins the table, called a, to the staged rows, called b, by key.
func (s *staged) onKeys(keys []string, a, b string) string {
	parts := make([]string, len(keys))
	for i, k := range keys {
		q := pgx.Identifier{k}.Sanitize()
		parts[i] = fmt.Sprintf("%s.%s = %s.%s", a, q, b, q)
		if s.asText[k] {
			parts[i] = fmt.Sprintf(`%s.%s::text COLLATE "C" = %s.%s COLLATE "C"`, a, q, b, q)
		}
	}
	return strings.Join(parts, " AND ")
}

// differs is the SQL condition under which the table, called a, and the staged rows, called b, are not the same in a column.
func (s *staged) differs(t *Table, c, a, b string) string {
	q := pgx.Identifier{c}.Sanitize()
	if s.asText[c] {
		return fmt.Sprintf(`%s.%s::text COLLATE "C" IS DISTINCT FROM %s.%s COLLATE "C"`, a, q, b, q)
	}
	return t.Columns[c].differs(a+"."+q, b+"."+q)
}
