// Package rowfile reads the rows of a table from a file, one after the other: CSV as PostgreSQL's COPY reads it, JSON lines, and
// YAML. It finds what no table could take, by line, column and value.
package rowfile

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"

	"plan-charge/provider/internal/value"
)

// File is a file of rows, and what is known of its columns.
type File struct {
	Path string
	// Keys are the columns that tell rows apart: each row has a value there.
	Keys []string
	// Filled are columns that are NULL in a row that does not name them.
	Filled []string
	// Owned are columns that the file may not have, because the database sets them.
	Owned []string
}

const (
	// maxName is the length in bytes at which PostgreSQL cuts names.
	maxName = 63
	// maxRow bounds a row in bytes, so that a quote that is missing does not read the whole file into memory.
	maxRow = 64 << 20
	// MaxProblems bounds how many mistakes are found in one go.
	MaxProblems = 20
	shown       = 40 // characters of a value in a message
)

// Problem is one mistake in a file.
type Problem struct {
	Line   int    // 0 where it concerns the whole file
	Column string // "" where it concerns the whole row
	Value  string // as it is shown, "" where there is none
	Rule   string
}

func (p Problem) String() string {
	var where []string
	if p.Line > 0 {
		where = append(where, fmt.Sprintf("line %d", p.Line))
	}
	if p.Column != "" {
		where = append(where, "column "+p.Column)
	}
	if p.Value != "" {
		where = append(where, "value "+p.Value)
	}
	if len(where) == 0 {
		return p.Rule
	}
	return strings.Join(where, ", ") + ": " + p.Rule
}

// Cut quotes the beginning of a value for a message.
func Cut(text string) string {
	if n := 0; len(text) > shown {
		for i := range text {
			if n++; n > shown {
				return fmt.Sprintf("%q…", text[:i])
			}
		}
	}
	return fmt.Sprintf("%q", text)
}

// formats are what a file may be, by the end of its name.
var formats = map[string]func(*Reader) format{
	".csv":    func(r *Reader) format { return &csv{r: r} },
	".jsonl":  func(r *Reader) format { return &objects{r: r, read: (*objects).jsonLine} },
	".ndjson": func(r *Reader) format { return &objects{r: r, read: (*objects).jsonLine} },
	".yaml":   func(r *Reader) format { return &objects{r: r, read: (*objects).yamlItem} },
	".yml":    func(r *Reader) format { return &objects{r: r, read: (*objects).yamlItem} },
}

// CheckName refuses a name that does not say what the file is.
func CheckName(path string) error {
	if _, ok := formats[strings.ToLower(filepath.Ext(path))]; !ok {
		return errors.New("has to end in .csv (with a line of columns first), .jsonl or .ndjson (an object a line), .yaml or .yml (a list of objects)")
	}
	return nil
}

// format reads rows in one of the forms.
type format interface {
	// head reads up to the columns. The last of them, from fill on, may be in no row.
	head() (columns []string, ok bool)
	// next reads a row into r.row; false at the end or where nothing after can be read.
	next() bool
}

// Reader reads a file once.
type Reader struct {
	File    File
	Columns []string

	file     *os.File
	digest   hash.Hash
	in       *bufio.Reader
	buffer   []byte
	line     int // lines that are read
	row      Row
	format   format
	problems []Problem
	fatal    bool
}

// Row is one row. It holds until the next one is read.
type Row struct {
	Line  int
	cells []cell
}

// cell is one value: raw text, or a decoded value where raw is nil.
type cell struct {
	raw     []byte
	decoded any
}

// Open reads the beginning of a file. What is wrong with that is in Problems.
func Open(f File) *Reader {
	r := &Reader{File: f, digest: sha256.New()}
	make, ok := formats[strings.ToLower(filepath.Ext(f.Path))]
	if !ok {
		r.stop(Problem{Rule: CheckName(f.Path).Error()})
		return r
	}
	var err error
	if r.file, err = os.Open(f.Path); err != nil {
		r.stop(Problem{Rule: unreadable(err)})
		return r
	}
	r.in = bufio.NewReaderSize(io.TeeReader(r.file, r.digest), 1<<18)
	if r.mark() {
		return r
	}
	r.format = make(r)
	columns, ok := r.format.head()
	if !ok {
		return r
	}
	for _, c := range f.Filled {
		if !slices.Contains(columns, c) {
			columns = append(columns, c)
		}
	}
	r.Columns = columns
	r.row.cells = slices.Grow(r.row.cells, len(columns))[:len(columns)]
	r.checkColumns()
	return r
}

