package resource_test

import (
	"fmt"
	"strings"
	"testing"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// columnTypes are types of columns, each with a declared value and another one as somebody would write it in SQL.
var columnTypes = []struct{ typ, declared, byHand string }{
	{"smallint", `-32768`, `7`},
	{"integer", `2147483647`, `7`},
	{"bigint", `"9223372036854775807"`, `9223372036854775806`},
	{"numeric", `"123456789012345678901234567890.123456789"`, `7`},
	{"numeric(12,4)", `1.5`, `1.5001`},
	{"numeric", `"NaN"`, `'Infinity'`},
	{"real", `0.1`, `0.2`},
	{"double precision", `0.30000000000000004`, `0.3`},
	{"double precision", `"Infinity"`, `'-Infinity'`},
	{"money", `"$1,234.50"`, `'7'`},
	{"boolean", `true`, `false`},
	{"text", `" é漢😀\t\n\\N\\. "`, `' é漢😀'`},
	{"text", `""`, `NULL`},
	{"varchar", `"a "`, `'a'`},
	{"varchar(5)", `"abcde"`, `'Abcde'`},
	{"char(5)", `"ab"`, `'ba'`},
	{`"char"`, `"x"`, `'y'`},
	{"name", `"a_name"`, `'b_name'`},
	{`text COLLATE "C"`, `"a"`, `'A'`},
	{"folding_text", `"a"`, `'A'`},
	{"bytea", `"\\x00ff"`, `'\x00fe'`},
	{"uuid", `"00000000-0000-0000-0000-00000000000a"`, `'00000000-0000-0000-0000-00000000000b'`},
	{"date", `"2024-02-29"`, `'2024-03-01'`},
	{"date", `"infinity"`, `'-infinity'`},
	{"date", `"0044-03-15 BC"`, `'0043-03-15 BC'`},
	{"time", `"12:34:56.789"`, `'12:34:56.788'`},
	{"time(0)", `"24:00:00"`, `'00:00:00'`},
	{"timetz", `"12:00:00+02"`, `'10:00:00+00'`},
	{"timestamp", `"2024-05-01 12:00:00.000001"`, `'2024-05-01 12:00:00'`},
	{"timestamp(0)", `"2024-05-01 12:00:00"`, `'2024-05-01 12:00:01'`},
	{"timestamptz", `"2024-05-01T12:00:00+02:00"`, `'2024-05-01 12:00:00+00'`},
	{"interval", `"1 mon"`, `'30 days'`},
	{"interval", `"1 day"`, `'24:00:00'`},
	{"interval day to second", `"1 day 02:03:04"`, `'1 day 02:03:05'`},
	{"inet", `"10.0.0.1/24"`, `'10.0.0.1'`},
	{"cidr", `"10.0.0.0/8"`, `'10.0.0.0/9'`},
	{"macaddr", `"08:00:2b:01:02:03"`, `'08:00:2b:01:02:04'`},
	{"macaddr8", `"08:00:2b:01:02:03:04:05"`, `'08:00:2b:01:02:03:04:06'`},
	{"bit(4)", `"1010"`, `'1011'`},
	{"bit varying(8)", `"101"`, `'1010'`},
	{"json", `{"b": [1, null, {"c": "é"}], "a": 1.5}`, `'{"b": [1, null, {"c": "e"}], "a": 1.5}'`},
	{"jsonb", `{"b": [1, null], "a": "x"}`, `'{"b": [1], "a": "x"}'`},
	{"jsonb", `"null"`, `NULL`},
	{"jsonpath", `"$.\"a\"[*]?(@ > 1)"`, `'$."a"'`},
	{"xml", `"<a>b</a>"`, `'<a>c</a>'`},
	{"point", `"(1,2)"`, `'(1,2.5)'`},
	{"line", `"{1,2,3}"`, `'{1,2,4}'`},
	{"lseg", `"[(0,0),(1,1)]"`, `'[(1,1),(0,0)]'`},
	{"box", `"(1,1),(0,0)"`, `'(2,1),(1,0)'`},
	{"path", `"((0,0),(1,1))"`, `'[(0,0),(1,1)]'`},
	{"polygon", `"((0,0),(1,1),(1,0))"`, `'((0,0),(1,1),(2,0))'`},
	{"circle", `"<(0,0),1>"`, `'<(1,0),1>'`},
	{"tsvector", `"'cat':1 'rat':2"`, `'cat'`},
	{"tsquery", `"'cat' & 'rat'"`, `'cat'`},
	{"int4range", `"[1,5)"`, `'[1,6)'`},
	{"int8range", `"empty"`, `'[1,6)'`},
	{"numrange", `"[1.5,2]"`, `'[1.5,2)'`},
	{"tsrange", `"[2024-01-01 00:00:00,)"`, `'[2024-01-02,)'`},
	{"tstzrange", `"[2024-01-01T00:00:00Z,2025-01-01T00:00:00Z)"`, `'[2024-01-01Z,)'`},
	{"daterange", `"[2024-01-01,2024-02-01)"`, `'[2024-01-01,2024-02-02)'`},
	{"int4multirange", `"{[1,3),[5,7)}"`, `'{[1,7)}'`},
	{"tstzmultirange", `"{}"`, `'{[2024-01-01Z,)}'`},
	{"oid", `4000000000`, `7`},
	{"regclass", `"pg_class"`, `'pg_type'`},
	{"regtype", `"integer"`, `'text'`},
	{"pg_lsn", `"16/B374D848"`, `'0/0'`},
	{"pg_snapshot", `"10:20:10,14,15"`, `'10:20:'`},
	{"xid8", `"42"`, `'43'`},
	{"tid", `"(1,2)"`, `'(1,3)'`},
	{"refcursor", `"a cursor"`, `'other'`},
	{"int[]", `[1, null, 3]`, `'{1,2,3}'`},
	{"int[]", `[]`, `NULL`},
	{"int[][]", `[[1, 2], [3, 4]]`, `'{{1,2},{3,5}}'`},
	{"bigint[]", `["9223372036854775807"]`, `'{7}'`},
	{"numeric(6,2)[]", `["1.25"]`, `'{1.26}'`},
	{"text[]", `["a,b", "{}", "", "NULL", null, "\"\\"]`, `'{a}'`},
	{"varchar(3)[]", `["abc"]`, `'{ABC}'`},
	{"boolean[]", `[true, false]`, `'{f,t}'`},
	{"uuid[]", `["00000000-0000-0000-0000-00000000000a"]`, `'{}'`},
	{"timestamptz[]", `["2024-05-01T12:00:00Z"]`, `'{2024-05-02}'`},
	{"interval[]", `["1 mon"]`, `'{30 days}'`},
	{"bytea[]", `["\\x00"]`, `'{"\\x01"}'`},
	{"jsonb[]", `[{"a": 1}, [2], "\"t\""]`, `ARRAY['{"a": 2}']::jsonb[]`},
	{"json[]", `[{"a": 1}]`, `ARRAY['{"a": 2}']::json[]`},
	{"box[]", `["(1,1),(0,0)", "(2,2),(1,1)"]`, `'{(1,1),(0,0)}'`},
	{"point[]", `["(1,2)"]`, `ARRAY['(1,3)']::point[]`},
	{"inet[]", `["10.0.0.1"]`, `'{10.0.0.2}'`},
	{"int4range[]", `["[1,5)"]`, `'{"[1,6)"}'`},
	{"mood", `"ok"`, `'sad'`},
	{"mood[]", `["ok", "sad"]`, `'{sad}'`},
	{"short", `"abc"`, `'abd'`},
	{"short[]", `["abc"]`, `'{abd}'`},
	{"filled", `"a"`, `'b'`},
	{"pair", `"(1,\"a b\")"`, `'(1,"a c")'`},
	{"pair", `"(,)"`, `NULL`},
	{"pair[]", `["(1,a)", null]`, `ARRAY['(2,a)']::pair[]`},
	{"ext.citext", `"Abc"`, `'aBC'`},
	{"ext.citext[]", `["Abc"]`, `'{aBC}'`},
	{"ext.hstore", `"\"a\"=>\"1\", \"b\"=>NULL"`, `'a=>1'`},
	{"ext.hstore[]", `["\"a\"=>\"1\""]`, `ARRAY['a=>2']::ext.hstore[]`},
	{"ext.ltree", `"Top.Science"`, `'Top.Arts'`},
}

// TestColumnTypes writes a row with a column of each type. A refresh finds it as it was written and as an import reads it,
// sees each column that somebody changed, and the next update heals it.
func TestColumnTypes(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext; CREATE EXTENSION ltree SCHEMA ext;
		CREATE TYPE mood AS ENUM ('sad', 'ok'); CREATE DOMAIN short AS varchar(5) CHECK (VALUE <> 'bad'); CREATE DOMAIN filled AS text NOT NULL;
		CREATE TYPE pair AS (a int, b text); CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		CREATE DOMAIN folding_text AS text COLLATE folding`)
	var columns, values, live, heal []string
	for i, c := range columnTypes {
		columns = append(columns, fmt.Sprintf("c%d %s", i, c.typ))
		values = append(values, fmt.Sprintf(`"c%d": %s`, i, c.declared))
		live = append(live, fmt.Sprintf("c%d = %s", i, c.byHand))
		heal = append(heal, fmt.Sprintf("c%d::text", i))
	}
	w.db.Exec(fmt.Sprintf("CREATE TABLE all_types (id int PRIMARY KEY, %s)", strings.Join(columns, ", ")))
	program := table("all_types", fmt.Sprintf(`{"id": 1, %s}`, strings.Join(values, ", ")))
	s := w.create(program)
	text := fmt.Sprintf("SELECT array_to_string(ARRAY[%s], '|', 'NULL') FROM all_types", strings.Join(heal, ", "))
	written := w.db.Text(text)
	of := func(drift string) string { // names the types of what differs
		for i := len(columnTypes) - 1; i >= 0; i-- {
			drift = strings.ReplaceAll(drift, fmt.Sprintf(".c%d", i), fmt.Sprintf(".c%d (%s)", i, columnTypes[i].typ))
		}
		return drift
	}
	_, drift := w.refresh(s)
	equal(t, "refresh after the write", of(drift), "")
	resp, err := w.server.Read(p.ReadRequest{ID: "public.all_types/id", Urn: rowsURN})
	if err != nil {
		t.Fatal(err)
	}
	imported := resourceState{resp.ID, resp.Inputs, resp.Properties}
	imported.inputs = w.check(imported.inputs)
	_, drift = w.refresh(imported)
	equal(t, "refresh of an import", of(drift), "")

	w.db.Exec("UPDATE all_types SET " + strings.Join(live, ", "))
	changed, drift := w.refresh(s)
	for i, c := range columnTypes {
		if !strings.Contains("\n"+drift+"\n", fmt.Sprintf("\nupdate rows[\"id=1\"].c%d\n", i)) {
			t.Errorf("a change of %s from %s to %s is not seen", c.typ, c.declared, c.byHand)
		}
	}
	s = w.update(changed, program)
	equal(t, "healed", w.db.Text(text), written)
	_, drift = w.refresh(s)
	equal(t, "refresh after healing", of(drift), "")
	equal(t, "preview after healing", of(w.diff(s, w.check(program))), "")

	// What an import read can be written to an empty table.
	w.db.Exec("DELETE FROM all_types")
	again := newWorldIn(t, w.db)
	again.create(imported.inputs.Set("onRemove", property.New("retain")))
	equal(t, "written from an import", w.db.Text(text), written)
}
