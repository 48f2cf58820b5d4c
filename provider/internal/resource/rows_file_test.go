package resource_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"go.yaml.in/yaml/v3"

	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/pgtest"
	"plan-charge/provider/internal/rowfile"
)

// fromFile declares the rows of a file of that text for the table items, with other inputs as JSON.
func fromFile(t *testing.T, path, text, more string) property.Map {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return obj(`{"table": "items", "keyColumns": ["id"]`+more+`}`).Set("file", property.New(path))
}

func csvPath(t *testing.T) string { return filepath.Join(t.TempDir(), "items.csv") }

// foresee is the preview of an update.
func (w *world) foresee(s resourceState, inputs property.Map) error {
	w.t.Helper()
	_, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: w.urn, State: s.state, OldInputs: s.inputs, Inputs: w.check(inputs), DryRun: true})
	return err
}

const itemsNow = `SELECT id, name, n::text FROM items ORDER BY id`

func newItems(t *testing.T) *world {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, name text, n numeric)`)
	return w
}

func TestLifeOfRowsFromAFile(t *testing.T) {
	w, path := newItems(t), csvPath(t)
	w.db.Exec(`INSERT INTO items VALUES (1, 'a', 1.5), (2, 'old', 2), (9, 'not ours', NULL)`)
	program := fromFile(t, path, "id,name,n\n1,a,1.50\n2,b,2\n3,\"\",\n", "")
	s := w.create(program)
	equal(t, "created", w.db.Text(itemsNow), "1|a|1.5\n2|b|2\n3||\n9|not ours|")
	equal(t, "the third name is empty, not NULL", w.db.Text(`SELECT name IS NULL, n IS NULL FROM items WHERE id = 3`), "false|true")
	equal(t, "count", show(s.state.Get("rowCount")), "3")
	equal(t, "rows in the state", show(s.state.Get("rows")), "null")
	equal(t, "second preview", w.diff(s, w.check(program)), "")
	clean, drift := w.refresh(s)
	equal(t, "refresh after up", drift, "")
	equal(t, "state after a clean refresh", show(property.New(clean.state)), show(property.New(s.state)))

	w.db.Exec(`UPDATE items SET name = 'x', n = 7 WHERE id = 2; DELETE FROM items WHERE id = 3`)
	drifted, drift := w.refresh(s)
	equal(t, "drift", drift, "update drift")
	equal(t, "what refresh saw", show(drifted.state.Get("drift")),
		`"of 3 rows in the file 1 missing, 1 different; row id=2 (line 3 of items.csv) differs in name, n; row id=3 (line 4 of items.csv) is missing"`)
	healed := w.update(drifted, program)
	equal(t, "healed", w.db.Text(itemsNow), "1|a|1.5\n2|b|2\n3||\n9|not ours|")
	equal(t, "preview after healing", w.diff(healed, w.check(program)), "")

	changed := fromFile(t, path, "id,name,n\n1,a,1.50\n2,new,2\n4,d,4\n", "")
	equal(t, "another file", w.diff(healed, w.check(changed)), "update fileDigest")
	s = w.update(healed, changed)
	equal(t, "a row that left the file stays", w.db.Text(itemsNow), "1|a|1.5\n2|new|2\n3||\n4|d|4\n9|not ours|")
	w.remove(s)
	equal(t, "without the resource", w.db.Text(`SELECT count(*) FROM items`), "5")
	equal(t, "owners", w.db.Text(`SELECT count(*) FROM plan_charge.owned_rows`), "0")
}

func TestFormatsOfFiles(t *testing.T) {
	for name, text := range map[string]string{
		"items.jsonl": `{"id": 1, "name": "é", "n": 12345678901234567890.5}` + "\n" + `{"id": 2, "name": null, "n": "7"}`,
		"items.yaml":  "- {id: 1, name: é, n: 12345678901234567890.5}\n- id: 2\n  name: ~\n  n: 7\n",
		"items.csv":   "id,name,n\n1,é,12345678901234567890.5\n2,,7",
	} {
		w := newItems(t)
		program := fromFile(t, filepath.Join(t.TempDir(), name), text, "")
		s := w.create(program)
		equal(t, name, w.db.Text(`SELECT id, name, n::text FROM items ORDER BY id`), "1|é|12345678901234567890.5\n2||7")
		_, drift := w.refresh(s)
		equal(t, name+": drift", drift, "")
	}
}

// A table may be called as our own SQL reads.
func TestATableThatIsCalledLikeSQL(t *testing.T) {
	for removal, want := range map[string]string{
		`"delete"`: "1|a|false\n2|b|false", `"softDelete", "softDeleteColumn": "gone"`: "1|a|false\n2|b|false\n3|c|true",
	} {
		w, path := newWorld(t), csvPath(t)
		w.db.Exec(`CREATE TABLE "a t WHERE b" (id int PRIMARY KEY, name text, gone timestamptz); INSERT INTO "a t WHERE b" VALUES (1, 'a'), (2, 'b'), (3, 'c')`)
		file := fromFile(t, path, "id,name\n1,a\n2,b\n", `, "mode": "sync", "maxDeletes": 1, "onRemove": `+removal).Set("table", property.New("a t WHERE b"))
		w.create(file)
		equal(t, removal, w.db.Text(`SELECT id, name, gone IS NOT NULL FROM "a t WHERE b" ORDER BY id`), want)
	}
}

func TestModesOfAFile(t *testing.T) {
	const file = "id,name\n1,file\n2,file\n"
	const start = `INSERT INTO items VALUES (1, 'table', 1), (3, 'surplus', 3), (4, 'surplus', 4)`
	t.Run("insert", func(t *testing.T) {
		w, path := newItems(t), csvPath(t)
		w.db.Exec(start)
		s := w.create(fromFile(t, path, file, `, "mode": "insert"`))
		equal(t, "rows", w.db.Text(itemsNow), "1|table|1\n2|file|\n3|surplus|3\n4|surplus|4")
		w.db.Exec(`UPDATE items SET name = 'the application'; DELETE FROM items WHERE id = 1`)
		live, drift := w.refresh(s)
		equal(t, "drift", drift+show(live.state.Get("drift")), `update drift"of 2 rows in the file 1 missing; row id=1 (line 2 of items.csv) is missing"`)
	})
	t.Run("sync", func(t *testing.T) {
		w, path := newItems(t), csvPath(t)
		w.db.Exec(start)
		report := filepath.Join(t.TempDir(), "changes.jsonl")
		sync := func(text, more string) property.Map {
			return fromFile(t, path, text, `, "mode": "sync", "onRemove": "delete"`+more).Set("changesFile", property.New(report))
		}
		const tooMany = "nothing was written: 2 rows of public.items are not in the file and would go (delete), but maxDeletes allows 1: of 2 rows in the file 2 to go; row id=3 goes; row id=4 goes. If they are to go, say so by maxDeletes: 2"
		w.refused(sync(file, `, "maxDeletes": 1`), []string{tooMany})
		if err := w.foresee(resourceState{}, sync(file, `, "maxDeletes": 1`)); err == nil || !strings.Contains(err.Error(), tooMany) {
			t.Errorf("the preview: %v", err)
		}
		equal(t, "rows", w.db.Text(`SELECT count(*) FROM items`), "3")
		if err := w.foresee(resourceState{}, sync(file, `, "maxDeletes": 2`)); err != nil {
			t.Error(err)
		}
		written, err := os.ReadFile(report)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "report", string(written), `{"row":"id=1 (line 2 of items.csv)","change":"change","columns":{"name":{"table":"table","file":"file"}}}
{"row":"id=2 (line 3 of items.csv)","change":"come","columns":{"name":{"table":null,"file":"file"}}}
{"row":"id=3","change":"go"}
{"row":"id=4","change":"go"}
`)
		s := w.create(sync(file, `, "maxDeletes": 2`))
		equal(t, "rows", w.db.Text(itemsNow), "1|file|1\n2|file|")
		w.db.Exec(`INSERT INTO items VALUES (5, 'by hand')`)
		live, drift := w.refresh(s)
		equal(t, "drift", drift+show(live.state.Get("drift")), `update drift"of 2 rows in the file 1 beyond it; row id=5 is not in the file"`)
		s = w.update(live, sync(file, `, "maxDeletes": 2`))
		equal(t, "rows", w.db.Text(itemsNow), "1|file|1\n2|file|")
		s = w.update(s, sync("id,name\n", `, "maxDeletes": 2`))
		equal(t, "an empty table", w.db.Text(`SELECT count(*) FROM items`), "0")
		w.remove(w.update(s, sync(file, `, "maxDeletes": 2`)))
		equal(t, "without the resource", w.db.Text(`SELECT count(*) FROM items`), "2")
	})
	t.Run("sync, marked as deleted", func(t *testing.T) {
		w, path := newWorld(t), csvPath(t)
		w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, name text, deleted_at timestamptz, updated_at timestamptz)`)
		w.db.Exec(`INSERT INTO items VALUES (1, 'a', now(), NULL), (2, 'b', NULL, NULL), (3, 'c', '2020-01-01', NULL)`)
		s := w.create(fromFile(t, path, "id,name\n1,a\n", `, "mode": "sync", "onRemove": "softDelete", "softDeleteColumn": "deleted_at", "updatedAtColumn": "updated_at", "maxDeletes": 1`))
		equal(t, "rows", w.db.Text(`SELECT id, deleted_at IS NULL, updated_at IS NULL FROM items ORDER BY id`), "1|true|false\n2|false|false\n3|false|true")
		_, drift := w.refresh(s)
		equal(t, "drift", drift, "")
	})
	t.Run("a delete that a foreign key blocks", func(t *testing.T) {
		w, path := newItems(t), csvPath(t)
		w.db.Exec(start)
		w.db.Exec(`CREATE TABLE parts (item int CONSTRAINT part_of REFERENCES items, secret text); INSERT INTO parts VALUES (4, 'hidden')`)
		w.refused(fromFile(t, path, file, `, "mode": "sync", "onRemove": "delete", "maxDeletes": 10`), []string{
			`nothing was written: public.items: update or delete on table "items" violates foreign key constraint "part_of" on table "parts" (Key (id)=(4) is still referenced from table "parts".)`,
		}, "hidden")
		equal(t, "rows", w.db.Text(`SELECT count(*) FROM items`), "3")
	})
}

