package resource_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	presource "github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/provider/internal/pgtest"
)

// table declares rows of a table by id, given as JSON.
func table(name, rows string) property.Map {
	return obj(fmt.Sprintf(`{"table": %q, "keyColumns": ["id"], "rows": [%s]}`, name, rows))
}

// refused creates rows, which has to fail with all of these texts and without any of those.
func (w *world) refused(inputs property.Map, with []string, without ...string) {
	w.t.Helper()
	_, err := w.tryCreate(inputs)
	if err == nil {
		w.t.Error("accepted")
		return
	}
	for _, text := range with {
		if !strings.Contains(err.Error(), text) {
			w.t.Errorf("%q is not in: %v", text, err)
		}
	}
	for _, text := range without {
		if strings.Contains(err.Error(), text) {
			w.t.Errorf("%q is in: %v", text, err)
		}
	}
}

func TestADatabaseThatIsNotUTF8(t *testing.T) {
	w := newWorldIn(t, pgtest.New(t, "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0"))
	w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, name text, tags text[], doc jsonb)`)
	s := w.create(table("items", `{"id": 1, "name": "é", "tags": ["ß"], "doc": {"k": "ü"}}`))
	equal(t, "stored", w.db.Text(`SELECT encode(convert_to(name, 'LATIN1'), 'hex'), length(name), tags[1], doc ->> 'k' FROM items`), "e9|1|ß|ü")
	_, drift := w.refresh(s)
	equal(t, "drift", drift, "")
	w.db.Exec(`UPDATE items SET name = 'è'`)
	live, drift := w.refresh(s)
	equal(t, "drift", drift, `update rows["id=1"].name`)
	equal(t, "live", show(live.state.Get("rows").AsMap().Get("id=1").AsMap().Get("name")), `"è"`)

	w.refused(table("items", `{"id": 2, "name": "é"}, {"id": 3, "name": "10 €"}, {"id": 4, "tags": ["a", "漢"]}, {"id": 5, "doc": {"k": "€"}}`), []string{
		`public.items, row id=3, column name: holds '€' (U+20AC), which the database cannot store, because its encoding is LATIN1`,
		"row id=4, column tags: holds '漢' (U+6F22)", "row id=5, column doc: holds '€'",
	}, "id=2")
	w.refused(table("items", `{"id": 6}`).Set("rows", property.New([]property.Value{property.New(map[string]property.Value{
		"id": property.New(6.0), "name": property.New("geheim €").WithSecret(true),
	})})), []string{"row id=6, column name: holds a character that the database cannot store"}, "€", "geheim")
	equal(t, "rows", w.db.Text(`SELECT count(*) FROM items`), "1")
}

const (
	otherURN = presource.URN("urn:pulumi:test::test::pgrows:index:Rows::other")
	stackURN = presource.URN("urn:pulumi:another::test::pgrows:index:Rows::rows")
)

func (w *world) called(urn presource.URN) *world {
	again := *w
	again.urn = urn
	return &again
}

func (w *world) remove(s resourceState) {
	w.t.Helper()
	if err := w.server.Delete(p.DeleteRequest{ID: s.id, Urn: w.urn, Properties: s.state, OldInputs: s.inputs}); err != nil {
		w.t.Fatal(err)
	}
}

func TestARowBelongsToOneResource(t *testing.T) {
	const items = `SELECT id, name FROM items ORDER BY id`
	start := func(t *testing.T) *world {
		w := newWorld(t)
		w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, name text UNIQUE)`)
		return w
	}
	removing := func(rows string) property.Map { return table("items", rows).Set("onRemove", property.New("delete")) }

	t.Run("two in one program", func(t *testing.T) {
		w := start(t)
		w.check(table("items", `{"id": 1, "name": "a"}, {"id": 2}`))
		resp, err := w.server.Check(p.CheckRequest{Urn: otherURN, Inputs: table("items", `{"id": 3}, {"id": 2, "name": "b"}`)})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "failures", fmt.Sprint(resp.Failures), `[{rows[1] row id=2 of table items is declared by the resource rows too: a row belongs to one}]`)
	})
	t.Run("two in one program, spelled in two ways", func(t *testing.T) {
		w := start(t)
		w.create(table("items", `{"id": 1, "name": "a"}`))
		w.called(otherURN).refused(table("items", `{"id": "01", "name": "b"}`), []string{"row id=01: belongs to the resource rows of stack test, project test, since"})
	})
	t.Run("two in one program, by other keys", func(t *testing.T) {
		w := start(t)
		w.create(table("items", `{"id": 1, "name": "a"}`))
		w.called(otherURN).refused(obj(`{"table": "items", "keyColumns": ["name"], "rows": [{"name": "a", "id": 1}]}`), []string{"row name=a: belongs to the resource rows"})
	})
	t.Run("two stacks", func(t *testing.T) {
		w := start(t)
		s := w.create(removing(`{"id": 1, "name": "a"}, {"id": 2, "name": "b"}`))
		second := newWorldIn(t, w.db).called(stackURN)
		second.refused(removing(`{"id": 2, "name": "theirs"}, {"id": 3, "name": "c"}`), []string{
			"public.items, row id=2: belongs to the resource rows of stack test, project test, since", "DELETE FROM plan_charge.owned_rows WHERE owner = 'rows-",
		}, "id=3")
		if _, err := second.server.Read(p.ReadRequest{ID: "public.items/id", Urn: stackURN}); err == nil || !strings.Contains(err.Error(), "belongs to the resource rows of stack test") {
			t.Errorf("an import of somebody's rows: %v", err)
		}
		equal(t, "rows", w.db.Text(items), "1|a\n2|b")
		other := second.create(removing(`{"id": 3, "name": "c"}`))
		w.remove(s)
		equal(t, "after the first is gone", w.db.Text(items), "3|c")
		other = second.update(other, removing(`{"id": 2, "name": "b"}, {"id": 3, "name": "c"}`))
		second.remove(other)
		equal(t, "owners", w.db.Text(`SELECT count(*) FROM plan_charge.owned_rows`), "0")
	})
	t.Run("renamed with an alias, or in a stack of another name", func(t *testing.T) {
		w := start(t)
		s := w.create(removing(`{"id": 1, "name": "a"}`))
		for _, urn := range []presource.URN{otherURN, stackURN} {
			later := newWorldIn(t, w.db).called(urn)
			_, drift := later.refresh(s)
			equal(t, "drift", drift, "")
			s = later.update(s, removing(`{"id": 1, "name": "`+string(urn.Stack())+urn.Name()+`"}`))
		}
		equal(t, "owners", w.db.Text(`SELECT count(*), min(resource) FROM plan_charge.owned_rows`), "1|"+string(stackURN))
	})
	t.Run("renamed without an alias", func(t *testing.T) {
		w := start(t)
		s := w.create(removing(`{"id": 1, "name": "a"}, {"id": 2, "name": "b"}`))
		later := newWorldIn(t, w.db) // has not seen the old resource in the program
		later.called(otherURN).create(removing(`{"id": 1, "name": "a"}`))
		later.remove(s)
		equal(t, "rows", w.db.Text(items), "1|a")
	})
	t.Run("moved to another resource", func(t *testing.T) {
		w := start(t)
		first := w.create(removing(`{"id": 1, "name": "a"}, {"id": 2, "name": "b"}`))
		later := newWorldIn(t, w.db)
		later.check(removing(`{"id": 1, "name": "a"}`))
		later.called(otherURN).create(removing(`{"id": 2, "name": "b"}`))
		later.update(first, removing(`{"id": 1, "name": "a"}`))
		equal(t, "rows", w.db.Text(items), "1|a\n2|b")
	})
	t.Run("replaced by itself", func(t *testing.T) {
		w := start(t)
		s := w.create(removing(`{"id": 1, "name": "a"}`))
		w.create(removing(`{"id": 1, "name": "a"}`))
		w.remove(s)
		equal(t, "rows", w.db.Text(items), "1|a")
	})
	t.Run("imported", func(t *testing.T) {
		w := start(t)
		w.db.Exec(`INSERT INTO items VALUES (1, 'a')`)
		resp, err := w.server.Read(p.ReadRequest{ID: "public.items/id", Urn: rowsURN})
		if err != nil {
			t.Fatal(err)
		}
		s := resourceState{resp.ID, resp.Inputs, resp.Properties}
		equal(t, "diff", w.diff(s, w.check(table("items", `{"id": 1, "name": "a"}`))), "")
		s = w.update(s, table("items", `{"id": 1, "name": "b"}`))
		newWorldIn(t, w.db).called(stackURN).refused(table("items", `{"id": 1, "name": "c"}`), []string{"belongs to the resource rows of stack test"})
		_, drift := w.refresh(s)
		equal(t, "drift", drift, "")
	})
}

