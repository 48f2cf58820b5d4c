package versiontable_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

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
	key := "no key"
	if m.Key != nil {
		key = fmt.Sprintf("%q", *m.Key)
	}
	return fmt.Sprintf("%q, %s, %t, %v", m.Revision, key, marked, err)
}

// Databases carry marks of this form.
func TestMarkOfADatabase(t *testing.T) {
	const revision, key = `COMMENT ON TABLE alembic_version IS 'plan-charge: migrated to 0003';`, `COMMENT ON COLUMN alembic_version.version_num IS 'plan-charge: migrated for image:1 [] 3';`
	for name, tc := range map[string]struct{ statements, want string }{
		"none":            {``, `"", no key, false, <nil>`},
		"revision":        {revision, `"0003", no key, true, <nil>`},
		"with key":        {revision + key, `"0003", "image:1 [] 3", true, <nil>`},
		"key alone":       {key, `"", no key, false, <nil>`},
		"another comment": {`COMMENT ON TABLE alembic_version IS 'ours';` + key, `"", no key, false, <nil>`},
		"another column's comment": {
			revision + `COMMENT ON COLUMN alembic_version.version_num IS 'the revision'`,
			`"0003", no key, true, <nil>`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if got := show(versiontable.New("", "", "").ReadMark(context.Background(), begin(t, alembic+tc.statements))); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	// Whoever looks for another column still learns the revision.
	if got := show(versiontable.New("", "", "nope").ReadMark(context.Background(), begin(t, alembic+revision+key))); got != `"0003", no key, true, <nil>` {
		t.Errorf("another column: got %s", got)
	}
}

func TestWriteMark(t *testing.T) {
	ctx := context.Background()
	table := versiontable.New("Odd one", `ta"ble`, "Version")
	tx := begin(t, `CREATE SCHEMA "Odd one"; CREATE TABLE "Odd one"."ta""ble" ("Version" text)`)
	for _, text := range []string{"", "0001", `it's \ "odd" -- $1`} {
		for _, m := range []versiontable.Mark{{Revision: text, Key: &text}, {Revision: text}} {
			if err := table.WriteMark(ctx, tx, m); err != nil {
				t.Fatal(err)
			}
			if got, want := show(table.ReadMark(ctx, tx)), show(m, true, nil); got != want {
				t.Errorf("wrote %s, read %s", want, got)
			}
		}
	}
	key := "image:1"
	if err := table.WriteMark(ctx, tx, versiontable.Mark{Revision: "0003", Key: &key}); err != nil {
		t.Fatal(err)
	}
	var comments string
	if err := tx.QueryRow(ctx, `SELECT string_agg(description, '; ' ORDER BY objsubid) FROM pg_description WHERE objoid = $1::regclass`,
		`"Odd one"."ta""ble"`).Scan(&comments); err != nil || comments != "plan-charge: migrated to 0003; plan-charge: migrated for image:1" {
		t.Errorf("the comments are %q, %v", comments, err)
	}
	// Half a mark would say that the last migration was for the key of an earlier one.
	other := versiontable.New(table.Schema, table.Name, "nope")
	if err := other.WriteMark(ctx, tx, versiontable.Mark{Revision: "0004", Key: &key}); err == nil {
		t.Error("a column that does not exist was marked")
	}
	if got := show(table.ReadMark(ctx, tx)); got != `"0003", "image:1", true, <nil>` {
		t.Errorf("after a mark that failed: %s", got)
	}
}

func TestName(t *testing.T) {
	if versiontable.Name("") != "none" || versiontable.Name("0001") != "0001" {
		t.Errorf("got %q and %q", versiontable.Name(""), versiontable.Name("0001"))
	}
}