func TestMistakesAboutFiles(t *testing.T) {
	w, path := newItems(t), csvPath(t)
	good := fromFile(t, path, "id,name\n1,a\n", "")
	bad := filepath.Join(filepath.Dir(path), "bad.csv")
	for name, tc := range map[string]struct {
		inputs property.Map
		want   string
	}{
		"both":                   {good.Set("rows", obj(`{"rows": [{"id": 1}]}`).Get("rows")), "file is given beside rows"},
		"neither":                {good.Delete("file"), "rows is missing, and so is file"},
		"a mode without a file":  {table("items", `{"id": 1}`).Set("mode", property.New("sync")), "mode is for rows that come from a file"},
		"no such mode":           {good.Set("mode", property.New("merge")), `mode is "merge", but has to be insert, upsert or sync`},
		"no such kind of file":   {good.Set("file", property.New("items.xlsx")), `file is "items.xlsx", but has to end in .csv`},
		"no file":                {good.Set("file", property.New("nowhere/items.csv")), "file nowhere/items.csv: there is no such file"},
		"sync that retains":      {good.Set("mode", property.New("sync")), "onRemove has to say what becomes of rows that are not in the file"},
		"upsert that deletes":    {good.Set("onRemove", property.New("delete")), "onRemove is delete, but in mode upsert a row that leaves the file stays"},
		"a limit of nothing":     {good.Set("maxDeletes", property.New(1.0)), "maxDeletes is for mode sync"},
		"no limit":               {good.Set("maxDeletes", property.New(-1.0)), "maxDeletes has to be a whole number of rows"},
		"what is in it":          {fromFile(t, bad, "id,name\n1,a,b\n,c\n", ""), "file " + bad + ": line 2: has 3 values, but the file has 2 columns\nfile " + bad + ": line 3, column id: is NULL"},
		"the database's own":     {good.Set("createdAtColumn", property.New("name")), "column name: belongs to the database"},
		"a column that is named": {good.Set("columns", property.New([]property.Value{property.New("n")})), ""},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := w.server.Check(p.CheckRequest{Urn: w.urn, Inputs: tc.inputs})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range resp.Failures {
				got = append(got, f.Property+" "+f.Reason)
			}
			if all := strings.Join(got, "\n"); !strings.Contains(all, tc.want) || (tc.want == "") != (all == "") {
				t.Errorf("got %s\nwant %s", all, tc.want)
			}
		})
	}
}

