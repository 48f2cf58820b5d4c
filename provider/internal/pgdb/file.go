package pgdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"plan-charge/provider/internal/contract"
	"plan-charge/provider/internal/rowfile"
	"plan-charge/provider/internal/rowid"
	"plan-charge/provider/internal/value"
)

var (
	_ io.Reader = (*copyLines)(nil)
	_ error     = (*TooManyError)(nil)
)

// Mode says what is done with the rows of a file.
type Mode string

// The modes that there are.
const (
	Insert Mode = contract.Insert
	Upsert Mode = contract.Upsert
	Sync   Mode = contract.Sync
)

// Source are rows that come from a file, and what is to be done with them.
type Source struct {
	File rowfile.File
	// Digest is what the file has to hold, as rowfile names it.
	Digest string
	Mode   Mode
	// Removal and MaxDeletes are for rows that Sync finds in the table and not in the file.
	Removal    Removal
	MaxDeletes int
	// Report is a file to write all differing rows to, "" for none.
	Report string
}

// TooManyError means that more rows would go than may.
type TooManyError struct {
	Table      string
	Count, Max int
	Operation  Removal
	Changes    string // which rows
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("nothing was written: %d rows of %s are not in the file and would go (%s), but maxDeletes allows %d: %s. If they are to go, say so by maxDeletes: %d",
		e.Count, e.Table, e.Operation, e.Max, e.Changes, e.Count)
}

// fileRows is what is known of staged rows that come from a file. Nothing of it grows with the rows.
type fileRows struct {
	source      rowfile.File
	keys        []string
	count, last int // rows, and the position of the last one: positions are lines
}

// name names a row by its key and its line.
func (f *fileRows) name(ctx context.Context, tx pgx.Tx, s *staged, position int) string {
	line := fmt.Sprintf("line %d of %s", position, filepath.Base(f.source.Path))
	texts := make([]string, len(f.keys))
	into := make([]any, len(f.keys))
	for i := range texts {
		into[i] = &texts[i]
	}
	sql := fmt.Sprintf("SELECT %s FROM %s WHERE %s = %d", strings.Join(asTexts(f.keys, ""), ", "), s.table, s.position, position)
	if err := tx.QueryRow(ctx, sql).Scan(into...); err != nil {
		return line
	}
	return rowid.Label(f.keys, texts) + " (" + line + ")"
}

// asTexts are columns as text, of a table called alias.
func asTexts(columns []string, alias string) []string {
	texts := quoteAll(columns)
	for i := range texts {
		texts[i] = alias + texts[i] + "::text"
	}
	return texts
}

// copyLines are the rows of a file in COPY's text format, read as they are sent.
type copyLines struct {
	s       *staged
	t       *Table
	rows    *rowfile.Reader
	types   []value.Type
	lenient bool // take what does not fit as it is
	skip    int  // rows that are not sent
	refused map[[2]int]bool
	problem func(row, column int, name string, reason string) (enough bool)

	read, sent int // rows
	last       int // line
	line       []byte
	rest       []byte
}

