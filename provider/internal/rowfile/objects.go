package rowfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

var _ format = (*objects)(nil)

// object is one row of a file whose rows name their columns.
type object struct {
	columns []string
	values  []any
}

// firstRow keeps the row that was read to learn the columns.
type firstRow struct {
	row  object
	line int
	kept bool
}

// place puts an object's values where their columns are.
func (r *Reader) place(line int, o object) {
	r.row.Line = line
	clear(r.row.cells)
	given := make([]bool, len(r.Columns))
	for i, c := range o.columns {
		at := slices.Index(r.Columns, c)
		switch {
		case at < 0:
			r.refuse(Problem{Line: line, Column: c, Rule: fmt.Sprintf("is not in the first row, which has %s", strings.Join(r.Columns, ", "))})
			continue
		case given[at]:
			r.refuse(Problem{Line: line, Column: c, Rule: "is there a second time"})
		}
		given[at] = true
		r.row.cells[at].decoded = o.values[i]
	}
	for i, c := range r.Columns {
		if !given[i] && !slices.Contains(r.File.Filled, c) {
			r.refuse(Problem{Line: line, Column: c, Rule: "is missing: each row has the columns of the first one (write null, or name the column in columns)"})
		}
	}
}

// objects are rows that name their columns. Those of the first one are the file's.
type objects struct {
	r     *Reader
	read  func(*objects) (o object, line int, ok bool) // the next row; line is 0 at the end
	first firstRow
	ahead []byte // of YAML, the first line of the next row
	empty bool   // it says that it has no row
}

func (f *objects) head() ([]string, bool) {
	o, line, ok := f.read(f)
	if f.empty {
		return slices.Clone(f.r.File.Keys), true
	}
	if !ok {
		if len(f.r.problems) == 0 {
			f.r.stop(Problem{Rule: "the file has no row"})
		}
		f.r.fatal = true
		return nil, false
	}
	f.first = firstRow{o, line, true}
	return slices.Clone(o.columns), true
}

func (f *objects) next() bool {
	if f.empty {
		return false
	}
	if f.first.kept {
		f.first.kept = false
		f.r.place(f.first.line, f.first.row)
		return true
	}
	o, line, ok := f.read(f)
	if ok {
		f.r.place(line, o)
		return true
	}
	f.r.row.Line = max(line, f.r.row.Line+1)
	return line > 0 // a line that is refused
}

// jsonLine reads the next line that is not blank.
func (f *objects) jsonLine() (o object, line int, ok bool) {
	r := f.r
	for {
		r.buffer = r.buffer[:0]
		if !r.readLine() {
			return o, 0, false
		}
		if len(bytes.TrimSpace(r.buffer)) > 0 {
			break
		}
	}
	if !r.checkText(r.line, "", r.buffer) {
		return o, r.line, false
	}
	o, err := decodeObject(r.buffer)
	if err != nil {
		r.refuse(Problem{Line: r.line, Value: Cut(strings.TrimSpace(string(r.buffer))), Rule: err.Error()})
		return o, r.line, false
	}
	return o, r.line, true
}

// decodeObject keeps the order of an object's members, and the digits of its numbers.
func decodeObject(text []byte) (o object, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	open, err := dec.Token()
	if err != nil {
		return o, noJSON(err)
	}
	if open != json.Delim('{') {
		return o, errors.New(`is no JSON object, such as {"id": 1, "name": "a"}`)
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return o, noJSON(err)
		}
		var v any
		if err := dec.Decode(&v); err != nil {
			return o, noJSON(err)
		}
		o.columns, o.values = append(o.columns, name.(string)), append(o.values, v)
	}
	if _, err := dec.Token(); err != nil {
		return o, noJSON(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return o, errors.New("has something after the object: a line holds one")
	}
	return o, nil
}

func noJSON(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("is no whole JSON object: a row stands on one line")
	}
	return fmt.Errorf("is no JSON: %w", err)
}

// begins says whether a line begins a row.
func begins(line []byte) bool { return bytes.HasPrefix(line, []byte("- ")) }

func (f *objects) stray(line []byte) Problem {
	return Problem{Line: f.r.line, Value: Cut(strings.ToValidUTF8(strings.TrimRight(string(line), "\r\n"), "?")), Rule: `is no row: the file is a list of objects, each of which begins with "- " at the beginning of a line`}
}

// between says whether a line before the first row, or after the last, says nothing.
func between(line []byte) bool {
	trimmed := bytes.TrimSpace(line)
	return len(trimmed) == 0 || bytes.HasPrefix(line, []byte("#")) || string(trimmed) == "---"
}