func TestValuesOfAFileThatTheirColumnsCannotHold(t *testing.T) {
	w, path := newWorld(t), csvPath(t)
	w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, name varchar(5) NOT NULL, n numeric(3,1), at timestamptz, doc jsonb)`)
	long := strings.Repeat("y", 5000)
	var b strings.Builder
	b.WriteString("id,name,n,at,doc\n1,a,1,2024-01-01,{}\n2,toolong,1,,\n3,,x,now,\n4,d,1000,,{\n5,e," + long + ",,\n01,f,,,\n")
	w.refused(fromFile(t, path, b.String(), ""), []string{
		"public.items, row id=2 (line 3 of items.csv), column name: value too long for type character varying(5)",
		"row id=3 (line 4 of items.csv), column name: is NULL, but the column is NOT NULL",
		`row id=3 (line 4 of items.csv), column n: invalid input syntax for type numeric: "x"`,
		`row id=3 (line 4 of items.csv), column at: "now": the value says "now"`,
		"row id=4 (line 5 of items.csv), column n: numeric field overflow",
		`row id=4 (line 5 of items.csv), column doc: "{": the value is no JSON text`,
		"row id=5 (line 6 of items.csv), column n: invalid input syntax for type numeric",
	}, long[:300])
	w.refused(fromFile(t, path, "id,name\n1,a\n2,b\n01,c\n", ""), []string{"row id=1 (line 4 of items.csv), column id: has the same key as row id=1 (line 2 of items.csv)"})
	w.refused(fromFile(t, path, "id,name,other\n1,a,b\n", ""), []string{"column other: the column does not exist; the table has id, name, n, at, doc"})
	b.Reset()
	b.WriteString("id,name\n")
	for i := range 100 {
		fmt.Fprintf(&b, "x%d,a\n", i)
	}
	_, err := w.tryCreate(fromFile(t, path, b.String(), ""))
	if err == nil || strings.Count(err.Error(), "\n") != 20 {
		t.Errorf("not the first twenty: %v", err)
	}
	equal(t, "rows", w.db.Text(`SELECT count(*) FROM items`), "0")

	latin := newWorldIn(t, pgtest.New(t, "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"))
	latin.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, name text)`)
	latin.refused(fromFile(t, path, "id,name\n1,é\n2,10 €\n", ""), []string{"row id=2 (line 3 of items.csv), column name: holds '€' (U+20AC), which the database cannot store"})
	latin.create(fromFile(t, path, "id,name\n1,é\n", ""))
	equal(t, "stored", latin.db.Text(`SELECT name, length(name) FROM items`), "é|1")
}

