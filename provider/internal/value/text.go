// Package value turns the values that a program declares into PostgreSQL's text, and says when two of them are the same
// to PostgreSQL without asking it.
package value

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Type is what matters of a column's type.
type Type struct {
	// Name is the type as PostgreSQL prints it, with its modifier: "numeric(10,2)", "timestamp with time zone[]".
	Name string
	// Base is the internal name with domains resolved: "uuid", "int4", "timestamptz", "_text" for an array of text.
	Base string
	// Element is the internal name of an array's elements, "" for other types.
	Element string
	// Delimiter separates the elements in an array's text; "" means a comma.
	Delimiter string
}

// IsJSON says whether values are JSON documents.
func (t Type) IsJSON() bool { return t.Base == "json" || t.Base == "jsonb" }

// IsArray says whether values are PostgreSQL arrays.
func (t Type) IsArray() bool { return t.Element != "" }

// maxExact is the largest integer up to which every integer is exact in the numbers that programs pass.
const maxExact = 1 << 53

// Text returns a declared value (nil, bool, float64, json.Number, string, []any or map[string]any) as PostgreSQL reads it for a column
// of the given type; nil stands for NULL. In a JSON column a string is the text of a document and everything else is
// encoded as one. The error never holds the value.
func Text(v any, t Type) (*string, error) {
	if v == nil {
		return nil, nil
	}
	if t.IsJSON() {
		if s, ok := v.(string); ok {
			if !json.Valid([]byte(s)) {
				return nil, errors.New(`is no JSON text (write a JSON string with its own quotes, "\"like this\"")`)
			}
			return plain(s)
		}
		s, err := encodeJSON(v)
		if err != nil {
			return nil, err
		}
		return plain(s)
	}
	switch v := v.(type) {
	case []any:
		if !t.IsArray() {
			return nil, fmt.Errorf("is a list, but the column is of type %s", t.Name)
		}
		s, err := arrayText(v, Type{Name: t.Element, Base: t.Element}, cmp.Or(t.Delimiter, ","))
		if err != nil {
			return nil, err
		}
		return plain(s)
	case map[string]any:
		return nil, fmt.Errorf("is an object, but the column is of type %s", t.Name)
	}
	s, err := Scalar(v)
	if err != nil {
		return nil, err
	}
	if err := fixed(s, t); err != nil {
		return nil, err
	}
	return plain(s)
}

var (
	timeTypes = []string{
		"date", "time", "timetz", "timestamp", "timestamptz", "daterange", "tsrange", "tstzrange", "datemultirange", "tsmultirange", "tstzmultirange",
	}
	moving = regexp.MustCompile(`(?i)(?:^|[^a-z])(now|today|tomorrow|yesterday)(?:[^a-z]|$)`)
)

// fixed refuses words for a time that is another one at each look, so that the row would differ for ever.
func fixed(s string, t Type) error {
	if !slices.Contains(timeTypes, t.Base) && !slices.Contains(timeTypes, t.Element) {
		return nil
	}
	if m := moving.FindStringSubmatch(s); m != nil {
		return fmt.Errorf("says %q, which is another time whenever somebody looks: write the time itself, or let the database set the column (createdAtColumn, updatedAtColumn)", strings.ToLower(m[1]))
	}
	return nil
}

// Scalar returns a string, number or bool as PostgreSQL reads it.
func Scalar(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case float64:
		return number(v)
	case json.Number: // of a file, with all its digits
		return v.String(), nil
	}
	return "", fmt.Errorf("is a %T, but only strings, numbers, bools, lists, objects and null are allowed", v)
}

func number(f float64) (string, error) {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return "", errors.New("is not a finite number")
	}
	if math.Trunc(f) == f {
		if math.Abs(f) > maxExact {
			return "", errors.New("is a whole number beyond 9007199254740992, whose last digits are lost on the way: write it as a string")
		}
		return strconv.FormatInt(int64(f), 10), nil
	}
	return strconv.FormatFloat(f, 'g', -1, 64), nil
}

// plain refuses what no text in PostgreSQL can hold.
func plain(s string) (*string, error) {
	if strings.ContainsRune(s, 0) {
		return nil, errors.New("holds a zero byte, which PostgreSQL cannot store")
	}
	if !utf8.ValidString(s) {
		return nil, errors.New("is not valid UTF-8")
	}
	return &s, nil
}

func encodeJSON(v any) (string, error) {
	if err := checkNumbers(v); err != nil {
		return "", err
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", fmt.Errorf("cannot be written as JSON: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func checkNumbers(v any) error {
	switch v := v.(type) {
	case float64:
		_, err := number(v)
		return err
	case []any:
		for _, e := range v {
			if err := checkNumbers(e); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, e := range v {
			if err := checkNumbers(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// arrayText writes an array literal: {1,2}, {{"a","b"},{NULL,"c"}}.
func arrayText(list []any, element Type, delimiter string) (string, error) {
	var b strings.Builder
	b.WriteByte('{')
	for i, v := range list {
		if i > 0 {
			b.WriteString(delimiter)
		}
		if inner, ok := v.([]any); ok && !element.IsJSON() {
			s, err := arrayText(inner, element, delimiter)
			if err != nil {
				return "", err
			}
			b.WriteString(s)
			continue
		}
		s, err := Text(v, element)
		if err != nil {
			return "", fmt.Errorf("element %d %w", i, err)
		}
		if s == nil {
			b.WriteString("NULL")
			continue
		}
		b.WriteByte('"')
		for _, r := range *s {
			if r == '"' || r == '\\' {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String(), nil
}

// Checked says whether Text looks at the text of a value of the type, beside what every text has to be.
func (t Type) Checked() bool {
	return t.IsJSON() || slices.Contains(timeTypes, t.Base) || slices.Contains(timeTypes, t.Element)
}

// AppendCopy appends one value of a line in COPY's text format; nil is NULL.
func AppendCopy(b []byte, s *string) []byte {
	if s == nil {
		return append(b, `\N`...)
	}
	return AppendEscaped(b, *s)
}

// AppendEscaped appends a text as a line in COPY's text format has it.
func AppendEscaped[T string | []byte](b []byte, s T) []byte {
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			b = append(b, '\\', '\\')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, c)
		}
	}
	return b
}
