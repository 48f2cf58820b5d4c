package resource_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/pgtest"
)

const (
	organizationsTable = `CREATE TABLE organizations (
		id uuid PRIMARY KEY, name text NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL, deleted_at timestamptz)`
	one, two, three = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-000000000002", "00000000-0000-0000-0000-000000000003"
)

func organizations(rows string) property.Map {
	return obj(`{"table": "organizations", "keyColumns": ["id"], "createdAtColumn": "created_at", "updatedAtColumn": "updated_at",
		"softDeleteColumn": "deleted_at", "rows": [` + rows + `]}`)
}

func organization(id, name string) string { return fmt.Sprintf(`{"id": %q, "name": %q}`, id, name) }

// rewind moves the owned times back, so that a later now() differs.
const rewind = `UPDATE organizations SET created_at = '2020-01-01', updated_at = '2020-01-01'`

const organizationsNow = `SELECT right(id::text, 2), name, created_at = '2020-01-01' AS kept, updated_at = '2020-01-01' AS untouched, deleted_at IS NOT NULL FROM organizations ORDER BY id`

func TestLifeOfReferenceRows(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(organizationsTable)
	w.db.Exec(`INSERT INTO organizations VALUES ('` + one + `', 'NDA Partners', now(), now(), NULL), ('` + three + `', 'Not ours', now(), now(), NULL)`)
	w.db.Exec(rewind)
	program := organizations(organization(one, "NDA Partners") + "," + organization(two, "Default Organization"))

	// Creating adopts the row that is there and equal without touching it, and inserts the other.
	s := w.create(program)
	equal(t, "created", w.db.Text(organizationsNow), "02|Default Organization|false|false|false\n03|Not ours|true|true|false\n0a|NDA Partners|true|true|false")
	equal(t, "id", s.id, "public.organizations/id")
	equal(t, "second preview", w.diff(s, w.check(program)), "")

	_, drift := w.refresh(s)
	equal(t, "refresh after up", drift, "")

	w.db.Exec(rewind)
	w.db.Exec(`UPDATE organizations SET name = 'x', deleted_at = '2024-02-03 04:05:06Z' WHERE id = '` + one + `'; DELETE FROM organizations WHERE id = '` + two + `'`)
	drifted, drift := w.refresh(s)
	equal(t, "refresh", drift, `add rows["id=`+two+"\"]\n"+`update rows["id=`+one+`"].deleted_at`+"\n"+`update rows["id=`+one+`"].name`)
	equal(t, "what refresh saw", show(drifted.state.Get("rows")), `{"id=`+one+`":{"deleted_at":"2024-02-03 04:05:06+00","id":"`+one+`","name":"x"}}`)
	_, again := w.refresh(drifted)
	equal(t, "refresh again", again, drift)

	healed := w.update(drifted, program)
	equal(t, "healed", w.db.Text(organizationsNow), "02|Default Organization|false|false|false\n03|Not ours|true|true|false\n0a|NDA Partners|true|false|false")
	equal(t, "preview after healing", w.diff(healed, w.check(program)), "")

	w.db.Exec(rewind)
	w.update(healed, program)
	equal(t, "an update with nothing to do", w.db.Text(organizationsNow), "02|Default Organization|true|true|false\n03|Not ours|true|true|false\n0a|NDA Partners|true|true|false")
}

func TestRemovedRows(t *testing.T) {
	for onRemove, want := range map[string]string{
		"retain":     "02|B|true|true|false\n03|Not ours|true|true|false\n0a|A|true|true|false",
		"softDelete": "02|B|true|false|true\n03|Not ours|true|true|false\n0a|A|true|true|false",
		"delete":     "03|Not ours|true|true|false\n0a|A|true|true|false",
	} {
		t.Run(onRemove, func(t *testing.T) {
			w := newWorld(t)
			w.db.Exec(organizationsTable)
			w.db.Exec(`INSERT INTO organizations VALUES ('` + three + `', 'Not ours', now(), now(), NULL)`)
			both := organizations(organization(one, "A")+","+organization(two, "B")).Set("onRemove", property.New(onRemove))
			s := w.create(both)
			w.db.Exec(rewind)
			less := organizations(organization(one, "A")).Set("onRemove", property.New(onRemove))
			equal(t, "preview", w.diff(s, w.check(less)), `delete rows["id=`+two+`"]`)
			s = w.update(s, less)
			equal(t, "after the update", w.db.Text(organizationsNow), want)
			_, drift := w.refresh(s)
			equal(t, "drift", drift, "")

			w.db.Exec(rewind)
			if err := w.server.Delete(p.DeleteRequest{ID: s.id, Urn: rowsURN, Properties: s.state, OldInputs: s.inputs}); err != nil {
				t.Fatal(err)
			}
			left := w.db.Text(`SELECT right(id::text, 2), deleted_at IS NULL FROM organizations ORDER BY id`)
			equal(t, "after the delete", left, map[string]string{
				"retain": "02|true\n03|true\n0a|true", "softDelete": "02|false\n03|true\n0a|false", "delete": "03|true",
			}[onRemove])
		})
	}
}

