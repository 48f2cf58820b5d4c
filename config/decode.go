package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"plan-charge/internal/probe"
)

// Mistake is one thing that is wrong with the configuration.
type Mistake struct {
	Key     string // plan-charge:network.zones
	Found   string // as it was written; for a secret only a description
	Allowed string
	Example string
}

func (m *Mistake) Error() string {
	return fmt.Sprintf("  %s: found %s; allowed: %s; example: %s", m.Key, m.Found, m.Allowed, m.Example)
}

// rule is what a field's tags say.
type rule struct {
	allowed, example string
	secret           bool
}

// checker collects mistakes, so that all are reported at once.
type checker struct {
	project  string
	rules    map[string]rule
	mistakes []error
	broken   map[string]bool // keys with a mistake already: no second one for the same value
}

func newChecker(project string) *checker {
	c := &checker{project: project, rules: map[string]rule{}, broken: map[string]bool{}}
	c.collect("", reflect.TypeFor[Config]())
	return c
}

func (c *checker) collect(path string, t reflect.Type) {
	if t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return
	}
	for _, f := range keys(t) {
		key := join(path, keyOf(f))
		c.rules[key] = rule{f.Tag.Get("allowed"), f.Tag.Get("example"), f.Tag.Get("secret") == "true"}
		c.collect(key, f.Type)
	}
}

// keys are the fields of a struct that a stack can set.
func keys(t reflect.Type) []reflect.StructField {
	return slices.DeleteFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool { return keyOf(f) == "-" })
}

func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

var index = regexp.MustCompile(`\[[^\]]*\]`)

// reject records a mistake with the wording of the field's tags.
func (c *checker) reject(path string, found any) { c.rejectFor(path, found, "") }

// rejectFor does so with a wording of its own.
func (c *checker) rejectFor(path string, found any, allowed string) {
	if c.broken[path] {
		return
	}
	c.broken[path] = true
	r := c.rules[index.ReplaceAllString(path, "")]
	if allowed == "" {
		allowed = r.allowed
	}
	example := r.example
	if example == "" {
		example = "see Pulumi.yaml"
	}
	text := show(found)
	if r.secret {
		text = "a value that is not shown"
		if d, ok := found.(description); ok {
			text = string(d)
		}
	}
	c.mistakes = append(c.mistakes, &Mistake{c.project + ":" + path, text, allowed, example})
}

// description is shown as it is, without quotes.
type description string

func show(v any) string {
	if d, ok := v.(description); ok {
		return string(d)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%v", v)
	}
	if r := []rune(string(text)); len(r) > 80 {
		return string(r[:79]) + "…"
	}
	return string(text)
}

// decode fills cfg from raw values and returns the paths that were given.
func (c *checker) decode(src source, cfg *Config) map[string]bool {
	given := map[string]bool{}
	known := map[string]bool{}
	v := reflect.ValueOf(cfg).Elem()
	for _, f := range keys(v.Type()) {
		key := keyOf(f)
		known[key] = true
		raw, ok := src.get(key)
		if !ok || raw == "" || raw == "null" {
			continue
		}
		given[key] = true
		switch secret := c.rules[key].secret; {
		case secret && !src.secret(key):
			c.reject(key, description("a value in clear"))
			continue
		case !secret && src.secret(key):
			// Everything but the passwords ends up readable in the account.
			c.broken[key] = true
			c.mistakes = append(c.mistakes, &Mistake{src.project + ":" + key, "a secret", "no secret, because this value is written in clear into the account", c.rules[key].example})
			continue
		}
		field := v.FieldByIndex(f.Index)
		if field.Kind() == reflect.String {
			field.SetString(raw)
			continue
		}
		var value any
		d := json.NewDecoder(strings.NewReader(raw))
		d.UseNumber()
		if err := d.Decode(&value); err != nil || d.More() {
			value = raw
		}
		c.fill(key, value, field, given)
	}
	for _, key := range src.keys {
		name, ours := strings.CutPrefix(key, src.project+":")
		if ours && !known[name] {
			c.unknown(name, known)
		}
	}
	return given
}

