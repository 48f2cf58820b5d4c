package pgdb_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"plan-charge/provider/internal/pgdb"
)

func ownedBy(id, stack string) pgdb.Spec {
	owned := spec
	owned.Owner = pgdb.Owner{ID: id, Project: "p", Stack: stack, Resource: "urn:pulumi:" + stack + "::p::pgrows:index:Rows::" + id}
	return owned
}

func TestAPreviewSaysWhoseTheRowsAre(t *testing.T) {
	_, store := newTable(t)
	write := func(of pgdb.Spec, rows ...pgdb.Row) (pgdb.Outcome, error) {
		var out pgdb.Outcome
		err := store.Change(context.Background(), func(ctx context.Context, tx pgx.Tx) (err error) {
			_, out, err = pgdb.Apply(ctx, tx, of, rows, nil, of.Keys, pgdb.Retain)
			return err
		})
		return out, err
	}
	if _, err := write(ownedBy("first", "a"), row("id", 1.0, "a", "new")); err != nil {
		t.Fatal(err)
	}
	err := store.Glance(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
		return pgdb.Check(ctx, tx, ownedBy("second", "b"), []pgdb.Row{row("id", 1.0, "a", "x"), row("id", 3.0)})
	})
	if err == nil || !strings.HasPrefix(err.Error(), "nothing was written:\n  public.t, row 1: belongs to the resource first of stack a, project p, since 2") {
		t.Errorf("the preview says: %v", err)
	}
}

func TestAUserWhoMayNotKeepOwnersIsTold(t *testing.T) {
	db, _ := newTable(t)
	admin := connect(t, db.Superuser())
	name := db.Settings.Database
	exec(t, admin, fmt.Sprintf(`ALTER DATABASE %s OWNER TO sandbox_superuser; REVOKE ALL ON DATABASE %s FROM PUBLIC, owner; GRANT CONNECT, TEMPORARY ON DATABASE %s TO owner`, name, name, name))
	store := pgdb.New(db.Settings)
	t.Cleanup(store.Close)
	var out pgdb.Outcome
	err := store.Change(context.Background(), func(ctx context.Context, tx pgx.Tx) (err error) {
		_, out, err = pgdb.Apply(ctx, tx, ownedBy("first", "a"), []pgdb.Row{row("id", 1.0, "a", "new")}, nil, spec.Keys, pgdb.Retain)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(out.Warnings, "\n"); got != "nothing keeps another resource from declaring the same rows: the user may not use or make plan_charge.owned_rows" {
		t.Errorf("told: %s", got)
	}
	if got := db.Text(`SELECT a FROM t WHERE id = 1`); got != "new" {
		t.Errorf("the row is %q", got)
	}
}

// Several resources that write for the first time at once all make the table of owners.
func TestManyBeginAtOnce(t *testing.T) {
	db, store := newTable(t)
	db.Exec(`CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE d (id int PRIMARY KEY)`)
	done := make(chan error, 4)
	for _, table := range []string{"a", "b", "c", "d"} {
		of := ownedBy(table, "s")
		of.Table = table
		go func() {
			done <- store.Change(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
				_, _, err := pgdb.Apply(ctx, tx, of, []pgdb.Row{row("id", 1.0)}, nil, of.Keys, pgdb.Retain)
				return err
			})
		}()
	}
	for range cap(done) {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if got := db.Text(`SELECT count(*) FROM plan_charge.owned_rows`); got != "4" {
		t.Errorf("%s owners", got)
	}
}
