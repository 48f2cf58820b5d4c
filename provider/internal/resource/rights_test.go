package resource_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

// rights is a Rights, the roles that it knows of, and what they have.
type rights struct {
	*world
	app, other string
	s          resourceState
}

func newRights(t *testing.T) *rights {
	w := newWorld(t)
	r := &rights{world: w, app: "app_" + w.db.Settings.Database, other: "other_" + w.db.Settings.Database}
	r.exec(`CREATE ROLE $app; CREATE ROLE $other;
		CREATE TABLE users (id serial, email text); CREATE VIEW everybody AS SELECT * FROM users; CREATE FUNCTION secret(n integer) RETURNS integer LANGUAGE sql AS 'SELECT n';
		GRANT CONNECT ON DATABASE $db TO $app; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO $app; GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO $app;
		ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO $app; ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO $app`)
	inputs := r.inputs(obj(`{}`))
	resp, err := w.server.Create(p.CreateRequest{Urn: rightsURN, Properties: inputs})
	if err != nil {
		t.Fatal(err)
	}
	r.s = resourceState{resp.ID, inputs, resp.Properties}
	return r
}

func (r *rights) inputs(more property.Map) property.Map {
	r.t.Helper()
	inputs := obj(`{"databasePrivileges":["CONNECT"],"tablePrivileges":["SELECT","INSERT","UPDATE","DELETE"],"sequencePrivileges":["USAGE","SELECT"]}`).Set("role", property.New(r.app))
	for key, value := range more.All {
		inputs = inputs.Set(key, value)
	}
	checked, err := r.server.Check(p.CheckRequest{Urn: rightsURN, Inputs: inputs})
	if err != nil || len(checked.Failures) > 0 {
		r.t.Fatal(err, checked.Failures)
	}
	return checked.Inputs
}

func (r *rights) named(text string) string {
	return strings.NewReplacer("$app", r.app, "$other", r.other, "$db", r.db.Settings.Database).Replace(text)
}

// superuser runs SQL as nobody on RDS may.
func (r *rights) superuser(sql string) {
	r.t.Helper()
	conn, err := pgx.Connect(r.t.Context(), r.db.Superuser())
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close(r.t.Context())
	if _, err := conn.Exec(r.t.Context(), r.named(sql)); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rights) exec(sql string) { r.db.Exec(r.named(sql)) }

// refresh returns what is found, and what the engine would show.
func (r *rights) refresh() string {
	r.t.Helper()
	resp, err := r.server.Read(p.ReadRequest{ID: r.s.id, Urn: rightsURN, Properties: r.s.state, Inputs: r.s.inputs})
	if err != nil {
		r.t.Fatal(err)
	}
	r.s.state = resp.Properties
	return r.found()
}

func (r *rights) found() string {
	var list []string
	for _, item := range r.s.state.Get("found").AsArray().All {
		list = append(list, item.AsString())
	}
	return strings.Join(list, "\n")
}

func (r *rights) diff() string {
	r.t.Helper()
	diff, err := r.server.Diff(p.DiffRequest{ID: r.s.id, Urn: rightsURN, State: r.s.state, OldInputs: r.s.inputs, Inputs: r.s.inputs})
	if err != nil {
		r.t.Fatal(err)
	}
	return paths(diff)
}

func (r *rights) update(inputs property.Map) error {
	r.t.Helper()
	for _, dry := range []bool{true, false} {
		resp, err := r.server.Update(p.UpdateRequest{ID: r.s.id, Urn: rightsURN, State: r.s.state, OldInputs: r.s.inputs, Inputs: inputs, DryRun: dry})
		if err != nil {
			return err
		}
		if !dry {
			r.s.state, r.s.inputs = resp.Properties, inputs
		}
	}
	return nil
}