func TestSequencesAreMovedPastDeclaredRows(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE SEQUENCE own START 5;
		CREATE TABLE "Se r" (id serial PRIMARY KEY, b int GENERATED BY DEFAULT AS IDENTITY, c bigint DEFAULT nextval('own'), d serial, name text)`)
	program := table("Se r", `{"id": 1, "b": 7, "c": 3, "d": 2147483647, "name": "a"}, {"id": 2, "b": 5, "c": 4, "d": 2, "name": "b"}`)
	s := w.create(program)
	w.db.Exec(`INSERT INTO "Se r" (name) VALUES ('application')`)
	equal(t, "the application's row", w.db.Text(`SELECT id, b, c, d FROM "Se r" WHERE name = 'application'`), "3|8|5|3")
	w.db.Exec(`SELECT setval('"Se r_id_seq"', 100)`)
	w.update(s, table("Se r", `{"id": 1, "b": 7, "c": 3, "d": 2147483647, "name": "changed"}`))
	w.db.Exec(`INSERT INTO "Se r" (name) VALUES ('later')`)
	equal(t, "never backwards", w.db.Text(`SELECT id FROM "Se r" WHERE name = 'later'`), "101")
}

// rowsOf are rows id=0 to id=n-1 with a column of which each number goes into the text.
func rowsOf(n int, form string, other map[int]string) string {
	rows := make([]string, n)
	for i := range rows {
		rows[i] = fmt.Sprintf(`{"id": %d, `+form+`}`, i, i)
		if o, ok := other[i]; ok {
			rows[i] = fmt.Sprintf(`{"id": %d, %s}`, i, o)
		}
	}
	return strings.Join(rows, ",")
}

func TestErrorsNameTheRightRow(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`
		CREATE TABLE codes (id int PRIMARY KEY, code text UNIQUE);
		CREATE TABLE folded (id int PRIMARY KEY, code text); CREATE UNIQUE INDEX ON folded (lower(code));
		CREATE TABLE tree (id int PRIMARY KEY, parent int REFERENCES tree);
		CREATE TABLE late (id int PRIMARY KEY, code text, UNIQUE (code) DEFERRABLE INITIALLY DEFERRED);
		CREATE TABLE guarded (id int PRIMARY KEY, n int); ALTER TABLE guarded ENABLE ROW LEVEL SECURITY; ALTER TABLE guarded FORCE ROW LEVEL SECURITY;
		CREATE POLICY p ON guarded USING (true) WITH CHECK (n <> 77);
		CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.n = 77 THEN RAISE 'seventy-seven' USING ERRCODE = 'PC001', DETAIL = NEW::text; END IF; RETURN NEW; END $$;
		CREATE TABLE triggered (id int PRIMARY KEY, n int, hash text DEFAULT 'hush'); CREATE TRIGGER t BEFORE INSERT ON triggered FOR EACH ROW EXECUTE FUNCTION own();
		CREATE TABLE users (id int PRIMARY KEY, name text, hash text DEFAULT 'hush', CHECK (name <> 'bad'));
		INSERT INTO users VALUES (5, 'x', 'hush');
		CREATE TABLE pairs (id int PRIMARY KEY, name text, hash text DEFAULT 'hush', UNIQUE (name, hash))`)
	for name, c := range map[string]struct {
		inputs  property.Map
		with    []string
		without []string
	}{
		"a unique value twice":      {table("codes", rowsOf(1000, `"code": "c%d"`, map[int]string{3: `"code": "x"`, 900: `"code": "x"`})), []string{"public.codes, row id=900: duplicate key value", "Key (code)=(x) already exists"}, nil},
		"twice but for case":        {table("folded", rowsOf(1000, `"code": "c%d"`, map[int]string{3: `"code": "X"`, 900: `"code": "x"`})), []string{"row id=900: duplicate key value", "(x) already exists"}, nil},
		"a parent that is not":      {table("tree", rowsOf(300, `"parent": %d`, map[int]string{0: `"parent": 299`, 200: `"parent": 4711`})), []string{"row id=200: insert or update on table", "Key (parent)=(4711) is not present"}, nil},
		"a deferred constraint":     {table("late", rowsOf(1000, `"code": "c%d"`, map[int]string{3: `"code": "x"`, 900: `"code": "x"`})), []string{"row id=900: duplicate key value"}, nil},
		"row-level security":        {table("guarded", rowsOf(100, `"n": %d`, nil)), []string{"row id=77: new row violates row-level security policy"}, nil},
		"a code of the table's own": {table("triggered", rowsOf(100, `"n": %d`, nil)), []string{"row id=77: seventy-seven"}, []string{"hush"}},
		"a check of an update":      {table("users", `{"id": 4, "name": "good"}, {"id": 5, "name": "bad"}`), []string{`row id=5: new row for relation "users" violates check`}, []string{"hush"}},
		"an index with more":        {table("pairs", `{"id": 4, "name": "a"}, {"id": 5, "name": "b"}, {"id": 6, "name": "a"}`), []string{`row id=6: duplicate key value`}, []string{"hush"}},
	} {
		t.Run(name, func(t *testing.T) {
			w.called(presource.URN(string(rowsURN)+strings.ReplaceAll(name, " ", "")+"x")).named(t).refused(c.inputs, c.with, c.without...)
		})
	}
}

func (w *world) named(t *testing.T) *world {
	w.t = t
	return w
}

func TestValuesOfOddTypesAreNamed(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TYPE pair AS (a int, b text);
		CREATE DOMAIN positive AS int CHECK (VALUE > 0); CREATE DOMAIN filled AS varchar(5) NOT NULL;
		CREATE FUNCTION check_it(text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN IF $1 IS NOT NULL THEN RAISE 'not like this'; END IF; RETURN true; END $$; CREATE DOMAIN odd AS text CHECK (check_it(VALUE));
		CREATE TABLE odd_types (id int PRIMARY KEY, j jsonb, c pair, p jsonpath, d positive, o odd, b box[], m int4multirange, x xml, f filled DEFAULT 'f')`)
	for column, c := range map[string]struct{ value, want string }{
		"j": {`"{\"a\": \"\\ud800\"}"`, "Unicode"}, "c": {`"(x,y)"`, "invalid input syntax for type integer"}, "p": {`"$.["`, "jsonpath"},
		"d": {`-1`, "violates check constraint"}, "o": {`"x"`, "not like this"}, "b": {`["(1,1),(x,0)"]`, "invalid input syntax"}, "m": {`"{[2,1]}"`, "range lower bound"},
		"x": {`"<a>"`, "XML"}, "f": {`null`, "is null"},
	} {
		t.Run(column, func(t *testing.T) {
			w.named(t).refused(table("odd_types", fmt.Sprintf(`{"id": 1}, {"id": 2, %q: %s}`, column, c.value)), []string{"public.odd_types, row id=2, column " + column + ": ", c.want})
		})
	}
}

