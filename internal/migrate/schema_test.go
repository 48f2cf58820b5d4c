package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"plan-charge/internal/schemaobjects"
	"plan-charge/internal/testkit"
	"plan-charge/internal/versiontable"
)

// site is a database with tables, and what is done to it.
type site struct {
	t     *testing.T
	cloud *cloud
	s     Settings
	out   *testkit.Buffer
}

// newSite is at 0001 with two tables.
func newSite(t *testing.T) *site {
	t.Helper()
	clean := `DROP TABLE IF EXISTS public.users, public.organizations, public.people, public.cache_1 CASCADE`
	sql(t, clean)
	t.Cleanup(func() { sql(t, clean) })
	s := &site{t: t, cloud: newCloud(t, freshURL(t)), s: testSettings(), out: &testkit.Buffer{}}
	s.s.Key = "image:1"
	s.image("0001", `CREATE TABLE users (id int PRIMARY KEY, email text); CREATE INDEX users_email ON users (email); CREATE TABLE organizations (id int, name text NOT NULL)`)
	s.migrate("")
	s.image("0001", "")
	return s
}

// image is what the next task does.
func (s *site) image(revision, statements string) {
	s.cloud.script = func(f *fakeTask) {
		f.status("RUNNING")
		sql(s.t, statements)
		migrated(s.t, revision)
		f.print("migrated to " + revision)
		f.exit(0)
	}
}

// broken is a task that fails as Alembic does on tables that are there already.
func (s *site) broken() {
	s.cloud.script = func(f *fakeTask) {
		f.status("RUNNING")
		f.print(`relation "users" already exists`)
		f.exit(1)
	}
}

// migrate runs it and wants a schema error with these lines, or none.
func (s *site) migrate(lines string) {
	s.t.Helper()
	_, err := s.run()
	var failure *SchemaError
	if lines == "" && err != nil || lines != "" && !errors.As(err, &failure) {
		s.t.Fatalf("got %v, want %q", err, lines)
	}
	if failure == nil {
		return
	}
	if got := strings.Join(schemaobjects.Lines(failure.Differences, 100), "; "); got != lines {
		s.t.Errorf("got  %s\nwant %s", got, lines)
	}
	testkit.Contains(s.t, "error", err.Error(), "new migration", "from a snapshot", "migration.accept: [", failure.Differences[0].String())
}

func (s *site) run() (string, error) {
	s.t.Helper()
	s.out = &testkit.Buffer{}
	return run(context.Background(), s.s, s.cloud.clients(), s.out, fast())
}

