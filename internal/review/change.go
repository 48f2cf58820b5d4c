package review

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

// Change is one value that differs.
type Change struct {
	Path     string `json:"path"`
	Old      string `json:"old"`                // empty: not there
	New      string `json:"new"`                // empty: not there
	Replaces bool   `json:"replaces,omitempty"` // this is why the resource is replaced
}

// longest a printed value may be, in bytes; what is longer is cut around its first difference.
const longest = 400

// changesOf lists what differs in a step, down to the single value, sorted by path.
func changesOf(m apitype.StepEventMetadata) []Change {
	if m.Old == nil || m.New == nil {
		return nil
	}
	d := differ{typ: m.Type}
	for path, diff := range m.DetailedDiff {
		old := at(m.Old.Inputs, path)
		if !diff.InputDiff {
			// The value found counts, where it is told: an input may be older than what is there.
			if found := at(m.Old.Outputs, path); found != nil {
				old = found
			}
		}
		d.replaces = strings.HasSuffix(string(diff.Kind), "replace")
		d.at(path, old, at(m.New.Inputs, path))
	}
	if m.DetailedDiff == nil {
		for _, key := range m.Diffs {
			d.replaces = slices.Contains(m.Keys, key)
			d.at(key, at(m.Old.Inputs, key), at(m.New.Inputs, key))
		}
	}
	return d.sorted()
}

// differ collects what differs in the values of one resource.
type differ struct {
	typ      string
	replaces bool
	found    []Change
}

// at notes what differs below a path; where nothing is seen to, that the property is said to.
func (d *differ) at(path string, old, new any) {
	before := len(d.found)
	d.walk(path, old, new)
	if len(d.found) == before {
		d.add(path, old, new)
	}
}

func (d *differ) walk(path string, old, new any) {
	if isSecret(old) || isSecret(new) {
		d.secrets(path, old, new)
		return
	}
	if o, n, ok := documents(old, new); ok {
		old, new = o, n
	}
	// What comes or goes as a whole is walked too: a name inside it may say that its value is not for readers.
	if o, n, ok := both[map[string]any](old, new); ok {
		for _, key := range keysOf(o, n) {
			d.walk(join(path, key), o[key], n[key])
		}
		return
	}
	if o, n, ok := both[[]any](old, new); ok {
		if o, n, ok := byName(o, n); ok {
			for _, name := range keysOf(o, n) {
				d.walk(path+"["+strconv.Quote(name)+"]", o[name], n[name])
			}
			return
		}
		for i := range max(len(o), len(n)) {
			d.walk(path+"["+strconv.Itoa(i)+"]", item(o, i), item(n, i))
		}
		return
	}
	if !reflect.DeepEqual(old, new) {
		d.add(path, old, new)
	}
}

// secrets goes into maps with a secret in them, so that what stands beside it can be seen to differ. Whether a blinded
// value differs cannot be seen, so one that stands on both sides is left out unless it is all there is.
func (d *differ) secrets(path string, old, new any) {
	o, oldMap := old.(map[string]any)
	n, newMap := new.(map[string]any)
	if !oldMap || !newMap || o[resource.SigKey] != nil || n[resource.SigKey] != nil {
		if !reflect.DeepEqual(old, new) {
			d.add(path, old, new)
		}
		return
	}
	for _, key := range keysOf(o, n) {
		d.walk(join(path, key), o[key], n[key])
	}
}

func (d *differ) add(path string, old, new any) {
	c := Change{Path: path, Replaces: d.replaces}
	c.Old, c.New = pair(d.typ, path, old, new)
	c.Old, c.New = shorten(c.Old, c.New)
	d.found = append(d.found, c)
}

func (d *differ) sorted() []Change {
	slices.SortFunc(d.found, func(a, b Change) int { return strings.Compare(a.Path, b.Path) })
	return slices.CompactFunc(d.found, func(a, b Change) bool { return a.Path == b.Path })
}

// both gives two values of one kind; one of them may be missing.
func both[T any](old, new any) (o, n T, ok bool) {
	o, isOld := old.(T)
	n, isNew := new.(T)
	return o, n, isOld && isNew || isOld && new == nil || isNew && old == nil
}

// byName gives two lists of things with names, such as variables: what is added in front changes no other, and a name
// may say that its value is not for readers.
func byName(old, new []any) (o, n map[string]any, ok bool) {
	lists := [2]map[string]any{{}, {}}
	for i, list := range [][]any{old, new} {
		for _, inner := range list {
			thing, _ := inner.(map[string]any)
			name, named := thing["name"].(string)
			if _, twice := lists[i][name]; !named || twice {
				return nil, nil, false
			}
			lists[i][name] = thing
		}
	}
	return lists[0], lists[1], len(old)+len(new) > 0
}

// documents opens two texts that are both JSON documents, as policies and container definitions are.
func documents(old, new any) (any, any, bool) {
	o, ok := document(old)
	if !ok {
		return nil, nil, false
	}
	n, ok := document(new)
	return o, n, ok
}

func document(v any) (any, bool) {
	text, ok := v.(string)
	if !ok || text == "" || (text[0] != '{' && text[0] != '[') {
		return nil, false
	}
	var parsed any
	return parsed, json.Unmarshal([]byte(text), &parsed) == nil
}

// shorten cuts two long values around the first place where they differ.
func shorten(old, new string) (string, string) {
	same := 0
	for same < len(old) && same < len(new) && old[same] == new[same] {
		same++
	}
	start := 0
	if same > longest/2 && (len(old) > longest || len(new) > longest) {
		start = same - longest/4
	}
	return cut(old, start), cut(new, start)
}

func cut(text string, start int) string {
	if start >= len(text) {
		start = max(0, len(text)-longest/4)
	}
	head, tail := "", ""
	if start > 0 {
		head = "…"
	}
	if len(text)-start > longest {
		text, tail = text[:start+longest], "…"
	}
	return strings.ToValidUTF8(head+text[start:]+tail, "")
}

// at finds the value of a path such as `rows[2].name` or `tags["a.b"]`.
func at(values map[string]any, path string) any {
	parsed, err := resource.ParsePropertyPath(path)
	if err != nil {
		return values[path]
	}
	var v any = values
	for _, step := range parsed {
		switch in := v.(type) {
		case map[string]any:
			if in[resource.SigKey] != nil {
				return in // a secret hides all that is in it
			}
			key, ok := step.(string)
			if !ok {
				return nil
			}
			v = in[key]
		case []any:
			i, ok := step.(int)
			if !ok || i < 0 {
				return nil
			}
			v = item(in, i)
		case string:
			if in == plugin.UnknownStringValue {
				return in // what is in it is not known either
			}
			return nil
		default:
			return nil
		}
	}
	return v
}

func item(list []any, i int) any {
	if i < len(list) {
		return list[i]
	}
	return nil
}

func keysOf(a, b map[string]any) []string {
	all := map[string]any{}
	maps.Copy(all, a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

// join writes a key as the engine writes paths.
func join(path, key string) string {
	if strings.ContainsAny(key, `.[]"`) {
		return path + "[" + strconv.Quote(key) + "]"
	}
	return path + "." + key
}
