package pgdb

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"plan-charge/provider/internal/value"
)

// output is the SQL expression that gives a column's value as text that fromText reads.
func (c Column) output(column string) string {
	switch {
	case c.Type.IsArray() && c.textElements:
		// array_to_json would write such elements as what they hold.
		return fmt.Sprintf("array_to_json(%s::text[])::text", column)
	case c.Type.IsArray():
		return fmt.Sprintf("array_to_json(%s)::text", column)
	}
	return column + "::text"
}

// fromText turns a live value into the one that a program would declare for it.
func fromText(text *string, t value.Type) any {
	if text == nil {
		return nil
	}
	switch t.Base {
	case "bool":
		return *text == "true" || *text == "t"
	case "int2", "int4", "int8", "float4", "float8", "numeric":
		if f, ok := exactNumber(*text); ok {
			return f
		}
		return *text
	}
	if t.IsArray() || t.IsJSON() {
		dec := json.NewDecoder(bytes.NewReader([]byte(*text)))
		dec.UseNumber()
		var v any
		if dec.Decode(&v) == nil {
			if v, ok := fromJSON(v, t.IsArray()); ok {
				return v
			}
		}
	}
	return *text
}

// fromJSON keeps lists and objects whose numbers survive, and leaves every other document as text.
func fromJSON(v any, array bool) (any, bool) {
	switch v := v.(type) {
	case []any:
		for i := range v {
			e, ok := fromJSONElement(v[i], array)
			if !ok {
				return nil, false
			}
			v[i] = e
		}
		return v, true
	case map[string]any:
		for k := range v {
			e, ok := fromJSONElement(v[k], array)
			if !ok {
				return nil, false
			}
			v[k] = e
		}
		return v, true
	}
	return nil, false
}

func fromJSONElement(v any, array bool) (any, bool) {
	switch n := v.(type) {
	case json.Number:
		if f, ok := exactNumber(n.String()); ok {
			return f, true
		}
		return n.String(), array // an array's element may be written as a string, a document's number may not
	case []any, map[string]any:
		return fromJSON(v, array)
	}
	return v, true
}

// exactNumber reads a number that comes out again as it went in.
func exactNumber(text string) (float64, bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, false
	}
	back, err := value.Scalar(f)
	return f, err == nil && back == text
}
