package rowfile_test

import (
	"bytes"
	stdcsv "encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plan-charge/provider/internal/rowfile"
	"plan-charge/provider/internal/value"
)

func write(t testing.TB, name, text string) rowfile.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return rowfile.File{Path: path, Keys: []string{"id"}}
}

// read returns the rows of a file as lines of number: values, and its problems.
func read(f rowfile.File) (rows, problems string) {
	r := rowfile.Open(f)
	defer r.Close()
	var b strings.Builder
	for r.Next() {
		fmt.Fprintf(&b, "%d:", r.Row().Line)
		for i, c := range r.Columns {
			typ := value.Type{Name: "text", Base: "text"}
			if c == "doc" {
				typ = value.Type{Name: "jsonb", Base: "jsonb"}
			}
			if c == "list" {
				typ = value.Type{Name: "text[]", Base: "_text", Element: "text"}
			}
			text, err := r.Row().Text(i, typ)
			switch {
			case err != nil:
				fmt.Fprintf(&b, " !%v", err)
			case text == nil:
				b.WriteString(" NULL")
			default:
				fmt.Fprintf(&b, " %q", *text)
			}
		}
		b.WriteString("\n")
	}
	var lines []string
	for _, p := range r.Problems() {
		lines = append(lines, p.String())
	}
	return b.String(), strings.Join(lines, "\n")
}

func TestFilesAreRead(t *testing.T) {
	for name, tc := range map[string]struct{ file, text, want string }{
		"csv":                      {"a.csv", "id,name\n1,a\n2,\n3,\"\"\n", "2: \"1\" \"a\"\n3: \"2\" NULL\n4: \"3\" \"\"\n"},
		"csv, quotes":              {"a.csv", "id,name\r\n1,\"a \"\"b\"\"\nc\"\r\n2,x\"y,z\"w", "2: \"1\" \"a \\\"b\\\"\\nc\"\n4: \"2\" \"xy,zw\"\n"},
		"csv, spaces are kept":     {"a.csv", "id,name\n1, a \n", "2: \"1\" \" a \"\n"},
		"csv, what COPY escapes":   {"a.csv", "id,name\n1,\\N\n2,\\.\n", "2: \"1\" \"\\\\N\"\n3: \"2\" \"\\\\.\"\n"},
		"csv without rows":         {"a.csv", "id,name\n", ""},
		"json lines":               {"a.jsonl", "{\"id\": 9007199254740993, \"name\": null}\n\n{\"name\": \"é\", \"id\": 2}", "1: \"9007199254740993\" NULL\n3: \"2\" \"é\"\n"},
		"json lines, documents":    {"a.jsonl", `{"id": 1, "doc": {"n": 1.10}, "list": ["a", 2]}`, "1: \"1\" \"{\\\"n\\\":1.10}\" \"{\\\"a\\\",\\\"2\\\"}\"\n"},
		"yaml":                     {"a.yaml", "# rows\n---\n- id: 1\n  name: |\n    a\n    b\n\n- {id: 0x10, name: 2024-01-01}\n", "3: \"1\" \"a\\nb\\n\"\n8: \"16\" \"2024-01-01\"\n"},
		"yaml, numbers and a list": {"a.yml", "- {id: 12345678901234567890123, name: .inf, list: [yes, a]}\n- {id: 1.50, name: ~, list: null}\n", "1: \"12345678901234567890123\" \"Infinity\" \"{\\\"yes\\\",\\\"a\\\"}\"\n2: \"1.50\" NULL NULL\n"},
		"yaml without rows":        {"a.yaml", "[]\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, problems := read(write(t, tc.file, tc.text))
			if got != tc.want || problems != "" {
				t.Errorf("got:\n%s%s\nwant:\n%s", got, problems, tc.want)
			}
		})
	}
}

func TestColumnsThatNeedNotBeNamed(t *testing.T) {
	f := write(t, "a.jsonl", "{\"id\": 1}\n{\"id\": 2, \"name\": \"a\"}\n")
	f.Filled = []string{"name", "other"}
	if got, problems := read(f); got != "1: \"1\" NULL NULL\n2: \"2\" \"a\" NULL\n" || problems != "" {
		t.Errorf("got:\n%s%s", got, problems)
	}
}