func TestIgnoredChanges(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL, price int)`)
	s := w.create(table("items", `{"id": 1, "name": "a", "price": 1}, {"id": 2, "name": "b", "price": 2}, {"id": 3, "name": "c", "price": 3}`).Set("onRemove", property.New("delete")))
	w.db.Exec(`UPDATE items SET name = 'by hand' WHERE id = 1`)
	program := w.check(table("items", `{"id": 1, "name": "new", "price": 10}, {"id": 2, "name": "new", "price": 20}, {"id": 4, "name": "d", "price": 4}, {"id": 5, "name": "e", "price": 5}`).Set("onRemove", property.New("delete")))
	ignore := []string{`rows["id=1"].name`, `rows["id=2"]`, `rows["id=3"]`, `rows["id=4"]`, `rows["id=5"].name`}
	diff, err := w.server.Diff(p.DiffRequest{ID: s.id, Urn: rowsURN, State: s.state, OldInputs: s.inputs, Inputs: program, IgnoreChanges: ignore})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "preview", paths(diff), "add rows[\"id=5\"]\nupdate rows[\"id=1\"].price")
	resp, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: rowsURN, State: s.state, OldInputs: s.inputs, Inputs: program, IgnoreChanges: ignore})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "rows", w.db.Text(`SELECT id, name, price FROM items ORDER BY id`), "1|by hand|10\n2|b|2\n3|c|3\n5|e|5")
	after := resourceState{s.id, program, resp.Properties}
	diff, err = w.server.Diff(p.DiffRequest{ID: s.id, Urn: rowsURN, State: after.state, OldInputs: program, Inputs: program, IgnoreChanges: ignore})
	equal(t, "preview after", paths(diff)+fmt.Sprint(err), "<nil>")

	every := []string{`rows["*"].name`}
	resp, err = w.server.Update(p.UpdateRequest{ID: s.id, Urn: rowsURN, State: after.state, OldInputs: program, Inputs: program, IgnoreChanges: every})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "rows", w.db.Text(`SELECT id, name, price FROM items ORDER BY id`), "1|by hand|10\n2|b|20\n4|d|4\n5|e|5")

	for path, want := range map[string]string{"rows[1].name": `write rows["id=3"]`, "rows[id=1].name": "is no path", `rows["id=1"].name.first`: "a column is ignored as a whole"} {
		for what, err := range map[string]error{
			"diff": func() error {
				_, err := w.server.Diff(p.DiffRequest{ID: s.id, Urn: rowsURN, State: s.state, Inputs: program, IgnoreChanges: []string{path}})
				return err
			}(),
			"update": func() error {
				_, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: rowsURN, State: s.state, Inputs: program, IgnoreChanges: []string{path}})
				return err
			}(),
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of %s: %v", what, path, err)
			}
		}
	}
}

func TestChangesThatLookAlike(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; CREATE EXTENSION hstore SCHEMA ext;
		CREATE TABLE items (id ext.citext PRIMARY KEY, name ext.citext, names ext.citext[], period interval, area box, attributes ext.hstore)`)
	program := obj(`{"table": "items", "keyColumns": ["id"], "rows": [{"id": "Key", "name": "Abc", "names": ["Abc"], "period": "1 mon", "area": "(1,1),(0,0)", "attributes": "\"a\"=>\"1\""}]}`)
	s := w.create(program)
	_, drift := w.refresh(s)
	equal(t, "drift", drift, "")
	w.db.Exec(`UPDATE items SET id = 'kEY', name = 'aBC', names = '{aBC}', period = '30 days', area = '(2,1),(1,0)', attributes = 'a=>2'`)
	live, drift := w.refresh(s)
	equal(t, "drift", drift, `update rows["id=Key"].area
update rows["id=Key"].attributes
update rows["id=Key"].id
update rows["id=Key"].name
update rows["id=Key"].names
update rows["id=Key"].period`)
	s = w.update(live, program)
	equal(t, "healed", w.db.Text(`SELECT id::text, name::text, names::text, period::text, area::text, attributes::text FROM items`), `Key|Abc|{Abc}|1 mon|(1,1),(0,0)|"a"=>"1"`)
	_, drift = w.refresh(s)
	equal(t, "drift", drift, "")
}

