package rowid_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"plan-charge/provider/internal/rowid"
)

func TestLabel(t *testing.T) {
	for _, c := range []struct {
		columns, values []string
		want            string
	}{
		{[]string{"id"}, []string{"1"}, "id=1"},
		{[]string{"id"}, []string{"ABCDEF00-0000-0000-0000-00000000000A"}, "id=abcdef00-0000-0000-0000-00000000000a"},
		{[]string{"tenant", "code"}, []string{"Größe", "a b"}, "tenant=Größe,code=a b"},
		{[]string{"id"}, []string{`a,b=c"\[]%` + "\n"}, "id=a%2Cb%3Dc%22%5C%5B%5D%25%0A"},
		{[]string{"id"}, []string{""}, "id="},
	} {
		if got := rowid.Label(c.columns, c.values); got != c.want {
			t.Errorf("%v %v: got %s, want %s", c.columns, c.values, got, c.want)
		}
	}
}

// FuzzLabel: different keys have different labels, and a label survives as a part of a property path.
func FuzzLabel(f *testing.F) {
	f.Add("id", "1", "id", "2")
	f.Add("a", "b,c=d", "a,c", "b\\\"")
	f.Add("a", "%2C", "a", ",")
	f.Add("a", "\xff", "a", "\ufffd")
	f.Fuzz(func(t *testing.T, c1, v1, c2, v2 string) {
		one, two := rowid.Label([]string{c1, c2}, []string{v1, v2}), rowid.Label([]string{c1, c2}, []string{v2, v1})
		if one == two && !strings.EqualFold(v1, v2) {
			t.Errorf("%q and %q share the label %q", []string{v1, v2}, []string{v2, v1}, one)
		}
		if single := rowid.Label([]string{c1}, []string{v1}); c1 != c2 && single == rowid.Label([]string{c2}, []string{v2}) {
			t.Errorf("%q=%q and %q=%q share a label", c1, v1, c2, v2)
		}
		path := resource.PropertyPath{"rows", one, "x"}
		parsed, err := resource.ParsePropertyPath(path.String())
		if err != nil || !reflect.DeepEqual(parsed, path) {
			t.Errorf("path %s reads as %#v (%v)", path, parsed, err)
		}
	})
}

func FuzzID(f *testing.F) {
	f.Add("public", "organizations", "id", "", "", "created_at", "updated_at", "deleted_at")
	f.Add("we\"ird; --", "ta.b/l?e", "k,e&y=", "%2E", "ü", "+", " ", "")
	f.Fuzz(func(t *testing.T, schema, table, key1, key2, column, created, updated, deleted string) {
		if schema == "" || table == "" || key1 == "" {
			return
		}
		id := rowid.ID{Schema: schema, Table: table, KeyColumns: []string{key1}, CreatedAtColumn: created, UpdatedAtColumn: updated, SoftDeleteColumn: deleted}
		if key2 != "" && key2 != key1 {
			id.KeyColumns = append(id.KeyColumns, key2)
		}
		if column != "" {
			id.Columns = []string{column}
		}
		got, err := rowid.ParseID(id.String())
		if err != nil || !reflect.DeepEqual(got, id) {
			t.Errorf("%s reads as %+v (%v), want %+v", id, got, err, id)
		}
	})
}

func FuzzParseID(f *testing.F) {
	for _, s := range []string{"", "a", "a/b", "a.b/c", "a.b.c/d", "a/b?", "a/b?columns=", "a/b?columns=c&columns=d", "%zz/a", "a/b,b", "a//b", "a/b?softDeleteColumn=%00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := rowid.ParseID(s)
		if err != nil {
			if !strings.Contains(err.Error(), "schema.table/key1,key2") {
				t.Errorf("%q: the error does not say what the form is: %v", s, err)
			}
			return
		}
		again, err := rowid.ParseID(id.String())
		if err != nil || !reflect.DeepEqual(again, id) {
			t.Errorf("%q reads as %+v, which reads as %+v (%v)", s, id, again, err)
		}
	})
}