func TestRowsAreRetainedUnlessToldOtherwise(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(organizationsTable)
	s := w.create(organizations(organization(one, "A") + "," + organization(two, "B")))
	equal(t, "onRemove", show(s.inputs.Get("onRemove")), `"retain"`)
	s = w.update(s, organizations(organization(one, "A")))
	equal(t, "after the update", w.db.Text(organizationNames), "02|B|false\n0a|A|false")
	if err := w.server.Delete(p.DeleteRequest{ID: s.id, Urn: rowsURN, Properties: s.state, OldInputs: s.inputs}); err != nil {
		t.Fatal(err)
	}
	equal(t, "after the delete", w.db.Text(organizationNames), "02|B|false\n0a|A|false")
}

const organizationNames = `SELECT right(id::text, 2), name, deleted_at IS NOT NULL FROM organizations ORDER BY id`

func TestDeleteWhereTheTableIsGone(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(organizationsTable)
	s := w.create(organizations(organization(one, "A")).Set("onRemove", property.New("delete")))
	w.db.Exec(`DROP TABLE organizations`)
	if err := w.server.Delete(p.DeleteRequest{ID: s.id, Urn: rowsURN, Properties: s.state}); err != nil {
		t.Error(err)
	}
}

func TestOnlyAMissingTableMeansGone(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(organizationsTable)
	s := w.create(organizations(organization(one, "A")))

	w.store.down = true
	kept, drift := w.refresh(s)
	equal(t, "unreachable: drift", drift, "update notSeen")
	equal(t, "unreachable: why", show(kept.state.Get("notSeen")), `"not seen: no connection to test: it is down"`)
	equal(t, "unreachable: state", show(property.New(kept.state.Delete("notSeen"))), show(property.New(s.state)))
	w.store.down = false
	again, drift := w.refresh(kept)
	equal(t, "reachable again", drift+show(property.New(again.state)), show(property.New(s.state)))
	equal(t, "after an update", show(property.New(w.update(kept, organizations(organization(one, "A"))).state)), show(property.New(s.state)))

	w.db.Exec(`REVOKE ALL ON organizations FROM owner`)
	kept, drift = w.refresh(s)
	equal(t, "SELECT refused: drift", drift, "update notSeen")
	if why := show(kept.state.Get("notSeen")); !strings.Contains(why, "permission denied for table organizations") {
		t.Errorf("SELECT refused: %s", why)
	}
	w.db.Exec(`GRANT ALL ON organizations TO owner`)

	w.db.Exec(`CREATE ROLE stranger_` + w.db.Settings.Database + `; ALTER TABLE organizations OWNER TO pg_database_owner; REVOKE ALL ON organizations FROM PUBLIC`)
	w.db.Exec(`ALTER TABLE organizations RENAME COLUMN id TO other`)
	if kept, _ = w.refresh(s); kept.id == "" {
		t.Error("a table without its key column counts as gone")
	}
	w.db.Exec(`DROP TABLE organizations`)
	if _, drift = w.refresh(s); drift != "gone" {
		t.Errorf("a dropped table: %s", drift)
	}
}

