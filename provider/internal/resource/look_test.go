package resource_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/internal/versiontable"
)

// migrated is a database at 0003 as a migration leaves it, and the resource that watches it.
func (w *world) migrated() resourceState {
	w.t.Helper()
	w.db.Exec(`CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version VALUES ('0003');
		CREATE TABLE organizations (id uuid PRIMARY KEY, name text NOT NULL);
		CREATE TABLE users (id uuid PRIMARY KEY, email text UNIQUE, organization_id uuid REFERENCES organizations);
		CREATE INDEX users_organization_id ON users (organization_id);
		CREATE VIEW emails AS SELECT email FROM users`)
	w.markObjects()
	return w.createRevision(obj(`{"ignoreObjects": ["table public.cache_*"]}`))
}

func (w *world) markObjects() {
	w.t.Helper()
	table := versiontable.New("", "", "")
	err := w.store.Store.Change(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
		s, err := table.Inspect(ctx, tx)
		if err != nil {
			return err
		}
		return table.WriteMark(ctx, tx, versiontable.Mark{Revision: "0003", Schema: &s})
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) updateRevision(s resourceState, dryRun bool) string {
	w.t.Helper()
	resp, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: revisionURN, State: s.state, OldInputs: s.inputs, Inputs: s.inputs, DryRun: dryRun})
	if err != nil {
		w.t.Fatal(err)
	}
	return told(resourceState{state: resp.Properties})
}

func TestObjectsThatChangedByHand(t *testing.T) {
	for name, tc := range map[string]struct{ byHand, want string }{
		"nothing":           {`SELECT 1`, ``},
		"rows":              {`INSERT INTO organizations VALUES (gen_random_uuid(), 'A')`, ``},
		"a dropped table":   {`DROP TABLE users CASCADE`, `dropped table public.users; dropped view public.emails`},
		"a renamed table":   {`ALTER TABLE users RENAME TO people`, `dropped table public.users; changed view public.emails; added table public.people`},
		"a changed column":  {`ALTER TABLE organizations ALTER name DROP NOT NULL`, `changed column public.organizations.name`},
		"an added index":    {`CREATE INDEX by_name ON organizations (name)`, `added index public.organizations.by_name`},
		"what is ignored":   {`CREATE TABLE cache_1 (id int PRIMARY KEY)`, ``},
		"another revision":  {`DROP TABLE users CASCADE; UPDATE alembic_version SET version_num = '0002'`, `at 0002, the last migration left 0003`},
		"no revision":       {`DELETE FROM alembic_version`, `at none, the last migration left 0003; the schema looks like it`},
		"no version table":  {`DROP TABLE alembic_version`, `at none, and public.alembic_version does not exist, the last migration left 0003; the schema looks like it`},
		"nothing but a sea": {`DROP TABLE alembic_version, users, organizations CASCADE`, `at none, and public.alembic_version does not exist, the last migration left 0003; dropped table public.organizations; dropped table public.users; dropped view public.emails`},
		"another server":    {`UPDATE plan_charge.mark SET server_major = 12`, `the definitions were noted by PostgreSQL 12, this is `},
		"a mark without objects": {
			`DROP TABLE users CASCADE; UPDATE plan_charge.mark SET objects = NULL, server_major = NULL`, ``,
		},
		"many": {
			`DO $$ BEGIN FOR i IN 1..30 LOOP EXECUTE format('CREATE TABLE t_%s ()', lpad(i::text, 2, '0')); END LOOP; END $$`,
			`added table public.t_01; added table public.t_02; added table public.t_03; added table public.t_04; added table public.t_05; added table public.t_06; added table public.t_07; added table public.t_08; added table public.t_09; added table public.t_10; added table public.t_11; added table public.t_12; added table public.t_13; added table public.t_14; added table public.t_15; added table public.t_16; added table public.t_17; added table public.t_18; added table public.t_19; added table public.t_20; and 10 more`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.migrated()
			w.db.Exec(tc.byHand)
			live, changed := w.refreshRevision(s)
			drift := live.state.Get("drift").AsString()
			if drift != tc.want && (name != "another server" || !strings.HasPrefix(drift, tc.want)) {
				t.Errorf("got  %s\nwant %s", drift, tc.want)
			}
			if (tc.want != "") != (changed == "update drift") {
				t.Errorf("the refresh shows %q", changed)
			}
			if tc.want == "" {
				return
			}
			for _, dryRun := range []bool{true, false} {
				if got := w.updateRevision(live, dryRun); !strings.HasSuffix(got, ` "" 2`) {
					t.Errorf("updated (preview: %t) it is %s, and does not migrate", dryRun, got)
				}
			}
		})
	}
}

func TestObjectsThatAreNotSeenAreNotGreen(t *testing.T) {
	t.Run("too large", func(t *testing.T) { // as a view that somebody locks keeps from reading it in time
		t.Parallel()
		w := newWorld(t)
		s := w.migrated()
		w.db.Exec(`BEGIN; ALTER VIEW emails SET (security_barrier)`)
		live, changed := w.refreshRevision(s)
		const want = `"0003" "not seen: a schema too large, or too busy, to compare in 5s: left out is every view, sequence, function, trigger, policy" 1`
		equal(t, "locked", told(live)+changed, want+"update drift")
		w.db.Exec(`ROLLBACK`)
		equal(t, "nothing is migrated for that", w.updateRevision(live, false), `"0003" "" 1`)
	})
	t.Run("a newer version's mark", func(t *testing.T) {
		w := newWorld(t)
		s := w.migrated()
		w.db.Exec(`UPDATE plan_charge.mark SET format = 2; DROP TABLE users CASCADE`)
		live, changed := w.refreshRevision(s)
		equal(t, "newer", told(live)+changed, `"0003" "not seen: a newer version of plan-charge left its mark in plan_charge.mark: format 2, this version reads up to 1; use the newer one" 1update drift`)
		equal(t, "nothing is migrated for that", w.updateRevision(live, false), `"0003" "" 1`)
	})
}

func TestIgnoredObjects(t *testing.T) {
	w := newWorld(t)
	s := w.migrated()
	w.db.Exec(`CREATE TABLE cache_1 ()`)
	s.inputs = s.inputs.Set("ignoreObjects", property.New([]property.Value{property.New("table public.kept")}))
	diff, err := w.server.Diff(p.DiffRequest{ID: s.id, Urn: revisionURN, State: s.state, Inputs: s.inputs})
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "diff", paths(diff), "update ignoreObjects")
	equal(t, "no longer ignored", w.updateRevision(s, false), `"0003" "" 2`)
	w.db.Exec(`DROP TABLE cache_1`)
	equal(t, "nothing to ignore", w.updateRevision(s, false), `"0003" "" 1`)

	refused, err := w.server.Check(p.CheckRequest{Urn: revisionURN, Inputs: obj(`{"ignoreObjects": ["* public.x", "cache"]}`)})
	if err != nil || len(refused.Failures) != 1 || refused.Failures[0].Property != "ignoreObjects[1]" || !strings.Contains(refused.Failures[0].Reason, `found "cache"; allowed: `) {
		t.Errorf("got %+v, %v", refused.Failures, err)
	}
}