func TestTimesThatMoveAreRefused(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE times (id int PRIMARY KEY, a timestamptz, b timestamp, c date, d time, e timestamptz[], f tstzrange, g text)`)
	for column, value := range map[string]string{"a": `"now"`, "b": `"Today 12:00"`, "c": `"tomorrow"`, "d": `"NOW"`, "e": `["2024-01-01", "yesterday"]`, "f": `"[now,)"`} {
		t.Run(column, func(t *testing.T) {
			w.named(t).refused(table("times", fmt.Sprintf(`{"id": 1, "g": "now"}, {"id": 2, %q: %s}`, column, value)), []string{"row id=2, column " + column, "another time whenever somebody looks"}, "id=1")
		})
	}
}

func TestATriggerThatDropsARowIsSaid(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, name text);
		CREATE FUNCTION dropping() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 2 THEN RETURN NULL; END IF; IF NEW.id = 3 THEN NEW.id := 30; END IF; RETURN NEW; END $$;
		CREATE TRIGGER t BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION dropping()`)
	w.refused(table("items", `{"id": 1, "name": "a"}, {"id": 2, "name": "b"}, {"id": 3, "name": "c"}`), []string{
		"row id=2: was written without an error, but the table does not hold it: a trigger or rule dropped it", "row id=3: ",
	}, "id=1")
	equal(t, "rows", w.db.Text(`SELECT count(*) FROM items`), "0")
}