func TestColumnDroppedByHandIsDrift(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, label text)`)
	program := obj(`{"table": "items", "keyColumns": ["id"], "rows": [{"id": 1, "label": "a"}]}`)
	s := w.create(program)
	w.db.Exec(`ALTER TABLE items DROP COLUMN label`)
	live, drift := w.refresh(s)
	equal(t, "drift", drift, `add rows["id=1"].label`)
	checked := w.check(program)
	_, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: rowsURN, State: live.state, Inputs: checked})
	if err == nil || !strings.Contains(err.Error(), "column label: the column does not exist") {
		t.Errorf("got %v", err)
	}
}

const types = `CREATE TYPE mood AS ENUM ('sad', 'ok');
	CREATE DOMAIN short AS varchar(5) CHECK (VALUE <> 'bad');
	CREATE TABLE kinds (
		id int PRIMARY KEY, u uuid, t timestamptz, l timestamp, d date, n numeric, p numeric(10,2), f float8, b bool, x bytea, j jsonb, k json,
		a text[], i int[], m mood, s short, v varchar(5), c char(5), big bigint, iv interval, ip inet,
		g int GENERATED ALWAYS AS (id * 2) STORED)`

func kind(column, value string) property.Map {
	return obj(fmt.Sprintf(`{"table": "kinds", "keyColumns": ["id"], "rows": [{"id": 1, %q: %s}]}`, column, value))
}

// TestValuesAreComparedAsPostgreSQLDoes says for pairs of spellings whether a refresh and a preview take them as the same.
func TestValuesAreComparedAsPostgreSQLDoes(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(types)
	for _, c := range []struct {
		column, declared, live string
		same                   bool
		// unsure means that a preview alone may report a change that is none.
		unsure bool
	}{
		{"u", `"ABCDEF00-0000-0000-0000-00000000000A"`, `'abcdef00-0000-0000-0000-00000000000a'`, true, false},
		{"u", `"{abcdef000000000000000000-0000000a}"`, `'abcdef00-0000-0000-0000-00000000000a'`, true, false},
		{"u", `"abcdef00-0000-0000-0000-00000000000b"`, `'abcdef00-0000-0000-0000-00000000000a'`, false, false},
		{"t", `"2024-05-01T12:00:00+02:00"`, `'2024-05-01 10:00:00Z'`, true, false},
		{"t", `"2024-05-01 10:00:00"`, `'2024-05-01 10:00:00Z'`, true, false},
		{"t", `"2024-05-01T12:00:00+01:00"`, `'2024-05-01 10:00:00Z'`, false, false},
		{"l", `"2024-05-01T10:00:00.500"`, `'2024-05-01 10:00:00.5'`, true, false},
		{"d", `"2024-05-01"`, `'2024-05-01'`, true, false},
		{"n", `"1.50"`, `1.5`, true, false},
		{"n", `1.5`, `1.50`, true, false},
		{"n", `"1.5e3"`, `1500`, true, false},
		{"n", `1.51`, `1.5`, false, false},
		{"p", `"1.5"`, `1.50`, true, false},
		{"p", `1.504`, `1.50`, true, true},
		{"f", `0.1`, `0.1`, true, false},
		{"b", `true`, `true`, true, false},
		{"b", `"yes"`, `true`, true, false},
		{"b", `"off"`, `true`, false, false},
		{"x", `"\\xDEADBEEF"`, `'\xdeadbeef'`, true, false},
		{"j", `{"b": 1, "a": [1.0, "x"]}`, `'{"a": [1, "x"], "b": 1}'`, true, false},
		{"j", `"{\"b\": 1, \"a\": null}"`, `'{"a": null, "b": 1}'`, true, false},
		{"j", `{"b": 2}`, `'{"b": 1}'`, false, false},
		{"j", `"\"text\""`, `'"text"'`, true, false},
		{"k", `{"b": 1, "a": 2}`, `'{"a":2, "b":1}'`, true, false},
		{"a", `["a", "b c", "d\"e\\f", null, "NULL", "{}", ""]`, `ARRAY['a', 'b c', 'd"e\f', NULL, 'NULL', '{}', '']`, true, false},
		{"a", `[]`, `'{}'`, true, false},
		{"a", `["a"]`, `ARRAY['b']`, false, false},
		{"i", `[1, 2]`, `'{1,2}'`, true, false},
		{"i", `["01", 2]`, `'{1,2}'`, true, false},
		{"i", `[[1, 2], [3, null]]`, `'{{1,2},{3,NULL}}'`, true, false},
		{"m", `"ok"`, `'ok'`, true, false},
		{"s", `"abc"`, `'abc'`, true, false},
		{"s", `"Abc"`, `'abc'`, false, false},
		{"v", `"a "`, `'a'`, false, false},
		{"c", `"a  "`, `'a'`, true, true},
		{"big", `"9007199254740993"`, `9007199254740993`, true, false},
		{"big", `"9007199254740993"`, `9007199254740992`, false, false},
		{"iv", `"1 day"`, `'24:00:00'`, false, false},
		{"iv", `"1 mon"`, `'30 days'`, false, false},
		{"iv", `"24 hours"`, `'24:00:00'`, true, true},
		{"ip", `"10.0.0.1/32"`, `'10.0.0.1'`, true, true},
		{"m", `null`, `NULL`, true, false},
		{"m", `null`, `'ok'`, false, false},
		{"m", `"ok"`, `NULL`, false, false},
	} {
		t.Run(c.column+" "+c.declared+" "+c.live, func(t *testing.T) {
			w.t = t
			w.db.Exec(`TRUNCATE kinds`)
			s := w.create(kind(c.column, c.declared))
			w.db.Exec(fmt.Sprintf(`UPDATE kinds SET %s = %s`, c.column, c.live))
			live, drift := w.refresh(s)
			if same := drift == ""; same != c.same {
				t.Errorf("refresh says %q", drift)
			}
			// The same again without a connection: an import reads the live spelling, and a preview compares it with the declared one.
			resp, err := w.server.Read(p.ReadRequest{ID: "public.kinds/id?columns=" + c.column, Urn: rowsURN})
			if err != nil {
				t.Fatal(err)
			}
			w.store.down = true
			defer func() { w.store.down = false }()
			preview := w.diff(resourceState{resp.ID, resp.Inputs, resp.Properties}, w.check(kind(c.column, c.declared)))
			if same := preview == ""; same != c.same && !c.unsure {
				t.Errorf("preview says %q about %s", preview, show(resp.Properties.Get("rows")))
			}
			_ = live
		})
	}
}

func TestWhatTheDatabaseWouldNotTakeIsRefusedBeforeWriting(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(types)
	w.db.Exec(`CREATE VIEW glimpse AS SELECT 1 AS id; CREATE TABLE strict (id int PRIMARY KEY, name text NOT NULL, qty int CHECK (qty > 0), ref int REFERENCES kinds)`)
	const row = "public.kinds, row id=1, column "
	for name, c := range map[string]struct {
		inputs property.Map
		want   []string
	}{
		"no table":     {obj(`{"table": "nowhere", "keyColumns": ["id"], "rows": [{"id": 1}]}`), []string{"public.nowhere: the table does not exist"}},
		"other schema": {obj(`{"schema": "x", "table": "kinds", "keyColumns": ["id"], "rows": [{"id": 1}]}`), []string{"x.kinds: the table does not exist"}},
		"a view":       {obj(`{"table": "glimpse", "keyColumns": ["id"], "rows": [{"id": 1}]}`), []string{"public.glimpse is a view"}},
		"no column":    {kind("wrong", `1`), []string{"public.kinds, column wrong: the column does not exist; the table has id, u, t"}},
		"capitals":     {kind("U", `1`), []string{"column U: the column does not exist"}},
		"generated":    {kind("g", `1`), []string{"public.kinds, column g: the column is generated"}},
		"json key":     {obj(`{"table": "kinds", "keyColumns": ["k"], "rows": [{"k": "{}", "id": 1}]}`), []string{"column k: type json has no equality"}},
		"uuid":         {kind("u", `"zzz"`), []string{row + `u: invalid input syntax for type uuid: "zzz"`}},
		"too long":     {kind("v", `"abcdef"`), []string{row + "v: value too long for type character varying(5)"}},
		"domain":       {kind("s", `"bad"`), []string{row + "s: value for domain short violates check constraint"}},
		"enum":         {kind("m", `"glad"`), []string{row + `m: invalid input value for enum mood: "glad"`}},
		"list":         {kind("v", `["a"]`), []string{row + "v: is a list, but the column is of type character varying(5)"}},
		"json":         {kind("j", `"{no"`), []string{row + "j: is no JSON text"}},
		"range":        {kind("p", `123456789`), []string{row + "p: numeric field overflow"}},
		"all at once": {
			obj(`{"table": "kinds", "keyColumns": ["id"], "rows": [{"id": 1, "u": "zzz", "b": "maybe"}, {"id": 2, "u": "yyy"}, {"id": "three"}]}`),
			[]string{"row id=1, column u:", "row id=1, column b:", "row id=2, column u:", "row id=three, column id:"},
		},
		"null":             {obj(`{"table": "strict", "keyColumns": ["id"], "rows": [{"id": 1, "name": null}]}`), []string{"public.strict, row id=1, column name: is null"}},
		"not null missing": {obj(`{"table": "strict", "keyColumns": ["id"], "rows": [{"id": 1}]}`), []string{"public.strict, column name: the column is NOT NULL and has no default"}},
		"check": {
			obj(`{"table": "strict", "keyColumns": ["id"], "rows": [{"id": 1, "name": "a", "qty": 1}, {"id": 2, "name": "a", "qty": 1}, {"id": 3, "name": "a", "qty": 0}, {"id": 4, "name": "a", "qty": 1}]}`),
			[]string{"public.strict, row id=3: new row for relation \"strict\" violates check constraint"},
		},
		"foreign key": {
			obj(`{"table": "strict", "keyColumns": ["id"], "rows": [{"id": 1, "name": "a"}, {"id": 2, "name": "a", "ref": 7}]}`),
			[]string{"row id=2: insert or update on table \"strict\" violates foreign key constraint", "Key (ref)=(7) is not present"},
		},
		"same key":      {obj(`{"table": "kinds", "keyColumns": ["u"], "rows": [{"id": 1, "u": "{00000000-0000-0000-0000-00000000000a}"}, {"id": 2, "u": "00000000-0000-0000-0000-00000000000A"}]}`), []string{"has the same key as row"}},
		"owned no time": {obj(`{"table": "kinds", "keyColumns": ["id"], "createdAtColumn": "v", "updatedAtColumn": "none", "rows": [{"id": 1}]}`), []string{"column v: createdAtColumn has to hold a point in time", "column none: the column does not exist"}},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			_, err := w.tryCreate(c.inputs)
			if err == nil {
				t.Fatal("accepted")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			equal(t, "rows in the tables", w.db.Text(`SELECT (SELECT count(*) FROM kinds), (SELECT count(*) FROM strict)`), "0|0")
		})
	}
}

func TestMistakesThatShowWithoutADatabase(t *testing.T) {
	w := newWorld(t)
	w.store.down = true
	resp, err := w.server.Check(p.CheckRequest{Urn: rowsURN, Inputs: obj(`{
		"table": "items", "keyColumns": ["id", "id"], "rows": [{"id": 1, "name": "a"}, {"id": 1}, {"name": "b"}, {"id": null}, 5, {"id": 2, "created": "x"}, {"id": 3, "n": 1e300}],
		"onRemove": "softDelete", "createdAtColumn": "created", "updatedAtColumn": "created", "columns": ["created"], "tabel": "x", "schema": 5}`)})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, f := range resp.Failures {
		lines = append(lines, f.Property+": "+f.Reason)
	}
	equal(t, "failures", sortedLines(lines), strings.Join([]string{
		`columns[0]: is "created", which belongs to the database (createdAtColumn)`,
		`keyColumns[1]: names the column "id" a second time`,
		`onRemove: is softDelete, which needs softDeleteColumn`,
		`rows[1]: row id=1 of table items is declared twice, first as rows[0]`,
		`rows[2]: row rows[2] of table items lacks its key column id`,
		`rows[3].id: row rows[3] of table items has null in its key column id`,
		`rows[4]: is not an object of columns and values`,
		`rows[5].created: row id=2 of table items gives created a value, but that column belongs to the database`,
		`rows[6].n: row id=3 of table items, column n: the value is a whole number beyond 9007199254740992, whose last digits are lost on the way: write it as a string`,
		`schema: is not a string`,
		`tabel: is not an input; there are changesFile, columns, createdAtColumn, file, keyColumns, maxDeletes, mode, onRemove, rows, schema, softDeleteColumn, table, triggers, updatedAtColumn`,
		`updatedAtColumn: is "created", which is in createdAtColumn already`,
	}, "\n"))
}

func TestUnknownAndSecretValues(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(types)
	s := w.create(kind("v", `"a"`))
	row := func(v property.Value) property.Map {
		return kind("v", `"a"`).Set("rows", property.New([]property.Value{property.New(map[string]property.Value{"id": property.New(1.0), "v": v})}))
	}
	unknown := w.check(row(property.New(property.Computed)))
	equal(t, "an unknown value", w.diff(s, unknown), `update rows["id=1"].v`)
	if _, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: rowsURN, State: s.state, Inputs: unknown, DryRun: true}); err != nil {
		t.Error(err)
	}
	unknown = w.check(kind("v", `"a"`).Set("rows", property.New(property.Computed)))
	equal(t, "unknown rows", w.diff(s, unknown), `update rows`)
	if _, err := w.server.Create(p.CreateRequest{Urn: rowsURN, Properties: unknown, DryRun: true}); err != nil {
		t.Error(err)
	}
	unknown = w.check(kind("v", `"a"`).Set("rows", property.New([]property.Value{property.New(map[string]property.Value{"id": property.New(property.Computed)}), property.New(property.Computed)})))
	equal(t, "unknown keys", w.diff(s, unknown), "add rows[\"(rows[0], key not known yet)\"]\nadd rows[\"(rows[1], key not known yet)\"]\ndelete rows[\"id=1\"]")

	// A value that becomes secret is a change, or the state would keep it in clear.
	equal(t, "now secret", w.diff(s, w.check(row(property.New("a").WithSecret(true)))), `update rows["id=1"].v`)
	secret := w.update(s, row(property.New("hush").WithSecret(true)))
	cell := func(s resourceState) property.Value { return secretCell(t, s) }
	if v := cell(secret); !v.Secret() || v.AsString() != "hush" {
		t.Errorf("the state holds %#v", v)
	}
	w.db.Exec(`UPDATE kinds SET v = 'other'`)
	drifted, drift := w.refresh(secret)
	equal(t, "drift of a secret", drift, `update rows["id=1"].v`)
	if v := cell(drifted); !v.Secret() || v.AsString() != "other" {
		t.Errorf("the refreshed state holds %#v", v)
	}
	for column, value := range map[string]string{"v": "unspeakable", "u": "unspeakable", "m": "unspeakable", "s": "bad"} {
		inputs := kind("id", `1`).Set("rows", property.New([]property.Value{property.New(map[string]property.Value{"id": property.New(1.0), column: property.New(value).WithSecret(true)})}))
		_, err := w.tryCreate(inputs)
		if err == nil || strings.Contains(err.Error(), value) {
			t.Errorf("%s: %v", column, err)
		}
	}
	// A secret key keeps every row of the resource secret, and no path or message names it.
	inputs := kind("id", `1`).Set("rows", property.New([]property.Value{property.New(map[string]property.Value{"id": property.New("7777777").WithSecret(true), "u": property.New("no uuid")})}))
	_, err := w.tryCreate(inputs)
	if err == nil || strings.Contains(err.Error(), "7777777") || strings.Contains(err.Error(), "no uuid") {
		t.Errorf("a secret key: %v", err)
	}
	if checked := w.check(inputs); !checked.Get("rows").Secret() {
		t.Error("rows with secret keys are not secret")
	} else if diff := w.diff(s, checked); strings.Contains(diff, "7777777") {
		t.Errorf("a secret key in a path: %s", diff)
	}
}

func secretCell(t *testing.T, s resourceState) property.Value {
	t.Helper()
	rows := s.state.Get("rows")
	if !rows.IsMap() {
		t.Fatalf("rows are %#v", rows)
	}
	return rows.AsMap().Get("id=1").AsMap().Get("v")
}

func TestPreviewWritesNothingAndNeedsNoDatabase(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(organizationsTable)
	program := organizations(organization(one, "A"))
	w.store.down = true
	checked := w.check(program)
	if _, err := w.server.Create(p.CreateRequest{Urn: rowsURN, Properties: checked, DryRun: true}); err != nil {
		t.Errorf("create: %v", err)
	}
	w.store.down = false
	if _, err := w.server.Create(p.CreateRequest{Urn: rowsURN, Properties: checked, DryRun: true}); err != nil {
		t.Errorf("create: %v", err)
	}
	equal(t, "rows", w.db.Text(`SELECT count(*) FROM organizations`), "0")
	s := w.create(program)
	before := w.db.Text(`SELECT xmin, ctid, * FROM organizations`)
	changed := w.check(organizations(organization(one, "B")))
	w.store.down = true
	equal(t, "preview", w.diff(s, changed), `update rows["id=`+one+`"].name`)
	w.store.down = false
	if _, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: rowsURN, State: s.state, Inputs: changed, DryRun: true}); err != nil {
		t.Errorf("update: %v", err)
	}
	equal(t, "rows after previews", w.db.Text(`SELECT xmin, ctid, * FROM organizations`), before)
}

func TestImport(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(organizationsTable)
	w.db.Exec(`INSERT INTO organizations VALUES ('` + one + `', 'A', now(), now(), NULL), ('` + two + `', 'B', now(), now(), NULL), ('` + three + `', 'gone', now(), now(), now())`)
	resp, err := w.server.Read(p.ReadRequest{ID: "public.organizations/id?createdAtColumn=created_at&updatedAtColumn=updated_at&softDeleteColumn=deleted_at", Urn: rowsURN})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "id", resp.ID, "public.organizations/id")
	equal(t, "inputs", show(property.New(resp.Inputs)), `{"createdAtColumn":"created_at","keyColumns":["id"],"onRemove":"retain","rows":[{"id":"`+two+`","name":"B"},{"id":"`+one+`","name":"A"}],"schema":"public","softDeleteColumn":"deleted_at","table":"organizations","updatedAtColumn":"updated_at"}`)
	s := resourceState{resp.ID, resp.Inputs, resp.Properties}
	equal(t, "preview of the generated program", w.diff(s, w.check(resp.Inputs)), "")
	equal(t, "preview of one written by hand", w.diff(s, w.check(organizations(organization(strings.ToUpper(one), "A")+","+organization(two, "B")))), "")
	_, drift := w.refresh(s)
	equal(t, "refresh", drift, "")

	for id, want := range map[string]string{
		"organizations/id":              "", // a name without schema is in public
		"public.organizations":          "names no key columns",
		"public.organizations/nope":     "no column nope",
		"public.organizations/id?x=1":   "unknown option",
		"public.organizations/id,,name": "empty name",
	} {
		_, err := w.server.Read(p.ReadRequest{ID: id, Urn: rowsURN})
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", id, err)
		}
	}
	resp, err = w.server.Read(p.ReadRequest{ID: "public.nowhere/id", Urn: rowsURN})
	if err != nil || resp.ID != "" {
		t.Errorf("a table that does not exist: %q, %v", resp.ID, err)
	}
}

func TestNamesAreQuoted(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE SCHEMA "we""ird; --"; CREATE TABLE "we""ird; --"."ta.b/l""e" ("k e,y" text, "select" text, "Größe: 1" text, PRIMARY KEY ("k e,y", "select"))`)
	program := obj(`{"schema": "we\"ird; --", "table": "ta.b/l\"e", "keyColumns": ["k e,y", "select"], "rows": [{"k e,y": "a'; DROP TABLE x; --", "select": "\\.\t\n\\N", "Größe: 1": "$1 \\ é\r"}]}`)
	s := w.create(program)
	equal(t, "stored", w.db.Text(`SELECT "k e,y", "select", "Größe: 1" FROM "we""ird; --"."ta.b/l""e"`), "a'; DROP TABLE x; --|\\.\t\n\\N|$1 \\ é\r")
	_, drift := w.refresh(s)
	equal(t, "drift", drift, "")
	resp, err := w.server.Read(p.ReadRequest{ID: s.id, Urn: rowsURN})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "imported", w.diff(resourceState{resp.ID, resp.Inputs, resp.Properties}, w.check(program)), "")
	w.db.Exec(`UPDATE "we""ird; --"."ta.b/l""e" SET "Größe: 1" = 'x'`)
	_, drift = w.refresh(s)
	equal(t, "drift", drift, `update rows["k e%2Cy=a'; DROP TABLE x; --,select=%5C.%09%0A%5CN"]["Größe: 1"]`)
}

