package releases

import (
	"context"
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
		dir, err := os.MkdirTemp("", "releases-pg")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		os.Chmod(dir, 0o755)
		server, err = postgres.Start(context.Background(), postgres.Options{Dir: dir + "/pg", User: "owner", Password: "owner-password", Database: "plan_charge"})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer server.Kill()
		return m.Run()
	}())
}

var table = versiontable.New("", "", "")

// fresh is the owner's connection to a database without releases.
func fresh(t *testing.T) *pgx.Conn {
	t.Helper()
	conn := open(t, server.URL())
	run(t, conn, `DROP SCHEMA IF EXISTS plan_charge CASCADE`)
	return conn
}

func open(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func run(t *testing.T, conn *pgx.Conn, statement string) {
	t.Helper()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func record(t *testing.T, conn *pgx.Conn, image, from, to string, earlier ...Release) {
	t.Helper()
	if err := Record(t.Context(), conn, table, Release{Image: image, Revision: to, From: from}, earlier...); err != nil {
		t.Fatal(err)
	}
}

// told is what a database remembers, as "image from>to".
func told(t *testing.T, conn *pgx.Conn, of versiontable.Table) string {
	t.Helper()
	h, err := Load(t.Context(), conn, of)
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, r := range h {
		words = append(words, r.Image+"="+r.From+">"+r.Revision)
	}
	return strings.Join(words, " ")
}

func TestRecord(t *testing.T) {
	conn := fresh(t)
	if got := told(t, conn, table); got != "" {
		t.Errorf("a new database remembers %q", got)
	}
	record(t, conn, "a:1", "", "0003")
	record(t, conn, "a:2", "0003", "0004")
	before, _ := Load(t.Context(), conn, table)
	record(t, conn, "a:1", "0003", "0003")
	if got := told(t, conn, table); got != "a:1=>0003 a:2=0003>0004" {
		t.Errorf("it remembers %q", got)
	}
	after, err := Load(t.Context(), conn, table)
	if err != nil || !after[0].First.Equal(before[0].First) || !after[0].Last.After(before[1].Last) {
		t.Errorf("a release that migrates again: %+v, then %+v, %v", before[0], after[0], err)
	}
	if newest := after.Newest(1)[0]; newest.Image != "a:1" {
		t.Errorf("the newest is %+v", newest)
	}
}

func TestAMigrationThatFailedHalfWay(t *testing.T) {
	conn := fresh(t)
	record(t, conn, "a:1", "", "0003")
	record(t, conn, "a:2", "0004", "0005") // its first run left 0004 and failed
	h, err := Load(t.Context(), conn, table)
	if _, ok := h.Passed("a:1", "0005"); err != nil || !ok {
		t.Errorf("from %q the way to 0005 is not known: %v", told(t, conn, table), err)
	}
}

func TestADatabaseWithoutReleasesGetsTheOneOfItsMark(t *testing.T) {
	conn := fresh(t)
	mark := Release{Image: "a:1", Revision: "0003"}
	record(t, conn, "a:2", "0003", "0004", mark)
	record(t, conn, "a:3", "0004", "0005", Release{Image: "a:0", Revision: "0001"}) // there are some by now
	if got := told(t, conn, table); got != "a:1=>0003 a:2=0003>0004 a:3=0004>0005" {
		t.Errorf("it remembers %q", got)
	}
}

func TestEachVersionTableHasItsOwn(t *testing.T) {
	conn := fresh(t)
	record(t, conn, "a:1", "", "0003")
	other := versiontable.New("other", "", "")
	if got := told(t, conn, other); got != "" {
		t.Errorf("another application has %q", got)
	}
	if err := Record(t.Context(), conn, other, Release{Image: "b:1", Revision: "7"}); err != nil {
		t.Fatal(err)
	}
	if got := told(t, conn, table) + ", " + told(t, conn, other); got != "a:1=>0003, b:1=>7" {
		t.Errorf("they have %q", got)
	}
}

func TestOthersCannotReadThem(t *testing.T) {
	conn := fresh(t)
	record(t, conn, "a:1", "", "0003")
	run(t, conn, `DROP ROLE IF EXISTS app; CREATE ROLE app LOGIN PASSWORD 'app-password'`)
	app := open(t, strings.Replace(server.URL(), "owner:owner-password", "app:app-password", 1))
	if _, err := Load(t.Context(), app, table); err == nil || !strings.Contains(err.Error(), "permission denied for schema plan_charge") {
		t.Errorf("the app reads them: %v", err)
	}
	if err := Record(t.Context(), app, table, Release{Image: "a:2", Revision: "0004"}); err == nil {
		t.Error("the app writes them")
	}
}

func TestAllOrNothing(t *testing.T) {
	conn := fresh(t)
	record(t, conn, "a:1", "", "0003")
	run(t, conn, `DELETE FROM plan_charge.release; ALTER TABLE plan_charge.release ADD CHECK (image <> 'a:2')`)
	err := Record(t.Context(), conn, table, Release{Image: "a:2", Revision: "0004", From: "0003"}, Release{Image: "a:1", Revision: "0003"})
	if err == nil || !strings.Contains(err.Error(), "write plan_charge.release") {
		t.Errorf("got %v", err)
	}
	if got := told(t, conn, table); got != "" {
		t.Errorf("half of it was written: %q", got)
	}
}