// unreadable words an error of the file's, whose name is said elsewhere.
func unreadable(err error) string {
	var path *os.PathError
	if errors.Is(err, os.ErrNotExist) {
		dir, _ := os.Getwd()
		return fmt.Sprintf("there is no such file (looked for from %s)", dir)
	}
	if errors.As(err, &path) {
		err = path.Err
	}
	return "cannot be read: " + err.Error()
}

// mark refuses what is empty or no UTF-8 from its first bytes on.
func (r *Reader) mark() bool {
	first, err := r.in.Peek(4)
	switch {
	case len(first) == 0 && errors.Is(err, io.EOF):
		r.stop(Problem{Rule: "the file is empty"})
	case len(first) == 0:
		r.stop(Problem{Rule: unreadable(err)})
	case bytes.HasPrefix(first, []byte("\xef\xbb\xbf")):
		r.stop(Problem{Line: 1, Rule: "begins with a byte-order mark, which would be part of the first name: save the file as UTF-8 without one"})
	case bytes.HasPrefix(first, []byte("\xff\xfe")), bytes.HasPrefix(first, []byte("\xfe\xff")):
		r.stop(Problem{Line: 1, Rule: "is UTF-16: save the file as UTF-8"})
	}
	return r.fatal
}

// checkColumns refuses columns that no table can have, and those that have to be there.
func (r *Reader) checkColumns() {
	line := max(r.line, 1)
	var seen []string
	for i, c := range r.Columns {
		switch {
		case c == "":
			r.refuse(Problem{Line: line, Rule: fmt.Sprintf("column %d has no name", i+1)})
		case len(c) > maxName:
			r.refuse(Problem{Line: line, Column: Cut(c), Rule: fmt.Sprintf("has %d bytes, but names in PostgreSQL have at most %d", len(c), maxName)})
		case slices.Contains(seen, c):
			r.refuse(Problem{Line: line, Column: c, Rule: "is there a second time"})
		case slices.Contains(r.File.Owned, c):
			r.refuse(Problem{Line: line, Column: c, Rule: "belongs to the database, so the file cannot give it values"})
		}
		seen = append(seen, c)
	}
	for _, k := range r.File.Keys {
		if !slices.Contains(r.Columns, k) {
			r.refuse(Problem{Line: line, Column: k, Rule: fmt.Sprintf("the key column is missing; the file has %s", strings.Join(r.Columns, ", "))})
		}
	}
	if len(r.problems) > 0 {
		r.fatal = true // what is in which column cannot be said
	}
}

// Next reads the next row that is not refused; false at the end.
func (r *Reader) Next() bool {
	for !r.fatal && len(r.problems) < MaxProblems {
		before, at := len(r.problems), r.row.Line
		if !r.format.next() {
			return false
		}
		if len(r.problems) == before {
			r.checkRow(at)
		}
		if len(r.problems) == before {
			return true
		}
	}
	return false
}

func (r *Reader) checkRow(before int) {
	if r.row.Line <= before {
		r.stop(Problem{Line: r.row.Line, Rule: "two rows begin on this line: each has to begin on a line of its own"})
		return
	}
	for i, c := range r.Columns {
		cell := r.row.cells[i]
		if !slices.Contains(r.File.Keys, c) {
			continue
		}
		switch cell.decoded.(type) {
		case []any, map[string]any:
			r.refuse(Problem{Line: r.row.Line, Column: c, Rule: "holds a list or an object, but it is a key column"})
		case nil:
			if cell.raw == nil {
				r.refuse(Problem{Line: r.row.Line, Column: c, Rule: "is NULL, but it is a key column"})
			}
		}
	}
}