func TestTwoRunsAtOnce(t *testing.T) {
	for name, unique := range map[string]string{"unique": "PRIMARY KEY", "not unique": ""} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.db.Exec(`CREATE TABLE items (id int ` + unique + `, label text)`)
			var rows []string
			for i := range 500 {
				rows = append(rows, fmt.Sprintf(`{"id": %d, "label": "a%d"}`, i, i))
			}
			program := w.check(obj(`{"table": "items", "keyColumns": ["id"], "rows": [` + strings.Join(rows, ",") + `]}`))
			var wg sync.WaitGroup
			errs := make([]error, 8)
			for i := range errs {
				wg.Go(func() {
					_, errs[i] = w.server.Create(p.CreateRequest{Urn: rowsURN, Properties: program})
				})
			}
			wg.Wait()
			for _, err := range errs {
				if err != nil {
					t.Error(err)
				}
			}
			equal(t, "rows", w.db.Text(`SELECT count(*), count(DISTINCT id) FROM items`), "500|500")
		})
	}
}

// TestSomebodyElseInsertsTheSameRow: a run waits for the other one's transaction and then adopts its row.
func TestSomebodyElseInsertsTheSameRow(t *testing.T) {
	for name, unique := range map[string]string{"unique": "PRIMARY KEY", "not unique": ""} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.db.Exec(`CREATE TABLE items (id int ` + unique + `, label text)`)
			program := w.check(obj(`{"table": "items", "keyColumns": ["id"], "rows": [{"id": 1, "label": "ours"}]}`))
			w.db.Exec(`BEGIN; INSERT INTO items VALUES (1, 'theirs')`)
			done := make(chan error, 1)
			go func() {
				_, err := w.server.Create(p.CreateRequest{Urn: rowsURN, Properties: program})
				done <- err
			}()
			waiting := `SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.datname = current_database()`
			for w.db.Text(waiting) == "0" {
				select {
				case err := <-done:
					t.Fatalf("did not wait: %v", err)
				case <-time.After(10 * time.Millisecond):
				}
			}
			w.db.Exec(`COMMIT`)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			equal(t, "rows", w.db.Text(`SELECT * FROM items`), "1|ours")
		})
	}
}

