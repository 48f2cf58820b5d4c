package resource_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/internal/releases"
	"plan-charge/internal/versiontable"
)

func (w *world) createRevision(inputs property.Map) resourceState {
	w.t.Helper()
	checked, err := w.server.Check(p.CheckRequest{Urn: revisionURN, Inputs: inputs})
	if err != nil || len(checked.Failures) > 0 {
		w.t.Fatal(err, checked.Failures)
	}
	resp, err := w.server.Create(p.CreateRequest{Urn: revisionURN, Properties: checked.Inputs})
	if err != nil {
		w.t.Fatal(err)
	}
	return resourceState{resp.ID, checked.Inputs, resp.Properties}
}

func (w *world) refreshRevision(s resourceState) (resourceState, string) {
	w.t.Helper()
	resp, err := w.server.Read(p.ReadRequest{ID: s.id, Urn: revisionURN, Properties: s.state, Inputs: s.inputs})
	if err != nil {
		w.t.Fatal(err)
	}
	live := resourceState{resp.ID, resp.Inputs, resp.Properties}
	diff, err := w.server.Diff(p.DiffRequest{ID: s.id, Urn: revisionURN, State: live.state, OldInputs: live.inputs, Inputs: s.inputs})
	if err != nil {
		w.t.Fatal(err)
	}
	return live, paths(diff)
}

func (w *world) mark(rev string) {
	w.t.Helper()
	err := w.store.Store.Change(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
		return versiontable.New("", "", "").WriteMark(ctx, tx, versiontable.Mark{Revision: rev})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func told(s resourceState) string {
	return show(s.state.Get("revision")) + " " + show(s.state.Get("drift")) + " " + show(s.state.Get("generation"))
}

func TestRevision(t *testing.T) {
	w := newWorld(t)
	s := w.createRevision(obj(`{}`))
	equal(t, "before the first migration", told(s), `"" "" 1`)
	equal(t, "id", s.id, "public.alembic_version/version_num")

	w.db.Exec(`CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version VALUES ('0003')`)
	w.mark("0003")
	s, drift := w.refreshRevision(s)
	equal(t, "after the migration", told(s)+drift, `"0003" "" 1`)

	w.db.Exec(`UPDATE alembic_version SET version_num = '0002'`)
	for range 2 { // a second refresh still says so
		s, drift = w.refreshRevision(s)
		equal(t, "downgraded by hand", told(s)+drift, `"0002" "at 0002, the last migration left 0003" 1update drift`)
	}
	preview, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: revisionURN, State: s.state, Inputs: s.inputs, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "preview", told(resourceState{state: preview.Properties}), `"0002" "" 2`)
	updated, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: revisionURN, State: s.state, Inputs: s.inputs})
	if err != nil {
		t.Fatal(err)
	}
	s.state = updated.Properties
	equal(t, "updated", told(s), `"0002" "" 2`)

	w.db.Exec(`UPDATE alembic_version SET version_num = '0003'`) // what the migration does then
	s, drift = w.refreshRevision(s)
	equal(t, "migrated again", told(s)+drift, `"0003" "" 2`)

	w.db.Exec(`INSERT INTO alembic_version VALUES ('0001b')`)
	s, _ = w.refreshRevision(s)
	equal(t, "two heads", told(s), `"0001b,0003" "at 0001b,0003, the last migration left 0003" 2`)

	w.store.down = true
	unseen, drift := w.refreshRevision(s)
	equal(t, "unreachable", told(unseen)+drift, `"0001b,0003" "not seen: no connection to test: it is down" 2update drift`)
	if _, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: revisionURN, State: unseen.state, Inputs: s.inputs}); err == nil {
		t.Error("an update that cannot look is a success")
	}
	w.store.down = false
	// Nothing is migrated for not having been seen, unless there is something to migrate.
	for revision, want := range map[string]string{`'0003'`: `"0003" "" 2`, `'0002'`: `"0002" "" 3`} {
		w.db.Exec(`DELETE FROM alembic_version; INSERT INTO alembic_version VALUES (` + revision + `)`)
		updated, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: revisionURN, State: unseen.state, Inputs: s.inputs})
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "seen again at "+revision, told(resourceState{state: updated.Properties}), want)
	}
	preview, err = w.server.Update(p.UpdateRequest{ID: s.id, Urn: revisionURN, State: unseen.state, Inputs: s.inputs, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "preview of what was not seen", told(resourceState{state: preview.Properties}), `"0001b,0003" "" 2`)

	w.db.Exec(`DELETE FROM alembic_version`)
	s, _ = w.refreshRevision(s)
	equal(t, "downgraded to the base", told(s), `"" "at none, the last migration left 0003" 2`)
	w.db.Exec(`DROP TABLE alembic_version`)
	s, drift = w.refreshRevision(s)
	equal(t, "dropped", told(s)+drift, `"" "at none, and public.alembic_version does not exist, the last migration left 0003" 2update drift`)

	w.db.Exec(`DROP SCHEMA plan_charge CASCADE`)
	s, drift = w.refreshRevision(s)
	equal(t, "nothing is there", told(s)+drift, `"" "at none, and public.alembic_version does not exist" 2update drift`)
	w.db.Exec(`CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); COMMENT ON TABLE alembic_version IS 'something else'`)
	s, _ = w.refreshRevision(s)
	equal(t, "another comment", told(s), `"" "at none, and no migration has left its mark" 2`)
}