func TestRowsThatRowSecurityHidesAreNotSeen(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, name text)`)
	program := table("items", `{"id": 1, "name": "a"}, {"id": 2, "name": "b"}`)
	s := w.create(program)
	w.db.Exec(`ALTER TABLE items ENABLE ROW LEVEL SECURITY; ALTER TABLE items FORCE ROW LEVEL SECURITY; CREATE POLICY p ON items USING (true)`)
	kept, drift := w.refresh(s)
	equal(t, "a policy that shows all", drift, "")
	w.db.Exec(`ALTER POLICY p ON items USING (id <> 2)`)
	kept, drift = w.refresh(s)
	equal(t, "a policy that hides", drift, "update notSeen")
	equal(t, "why", show(kept.state.Get("notSeen")), `"not seen: row-level security hides rows of public.items from this user, so it cannot be told whether rows are missing"`)
	if _, err := w.server.Read(p.ReadRequest{ID: "public.items/id", Urn: rowsURN}); err == nil || !strings.Contains(err.Error(), "row-level security") {
		t.Errorf("an import: %v", err)
	}
	w.db.Exec(`ALTER TABLE items DISABLE ROW LEVEL SECURITY`)
	_, drift = w.refresh(kept)
	equal(t, "without", drift, "")
}

func TestAReadOnlyDatabaseIsNotSeen(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY)`)
	s := w.create(table("items", `{"id": 1}`))
	w.db.Exec(`ALTER DATABASE ` + w.db.Settings.Database + ` SET default_transaction_read_only = on`)
	later := newWorldIn(t, w.db)
	kept, drift := later.refresh(s)
	equal(t, "drift", drift, "update notSeen")
	if why := show(kept.state.Get("notSeen")); !strings.Contains(why, "read-only") {
		t.Errorf("why: %s", why)
	}
}