func TestAmbiguousKeysAreRefused(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE items (id int, label text); INSERT INTO items VALUES (1, 'a'), (1, 'b'), (2, 'c')`)
	_, err := w.tryCreate(obj(`{"table": "items", "keyColumns": ["id"], "rows": [{"id": 1, "label": "x"}, {"id": 2, "label": "x"}]}`))
	if err == nil || !strings.Contains(err.Error(), "row id=1, column id: 2 rows of the table have this key") {
		t.Errorf("got %v", err)
	}
	equal(t, "rows", w.db.Text(`SELECT * FROM items ORDER BY 1, 2`), "1|a\n1|b\n2|c")
}

func TestRowsWithDifferentColumns(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, a text DEFAULT 'default a', b text DEFAULT 'default b')`)
	w.db.Exec(`INSERT INTO items VALUES (1, 'theirs', 'theirs'), (2, 'theirs', 'theirs')`)
	program := obj(`{"table": "items", "keyColumns": ["id"], "columns": ["b"], "rows": [{"id": 1, "a": "ours"}, {"id": 2}, {"id": 3, "b": "ours"}]}`)
	s := w.create(program)
	equal(t, "rows", w.db.Text(`SELECT * FROM items ORDER BY 1`), "1|ours|\n2|theirs|\n3|default a|ours")
	w.db.Exec(`UPDATE items SET a = 'not looked at' WHERE id = 2`)
	_, drift := w.refresh(s)
	equal(t, "drift", drift, "")
	w.db.Exec(`UPDATE items SET b = 'by hand' WHERE id = 2`)
	_, drift = w.refresh(s)
	equal(t, "drift", drift, `update rows["id=2"].b`)
}