// yamlItem reads the lines of the next object of a list. Each begins with "- " at the beginning of a line, so that they can be
// read one after the other.
func (f *objects) yamlItem() (o object, line int, ok bool) {
	r := f.r
	r.buffer = append(r.buffer[:0], f.ahead...)
	f.ahead = f.ahead[:0]
	for len(r.buffer) == 0 {
		if !r.readLine() {
			return o, 0, false
		}
		switch {
		case between(r.buffer):
			r.buffer = r.buffer[:0]
		case string(bytes.TrimSpace(r.buffer)) == "[]":
			f.empty = true
			return o, 0, false
		case !begins(r.buffer):
			r.stop(f.stray(r.buffer))
			return o, 0, false
		}
	}
	line = r.line
	for {
		start := len(r.buffer)
		if !r.readLine() {
			break
		}
		if begins(r.buffer[start:]) {
			f.ahead = append(f.ahead, r.buffer[start:]...)
			r.buffer = r.buffer[:start]
			break
		}
		if !bytes.ContainsAny(r.buffer[start:start+1], " \t#\r\n") { // anything else is no part of a row
			f.r.stop(f.stray(r.buffer[start:]))
			return o, 0, false
		}
		if len(r.buffer) > maxRow {
			r.stop(Problem{Line: line, Rule: fmt.Sprintf("is longer than %d MiB", maxRow>>20)})
			return o, 0, false
		}
	}
	if !r.checkText(line, "", r.buffer) {
		return o, line, false
	}
	o, err := decodeItem(r.buffer, line)
	if err != nil {
		r.refuse(*err)
		return o, line, false
	}
	return o, line, true
}

// decodeItem decodes a list of one object, whose first line is given.
func decodeItem(text []byte, line int) (o object, problem *Problem) {
	refuse := func(n *yaml.Node, column, rule string, args ...any) *Problem {
		at := line
		if n != nil {
			at += n.Line - 1
		}
		return &Problem{Line: at, Column: column, Rule: fmt.Sprintf(rule, args...)}
	}
	defer func() {
		if fault := recover(); fault != nil { // the decoder's own
			problem = refuse(nil, "", "is no YAML")
		}
	}()
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return o, refuse(nil, "", "is no YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 || doc.Content[0].Kind != yaml.SequenceNode || len(doc.Content[0].Content) != 1 {
		return o, refuse(nil, "", "is no row of a list")
	}
	row := doc.Content[0].Content[0]
	if row.Kind != yaml.MappingNode {
		return o, refuse(row, "", "is no object, such as {id: 1, name: a}")
	}
	for i := 0; i+1 < len(row.Content); i += 2 {
		key := row.Content[i]
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			return o, refuse(key, "", "has something else than the name of a column")
		}
		v, err := plainYAML(row.Content[i+1])
		if err != nil {
			return o, refuse(row.Content[i+1], key.Value, "%s", err.Error())
		}
		o.columns, o.values = append(o.columns, key.Value), append(o.values, v)
	}
	return o, nil
}

// plainYAML turns a node into what JSON would have for it. Dates stay text, and numbers keep their digits.
func plainYAML(n *yaml.Node) (any, error) {
	if n.Anchor != "" || n.Kind == yaml.AliasNode {
		return nil, errors.New("has an anchor or alias, which are not read: write the value out")
	}
	switch n.Kind {
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, e := range n.Content {
			var err error
			if list[i], err = plainYAML(e); err != nil {
				return nil, err
			}
		}
		return list, nil
	case yaml.MappingNode:
		m := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
				return nil, errors.New("has an object with a key that is no text")
			}
			if _, twice := m[key.Value]; twice {
				return nil, fmt.Errorf("has the key %q twice", key.Value)
			}
			v, err := plainYAML(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			m[key.Value] = v
		}
		return m, nil
	case yaml.ScalarNode:
		return scalarYAML(n)
	}
	return nil, errors.New("is of a kind that no column can hold")
}

func scalarYAML(n *yaml.Node) (any, error) {
	switch n.Tag {
	case "!!null":
		return nil, nil
	case "!!str", "!!timestamp":
		return n.Value, nil
	case "!!bool":
		var b bool
		err := n.Decode(&b)
		return b, err
	case "!!int", "!!float":
		if number := json.Number(n.Value); json.Valid([]byte(number)) {
			return number, nil
		}
		var i int64
		if n.Tag == "!!int" && n.Decode(&i) == nil {
			return json.Number(fmt.Sprint(i)), nil
		}
		switch strings.ToLower(strings.TrimPrefix(n.Value, "+")) {
		case ".nan":
			return "NaN", nil
		case ".inf":
			return "Infinity", nil
		case "-.inf":
			return "-Infinity", nil
		}
		return strings.ReplaceAll(n.Value, "_", ""), nil
	}
	return nil, fmt.Errorf("has the tag %s, which is not read", n.Tag)
}