func TestRightsOfStrangers(t *testing.T) {
	r := newRights(t)
	equal(t, "as declared", r.refresh()+r.diff(), "")
	for _, tc := range []struct{ sql, found string }{
		{`GRANT CREATE ON SCHEMA public TO PUBLIC`, `PUBLIC: CREATE on schema public`},
		{`GRANT SELECT ON users TO PUBLIC`, `PUBLIC: SELECT on table public.users`},
		{`GRANT SELECT, DELETE ON users, everybody TO $other`, "$other: DELETE, SELECT on table public.everybody\n$other: DELETE, SELECT on table public.users"},
		{`GRANT TRUNCATE ON users TO $app`, `$app: TRUNCATE on table public.users`},
		{`GRANT SELECT ON users TO $app WITH GRANT OPTION`, `$app: SELECT WITH GRANT OPTION on table public.users`},
		{`GRANT SELECT (email), UPDATE (email) ON users TO $other`, `$other: SELECT (email), UPDATE (email) on table public.users`},
		{`GRANT UPDATE ON SEQUENCE users_id_seq TO $app`, `$app: UPDATE on sequence public.users_id_seq`},
		{`GRANT CREATE ON DATABASE $db TO $app`, `$app: CREATE on database $db`},
		{`GRANT EXECUTE ON FUNCTION secret TO $other`, `$other: EXECUTE on routine public.secret(n integer)`},
		{`CREATE SCHEMA "Side"; GRANT USAGE ON SCHEMA "Side" TO $app`, `$app: USAGE on schema "Side"`},
		{`ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO $other`, `$other: SELECT on tables to come in schema public, made by owner`},
		{`ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC`, `PUBLIC: SELECT on tables to come, made by owner`},
		{`ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT TRUNCATE ON TABLES TO $app`, `$app: TRUNCATE on tables to come in schema public, made by owner`},
		{`GRANT $other TO $app`, `$app: member of $other`},
	} {
		t.Run(r.named(tc.found), func(t *testing.T) {
			r.t = t
			r.exec(tc.sql)
			want := r.named(tc.found)
			equal(t, "found", r.refresh(), want)
			diff := "delete found[0]"
			if strings.Contains(want, "\n") {
				diff += "\ndelete found[1]"
			}
			equal(t, "shown", r.diff(), diff)
			if err := r.update(r.s.inputs); err != nil {
				t.Fatal(err)
			}
			equal(t, "after the update", r.found()+r.diff()+r.refresh(), "")
		})
	}
	r.t = t
	for _, check := range []string{
		`has_table_privilege('$app', 'users', 'SELECT')`, `has_table_privilege('$app', 'everybody', 'DELETE')`, `has_database_privilege('$app', '$db', 'CONNECT')`,
		`has_sequence_privilege('$app', 'users_id_seq', 'USAGE')`, `has_schema_privilege('$app', 'public', 'USAGE')`,
	} {
		equal(t, check, r.db.Text(r.named("SELECT "+check)), "true")
	}
	equal(t, "default privileges", r.db.Text(r.named(`SELECT count(*) FROM pg_default_acl, aclexplode(defaclacl) WHERE grantee = '$app'::regrole`)), "6")
}

// What came after the refresh nobody has been shown, and what config allows stays.
func TestOnlyRightsThatWereNamedAreRevoked(t *testing.T) {
	r := newRights(t)
	r.exec(`GRANT SELECT ON users TO $other`)
	if err := r.update(r.s.inputs); err != nil {
		t.Fatal(err)
	}
	selects := r.named("$other: SELECT on table public.users")
	equal(t, "never shown", r.refresh(), selects)
	r.exec(`GRANT SELECT ON everybody TO $other`)
	if err := r.update(r.inputs(property.NewMap(map[string]property.Value{"allow": property.New([]property.Value{property.New(selects)})}))); err != nil {
		t.Fatal(err)
	}
	equal(t, "one allowed, one new", r.refresh(), r.named("$other: SELECT on table public.everybody"))
}

func TestRightsThatSomebodyElseGranted(t *testing.T) {
	r := newRights(t)
	r.exec(`GRANT ALL ON users TO $app WITH GRANT OPTION`)
	r.superuser(`SET ROLE $app; GRANT SELECT ON users TO $other`)
	found := r.refresh()
	if !strings.Contains(found, r.named("$other: SELECT on table public.users")) {
		t.Fatal(found)
	}
	// The right to pass it on is a stranger too, and goes with what came of it.
	if err := r.update(r.s.inputs); err != nil {
		t.Fatal(err)
	}
	equal(t, "left", r.refresh(), "")

	r.superuser(`CREATE ROLE boss; GRANT owner TO boss; ALTER ROLE $app BYPASSRLS`)
	equal(t, "what only a superuser gives", r.refresh(), r.named("$app: BYPASSRLS\nboss: member of owner"))
	if err := r.update(r.s.inputs); err == nil || !strings.Contains(err.Error(), r.named("remove $app: BYPASSRLS: ERROR: ")) {
		t.Errorf("what cannot be revoked: %v", err)
	}
	r.superuser(`DROP ROLE boss; ALTER ROLE $app NOBYPASSRLS`)
}

func TestRightsThatCannotBeSeen(t *testing.T) {
	r := newRights(t)
	r.store.down = true
	if got := r.refresh(); !strings.HasPrefix(got, "not seen: ") || r.diff() != "delete found[0]" {
		t.Errorf("got %q, %q", got, r.diff())
	}
	if err := r.update(r.s.inputs); err == nil {
		t.Error("an update that could not look succeeded")
	}
	r.store.down = false
	if err := r.update(r.s.inputs); err != nil {
		t.Fatal(err)
	}
	equal(t, "seen again", r.refresh(), "")
}

func TestServersOwnRolesAreNoStrangers(t *testing.T) {
	r := newRights(t)
	r.exec(fmt.Sprintf(`CREATE ROLE "rds_%[1]s"; GRANT SELECT ON users TO "rds_%[1]s"; GRANT SELECT ON users TO pg_monitor`, r.app))
	equal(t, "found", r.refresh(), "")
}