func TestANullIsShownAsAValue(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, name text)`)
	s := w.create(table("items", `{"id": 1, "name": "a"}`))
	w.db.Exec(`UPDATE items SET name = NULL`)
	live, drift := w.refresh(s)
	equal(t, "drift", drift, `update rows["id=1"].name`)
	equal(t, "live", show(live.state.Get("rows")), `{"id=1":{"id":1,"name":null}}`)
}

func TestWhatCanBeDeclared(t *testing.T) {
	for name, c := range map[string]struct{ sql, before, after, query, want string }{
		"parent and child with other columns": {
			`CREATE TABLE x (id int PRIMARY KEY, parent int REFERENCES x, name text DEFAULT 'none')`, ``,
			`{"id": 1, "parent": 2}, {"id": 2, "name": "b"}, {"id": 3, "name": "c", "parent": 4}, {"id": 4, "parent": 3}`, `SELECT * FROM x ORDER BY id`, "1|2|none\n2||b\n3|4|c\n4|3|none",
		},
		"a row that is there refers to a new one": {
			`CREATE TABLE x (id int PRIMARY KEY, parent int REFERENCES x)`, `{"id": 1, "parent": 1}`, `{"id": 1, "parent": 2}, {"id": 2, "parent": 1}`, `SELECT * FROM x ORDER BY id`, "1|2\n2|1",
		},
		"a renamed key that keeps its unique value": {
			`CREATE TABLE x (id int PRIMARY KEY, code text UNIQUE)`, `{"id": 1, "code": "a"}`, `{"id": 2, "code": "a"}`, `SELECT * FROM x ORDER BY id`, "2|a",
		},
		"two rows that swap a unique value": {
			`CREATE TABLE x (id int PRIMARY KEY, code text NOT NULL UNIQUE, n int UNIQUE)`, `{"id": 1, "code": "a", "n": 1}, {"id": 2, "code": "b", "n": 2}`,
			`{"id": 1, "code": "b", "n": 2}, {"id": 2, "code": "a", "n": 1}`, `SELECT * FROM x ORDER BY id`, "1|b|2\n2|a|1",
		},
		"two rows that swap a deferrable value": {
			`CREATE TABLE x (id int PRIMARY KEY, code text, UNIQUE (code) DEFERRABLE)`, `{"id": 1, "code": "a"}, {"id": 2, "code": "b"}`,
			`{"id": 1, "code": "b"}, {"id": 2, "code": "a"}`, `SELECT * FROM x ORDER BY id`, "1|b\n2|a",
		},
		"a new row takes a value that another gives up": {
			`CREATE TABLE x (id int PRIMARY KEY, code text UNIQUE)`, `{"id": 1, "code": "a"}`, `{"id": 1, "code": "b"}, {"id": 2, "code": "a"}`, `SELECT * FROM x ORDER BY id`, "1|b\n2|a",
		},
		"keys under UNIQUE INCLUDE": {
			`CREATE TABLE x (id int NOT NULL, code text, UNIQUE (id) INCLUDE (code))`, `{"id": 1, "code": "a"}`, `{"id": 1, "code": "b"}`, `SELECT * FROM x`, "1|b",
		},
		"columns named like our own": {
			`CREATE TABLE x (id int PRIMARY KEY, pgrows_row int, pgrows_group text, t int, d text, e int, "row" int)`, `{"id": 1, "pgrows_row": 1, "pgrows_group": "a", "t": 1, "d": "x", "e": 2, "row": 3}`,
			`{"id": 1, "pgrows_row": 2, "pgrows_group": "b", "t": 2, "d": "y", "e": 3, "row": 4}`, `SELECT * FROM x`, "1|2|b|2|y|3|4",
		},
		"text keys that look like a uuid": {
			`CREATE TABLE x (id text PRIMARY KEY, n int)`, `{"id": "ABCDEF00-0000-0000-0000-00000000000A", "n": 1}`,
			`{"id": "ABCDEF00-0000-0000-0000-00000000000A", "n": 2}, {"id": "abcdef00-0000-0000-0000-00000000000a", "n": 3}`, `SELECT n FROM x ORDER BY n`, "2\n3",
		},
		"a text key that looks like a uuid, in other letters": {
			`CREATE TABLE x (id text PRIMARY KEY, n int)`, `{"id": "ABCDEF00-0000-0000-0000-00000000000A", "n": 1}`, `{"id": "abcdef00-0000-0000-0000-00000000000a", "n": 1}`, `SELECT id FROM x`, "abcdef00-0000-0000-0000-00000000000a",
		},
		"a key with a collation": {
			`CREATE TABLE x (id text COLLATE "C" PRIMARY KEY, name text COLLATE "POSIX")`, `{"id": "a", "name": "a"}`, `{"id": "a", "name": "b"}`, `SELECT * FROM x`, "a|b",
		},
		"a filled domain that not every row names": {
			`CREATE DOMAIN filled AS text NOT NULL DEFAULT 'f'; CREATE TABLE x (id int PRIMARY KEY, a filled)`, ``, `{"id": 1, "a": "a"}, {"id": 2}`, `SELECT * FROM x ORDER BY id`, "1|a\n2|f",
		},
		"defaults where not every row names the column": {
			`CREATE TABLE x (id int PRIMARY KEY, a serial, b int GENERATED BY DEFAULT AS IDENTITY, c text DEFAULT 'c' || 1)`, ``,
			`{"id": 1, "a": 7, "b": 8, "c": "x"}, {"id": 2}`, `SELECT id, a > 0, b > 0, c FROM x ORDER BY id`, "1|true|true|x\n2|true|true|c1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.db.Exec(c.sql)
			declare := func(rows string) property.Map { return table("x", rows).Set("onRemove", property.New("delete")) }
			s := w.create(declare(c.before))
			s = w.update(s, declare(c.after))
			equal(t, "rows", w.db.Text(c.query), c.want)
			equal(t, "preview", w.diff(s, w.check(declare(c.after))), "")
			_, drift := w.refresh(s)
			equal(t, "drift", drift, "")
		})
	}
}

func TestAColumnWhoseTypeWasChangedIsReadQuickly(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE items (id int PRIMARY KEY, name text)`)
	s := w.create(table("items", rowsOf(3000, `"name": "n%d"`, nil)))
	started := time.Now()
	_, drift := w.refresh(s)
	equal(t, "drift", drift, "")
	clean := time.Since(started)
	w.db.Exec(`ALTER TABLE items ALTER name TYPE int USING id`)
	started = time.Now()
	_, drift = w.refresh(s)
	if got := strings.Count(drift, "\n") + 1; got != 1000 { // as many as a diff shows
		t.Errorf("%d rows differ", got)
	}
	if took := time.Since(started); took > 60*clean { // row by row it is some hundred times
		t.Errorf("the refresh took %s, one without differences %s", took, clean)
	}
}

// A state that was written before rows had owners is as good as before, and has one from its next change on.
func TestAStateWithoutAnOwner(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(organizationsTable)
	program := organizations(organization(one, "A"))
	s := w.create(program)
	w.db.Exec(`DROP SCHEMA plan_charge CASCADE`)
	s.state = s.state.Delete("owner")
	later := newWorldIn(t, w.db)
	equal(t, "preview", later.diff(s, later.check(program)), "")
	live, drift := later.refresh(s)
	equal(t, "refresh", drift, "")
	equal(t, "state", show(property.New(live.state)), show(property.New(s.state)))
	s = later.update(live, organizations(organization(one, "B")))
	if !strings.HasPrefix(show(s.state.Get("owner")), `"rows-`) {
		t.Errorf("the state is %s", show(property.New(s.state)))
	}
	equal(t, "owners", w.db.Text(`SELECT count(*) FROM plan_charge.owned_rows`), "1")
}