func TestRevisionKnowsOlderImages(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version VALUES ('0003')`)
	w.mark("0003")
	s := w.createRevision(obj(`{}`))
	equal(t, "a database without releases", show(s.state.Get("notMigrated")), "{}")
	deploy := func(image, from, to string) {
		t.Helper()
		w.db.Exec(`UPDATE alembic_version SET version_num = '` + to + `'`)
		w.mark(to)
		err := w.store.Store.Change(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			return releases.Record(ctx, tx, versiontable.New("", "", ""), releases.Release{Image: image, Revision: to, From: from})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	deploy("app:1.0", "", "0003")
	deploy("app:1.1", "0003", "0004")
	const said = `{"app:1.0":"schema is at 0004 by 1.1; 1.0 knows 0003: not migrated"}`
	s, drift := w.refreshRevision(s)
	equal(t, "after 1.1", show(s.state.Get("notMigrated"))+drift, said) // and no drift, whichever image runs
	w.store.down = true
	unseen, _ := w.refreshRevision(s)
	equal(t, "unreachable", show(unseen.state.Get("notMigrated")), said)
	preview, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: revisionURN, State: unseen.state, Inputs: s.inputs, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "in a preview", show(preview.Properties.Get("notMigrated")), said)
	w.store.down = false
	w.db.Exec(`UPDATE alembic_version SET version_num = '0003'`)
	s, _ = w.refreshRevision(s)
	equal(t, "downgraded by hand", show(s.state.Get("notMigrated")), "{}")
}

func TestRevisionTriggers(t *testing.T) {
	w := newWorld(t)
	s := w.createRevision(obj(`{"triggers": ["db-1"]}`))
	diff, err := w.server.Diff(p.DiffRequest{ID: s.id, Urn: revisionURN, State: s.state, OldInputs: s.inputs, Inputs: s.inputs})
	if err != nil || diff.HasChanges {
		t.Error(err, diff)
	}
	moved := s.inputs.Set("triggers", property.New([]property.Value{property.New("db-2")}))
	diff, err = w.server.Diff(p.DiffRequest{ID: s.id, Urn: revisionURN, State: s.state, OldInputs: s.inputs, Inputs: moved})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "diff", paths(diff), "update triggers")
	preview, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: revisionURN, State: s.state, Inputs: moved, DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "generation in a preview", show(preview.Properties.Get("generation")), "2")
}

func TestRevisionElsewhere(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE SCHEMA "Odd one"; CREATE TABLE "Odd one"."schema.migrations" ("Version" bigint); INSERT INTO "Odd one"."schema.migrations" VALUES (7)`)
	s := w.createRevision(obj(`{"schema": "Odd one", "table": "schema.migrations", "column": "Version"}`))
	equal(t, "revision", told(s), `"7" "" 1`)
	resp, err := w.server.Read(p.ReadRequest{ID: s.id, Urn: revisionURN})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "imported", told(resourceState{state: resp.Properties}), `"7" "at 7, and no migration has left its mark" 1`)
	_, err = w.server.Create(p.CreateRequest{Urn: revisionURN, Properties: s.inputs.Set("column", property.New("nope"))})
	if err == nil || !strings.Contains(err.Error(), `column "nope" does not exist`) {
		t.Errorf("got %v", err)
	}
}

func TestMarkQuotesItsText(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(`CREATE TABLE alembic_version (version_num varchar(32))`)
	for _, rev := range []string{"", "0001", `it's \ "odd" -- $1`} {
		w.mark(rev)
		err := w.store.Store.Look(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
			got, marked, err := versiontable.New("", "", "").ReadMark(ctx, tx)
			if got.Revision != rev || !marked {
				t.Errorf("marked %q, read %q (%v)", rev, got.Revision, marked)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
