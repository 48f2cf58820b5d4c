package value

import (
	"encoding/hex"
	"encoding/json"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Same says whether two declared values are surely the same to PostgreSQL in a column of the given type. It errs on one
// side only: what it does not know well enough is not the same, and then PostgreSQL itself is asked before anything is
// written.
func Same(a, b any, t Type) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	switch a.(type) {
	case string, bool, float64:
		if a == b {
			return true
		}
	}
	ca, ok := Canonical(a, t)
	if !ok {
		return false
	}
	cb, ok := Canonical(b, t)
	return ok && ca == cb
}

// Canonical returns one spelling for all values that are equal in a column of the given type, and false for a value that
// the column cannot hold. Different spellings may stand for equal values where the type is not known well.
func Canonical(v any, t Type) (string, bool) {
	s, err := Text(v, t)
	if err != nil || s == nil {
		return "", false
	}
	if list, ok := v.([]any); ok && t.IsArray() {
		return canonicalList(list, Type{Name: t.Element, Base: t.Element}), true
	}
	if c, ok := canonicalText(*s, t); ok {
		return c, true
	}
	return "text:" + *s, true
}

// canonicalList writes equal arrays alike; nested ones keep their shape.
func canonicalList(list []any, element Type) string {
	parts := make([]string, len(list))
	for i, v := range list {
		switch inner, isList := v.([]any); {
		case v == nil:
			parts[i] = "null"
		case isList && !element.IsJSON():
			parts[i] = canonicalList(inner, element)
		default:
			c, _ := Canonical(v, element)
			parts[i] = strconv.Quote(c)
		}
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func canonicalText(s string, t Type) (string, bool) {
	switch t.Base {
	case "bool":
		return canonicalBool(s)
	case "int2", "int4", "int8", "oid":
		if n, ok := new(big.Int).SetString(strings.TrimSpace(s), 10); ok && decimalInt.MatchString(strings.TrimSpace(s)) {
			return n.String(), true
		}
	case "numeric":
		// A scale rounds: 1.254 and 1.25 are the same in numeric(10,2), which is left to PostgreSQL.
		return canonicalNumber(s)
	case "uuid":
		return canonicalUUID(s)
	case "timestamptz":
		return canonicalInstant(s)
	case "timestamp":
		return canonicalLocal(s)
	case "date":
		if d, err := time.Parse("2006-01-02", s); err == nil && d.Year() > 0 {
			return s, true
		}
	case "json", "jsonb":
		return canonicalJSON(s)
	case "bytea":
		if h, ok := strings.CutPrefix(s, `\x`); ok {
			if b, err := hex.DecodeString(h); err == nil {
				return hex.EncodeToString(b), true
			}
		}
	}
	return "", false
}

var decimalInt = regexp.MustCompile(`^[+-]?[0-9]+$`)

func canonicalBool(s string) (string, bool) {
	switch strings.ToLower(strings.Trim(s, " \t\n\r\v\f")) {
	case "t", "tr", "tru", "true", "y", "ye", "yes", "on", "1":
		return "true", true
	case "f", "fa", "fal", "fals", "false", "n", "no", "of", "off", "0":
		return "false", true
	}
	return "", false
}

var decimalNumber = regexp.MustCompile(`^([+-]?)([0-9]*)(?:\.([0-9]*))?(?:[eE]([+-]?[0-9]{1,4}))?$`)

// canonicalNumber writes a decimal number as its digits and a power of ten, without zeros at either end.
func canonicalNumber(s string) (string, bool) {
	m := decimalNumber.FindStringSubmatch(strings.Trim(s, " \t\n\r\v\f"))
	if m == nil || m[2]+m[3] == "" {
		return "", false
	}
	exponent := 0
	if m[4] != "" {
		exponent, _ = strconv.Atoi(m[4])
	}
	digits := strings.TrimLeft(m[2]+m[3], "0")
	exponent -= len(m[3])
	short := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(short)
	if short == "" {
		return "0", true
	}
	sign := ""
	if m[1] == "-" {
		sign = "-"
	}
	return sign + short + "e" + strconv.Itoa(exponent), true
}

var hexOnly = regexp.MustCompile(`^[0-9a-f]{32}$`)

// canonicalUUID takes the forms that PostgreSQL takes: any case, in braces or not, with a hyphen after any four digits.
func canonicalUUID(s string) (string, bool) {
	inner := s
	if strings.HasPrefix(s, "{") != strings.HasSuffix(s, "}") {
		return "", false
	}
	inner = strings.TrimSuffix(strings.TrimPrefix(inner, "{"), "}")
	var digits strings.Builder
	for i, group := range strings.Split(inner, "-") {
		if len(group) == 0 || len(group)%4 != 0 || i > 7 {
			return "", false
		}
		digits.WriteString(strings.ToLower(group))
	}
	d := digits.String()
	if !hexOnly.MatchString(d) {
		return "", false
	}
	return d[:8] + "-" + d[8:12] + "-" + d[12:16] + "-" + d[16:20] + "-" + d[20:], true
}

// Only spellings that leave nothing to a setting are recognised; a time without zone counts as UTC, as in the provider's
// sessions.
var (
	instantLayouts = []string{
		"2006-01-02T15:04:05Z07:00", "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05-07", "2006-01-02 15:04:05-07",
		"2006-01-02T15:04:05-0700", "2006-01-02 15:04:05-0700", "2006-01-02 15:04:05 UTC",
	}
	localLayouts = []string{"2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02"}
)

func canonicalInstant(s string) (string, bool) {
	return canonicalTime(s, append(slices.Clone(instantLayouts), localLayouts...))
}

func canonicalLocal(s string) (string, bool) { return canonicalTime(s, localLayouts) }

func canonicalTime(s string, layouts []string) (string, bool) {
	for _, layout := range layouts {
		t, err := time.Parse(layout, s)
		// Beyond microseconds PostgreSQL rounds.
		if err != nil || t.Nanosecond()%1000 != 0 || t.Year() < 1 || strings.Contains(s, ",") {
			continue
		}
		return t.UTC().Format("2006-01-02T15:04:05.999999999Z"), true
	}
	return "", false
}

// canonicalJSON sorts keys and writes numbers alike, as jsonb compares them.
func canonicalJSON(s string) (string, bool) {
	dec := json.NewDecoder(strings.NewReader(s))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return "", false
	}
	var b strings.Builder
	if !writeJSON(&b, v) {
		return "", false
	}
	return b.String(), true
}

func writeJSON(b *strings.Builder, v any) bool {
	switch v := v.(type) {
	case json.Number:
		c, ok := canonicalNumber(v.String())
		b.WriteString(c)
		return ok
	case []any:
		b.WriteByte('[')
		for _, e := range v {
			if !writeJSON(b, e) {
				return false
			}
			b.WriteByte(',')
		}
		b.WriteByte(']')
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		b.WriteByte('{')
		for _, k := range keys {
			b.WriteString(strconv.Quote(k))
			b.WriteByte(':')
			if !writeJSON(b, v[k]) {
				return false
			}
			b.WriteByte(',')
		}
		b.WriteByte('}')
	case string:
		b.WriteString(strconv.Quote(v))
	case bool:
		b.WriteString(strconv.FormatBool(v))
	case nil:
		b.WriteString("null")
	}
	return true
}
