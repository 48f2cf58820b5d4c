package rowfile

import (
	"bytes"
	"fmt"
)

var _ format = (*csv)(nil)

// csv is COPY's CSV with a header: a value that is empty without quotes is NULL, one in quotes is an empty text.
type csv struct {
	r      *Reader
	fields int // of the header
	ends   []int
	text   []byte
	nulls  []bool
}

func (f *csv) head() ([]string, bool) {
	if !f.record() {
		return nil, false
	}
	if !f.r.checkText(1, "", f.r.buffer) || !f.split() {
		f.r.fatal = true
		return nil, false
	}
	f.fields = len(f.ends)
	columns := make([]string, f.fields)
	for i := range columns {
		columns[i] = string(f.field(i))
	}
	return columns, true
}

func (f *csv) next() bool {
	if !f.record() {
		return false
	}
	r := f.r
	if !f.split() {
		return true
	}
	if n := len(f.ends); n != f.fields {
		r.refuse(Problem{Line: r.row.Line, Rule: fmt.Sprintf("has %d values, but the file has %d columns", n, f.fields)})
		return true
	}
	clear(r.row.cells)
	for i := range f.fields {
		if !f.nulls[i] {
			r.row.cells[i].raw = f.field(i)
		}
	}
	if !valid(r.buffer) {
		for i := range f.fields {
			r.checkText(r.row.Line, r.Columns[i], f.field(i))
		}
	}
	return true
}

// valid says whether all is text that PostgreSQL can hold.
func valid(b []byte) bool { var r Reader; return r.checkText(0, "", b) }

// record reads up to the end of a line that is in no quotes: as many quotes open as close.
func (f *csv) record() bool {
	r := f.r
	r.buffer = r.buffer[:0]
	line, open := r.line+1, false
	for {
		start := len(r.buffer)
		if !r.readLine() {
			if open && !r.fatal {
				r.stop(Problem{Line: line, Rule: "has a quote that never closes"})
			}
			return false
		}
		if bytes.Count(r.buffer[start:], []byte(`"`))%2 == 1 {
			open = !open
		}
		if !open {
			break
		}
		if len(r.buffer) > maxRow {
			r.stop(Problem{Line: line, Rule: fmt.Sprintf("is longer than %d MiB; a quote that never closes may be in it", maxRow>>20)})
			return false
		}
	}
	r.row.Line = line
	return true
}

func (f *csv) field(i int) []byte {
	start := 0
	if i > 0 {
		start = f.ends[i-1]
	}
	return f.text[start:f.ends[i]:f.ends[i]]
}

// split takes the record in the buffer apart.
func (f *csv) split() bool {
	record := bytes.TrimSuffix(bytes.TrimSuffix(f.r.buffer, []byte("\n")), []byte("\r"))
	f.text, f.ends, f.nulls = f.text[:0], f.ends[:0], f.nulls[:0]
	if f.text == nil {
		f.text = make([]byte, 0, 1<<10) // an empty value is not nil
	}
	quoted, open, start := false, false, 0
	end := func() {
		f.nulls = append(f.nulls, !quoted && len(f.text) == start)
		f.ends = append(f.ends, len(f.text))
		quoted, start = false, len(f.text)
	}
	for i := 0; i < len(record); i++ {
		switch c := record[i]; {
		case c == '"' && open && i+1 < len(record) && record[i+1] == '"':
			f.text = append(f.text, '"')
			i++
		case c == '"':
			open, quoted = !open, true
		case open:
			f.text = append(f.text, c)
		case c == ',':
			end()
		case c == '\r':
			f.r.refuse(Problem{Line: f.r.row.Line, Rule: "has a carriage return inside: lines end in a line feed, and a value that holds one stands in quotes"})
			return false
		default:
			f.text = append(f.text, c)
		}
	}
	end()
	return true
}