func TestRowsOfAFileThatTheTableRefuses(t *testing.T) {
	w, path := newWorld(t), csvPath(t)
	w.db.Exec(`CREATE TABLE items (id serial PRIMARY KEY, name text UNIQUE, parent int REFERENCES items, n int CHECK (n < 10), password text DEFAULT 'hash')`)
	w.db.Exec(`INSERT INTO items (id, name) VALUES (100, 'taken'), (1, 'b'), (2, 'a')`)
	w.refused(fromFile(t, path, "id,name\n5,x\n6,taken\n7,y\n", ""), []string{"row id=6 (line 3 of items.csv)", "Key (name)=(taken) already exists"}, "hash", "id=5", "id=7")
	w.refused(fromFile(t, path, "id,name,n\n5,x,1\n6,y,11\n", ""), []string{"row id=6 (line 3 of items.csv)", "items_n_check"}, "hash", "id=5")
	w.refused(fromFile(t, path, "id,name,parent\n5,x,6\n6,y,7\n", ""), []string{"row id=6 (line 3 of items.csv)", "items_parent_fkey"}, "hash", "id=5")

	s := w.create(fromFile(t, path, "id,name,parent\n1,a,2\n2,b,\n3,c,4\n4,d,1\n", ""))
	equal(t, "swapped, and children before their parents", w.db.Text(`SELECT id, name, parent FROM items WHERE id < 100 ORDER BY id`), "1|a|2\n2|b|\n3|c|4\n4|d|1")
	w.db.Exec(`INSERT INTO items (name) VALUES ('application')`)
	equal(t, "the sequence is moved on", w.db.Text(`SELECT id FROM items WHERE name = 'application'`), "5")

	w.db.Exec(`CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN IF NEW.id = 8 THEN RETURN NULL; END IF; RETURN NEW; END'; CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION drop_it()`)
	in := w.check(fromFile(t, path, "id,name,parent\n1,a,2\n8,h,\n", ""))
	_, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: w.urn, State: s.state, OldInputs: s.inputs, Inputs: in})
	if err == nil || !strings.Contains(err.Error(), "row id=8 (line 3 of items.csv): was written without an error, but the table does not hold it") {
		t.Errorf("a trigger dropped a row: %v", err)
	}
}