// fill puts a JSON value into a field, and reports what does not fit.
func (c *checker) fill(path string, value any, into reflect.Value, given map[string]bool) {
	given[path] = true
	switch into.Kind() {
	case reflect.String:
		if s, ok := value.(string); ok {
			into.SetString(s)
			return
		}
		if n, ok := value.(json.Number); ok && into.Type() == reflect.TypeFor[probe.Status]() {
			into.SetString(n.String())
			return
		}
	case reflect.Bool:
		if b, ok := value.(bool); ok {
			into.SetBool(b)
			return
		}
	case reflect.Int64: // a time.Duration
		if text, ok := value.(string); ok {
			if d, err := time.ParseDuration(text); err == nil {
				into.SetInt(int64(d))
				return
			}
		}
	case reflect.Int:
		if n, ok := value.(json.Number); ok {
			if i, err := strconv.Atoi(n.String()); err == nil {
				into.SetInt(int64(i))
				return
			}
		}
	case reflect.Slice:
		if list, ok := value.([]any); ok {
			into.Set(reflect.MakeSlice(into.Type(), len(list), len(list)))
			for i, item := range list {
				c.fill(fmt.Sprintf("%s[%d]", path, i), item, into.Index(i), given)
			}
			return
		}
	case reflect.Map:
		if m, ok := value.(map[string]any); ok {
			into.Set(reflect.MakeMap(into.Type()))
			for _, name := range sortedKeys(m) {
				text, ok := m[name].(string)
				if !ok {
					c.rejectFor(fmt.Sprintf("%s[%s]", path, name), m[name], "text (write numbers and booleans in quotes)")
					continue
				}
				into.SetMapIndex(reflect.ValueOf(name), reflect.ValueOf(text))
			}
			return
		}
	case reflect.Struct:
		if m, ok := value.(map[string]any); ok {
			known := map[string]bool{}
			for _, f := range keys(into.Type()) {
				name := keyOf(f)
				known[name] = true
				if item, ok := m[name]; ok && item != nil {
					c.fill(join(path, name), item, into.FieldByIndex(f.Index), given)
				}
			}
			for _, name := range sortedKeys(m) {
				if !known[name] {
					c.unknown(join(path, name), prefixed(path, known))
				}
			}
			return
		}
	}
	kind := map[reflect.Kind]string{reflect.String: "text", reflect.Bool: "true or false", reflect.Int: "a whole number", reflect.Int64: "a duration", reflect.Slice: "a list", reflect.Map: "an object", reflect.Struct: "an object"}[into.Kind()]
	if allowed := c.rules[index.ReplaceAllString(path, "")].allowed; allowed != "" && !strings.HasPrefix(allowed, kind) {
		kind += ": " + allowed
	} else if allowed != "" {
		kind = allowed
	}
	c.rejectFor(path, value, kind)
}

// unknown reports a key that does not exist. Its value is not shown: somebody
// may have put a secret behind a misspelt name.
func (c *checker) unknown(path string, known map[string]bool) {
	c.broken[path] = true
	names := sortedKeys(known)
	near, best := "see Pulumi.yaml", 4
	for _, name := range names {
		if d := distance(strings.ToLower(path), strings.ToLower(name)); d < best {
			near, best = name+" (did you mean that?)", d
		}
	}
	c.mistakes = append(c.mistakes, &Mistake{c.project + ":" + path, "a key that does not exist", strings.Join(names, ", "), near})
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func prefixed(path string, names map[string]bool) map[string]bool {
	out := map[string]bool{}
	for name := range names {
		out[join(path, name)] = true
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

// distance is the number of letters to change, add or drop to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range a {
		last := row[0]
		row[0] = i + 1
		for j := range b {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, last+1)
		}
	}
	return row[len(b)]
}
