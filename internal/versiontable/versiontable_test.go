package versiontable_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/schemaobjects"
	"plan-charge/internal/testkit/postgres"
	"plan-charge/internal/versiontable"
)

var server *postgres.Server

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "versiontable-pg")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		os.Chmod(dir, 0o755)
		server, err = postgres.Start(context.Background(), postgres.Options{Dir: dir + "/pg", User: "owner", Password: "owner", Database: "plan_charge"})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer server.Kill()
		return m.Run()
	}())
}

// begin opens a transaction of the owner's that is rolled back with the test, and runs statements in it.
func begin(t *testing.T, statements string) pgx.Tx {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(ctx) })
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, tx, statements)
	return tx
}

func exec(t *testing.T, tx pgx.Tx, statements string) {
	t.Helper()
	if _, err := tx.Exec(context.Background(), statements); err != nil {
		t.Fatal(err)
	}
}

const alembic = `CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);`

func TestParse(t *testing.T) {
	for name, want := range map[string]versiontable.Table{
		"":             {Schema: "public", Name: "alembic_version", Column: "version_num"},
		"versions":     {Schema: "public", Name: "versions", Column: "version_num"},
		"app.versions": {Schema: "app", Name: "versions", Column: "version_num"},
	} {
		got, err := versiontable.Parse(name)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v", name, got, err)
		}
		if again, err := versiontable.Parse(got.String()); err != nil || again != want {
			t.Errorf("%q: written as %q, which is read as %+v, %v", name, got, again, err)
		}
	}
	for _, name := range []string{".", "a.", ".b", "a.b.c", "a..b"} {
		if got, err := versiontable.Parse(name); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("found %q; allowed: ", name)) {
			t.Errorf("%q: got %+v, %v", name, got, err)
		}
	}
}