// Read fills p with whole and broken lines.
func (c *copyLines) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		more, err := c.next()
		if err != nil {
			return 0, err
		}
		if !more {
			return 0, io.EOF
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// next makes some rows into lines.
func (c *copyLines) next() (more bool, err error) {
	c.line = c.line[:0]
	for len(c.line) < 1<<16 {
		if !c.rows.Next() {
			break
		}
		c.read++
		if c.read <= c.skip {
			continue
		}
		row := c.rows.Row()
		c.sent, c.last = c.sent+1, row.Line
		c.line = fmt.Appendf(c.line, "%d", row.Line)
		for i, column := range c.s.columns {
			c.line = append(c.line, '\t')
			at := slices.Index(c.rows.Columns, column)
			switch {
			case c.refused[[2]int{c.read, i}]:
				c.line = value.AppendCopy(c.line, nil)
				continue
			case !c.lenient && c.t.Columns[column].NotNull && row.Null(at):
				if c.problem(c.read, i, c.name(row), "is NULL, but the column is NOT NULL") {
					return false, nil
				}
			}
			typ := c.types[i]
			if c.s.asText[column] {
				typ = value.Type{Name: "text", Base: "text"}
			}
			line, err := row.AppendCopy(c.line, at, typ)
			if err != nil {
				reason := fmt.Sprintf("%s: the value %v", row.Shown(at), err)
				if c.problem(c.read, i, c.name(row), reason) {
					return false, nil
				}
				line = value.AppendCopy(c.line, nil)
			}
			c.line = line
		}
		c.line = append(c.line, '\n')
	}
	c.rest = c.line
	return len(c.line) > 0, nil
}

// name names the row that was just read.
func (c *copyLines) name(row *rowfile.Row) string {
	return fileRowName(c.rows, row)
}

func fileRowName(r *rowfile.Reader, row *rowfile.Row) string {
	texts := make([]string, len(r.File.Keys))
	for i, k := range r.File.Keys {
		if text, err := row.Text(slices.Index(r.Columns, k), value.Type{Name: "text", Base: "text"}); err == nil && text != nil {
			texts[i] = *text
		}
	}
	return fmt.Sprintf("%s (line %d of %s)", rowid.Label(r.File.Keys, texts), row.Line, filepath.Base(r.File.Path))
}

// fileProblems words what is wrong with a file.
func fileProblems(path string, problems []rowfile.Problem) error {
	lines := make([]string, len(problems))
	for i, p := range problems {
		lines[i] = path + ": " + p.String()
	}
	return fmt.Errorf("nothing was written:\n  %s", strings.Join(lines, "\n  "))
}

// maxReason bounds what PostgreSQL says of a value, which it quotes whole.
const maxReason = 200

func shorten(text string) string {
	if len(text) <= maxReason {
		return text
	}
	end := maxReason
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

// stageFile loads a file. Values that do not fit are in problems, as many as are reported; where it is lenient, their columns
// are loaded as text.
func (t *Table) stageFile(ctx context.Context, tx pgx.Tx, spec Spec, src Source, columns []string, lenient bool) (*staged, error) {
	s := t.stagedRows(columns)
	s.file = &fileRows{source: src.File, keys: spec.Keys}
	g := group{columns: columns, update: columns}
	if src.Mode == Insert {
		g.update = nil
	}
	s.groups = []group{g}
	if err := s.checkFileEncoding(ctx, tx, src.File); err != nil || len(s.problems) > 0 {
		return s, err
	}
	types := make([]value.Type, len(columns))
	for i, c := range columns {
		types[i] = t.Columns[c].Type
	}
	refused := map[[2]int]bool{}
	again, skip := false, 0
	problem := func(row, column int, name, reason string) bool {
		if lenient {
			again = again || !s.asText[columns[column]]
			s.asText[columns[column]] = true
			return false
		}
		if at := [2]int{row, column}; !refused[at] {
			refused[at] = true
			s.problems = append(s.problems, Problem{Row: name, Column: columns[column], Reason: reason})
		}
		return len(s.problems) >= maxProblems
	}
	for {
		if err := s.create(ctx, tx, t); err != nil {
			return nil, err
		}
		again = false
		lines := &copyLines{s: s, t: t, rows: rowfile.Open(src.File), types: types, lenient: lenient, skip: skip, refused: refused, problem: problem}
		misfit, err := s.copyIn(ctx, tx, lines, s.position)
		lines.rows.Close()
		if err != nil {
			return nil, err
		}
		if problems := lines.rows.Problems(); len(problems) > 0 { // it has changed since it was checked
			return nil, fileProblems(src.File.Path, problems)
		}
		if misfit != nil {
			column := misfit.index(columns)
			if column < 0 {
				return nil, fmt.Errorf("load %s: %s", src.File.Path, shorten(misfit.message))
			}
			row := skip + misfit.row + 1
			name, err := locate(src.File, row)
			if err != nil {
				return nil, err
			}
			if !lenient && refused[[2]int{row, column}] || lenient && s.asText[columns[column]] {
				return nil, fmt.Errorf("load %s: %s", src.File.Path, shorten(misfit.message))
			}
			reason := fmt.Sprintf("%s (the column's type is %s)", shorten(misfit.message), t.Columns[columns[column]].Type.Name)
			if problem(row, column, name, reason) {
				return s, nil
			}
			if !lenient {
				skip = row - 1 // what comes before fits
			}
			continue
		}
		if len(s.problems) > 0 {
			return s, nil
		}
		if again {
			continue
		}
		if digest := lines.rows.Digest(); digest != src.Digest {
			return nil, fmt.Errorf("%s was changed while it was read: it is no longer what was planned with", src.File.Path)
		}
		s.file.count, s.file.last = lines.sent, lines.last
		_, err = tx.Exec(ctx, fmt.Sprintf("ANALYZE %s (%s)", s.table, strings.Join(quoteAll(spec.Keys), ", ")))
		return s, err
	}
}

// locate names the n-th row of a file.
func locate(f rowfile.File, n int) (string, error) {
	r := rowfile.Open(f)
	defer r.Close()
	for i := 1; r.Next(); i++ {
		if i == n {
			return fileRowName(r, r.Row()), nil
		}
	}
	return "", fmt.Errorf("%s was changed while it was read", f.Path)
}

// checkFileEncoding finds the values with characters that the database's encoding lacks.
func (s *staged) checkFileEncoding(ctx context.Context, tx pgx.Tx, f rowfile.File) error {
	encoding := tx.Conn().PgConn().ParameterStatus("server_encoding")
	if encoding == "UTF8" || encoding == "SQL_ASCII" {
		return nil
	}
	text := value.Type{Name: "text", Base: "text"}
	each := func(visit func(r *rowfile.Reader, i int, text string) bool) {
		r := rowfile.Open(f)
		defer r.Close()
		for r.Next() {
			for i := range r.Columns {
				if s, err := r.Row().Text(i, text); err == nil && s != nil && !visit(r, i, *s) {
					return
				}
			}
		}
	}
	seen := map[rune]bool{}
	each(func(_ *rowfile.Reader, _ int, text string) bool {
		for _, c := range text {
			if c >= utf8.RuneSelf {
				seen[c] = true
			}
		}
		return true
	})
	used := make([]rune, 0, len(seen))
	for c := range seen {
		used = append(used, c)
	}
	slices.Sort(used)
	lacking, err := lackingIn(ctx, tx, encoding, used)
	if err != nil || lacking == "" {
		return err
	}
	each(func(r *rowfile.Reader, i int, text string) bool {
		if at := strings.IndexAny(text, lacking); at >= 0 {
			c, _ := utf8.DecodeRuneInString(text[at:])
			s.problems = append(s.problems, Problem{
				Row: fileRowName(r, r.Row()), Column: r.Columns[i],
				Reason: fmt.Sprintf("holds %q (%U), which the database cannot store, because its encoding is %s", c, c, encoding),
			})
		}
		return len(s.problems) < maxProblems
	})
	return nil
}

// columnsOf are the columns of a file.
func columnsOf(f rowfile.File) ([]string, error) {
	r := rowfile.Open(f)
	defer r.Close()
	if problems := r.Problems(); len(problems) > 0 {
		return nil, fileProblems(f.Path, problems)
	}
	return r.Columns, nil
}

// prepareFile looks the table up and stages the file's rows for it. The error is a *ProblemsError when they cannot be written.
func prepareFile(ctx context.Context, tx pgx.Tx, spec Spec, src Source) (*Table, *staged, error) {
	columns, err := columnsOf(src.File)
	if err != nil {
		return nil, nil, err
	}
	t, err := Inspect(ctx, tx, spec.Schema, spec.Table)
	if err != nil {
		return nil, nil, err
	}
	if problems := t.checkColumns(spec, columns, true); len(problems) > 0 {
		return t, nil, &ProblemsError{Table: t.String(), Problems: problems}
	}
	s, err := t.stageFile(ctx, tx, spec, src, columns, false)
	if err != nil {
		return t, nil, err
	}
	problems := s.problems
	if len(problems) == 0 {
		problems, err = s.duplicates(ctx, tx, spec.Keys)
	}
	if err == nil && len(problems) > 0 {
		err = &ProblemsError{Table: t.String(), Problems: problems}
	}
	return t, s, err
}

// contestedWhole finds other resources that own rows of the table: one whose rows come from a file has the table as a whole.
func (t *Table) contestedWhole(ctx context.Context, tx pgx.Tx, spec Spec) (lapsed []claim, err error) {
	if spec.Owner.ID == "" {
		return nil, nil
	}
	claims, err := t.otherClaims(ctx, tx, spec)
	if err != nil {
		return nil, err
	}
	var problems []Problem
	for _, c := range claims {
		if t.isOver(spec, Row{}, c) {
			lapsed = append(lapsed, c)
			continue
		}
		problems = append(problems, Problem{Reason: "rows from a file need the table for themselves, but some of it " + c.reason()})
	}
	if len(problems) > 0 {
		return nil, &ProblemsError{Table: t.String(), Problems: problems}
	}
	return lapsed, nil
}

// ApplyFile makes the table hold the rows of a file, as its mode says. The comparison locks no row, and only rows that differ
// are written. The error is a *ProblemsError when the rows cannot be written, or a *TooManyError.
func ApplyFile(ctx context.Context, tx pgx.Tx, spec Spec, src Source) (*Table, Changes, Outcome, error) {
	var out Outcome
	var changes Changes
	t, all, err := prepareFile(ctx, tx, spec, src)
	if err != nil {
		return t, changes, out, err
	}
	if err := t.lock(ctx, tx, spec); err != nil {
		return t, changes, out, err
	}
	if err := t.unambiguous(ctx, tx, spec, all); err != nil {
		return t, changes, out, err
	}
	lapsed, err := t.contestedWhole(ctx, tx, spec)
	if err != nil {
		return t, changes, out, err
	}
	changed, changes, err := t.changes(ctx, tx, spec, src, all)
	if err != nil {
		return t, changes, out, err
	}
	w := &writer{t: t, tx: tx, spec: spec, declared: changed}
	if src.Mode == Sync {
		w.gone = t.notIn(spec, src.Removal, all)
	}
	if err := w.write(ctx, &out); err != nil {
		return t, changes, out, err
	}
	if src.Mode == Sync && out.Removed > src.MaxDeletes { // somebody added rows since they were counted
		return t, changes, out, &TooManyError{Table: t.String(), Count: out.Removed, Max: src.MaxDeletes, Changes: changes.String(), Operation: src.Removal}
	}
	if changed.count() > 0 {
		kept, err := t.kept(ctx, tx, spec, changed)
		if err != nil {
			return t, changes, out, err
		}
		out.Warnings = append(out.Warnings, kept...)
	}
	return t, changes, out, t.settle(ctx, tx, spec, all, lapsed, &out)
}

// ForeseeFile says what ApplyFile would do, with its errors, and leaves the transaction as it was.
func ForeseeFile(ctx context.Context, tx pgx.Tx, spec Spec, src Source) (*Table, Changes, error) {
	inner, err := tx.Begin(ctx)
	if err != nil {
		return nil, Changes{}, err
	}
	defer inner.Rollback(context.WithoutCancel(ctx))
	t, all, err := prepareFile(ctx, inner, spec, src)
	if err != nil {
		return t, Changes{}, err
	}
	if err := t.unambiguous(ctx, inner, spec, all); err != nil {
		return t, Changes{}, err
	}
	if _, err := t.contestedWhole(ctx, inner, spec); err != nil {
		return t, Changes{}, err
	}
	_, changes, err := t.changes(ctx, inner, spec, src, all)
	return t, changes, err
}

// CompareFile says where the table differs from the file, whatever became of the table's columns. The error is ErrNoTable when
// the table does not exist.
func CompareFile(ctx context.Context, tx pgx.Tx, spec Spec, src Source) (*Table, Changes, error) {
	columns, err := columnsOf(src.File)
	if err != nil {
		return nil, Changes{}, err
	}
	t, err := Inspect(ctx, tx, spec.Schema, spec.Table)
	if err != nil {
		return nil, Changes{}, err
	}
	var lost []string
	for _, c := range columns {
		if _, ok := t.Columns[c]; ok {
			continue
		}
		if slices.Contains(spec.Keys, c) {
			return t, Changes{}, fmt.Errorf("%s has no key column %s", t, c)
		}
		lost = append(lost, c)
	}
	columns = slices.DeleteFunc(columns, func(c string) bool { return slices.Contains(lost, c) })
	all, err := t.stageFile(ctx, tx, spec, src, columns, true)
	if err == nil && len(all.problems) > 0 {
		err = &ProblemsError{Table: t.String(), Problems: all.problems}
	}
	if err != nil {
		return t, Changes{}, err
	}
	src.MaxDeletes = -1
	_, changes, err := t.changes(ctx, tx, spec, src, all)
	changes.Lost = lost
	if err == nil && t.Filtered && changes.Come > 0 {
		err = errors.New("row-level security hides rows of " + t.String() + " from this user, so it cannot be told whether rows are missing")
	}
	return t, changes, err
}