func TestMistakesInFilesAreNamed(t *testing.T) {
	for name, tc := range map[string]struct{ file, text, want string }{
		"another kind of file":        {"a.txt", "x", "has to end in .csv"},
		"empty":                       {"a.csv", "", "the file is empty"},
		"byte-order mark":             {"a.csv", "\xef\xbb\xbfid\n1\n", "line 1: begins with a byte-order mark"},
		"utf-16":                      {"a.csv", "\xff\xfei\x00d\x00", "line 1: is UTF-16"},
		"not utf-8":                   {"a.csv", "id,name\n1,a\n2,caf\xe9\n", `line 3, column name, value "caf\\xe9": is not valid UTF-8`},
		"not utf-8 in the header":     {"a.csv", "id,n\xe9\n1,a\n", "line 1, value "},
		"a zero byte":                 {"a.csv", "id,name\n1,\"a\n\x00\"\n", "line 3, column name: holds a zero byte"},
		"ragged":                      {"a.csv", "id,name\n1,a,b\n2\n\n3,c\n", "line 2: has 3 values, but the file has 2 columns\nline 3: has 1 values, but the file has 2 columns\nline 4: has 1 values"},
		"a column twice":              {"a.csv", "id,name,name\n1,a,b\n", "line 1, column name: is there a second time"},
		"a column without a name":     {"a.csv", "id,\n1,a\n", "line 1: column 2 has no name"},
		"no key column":               {"a.csv", "name\na\n", "line 1, column id: the key column is missing; the file has name"},
		"no key":                      {"a.csv", "id,name\n,a\n", "line 2, column id: is NULL, but it is a key column"},
		"a quote that never closes":   {"a.csv", "id,name\n1,\"a\n2,b\n", "line 2: has a quote that never closes"},
		"a carriage return":           {"a.csv", "id,name\n1,a\rb\n", "line 2: has a carriage return inside"},
		"json: not an object":         {"a.jsonl", "{\"id\": 1}\n[2]\n{\"id\": \n{\"id\": 3} {}\n", "line 2, value \"[2]\": is no JSON object, such as"},
		"json: the second is no json": {"a.jsonl", "{\"id\": 1}\n{\"id\": \n{\"id\": 3} {}\n", "line 2, value \"{\\\"id\\\":\": is no whole JSON object: a row stands on one line\nline 3, value \"{\\\"id\\\": 3} {}\": has something after the object"},
		"json: ragged":                {"a.jsonl", "{\"id\": 1, \"a\": 1}\n{\"id\": 2, \"b\": 1}\n{\"id\": 3, \"id\": 4, \"a\": 1}\n", "line 2, column b: is not in the first row, which has id, a\nline 2, column a: is missing: each row has the columns of the first one (write null, or name the column in columns)\nline 3, column id: is there a second time"},
		"json: a list as the key":     {"a.jsonl", "{\"id\": [1]}\n", "line 1, column id: holds a list or an object"},
		"json: blank":                 {"a.jsonl", "\n \n", "the file has no row"},
		"yaml: an object":             {"a.yaml", "id: 1\n", `line 1, value "id: 1": is no row`},
		"yaml: a second document":     {"a.yaml", "- id: 1\n---\nid: 2\n", `line 2, value "---": is no row`},
		"yaml: an alias":              {"a.yaml", "- id: &a 1\n- id: *a\n", "line 1, column id: has an anchor or alias"},
		"yaml: broken":                {"a.yaml", "- id: 1\n- id: [\n", "line 2: is no YAML"},
		"yaml: a scalar":              {"a.yaml", "- id: 1\n- 2\n", "line 2: is no object"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, problems := read(write(t, tc.file, tc.text)); !strings.Contains(problems, tc.want) {
				t.Errorf("got:\n%s\nwant:\n%s", problems, tc.want)
			}
		})
	}
	if _, problems := read(rowfile.File{Path: "nowhere/a.csv"}); !strings.Contains(problems, "there is no such file (looked for from /") {
		t.Error(problems)
	}
	if _, problems := read(write(t, "a.csv", "id,name\n"+strings.Repeat(",\n", 100))); strings.Count(problems, "\n")+1 != rowfile.MaxProblems {
		t.Errorf("as many problems as %d", strings.Count(problems, "\n")+1)
	}
}

func TestTheDigestIsThatOfTheWholeFile(t *testing.T) {
	f := write(t, "a.csv", "id\n1\n2\n")
	r := rowfile.Open(f)
	for r.Next() {
	}
	r.Close()
	if digest, err := rowfile.Digest(f.Path); err != nil || digest != r.Digest() || !strings.HasPrefix(digest, "sha256:") {
		t.Errorf("%s, %s, %v", digest, r.Digest(), err)
	}
}

// FuzzCSV compares with another reader where the two agree on what CSV is: quotes around whole values only.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"1,a\n", "1,\"a\"\"b\"\n2,\n", "\"1\",\"\n\"\r\n", "1,a\"b\n", ",,,\n", "\"", "1,\xff\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := write(t, "a.csv", "id,name\n"+text)
		got, problems := read(file)
		other := stdcsv.NewReader(strings.NewReader("id,name\n" + text))
		records, err := other.ReadAll()
		if err != nil || problems != "" || strings.ContainsAny(text, "\r\x00") || strings.Contains(text, "\n\n") {
			return
		}
		var b bytes.Buffer
		for _, record := range records[1:] {
			for _, v := range record {
				fmt.Fprintf(&b, " %q", v)
			}
			b.WriteByte('\n')
		}
		var values bytes.Buffer
		for line := range strings.Lines(strings.ReplaceAll(got, " NULL", ` ""`)) {
			_, v, _ := strings.Cut(line, ":")
			values.WriteString(v)
		}
		if values.String() != b.String() {
			t.Errorf("%q:\ngot  %q\nwant %q", text, values.String(), b.String())
		}
	})
}

// FuzzFiles looks that no file makes a reader fail or go on for ever, and that no row comes twice.
func FuzzFiles(f *testing.F) {
	for _, seed := range []string{"id\n1\n", "{\"id\": 1}\n{}\n", "- id: 1\n- id: [\n", "- {id: 1, a: &x {b: *x}}\n", "[]", "\x00", "- id: !!binary x\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, name := range []string{"a.csv", "a.jsonl", "a.yaml"} {
			r := rowfile.Open(write(t, name, text))
			line := 0
			for r.Next() {
				if r.Row().Line <= line || r.Row().Line > strings.Count(text, "\n")+1 {
					t.Fatalf("%s: line %d after %d of %q", name, r.Row().Line, line, text)
				}
				line = r.Row().Line
				for i := range r.Columns {
					_, _ = r.Row().AppendCopy(nil, i, value.Type{Name: "jsonb", Base: "jsonb"})
				}
			}
			r.Close()
		}
	})
}