func TestCurrent(t *testing.T) {
	for name, tc := range map[string]struct {
		table      versiontable.Table
		statements string
		want       string
	}{
		"empty":         {versiontable.New("", "", ""), alembic, ""},
		"one head":      {versiontable.New("", "", ""), alembic + `INSERT INTO alembic_version VALUES ('0003')`, "0003"},
		"several heads": {versiontable.New("", "", ""), alembic + `INSERT INTO alembic_version VALUES ('b'), ('a')`, "a,b"},
		"odd names, a number": {
			versiontable.New("Odd one", `sche"ma.versions`, "Version"),
			`CREATE SCHEMA "Odd one"; CREATE TABLE "Odd one"."sche""ma.versions" ("Version" bigint); INSERT INTO "Odd one"."sche""ma.versions" VALUES (7)`, "7",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.table.Current(context.Background(), begin(t, tc.statements))
			if err != nil || got != tc.want {
				t.Errorf("got %q, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func TestNoTable(t *testing.T) {
	ctx := context.Background()
	for _, table := range []versiontable.Table{versiontable.New("", "", ""), versiontable.New("nowhere", "", "")} {
		if _, err := table.Current(ctx, begin(t, "")); !errors.Is(err, versiontable.ErrNoTable) {
			t.Errorf("Current of %s: %v", table, err)
		}
		if _, _, err := table.ReadMark(ctx, begin(t, "")); !errors.Is(err, versiontable.ErrNoTable) {
			t.Errorf("ReadMark of %s: %v", table, err)
		}
		if err := table.WriteMark(ctx, begin(t, ""), versiontable.Mark{}); !errors.Is(err, versiontable.ErrNoTable) {
			t.Errorf("WriteMark of %s: %v", table, err)
		}
	}
	// Only a missing table is none: another mistake may not look like a database that was never migrated.
	if _, err := versiontable.New("", "", "nope").Current(ctx, begin(t, alembic)); err == nil || errors.Is(err, versiontable.ErrNoTable) {
		t.Errorf("a column that does not exist: %v", err)
	}
}

// show writes a mark for comparison.
func show(m versiontable.Mark, marked bool, err error) string {
	key, schema := "no key", "no objects"
	if m.Key != nil {
		key = fmt.Sprintf("%q", *m.Key)
	}
	if m.Schema != nil {
		schema = fmt.Sprint(*m.Schema)
	}
	return fmt.Sprintf("%q, %s, %s, %t, %v", m.Revision, key, schema, marked, err)
}

const (
	oldRevision = `COMMENT ON TABLE alembic_version IS 'plan-charge: migrated to 0003';`
	oldKey      = `COMMENT ON COLUMN alembic_version.version_num IS 'plan-charge: migrated for image:1 [] 3';`
)

// Databases carry marks of this form.
func TestMarkOfAVersionBefore(t *testing.T) {
	for name, tc := range map[string]struct{ statements, want string }{
		"none":            {``, `"", no key, no objects, false, <nil>`},
		"revision":        {oldRevision, `"0003", no key, no objects, true, <nil>`},
		"with key":        {oldRevision + oldKey, `"0003", "image:1 [] 3", no objects, true, <nil>`},
		"key alone":       {oldKey, `"", no key, no objects, false, <nil>`},
		"another comment": {`COMMENT ON TABLE alembic_version IS 'ours';` + oldKey, `"", no key, no objects, false, <nil>`},
		"another column's comment": {
			oldRevision + `COMMENT ON COLUMN alembic_version.version_num IS 'the revision'`,
			`"0003", no key, no objects, true, <nil>`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := show(versiontable.New("", "", "").ReadMark(context.Background(), begin(t, alembic+tc.statements))); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	// Whoever looks for another column still learns the revision.
	if got := show(versiontable.New("", "", "nope").ReadMark(context.Background(), begin(t, alembic+oldRevision+oldKey))); got != `"0003", no key, no objects, true, <nil>` {
		t.Errorf("another column: got %s", got)
	}
}

func TestWriteMark(t *testing.T) {
	ctx := context.Background()
	table := versiontable.New("Odd one", `ta"ble`, "Version")
	tx := begin(t, alembic+`CREATE SCHEMA "Odd one"; CREATE TABLE "Odd one"."ta""ble" ("Version" text)`)
	schema := &schemaobjects.Snapshot{Major: 16, Objects: map[string]string{`table "Odd one"."x"`: "0a1b"}, LeftOut: []string{"policy"}}
	for _, text := range []string{"", "0001", `it's \ "odd" -- $1`} {
		for _, m := range []versiontable.Mark{{Revision: text, Key: &text, Schema: schema}, {Revision: text}, {Revision: text, Schema: &schemaobjects.Snapshot{Major: 17, Objects: map[string]string{}}}} {
			if err := table.WriteMark(ctx, tx, m); err != nil {
				t.Fatal(err)
			}
			if got, want := show(table.ReadMark(ctx, tx)), show(m, true, nil); got != want {
				t.Errorf("wrote %s, read %s", want, got)
			}
		}
	}
	if got := show(versiontable.New("", "", "").ReadMark(ctx, tx)); got != `"", no key, no objects, false, <nil>` {
		t.Errorf("another version table has the mark %s", got)
	}
	exec(t, tx, `DROP SCHEMA "Odd one" CASCADE`)
	if got := show(table.ReadMark(ctx, tx)); !strings.HasSuffix(got, "true, <nil>") {
		t.Errorf("without the version table: %s", got)
	}
}

// A version before writes comments again, which is how its mark is told to be newer.
func TestMarkOfAVersionBeforeThatIsUsedOnceMore(t *testing.T) {
	ctx, table := context.Background(), versiontable.New("", "", "")
	tx := begin(t, alembic+oldRevision+oldKey)
	write := func(revision string) {
		t.Helper()
		if err := table.WriteMark(ctx, tx, versiontable.Mark{Revision: revision, Key: &revision}); err != nil {
			t.Fatal(err)
		}
		if got, want := show(table.ReadMark(ctx, tx)), fmt.Sprintf("%q, %q, no objects, true, <nil>", revision, revision); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	write("0004")
	exec(t, tx, oldRevision)
	if got := show(table.ReadMark(ctx, tx)); got != `"0003", no key, no objects, true, <nil>` {
		t.Errorf("the version before marked last: got %s", got)
	}
	write("0005")
	exec(t, tx, `COMMENT ON TABLE alembic_version IS 'ours'`)
	write("0006")
	var comment string
	if err := tx.QueryRow(ctx, `SELECT obj_description('alembic_version'::regclass)`).Scan(&comment); err != nil || comment != "ours" {
		t.Errorf("somebody's comment became %q, %v", comment, err)
	}
}

func TestMarkOfANewerVersion(t *testing.T) {
	ctx, table := context.Background(), versiontable.New("", "", "")
	// All that is sure about it is the format's column.
	tx := begin(t, alembic+`CREATE SCHEMA plan_charge; CREATE TABLE plan_charge.mark (version_table text PRIMARY KEY, format int, other text);
		INSERT INTO plan_charge.mark VALUES ('public.alembic_version', 2, 'what it says')`)
	_, marked, readErr := table.ReadMark(ctx, tx)
	writeErr := table.WriteMark(ctx, tx, versiontable.Mark{Revision: "0003"})
	for doing, err := range map[string]error{"read": readErr, "write": writeErr} {
		var newer *versiontable.NewerMarkError
		if !errors.As(err, &newer) || newer.Format != 2 || !strings.Contains(err.Error(), "a newer version of plan-charge") {
			t.Errorf("%s: %v", doing, err)
		}
	}
	var other string
	if err := tx.QueryRow(ctx, `SELECT other FROM plan_charge.mark`).Scan(&other); err != nil || other != "what it says" || marked {
		t.Errorf("the newer mark became %q, %v; marked: %t", other, err, marked)
	}
}

// What the database is made of is none of the app's business.
func TestMarkIsTheOwnersAlone(t *testing.T) {
	ctx := context.Background()
	tx := begin(t, alembic+`CREATE ROLE app; ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO app`)
	if err := versiontable.New("", "", "").WriteMark(ctx, tx, versiontable.Mark{Revision: "0003"}); err != nil {
		t.Fatal(err)
	}
	var schema, table bool
	err := tx.QueryRow(ctx, `SELECT has_schema_privilege('app', 'plan_charge', 'USAGE'), has_table_privilege('app', 'plan_charge.mark', 'SELECT')`).Scan(&schema, &table)
	if err != nil || schema || table {
		t.Errorf("the app may look into the schema: %t, read the mark: %t (%v)", schema, table, err)
	}
}

func TestName(t *testing.T) {
	if versiontable.Name("") != "none" || versiontable.Name("0001") != "0001" {
		t.Errorf("got %q and %q", versiontable.Name(""), versiontable.Name("0001"))
	}
}