func TestARefreshWithoutTheFile(t *testing.T) {
	w, path := newItems(t), csvPath(t)
	program := fromFile(t, path, "id,name\n1,a\n", "")
	s := w.create(program)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	live, drift := w.refresh(s)
	equal(t, "nothing has changed", drift+show(property.New(live.state)), show(property.New(s.state)))
	w.db.Exec(`INSERT INTO items VALUES (2, 'of the application')`)
	live, drift = w.refresh(s)
	equal(t, "drift", drift, "update notSeen")
	if why := show(live.state.Get("notSeen")); !strings.Contains(why, "not seen: public.items has changed, and what its rows are compared with, "+path+", is not at hand: there is no such file") {
		t.Error(why)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	_, drift = w.refresh(s)
	equal(t, "a row of the application's is no drift", drift, "")
	fromFile(t, path, "id,name\n1,b\n", "")
	live, drift = w.refresh(s)
	equal(t, "drift", drift, "update notSeen")
	if why := show(live.state.Get("notSeen")); !strings.Contains(why, "public.items has changed, and "+path+" too since its rows were written") {
		t.Error(why)
	}
	w.db.Exec(`DELETE FROM items WHERE id = 2`)
	s = w.update(live, program)
	equal(t, "rows", w.db.Text(`SELECT name FROM items`), "b")
	_, drift = w.refresh(s)
	equal(t, "drift", drift, "")

	w.db.Exec(`ALTER TABLE items ALTER name TYPE int USING 7`)
	live, drift = w.refresh(s)
	equal(t, "a column of another type", drift+show(live.state.Get("drift")), `update drift"of 1 rows in the file 1 different; row id=1 (line 2 of items.csv) differs in name"`)
	w.db.Exec(`ALTER TABLE items DROP name`)
	live, _ = w.refresh(s)
	equal(t, "a column that is gone", show(live.state.Get("drift")), `"the table has lost the column name"`)
	w.store.down = true
	live, drift = w.refresh(s)
	equal(t, "unreachable", drift+show(live.state.Get("notSeen")), `update notSeen"not seen: no connection to test: it is down"`)
	w.store.down = false
	w.db.Exec(`DROP TABLE items`)
	if _, drift = w.refresh(s); drift != "gone" {
		t.Errorf("a dropped table: %s", drift)
	}
}

func TestAFileThatChangesWhileItIsUsed(t *testing.T) {
	w, path := newItems(t), csvPath(t)
	checked := w.check(fromFile(t, path, "id,name\n1,a\n", ""))
	fromFile(t, path, "id,name\n1,b\n", "")
	_, err := w.server.Create(p.CreateRequest{Urn: w.urn, Properties: checked})
	if err == nil || !strings.Contains(err.Error(), "was changed while it was read") {
		t.Errorf("another file than was planned with: %v", err)
	}
	equal(t, "rows", w.db.Text(`SELECT count(*) FROM items`), "0")
}

func TestATableWithRowsFromAFileBelongsToOneResource(t *testing.T) {
	const rows = "id,name\n1,a\n2,b\n"
	t.Run("in one program", func(t *testing.T) {
		w, path := newItems(t), csvPath(t)
		w.check(fromFile(t, path, rows, ""))
		resp, err := w.server.Check(p.CheckRequest{Urn: otherURN, Inputs: table("items", `{"id": 3}`)})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "failures", fmt.Sprint(resp.Failures), `[{table is "items", of which the resource rows declares rows too: a table with rows from a file belongs to one resource}]`)
	})
	t.Run("two stacks", func(t *testing.T) {
		w, path := newItems(t), csvPath(t)
		s := w.create(fromFile(t, path, rows, ""))
		equal(t, "what is remembered", w.db.Text(`SELECT cardinality(keys), cardinality(key_columns) FROM plan_charge.owned_rows`), "0|0")
		second := newWorldIn(t, w.db).called(stackURN)
		const theirs = "is in a table that belongs as a whole, because its rows come from a file, to the resource rows of stack test"
		second.refused(table("items", `{"id": 3, "name": "c"}`), []string{"row id=3: " + theirs, "DELETE FROM plan_charge.owned_rows WHERE owner = 'rows-"})
		second.refused(fromFile(t, path, "id,name\n3,c\n", ""), []string{"rows from a file need the table for themselves", theirs})
		if _, err := second.server.Read(p.ReadRequest{ID: "public.items/id", Urn: stackURN}); err == nil || !strings.Contains(err.Error(), theirs) {
			t.Errorf("an import of somebody's rows: %v", err)
		}
		w.remove(s)
		second.create(table("items", `{"id": 3, "name": "c"}`))
		w.refused(fromFile(t, path, rows, ""), []string{"rows from a file need the table for themselves, but some of it belongs to the resource rows of stack another"})
	})
	t.Run("renamed without an alias, and from a list to a file and back", func(t *testing.T) {
		w, path := newItems(t), csvPath(t)
		s := w.create(table("items", `{"id": 1, "name": "a"}`))
		s = w.update(s, fromFile(t, path, rows, ""))
		later := newWorldIn(t, w.db).called(otherURN)
		again := later.create(fromFile(t, path, rows, ""))
		newWorldIn(t, w.db).remove(s)
		equal(t, "owner", w.db.Text(`SELECT count(*), min(resource) FROM plan_charge.owned_rows`), "1|"+string(otherURN))
		later.update(again, table("items", `{"id": 1, "name": "a"}`))
		equal(t, "owner", w.db.Text(`SELECT cardinality(keys) FROM plan_charge.owned_rows`), "1")
		equal(t, "rows", w.db.Text(itemsNow), "1|a|\n2|b|")
	})
}