// Row is the row that Next read.
func (r *Reader) Row() *Row { return &r.row }

// Problems are the mistakes that were found so far.
func (r *Reader) Problems() []Problem { return r.problems }

// Close closes the file.
func (r *Reader) Close() {
	if r.file != nil {
		r.file.Close()
	}
}

// Digest names what the file holds, once all of it was read.
func (r *Reader) Digest() string { return name(r.digest) }

func name(h hash.Hash) string { return "sha256:" + hex.EncodeToString(h.Sum(nil)) }

// Digest reads a file and names what it holds.
func Digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", errors.New(unreadable(err))
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", errors.New(unreadable(err))
	}
	return name(h), nil
}

func (r *Reader) refuse(p Problem) { r.problems = append(r.problems, p) }

// stop refuses something after which nothing can be read.
func (r *Reader) stop(p Problem) {
	r.refuse(p)
	r.fatal = true
}

// readLine appends the next line, with its end, to the buffer; false at the end of the file.
func (r *Reader) readLine() bool {
	start := len(r.buffer)
	for {
		part, err := r.in.ReadSlice('\n')
		r.buffer = append(r.buffer, part...)
		switch {
		case err == nil:
			r.line++
			return true
		case errors.Is(err, io.EOF):
			if len(r.buffer) > start {
				r.line++
			}
			return len(r.buffer) > start
		case !errors.Is(err, bufio.ErrBufferFull):
			r.stop(Problem{Line: r.line + 1, Rule: unreadable(err)})
			return false
		case len(r.buffer) > maxRow:
			r.stop(Problem{Line: r.line + 1, Rule: fmt.Sprintf("is longer than %d MiB", maxRow>>20)})
			return false
		}
	}
}

// checkText refuses bytes that are no text in PostgreSQL. It says whether there are none.
func (r *Reader) checkText(line int, column string, text []byte) bool {
	switch at := bytes.IndexByte(text, 0); {
	case at >= 0:
		r.refuse(Problem{Line: line + bytes.Count(text[:at], []byte("\n")), Column: column, Rule: "holds a zero byte, which PostgreSQL cannot store"})
	case !utf8.Valid(text):
		for i := 0; i < len(text); {
			c, n := utf8.DecodeRune(text[i:])
			if c == utf8.RuneError && n == 1 {
				r.refuse(Problem{Line: line + bytes.Count(text[:i], []byte("\n")), Column: column, Value: Cut(strings.ToValidUTF8(string(text[max(0, i-shown/2):i]), "") + fmt.Sprintf(`\x%02x`, text[i])), Rule: "is not valid UTF-8"})
				break
			}
			i += n
		}
	default:
		return true
	}
	return false
}

// Null says whether the row has NULL in its i-th column.
func (row *Row) Null(i int) bool { return row.cells[i].raw == nil && row.cells[i].decoded == nil }

// Text returns the i-th value as PostgreSQL reads it for a column of a type; nil stands for NULL.
func (row *Row) Text(i int, t value.Type) (*string, error) {
	if raw := row.cells[i].raw; raw != nil {
		return value.Text(string(raw), t)
	}
	return value.Text(row.cells[i].decoded, t)
}

// AppendCopy appends the i-th value as a line in COPY's text format has it for a column of a type.
func (row *Row) AppendCopy(b []byte, i int, t value.Type) ([]byte, error) {
	if raw := row.cells[i].raw; raw != nil && !t.Checked() {
		return value.AppendEscaped(b, raw), nil
	}
	text, err := row.Text(i, t)
	if err != nil {
		return b, err
	}
	return value.AppendCopy(b, text), nil
}

// Shown is the i-th value as a message shows it.
func (row *Row) Shown(i int) string {
	if raw := row.cells[i].raw; raw != nil {
		return Cut(string(raw))
	}
	if s, ok := row.cells[i].decoded.(string); ok {
		return Cut(s)
	}
	return Cut(fmt.Sprint(row.cells[i].decoded))
}