func TestAnotherKeyOrTable(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, code text UNIQUE); CREATE TABLE others (id int PRIMARY KEY, code text UNIQUE)`)
	program := obj(`{"table": "items", "keyColumns": ["id"], "onRemove": "delete", "rows": [{"id": 1, "code": "a"}, {"id": 2, "code": "b"}]}`)
	s := w.create(program)
	byCode := obj(`{"table": "items", "keyColumns": ["code"], "onRemove": "delete", "rows": [{"id": 1, "code": "a"}]}`)
	equal(t, "another key", w.diff(s, w.check(byCode)), "add rows[\"code=a\"]\ndelete rows[\"id=1\"]\ndelete rows[\"id=2\"]\nupdate keyColumns")
	w.update(s, byCode)
	equal(t, "rows", w.db.Text(`SELECT * FROM items`), "1|a")
	equal(t, "another table", w.diff(s, w.check(program.Set("table", property.New("others")))), "update&replace table")
}

func TestTriggersApplyAgain(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(organizationsTable)
	program := organizations(organization(one, "A"))
	s := w.create(program.Set("triggers", property.New([]property.Value{property.New("db-1")})))
	w.db.Exec(`DELETE FROM organizations`) // as in another database
	moved := program.Set("triggers", property.New([]property.Value{property.New("db-2")}))
	equal(t, "preview", w.diff(s, w.check(moved)), "update triggers")
	w.update(s, moved)
	equal(t, "rows", w.db.Text(`SELECT name FROM organizations`), "A")
}

func TestAHundredThousandRows(t *testing.T) {
	if testing.Short() {
		t.Skip("large")
	}
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE big (id int PRIMARY KEY, a text, b numeric, c timestamptz, d jsonb, e uuid, f bool, g text[], h text, updated_at timestamptz)`)
	list := make([]property.Value, 100_000)
	for i := range list {
		list[i] = property.New(map[string]property.Value{
			"id": property.New(float64(i)), "a": property.New(fmt.Sprint("name ", i)), "b": property.New(float64(i) / 4), "c": property.New("2024-01-01T00:00:00Z"),
			"d": property.New(map[string]property.Value{"n": property.New(float64(i))}), "e": property.New(fmt.Sprintf("00000000-0000-0000-0000-%012x", i)),
			"f": property.New(i%2 == 0), "g": property.New([]property.Value{property.New("x")}), "h": property.New("constant"),
		})
	}
	program := obj(`{"table": "big", "keyColumns": ["id"], "updatedAtColumn": "updated_at"}`).Set("rows", property.New(list))
	s := w.create(program)
	equal(t, "rows", w.db.Text(`SELECT count(*), count(DISTINCT updated_at) FROM big`), "100000|1")
	w.db.Exec(`UPDATE big SET a = 'x' WHERE id = 77777; DELETE FROM big WHERE id = 5`)
	live, drift := w.refresh(s)
	equal(t, "drift", drift, "add rows[\"id=5\"]\nupdate rows[\"id=77777\"].a")
	w.update(live, program)
	equal(t, "rows", w.db.Text(`SELECT count(*), count(DISTINCT updated_at), (SELECT a FROM big WHERE id = 77777) FROM big`), "100000|2|name 77777")
}

func TestPasswordIsInNoError(t *testing.T) {
	w := newWorld(t)
	for name, change := range map[string]func(*pgdb.Settings){
		"refused":   func(s *pgdb.Settings) { s.Port = 1 },
		"password":  func(s *pgdb.Settings) { s.Password += "wrong" },
		"database":  func(s *pgdb.Settings) { s.Database = "nowhere" },
		"ssl mode":  func(s *pgdb.Settings) { s.SSLMode = "never" },
		"root cert": func(s *pgdb.Settings) { s.SSLMode, s.SSLRootCert = "verify-full", "/nowhere" },
	} {
		settings := w.db.Settings
		change(&settings)
		db := pgdb.New(settings)
		defer db.Close()
		err := db.Look(t.Context(), func(context.Context, pgx.Tx) error { return nil })
		if err == nil {
			t.Errorf("%s: connected", name)
			continue
		}
		if strings.Contains(err.Error(), settings.Password) || strings.Contains(err.Error(), pgtest.Password[:12]) {
			t.Errorf("%s: the password is in %v", name, err)
		}
	}
}