// A digest of the table that was reckoned from what changed is the one that the whole table has, in each mode.
func TestTheTablesDigestIsReckoned(t *testing.T) {
	for _, more := range []string{"", `, "mode": "insert"`, `, "mode": "sync", "onRemove": "delete", "maxDeletes": 5`, `, "columns": ["n"]`} {
		w, path := newItems(t), csvPath(t)
		w.db.Exec(`INSERT INTO items SELECT i, 'x', i / 3.0 FROM generate_series(90, 92) i`)
		s := w.create(fromFile(t, path, "id,name\n1,a\n2,b\n3,c\n4,\n5,e\n6,f\n", more))
		s = w.update(s, fromFile(t, path, "id,name\n1,a\n2,b\n3,changed\n4,\n5,e\n7,new\n8,\n", more))
		reckoned := show(s.state.Get("tableDigest"))
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		_, drift := w.refresh(s)
		equal(t, more+": refresh without the file", drift, "")
		w.db.Exec(`UPDATE items SET id = 1000 WHERE id = 1`)
		if _, drift = w.refresh(s); drift != "update notSeen" || reckoned == `""` {
			t.Errorf("%s: digest %s, drift %q", more, reckoned, drift)
		}
	}
}

// The application goes on meanwhile: what is not changed is not locked, neither by us nor against us.
func TestOnlyRowsThatChangeAreLocked(t *testing.T) {
	w, path := newItems(t), csvPath(t)
	s := w.create(fromFile(t, path, "id,name\n1,a\n2,b\n3,c\n", ""))
	app, err := pgx.Connect(t.Context(), w.db.Superuser())
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close(t.Context())
	held, err := app.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec(t.Context(), `SELECT FROM items WHERE id IN (1, 2) FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	w.update(s, fromFile(t, path, "id,name\n1,a\n2,b\n3,x\n4,d\n", ""))
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("an update waited %s for rows that it does not change", took)
	}
	if err := held.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	locked := 0
	err = pgdb.New(w.db.Settings).Look(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
		in := pgdb.Source{File: rowfile.File{Path: path, Keys: []string{"id"}}, Mode: pgdb.Upsert}
		if err := os.WriteFile(path, []byte("id,name\n1,a\n2,b\n3,y\n4,d\n"), 0o600); err != nil {
			return err
		}
		if in.Digest, err = rowfile.Digest(path); err != nil {
			return err
		}
		if _, _, _, err := pgdb.ApplyFile(ctx, tx, pgdb.Spec{Schema: "public", Table: "items", Keys: []string{"id"}}, in); err != nil {
			return err
		}
		return app.QueryRow(ctx, `SELECT count(*) FROM items WHERE id NOT IN (SELECT id FROM items FOR UPDATE SKIP LOCKED)`).Scan(&locked)
	})
	if err != nil || locked != 1 {
		t.Errorf("%d rows are locked (%v), want the one that changes", locked, err)
	}
}

// The program of docs/rows.md, as far as the provider has a part in it.
func TestTheExampleInYAML(t *testing.T) {
	t.Chdir("../../testdata/rows")
	text, err := os.ReadFile("Pulumi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var program struct {
		Resources map[string]struct {
			Type       string
			Properties map[string]any
		}
	}
	if err := yaml.Unmarshal(text, &program); err != nil {
		t.Fatal(err)
	}
	properties := func(resource, typ string) property.Map {
		r := program.Resources[resource]
		equal(t, resource, r.Type, typ)
		written, err := json.Marshal(r.Properties)
		if err != nil {
			t.Fatal(err)
		}
		return obj(string(written))
	}
	w := newWorld(t)
	resp, err := w.server.CheckConfig(p.CheckRequest{Inputs: properties("database", "pulumi:providers:pgrows")})
	if err != nil || len(resp.Failures) > 0 {
		t.Errorf("the provider's settings: %v, %v", resp.Failures, err)
	}
	w.db.Exec(`CREATE TABLE countries (code char(2) PRIMARY KEY, name text NOT NULL, capital text); INSERT INTO countries VALUES ('XX', 'Nowhere', NULL)`)
	w.create(properties("countries", "pgrows:index:Rows"))
	equal(t, "rows", w.db.Text(`SELECT * FROM countries ORDER BY code`), "CH|Switzerland|Bern\nFR|France|Paris\nNR|Nauru|")
}

// What the server itself makes of a file is what is read, and what it refuses is refused.
func TestCSVIsReadAsCOPYReadsIt(t *testing.T) {
	w, path := newWorld(t), csvPath(t)
	w.db.Exec(`CREATE TABLE items (id text PRIMARY KEY, name text); CREATE TABLE copied (id text PRIMARY KEY, name text)`)
	conn, err := pgx.Connect(t.Context(), w.db.Superuser())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, text := range []string{
		"1,a\n2,\n3,\"\"\n", "1,a", "1,\" a \"\n2, b \n", "1,\"a\"\"b\"\n", "1,\"a\nb\"\n", "1,x\"y,z\"w\n", "1,\"x\"y\n", "1,\\N\n2,\\\\\n3,\\t\n",
		"1,\"a,b\"\n", "1,a,b\n", "1\n", "1,a\n\n", "1,\"a\n", "1,a\rb\n", "1,'a'\n", "1,é😀\n", "1,\"\"\"\"\n", "1,\"\"a\n", "1,a\"\"\n", "1,\xff\n",
	} {
		w.db.Exec(`TRUNCATE items, copied`)
		_, refused := conn.PgConn().CopyFrom(t.Context(), strings.NewReader("id,name\n"+text), "COPY copied FROM STDIN (FORMAT csv, HEADER)")
		inputs := fromFile(t, path, "id,name\n"+text, "")
		resp, err := w.server.Check(p.CheckRequest{Urn: w.urn, Inputs: inputs})
		if err != nil {
			t.Fatal(err)
		}
		if (refused != nil) != (len(resp.Failures) > 0) {
			t.Errorf("%q: COPY says %v, the check %v", text, refused, resp.Failures)
		}
		if len(resp.Failures) > 0 {
			continue
		}
		w.create(inputs)
		const rows = `SELECT id, name, name IS NULL FROM `
		equal(t, text, w.db.Text(rows+"items ORDER BY 1"), w.db.Text(rows+"copied ORDER BY 1"))
	}
}

func TestAnUpdateFromAFileThatIsCancelled(t *testing.T) {
	w, path := newItems(t), csvPath(t)
	w.create(fromFile(t, path, "id,name\n1,a\n2,b\n", ""))
	app, err := pgx.Connect(t.Context(), w.db.Superuser())
	if err != nil {
		t.Fatal(err)
	}
	defer app.Close(t.Context())
	held, err := app.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer held.Rollback(t.Context())
	if _, err := held.Exec(t.Context(), `SELECT FROM items WHERE id = 2 FOR UPDATE`); err != nil {
		t.Fatal(err)
	}
	fromFile(t, path, "id,name\n1,x\n2,y\n3,z\n", "")
	digest, err := rowfile.Digest(path)
	if err != nil {
		t.Fatal(err)
	}
	db := pgdb.New(w.db.Settings)
	defer db.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() {
		done <- db.Change(ctx, func(ctx context.Context, tx pgx.Tx) error {
			src := pgdb.Source{File: rowfile.File{Path: path, Keys: []string{"id"}}, Digest: digest, Mode: pgdb.Upsert}
			_, _, _, err := pgdb.ApplyFile(ctx, tx, pgdb.Spec{Schema: "public", Table: "items", Keys: []string{"id"}}, src)
			return err
		})
	}()
	const waiting = `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
	for deadline := time.Now().Add(time.Minute); w.db.Text(waiting) != "1"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the update does not wait for the application")
		}
	}
	cancel()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a cancelled update succeeded")
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the update goes on")
	}
	equal(t, "rows", w.db.Text(itemsNow), "1|a|\n2|b|")
}
