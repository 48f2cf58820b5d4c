package pgdb

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
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
	texts := make([]string, len(f.keys))
	into := make([]any, len(f.keys))
	for i := range texts {
		into[i] = &texts[i]
	}
	sql := fmt.Sprintf("SELECT %s FROM %s WHERE %s = %d", strings.Join(asTexts(f.keys, ""), ", "), s.table, s.position, position)
	if err := tx.QueryRow(ctx, sql).Scan(into...); err != nil {
		return lineOf(f.source.Path, position)
	}
	return rowAt(f.source.Path, position, f.keys, texts)
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
				if c.problem(c.read, i, fileRowName(c.rows), "is NULL, but the column is NOT NULL") {
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
				if c.problem(c.read, i, fileRowName(c.rows), reason) {
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

// fileRowName names the row that a reader has just read.
func fileRowName(r *rowfile.Reader) string {
	row, texts := r.Row(), make([]string, len(r.File.Keys))
	for i, k := range r.File.Keys {
		if text, err := row.Text(slices.Index(r.Columns, k), value.Type{Name: "text", Base: "text"}); err == nil && text != nil {
			texts[i] = *text
		}
	}
	return rowAt(r.File.Path, row.Line, r.File.Keys, texts)
}

// rowAt names a row of a file by its key and its line.
func rowAt(path string, line int, keys, texts []string) string {
	return fmt.Sprintf("%s (%s)", rowid.Label(keys, texts), lineOf(path, line))
}

func lineOf(path string, line int) string {
	return fmt.Sprintf("line %d of %s", line, filepath.Base(path))
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
			return fileRowName(r), nil
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
				Row: fileRowName(r), Column: r.Columns[i],
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
	before, err := t.read(ctx, tx, spec, src.Mode, all.columns, "true")
	if err != nil {
		return t, changes, out, err
	}
	changed, changes, err := t.changes(ctx, tx, spec, src, all)
	if err != nil {
		return t, changes, out, err
	}
	few := changed.count() <= all.count()/2 && (src.Removal == Delete || changes.Go == 0)
	if few {
		if err := t.forget(ctx, tx, spec, src.Mode, all, changed, changes, &before); err != nil {
			return t, changes, out, err
		}
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
	same := false
	if !few {
		if same, err = t.verify(ctx, tx, spec, src.Mode, all, &changes); err != nil {
			return t, changes, out, err
		}
	}
	if !same && changed.count() > 0 {
		kept, err := t.kept(ctx, tx, spec, changed)
		if err != nil {
			return t, changes, out, err
		}
		out.Warnings = append(out.Warnings, kept...)
	}
	if few {
		changes.Columns = all.columns
		if len(out.Warnings) == 0 {
			if err := t.remember(ctx, tx, spec, src.Mode, changed, before, &changes); err != nil {
				return t, changes, out, err
			}
		}
	}
	return t, changes, out, t.settle(ctx, tx, spec, all, lapsed, &out)
}

// verify says whether the table holds the rows of the file now, and if so remembers what it holds. Both are looked at in one
// statement, so that nothing that somebody writes meanwhile is taken for ours.
func (t *Table) verify(ctx context.Context, tx pgx.Tx, spec Spec, mode Mode, all *staged, c *Changes) (bool, error) {
	where := []string{"t.tableoid IS NULL"}
	for _, column := range t.compared(spec, all) {
		where = append(where, "("+all.differs(t, column, "t", "d")+")")
	}
	holds := fmt.Sprintf("NOT EXISTS (SELECT FROM %s d LEFT JOIN %s t ON %s WHERE %s)", all.table, t.Identifier(), all.onKeys(spec.Keys, "t", "d"), strings.Join(where, " OR "))
	if mode == Sync {
		holds += fmt.Sprintf(" AND NOT EXISTS (SELECT FROM %s)", t.surplus(spec, all))
	}
	var same bool
	var digest string
	err := tx.QueryRow(ctx, fmt.Sprintf("SELECT %s, (%s)", holds, t.content(spec, mode, all.columns))).Scan(&same, &digest)
	if err != nil {
		return false, fmt.Errorf("compare with %s: %w", t, err)
	}
	c.Columns = all.columns
	if same && !t.Filtered {
		c.Digest = digest
	}
	return same, nil
}

// content is a query for a digest of what the table holds, whoever wrote it, in the columns of a file: of the keys alone where
// no other column counts. It is a sum, so that rows can be taken out of it and put in.
func (t *Table) content(spec Spec, mode Mode, columns []string) string {
	if mode == Insert {
		columns = spec.Keys
	}
	columns = slices.Sorted(slices.Values(columns))
	return fmt.Sprintf("SELECT count(*) || ':' || coalesce(sum(hashtextextended(ROW(%s)::text, 0)), 0) FROM %s t",
		strings.Join(asTexts(columns, "t."), ", "), t.Identifier())
}

// content is what a digest is made of.
type content struct{ rows, sum big.Int }

func (c *content) String() string { return c.rows.String() + ":" + c.sum.String() }

func (c *content) add(d content) { c.rows.Add(&c.rows, &d.rows); c.sum.Add(&c.sum, &d.sum) }

func (c *content) remove(d content) { c.rows.Sub(&c.rows, &d.rows); c.sum.Sub(&c.sum, &d.sum) }

// read digests the rows of the table that fulfil a condition.
func (t *Table) read(ctx context.Context, tx pgx.Tx, spec Spec, mode Mode, columns []string, where string) (content, error) {
	var c content
	var text string
	if err := tx.QueryRow(ctx, t.content(spec, mode, columns)+" WHERE "+where).Scan(&text); err != nil {
		return c, fmt.Errorf("read %s: %w", t, err)
	}
	rows, sum, _ := strings.Cut(text, ":")
	_, ok := c.rows.SetString(rows, 10)
	if _, whole := c.sum.SetString(sum, 10); !ok || !whole {
		return c, fmt.Errorf("read %s: %q is no digest", t, text)
	}
	return c, nil
}

// forget takes the rows that are about to change, or to go, out of a digest of the table. The digest was taken before they were
// looked for, so what somebody else writes meanwhile makes it one that the table does not have, and a refresh looks closely.
func (t *Table) forget(ctx context.Context, tx pgx.Tx, spec Spec, mode Mode, all, changed *staged, c Changes, digest *content) error {
	if changed.count() > 0 {
		old, err := t.read(ctx, tx, spec, mode, all.columns, t.among(spec, changed))
		if err != nil {
			return err
		}
		digest.remove(old)
	}
	if c.Go > 0 {
		gone, err := t.read(ctx, tx, spec, mode, all.columns, t.beyond(spec, all))
		if err != nil {
			return err
		}
		digest.remove(gone)
	}
	return nil
}

// remember puts the rows that were written into a digest of the table.
func (t *Table) remember(ctx context.Context, tx pgx.Tx, spec Spec, mode Mode, changed *staged, digest content, c *Changes) error {
	if changed.count() > 0 {
		written, err := t.read(ctx, tx, spec, mode, changed.columns, t.among(spec, changed))
		if err != nil {
			return err
		}
		digest.add(written)
	}
	if !t.Filtered {
		c.Digest = digest.String()
	}
	return nil
}

// among is the SQL condition under which a row of the table, called t, has the key of a staged one.
func (t *Table) among(spec Spec, s *staged) string {
	return fmt.Sprintf("EXISTS (SELECT FROM %s d WHERE %s)", s.table, s.onKeys(spec.Keys, "t", "d"))
}

// Unchanged says whether the table holds what it held when a digest was taken of it, in columns of these types.
func Unchanged(ctx context.Context, tx pgx.Tx, spec Spec, mode Mode, types map[string]value.Type, digest string) (*Table, bool, error) {
	t, err := Inspect(ctx, tx, spec.Schema, spec.Table)
	if err != nil || digest == "" || t.Filtered {
		return t, false, err
	}
	var columns []string
	for c, typ := range types {
		if t.Columns[c].Type.Name != typ.Name {
			return t, false, nil
		}
		columns = append(columns, c)
	}
	var now string
	if err := tx.QueryRow(ctx, t.content(spec, mode, columns)).Scan(&now); err != nil {
		return t, false, fmt.Errorf("read %s: %w", t, err)
	}
	return t, now == digest, nil
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
