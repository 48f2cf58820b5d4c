// Package rowid names things: a row inside a resource, and a resource inside a database.
package rowid

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)

// Label names a row by its key, such as id=1 or tenant=acme,code=a b. Rows with different keys have different labels, but
// for the case of letters in what looks like a uuid: a uuid is written in small letters, so that its label does not depend on
// how somebody typed it.
func Label(columns, values []string) string {
	small := make([]string, len(values))
	for i, v := range values {
		if uuidForm.MatchString(v) {
			v = strings.ToLower(v)
		}
		small[i] = v
	}
	return ExactLabel(columns, small)
}

// ExactLabel names a row by its key as it is written.
func ExactLabel(columns, values []string) string {
	parts := make([]string, len(columns))
	for i, column := range columns {
		parts[i] = harmless(column) + "=" + harmless(values[i])
	}
	return strings.Join(parts, ",")
}

// harmless writes as %XX what separates the parts of a label, and what a property path, which a label becomes a part of,
// cannot carry.
func harmless(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, "%%%02X", s[i])
		case r < 0x20 || r == 0x7f || strings.ContainsRune(`%",=\[]`, r):
			fmt.Fprintf(&b, "%%%02X", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// ID is what a Rows resource is identified and imported by.
type ID struct {
	Schema, Table string
	KeyColumns    []string
	// Columns narrows an import to these columns beside the key; empty means all.
	Columns []string
	// The columns that the database owns, where an import names them.
	CreatedAtColumn, UpdatedAtColumn, SoftDeleteColumn string
}

const form = "schema.table/key1,key2?columns=a,b&createdAtColumn=c&updatedAtColumn=d&softDeleteColumn=e (all from ? on is optional; percent-encode other characters in names)"

// String writes the ID as it is parsed.
func (id ID) String() string {
	s := escape(id.Schema) + "." + escape(id.Table) + "/" + list(id.KeyColumns)
	var options []string
	if len(id.Columns) > 0 {
		options = append(options, "columns="+list(id.Columns))
	}
	for _, o := range []struct{ name, value string }{
		{"createdAtColumn", id.CreatedAtColumn}, {"updatedAtColumn", id.UpdatedAtColumn}, {"softDeleteColumn", id.SoftDeleteColumn},
	} {
		if o.value != "" {
			options = append(options, o.name+"="+escape(o.value))
		}
	}
	if len(options) > 0 {
		s += "?" + strings.Join(options, "&")
	}
	return s
}

// ParseID reads an ID. A name without schema is in public.
func ParseID(s string) (ID, error) {
	id, err := parseID(s)
	if err != nil {
		return ID{}, fmt.Errorf("the ID %q %w; its form is %s", s, err, form)
	}
	return id, nil
}

func parseID(s string) (ID, error) {
	path, query, _ := strings.Cut(s, "?")
	name, keys, found := strings.Cut(path, "/")
	if !found {
		return ID{}, errors.New("names no key columns after a slash")
	}
	schema, table, found := strings.Cut(name, ".")
	if !found {
		schema, table = "public", name
	}
	var id ID
	var err error
	if id.Schema, err = unescape(schema); err != nil {
		return ID{}, err
	}
	if id.Table, err = unescape(table); err != nil {
		return ID{}, err
	}
	if id.KeyColumns, err = parseList(keys); err != nil {
		return ID{}, err
	}
	if query == "" {
		return id, nil
	}
	for option := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(option, "=")
		switch key {
		case "columns":
			id.Columns, err = parseList(value)
		case "createdAtColumn":
			id.CreatedAtColumn, err = unescape(value)
		case "updatedAtColumn":
			id.UpdatedAtColumn, err = unescape(value)
		case "softDeleteColumn":
			id.SoftDeleteColumn, err = unescape(value)
		default:
			err = fmt.Errorf("has the unknown option %q", key)
		}
		if err != nil {
			return ID{}, err
		}
	}
	return id, nil
}

func list(names []string) string {
	escaped := make([]string, len(names))
	for i, n := range names {
		escaped[i] = escape(n)
	}
	return strings.Join(escaped, ",")
}

func parseList(s string) ([]string, error) {
	var names []string
	for part := range strings.SplitSeq(s, ",") {
		name, err := unescape(part)
		if err != nil {
			return nil, err
		}
		if slices.Contains(names, name) {
			return nil, fmt.Errorf("names the column %q twice", name)
		}
		names = append(names, name)
	}
	return names, nil
}

// escape leaves letters, digits and _ as they are, and turns everything that separates parts into %XX.
func escape(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(s), "+", "%20"), ".", "%2E")
}

func unescape(s string) (string, error) {
	name, err := url.PathUnescape(s)
	if err != nil {
		return "", fmt.Errorf("has a malformed name %q", s)
	}
	if name == "" {
		return "", errors.New("has an empty name")
	}
	if strings.ContainsAny(s, "./?&=") {
		return "", fmt.Errorf("has a name %q with a separator in it", s)
	}
	return name, nil
}