func (s *site) mark() versiontable.Mark {
	s.t.Helper()
	conn := open(s.t)
	defer conn.Close(context.Background())
	m, _, err := versiontable.New("", "", "").ReadMark(context.Background(), conn)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

func TestMarkHoldsTheObjects(t *testing.T) {
	s := newSite(t)
	m := s.mark()
	var names []string
	for name := range m.Schema.Objects {
		if strings.Contains(name, "users") || strings.Contains(name, "alembic") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	const want = "column public.users.email, column public.users.id, constraint public.users.users_pkey, index public.users.users_email, table public.users"
	if got := strings.Join(names, ", "); got != want || m.Revision != "0001" || *m.Key != "image:1" || m.Schema.Major < 13 {
		t.Errorf("got %s, %+v", got, m)
	}
}

func TestWhatMigratingDoesNotMendFails(t *testing.T) {
	for name, tc := range map[string]struct{ byHand, want string }{
		"dropped":     {`DROP TABLE users`, "dropped table public.users"},
		"renamed":     {`ALTER TABLE users RENAME TO people`, "dropped table public.users; added table public.people"},
		"changed":     {`ALTER TABLE organizations ALTER name DROP NOT NULL`, "changed column public.organizations.name"},
		"added":       {`CREATE INDEX by_name ON organizations (name)`, "added index public.organizations.by_name"},
		"as it was":   {`DROP INDEX users_email; CREATE INDEX users_email ON users (email)`, ""},
		"rows":        {`INSERT INTO users VALUES (1, 'a@b')`, ""},
		"all of that": {`DROP INDEX users_email; ALTER TABLE organizations DROP name; CREATE TABLE people ()`, "dropped column public.organizations.name; dropped index public.users.users_email; added table public.people"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			before := s.mark()
			sql(t, tc.byHand)
			for range 2 { // a second up fails as the first did
				s.migrate(tc.want)
			}
			if tc.want == "" {
				return
			}
			if after := s.mark(); after.Revision != before.Revision || len(after.Schema.Objects) != len(before.Schema.Objects) {
				t.Errorf("the mark became %+v", after)
			}
			s.s.UnlessDone = true
			runs := len(s.cloud.run)
			s.migrate(tc.want)
			if len(s.cloud.run) != runs+1 {
				t.Error("what differs was called done, and nobody tried to mend it")
			}
		})
	}
}

func TestWhatMigratingMendsIsASuccess(t *testing.T) {
	s := newSite(t)
	sql(t, `DROP INDEX users_email`)
	s.image("0001", `CREATE INDEX IF NOT EXISTS users_email ON users (email)`)
	s.s.UnlessDone = true
	s.migrate("")
	s.migrate("")
	if len(s.cloud.run) != 2 {
		t.Errorf("%d tasks, want the first and the one that mends", len(s.cloud.run))
	}
}

func TestOneRevisionDownMakesAnObjectAgain(t *testing.T) {
	s := newSite(t)
	sql(t, `DROP TABLE users; DELETE FROM alembic_version`) // and the revision back to before there were users
	s.image("0001", `CREATE TABLE users (id int PRIMARY KEY, email text); CREATE INDEX users_email ON users (email)`)
	s.migrate("")
	s.image("0001", "")
	sql(t, `DROP TABLE users; DELETE FROM alembic_version`)
	s.migrate("dropped table public.users") // the revision alone does not count
}

func TestAccept(t *testing.T) {
	s := newSite(t)
	sql(t, `DROP TABLE users; CREATE INDEX by_name ON organizations (name)`)
	s.s.Accept = []string{"table public.user", "column public.users.email", "index public.users.users_email", "table public.users "}
	s.migrate("dropped table public.users; added index public.organizations.by_name")
	s.s.Accept = []string{"table public.users"}
	s.migrate("added index public.organizations.by_name")
	testkit.Contains(t, "progress", s.out.String(), "migration.accept: dropped table public.users is accepted")
	s.s.Accept = append(s.s.Accept, "index public.organizations.by_name")
	s.s.UnlessDone = true // a changed configuration alone does not migrate again
	runs := len(s.cloud.run)
	s.migrate("")
	if len(s.cloud.run) != runs {
		t.Error("it was migrated again")
	}
	if objects := s.mark().Schema.Objects; objects["table public.users"] != "" || objects["index public.organizations.by_name"] == "" {
		t.Errorf("the mark has %v", objects)
	}
	s.s.UnlessDone = false
	s.migrate("")
	testkit.Contains(t, "progress", s.out.String(), `migration.accept: nothing differs in "table public.users" (any more): it can be taken out`)
	s.s.Accept = nil
	s.migrate("")
}

func TestIgnoredObjectsAreNotCompared(t *testing.T) {
	s := newSite(t)
	sql(t, `CREATE TABLE cache_1 (id int PRIMARY KEY)`)
	s.s.IgnoreObjects = []string{"table public.cache_*"}
	s.migrate("")
	sql(t, `DROP TABLE cache_1`)
	s.migrate("")
}

func TestAnotherRevision(t *testing.T) {
	t.Run("what it makes is its own", func(t *testing.T) {
		s := newSite(t)
		s.image("0002", `ALTER TABLE users RENAME TO people; ALTER TABLE organizations DROP name`)
		s.migrate("")
	})
	t.Run("what was missing before it stays missing", func(t *testing.T) {
		s := newSite(t)
		sql(t, `DROP INDEX users_email`)
		s.image("0002", `CREATE TABLE people (id int)`)
		s.migrate("dropped index public.users.users_email")
		m := s.mark()
		if m.Revision != "0002" || m.Key != nil || m.Schema.Objects["table public.people"] == "" {
			t.Errorf("the mark is %+v", m)
		}
		s.image("0002", "")
		s.s.UnlessDone = true
		s.migrate("dropped index public.users.users_email")
		sql(t, `CREATE INDEX users_email ON users (email)`)
		s.migrate("")
	})
	t.Run("what it makes again is there", func(t *testing.T) {
		s := newSite(t)
		sql(t, `DROP TABLE users`)
		s.image("0002", `CREATE TABLE users (id int PRIMARY KEY)`)
		s.migrate("dropped column public.users.email; dropped index public.users.users_email")
	})
	t.Run("what was added by hand may become part of it", func(t *testing.T) {
		s := newSite(t)
		sql(t, `CREATE INDEX by_name ON organizations (name)`)
		s.image("0002", `CREATE INDEX IF NOT EXISTS by_name ON organizations (name)`)
		s.migrate("")
		testkit.Contains(t, "progress", s.out.String(), "added index public.organizations.by_name by hand at 0001: taken for part of 0002")
	})
	t.Run("by hand", func(t *testing.T) {
		s := newSite(t)
		sql(t, `DROP INDEX users_email`)
		migrated(t, "0002")
		s.image("0002", "")
		s.migrate("") // nobody knows what 0002 is made of
	})
}

func TestLostRevision(t *testing.T) {
	for name, tc := range map[string]struct {
		byHand string
		want   []string
	}{
		"emptied": {`DELETE FROM alembic_version`, []string{
			"public.alembic_version holds no revision, but the schema looks like 0001, which the last migration left", "alembic stamp 0001",
			`INSERT INTO "public"."alembic_version" ("version_num") VALUES ('0001')`,
		}},
		"dropped": {`DROP TABLE alembic_version`, []string{"looks like 0001", "alembic stamp 0001"}},
		"and more": {`DELETE FROM alembic_version; DROP INDEX users_email`, []string{
			"the last migration left 0001, and the schema differs from that: dropped index public.users.users_email", "alembic stamp 0001",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t)
			sql(t, tc.byHand)
			s.broken()
			_, err := s.run()
			testkit.Contains(t, "error", fmt.Sprint(err), append(tc.want, `relation "users" already exists`)...)
		})
	}
	t.Run("an empty database is none that lost its revision", func(t *testing.T) {
		s := newSite(t)
		sql(t, `DROP TABLE users, organizations, alembic_version`)
		sql(t, `DELETE FROM plan_charge.mark`)
		s.image("0001", `CREATE TABLE users (id int)`)
		s.migrate("")
		sql(t, `DROP TABLE users, alembic_version`)
		s.broken()
		if _, err := s.run(); err == nil || len(s.mark().Schema.Objects) == 0 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("marked by a version before", func(t *testing.T) {
		s := newSite(t)
		sql(t, `DROP SCHEMA plan_charge CASCADE; COMMENT ON TABLE alembic_version IS 'plan-charge: migrated to 0001'; DELETE FROM alembic_version`)
		s.broken()
		_, err := s.run()
		testkit.Contains(t, "error", fmt.Sprint(err), "the last migration left 0001: if the schema is still that one, write it back (alembic stamp 0001")
	})
}

// A database that a version before marked knows no objects: they are taken on without migrating.
func TestObjectsAreTakenOn(t *testing.T) {
	s := newSite(t)
	sql(t, `DROP SCHEMA plan_charge CASCADE; COMMENT ON TABLE alembic_version IS 'plan-charge: migrated to 0001'; COMMENT ON COLUMN alembic_version.version_num IS 'plan-charge: migrated for image:1'`)
	sql(t, `CREATE TABLE people (id int)`) // nobody can know that this was by hand
	s.s.UnlessDone = true
	runs := len(s.cloud.run)
	s.migrate("")
	if m := s.mark(); len(s.cloud.run) != runs || m.Schema == nil || m.Schema.Objects["table public.people"] == "" || *m.Key != "image:1" {
		t.Errorf("%d tasks, mark %+v", len(s.cloud.run)-runs, m)
	}
	sql(t, `DROP TABLE people`)
	s.migrate("dropped table public.people")
}

func TestAnotherServer(t *testing.T) {
	s := newSite(t)
	sql(t, `UPDATE plan_charge.mark SET server_major = 1, objects = (SELECT jsonb_object_agg(key, 'x') FROM jsonb_each(objects))`)
	s.s.UnlessDone = true
	s.migrate("")
	if m := s.mark(); m.Schema.Major < 13 || m.Schema.Objects["table public.users"] == "x" {
		t.Errorf("the mark is %+v", m)
	}
	sql(t, `UPDATE plan_charge.mark SET server_major = 1; DROP TABLE users`)
	s.migrate("dropped table public.users")
}

func TestMarkOfANewerVersionIsLeftAlone(t *testing.T) {
	s := newSite(t)
	sql(t, `UPDATE plan_charge.mark SET format = 2; DROP TABLE users`)
	s.migrate("")
	testkit.Contains(t, "progress", s.out.String(), "a newer version of plan-charge left its mark", "not noted")
	sql(t, `UPDATE plan_charge.mark SET format = 1`)
	if objects := s.mark().Schema.Objects; objects["table public.users"] == "" {
		t.Error("the newer mark was overwritten")
	}
}

func TestListsOfObjects(t *testing.T) {
	env := map[string]string{"MIGRATE_ACCEPT": `["table public.users", "table public.*", "users"]`, "MIGRATE_IGNORE_OBJECTS": `["* public.x", "people"]`}
	s, err := FromEnv(func(k string) (string, bool) { v, ok := env[k]; return v, ok })
	testkit.Contains(t, "error", fmt.Sprint(err), `MIGRATE_ACCEPT: found "table public.*"`, `MIGRATE_ACCEPT: found "users"`, `MIGRATE_IGNORE_OBJECTS: found "people"`)
	if strings.Contains(err.Error(), `found "* public.x"`) || strings.Contains(err.Error(), `found "table public.users"`) || len(s.Accept) != 3 {
		t.Errorf("%v, %v", s.Accept, err)
	}
}
