package schemaobjects_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"plan-charge/internal/schemaobjects"
	"plan-charge/internal/testkit/postgres"
)

var server *postgres.Server

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "schemaobjects-pg")
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

var databases atomic.Int64

// fresh is a connection to a database of the test's own, in which statements were run.
func fresh(t *testing.T, statements string) *pgx.Conn {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	admin := connect(t, server.URL())
	exec(t, admin, "CREATE DATABASE "+name)
	conn := connect(t, strings.Replace(server.URL(), "/plan_charge", "/"+name, 1))
	exec(t, conn, statements)
	return conn
}

// executor is a connection or a transaction.
type executor interface {
	schemaobjects.Beginner
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn executor, statements string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), statements); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

var versions = schemaobjects.Name{Schema: "public", Table: "alembic_version"}

func inspect(t *testing.T, conn schemaobjects.Beginner) schemaobjects.Snapshot {
	t.Helper()
	s, err := schemaobjects.Inspect(context.Background(), conn, versions, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func lines(c schemaobjects.Changes) string {
	return strings.Join(schemaobjects.Lines(c.Fold(), 100), "; ")
}

// made has an object of each kind.
const made = `
	CREATE TABLE organizations (id uuid PRIMARY KEY, name text NOT NULL);
	CREATE TABLE users (id bigserial PRIMARY KEY, organization_id uuid REFERENCES organizations, email text UNIQUE, age int DEFAULT 7 CHECK (age > 0),
		born timestamptz DEFAULT '2020-01-01 00:00:00+00', full_name text GENERATED ALWAYS AS (email || '!') STORED);
	CREATE INDEX users_age ON users (age);
	CREATE TYPE mood AS ENUM ('sad', 'ok');
	CREATE DOMAIN zip AS text CHECK (value <> '');
	CREATE TYPE pair AS (a int, b text);
	CREATE TYPE span AS RANGE (subtype = float8);
	CREATE VIEW adults AS SELECT id, email FROM users WHERE age > 17;
	CREATE MATERIALIZED VIEW ages AS SELECT age FROM users;
	CREATE UNIQUE INDEX ages_age ON ages (age);
	CREATE SEQUENCE tickets;
	CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql AS 'SELECT 2 * n';
	CREATE FUNCTION twice(n text) RETURNS text LANGUAGE sql AS 'SELECT n || n';
	CREATE PROCEDURE nothing() LANGUAGE sql AS '';
	CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
	CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
	CREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch();
	CREATE POLICY own ON users USING (email = current_user);
	CREATE TABLE events (at date NOT NULL, id int) PARTITION BY RANGE (at);
	CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
	CREATE SCHEMA "Odd one";
	CREATE TABLE "Odd one"."x.y" ("a ""b" int);
	CREATE TABLE alembic_version (version_num text PRIMARY KEY);
`

func TestWhatIsDoneByHandIsNamed(t *testing.T) {
	conn := fresh(t, made)
	before := inspect(t, conn)
	for statements, want := range map[string]string{
		// tables
		`DROP TABLE users CASCADE`:                                                         `dropped table public.users; dropped view public.adults; dropped view public.ages`,
		`CREATE TABLE notes (id int PRIMARY KEY)`:                                          `added table public.notes`,
		`ALTER TABLE users RENAME TO people`:                                               `dropped table public.users; changed view public.adults; changed view public.ages; added table public.people`,
		`ALTER TABLE users ENABLE ROW LEVEL SECURITY`:                                      `changed table public.users`,
		`ALTER TABLE users SET UNLOGGED`:                                                   `changed table public.users`,
		`CREATE TABLE more () INHERITS (organizations)`:                                    `added table public.more`,
		`DROP TABLE "Odd one"."x.y"`:                                                       `dropped table "Odd one"."x.y"`,
		`ALTER TABLE "Odd one"."x.y" SET SCHEMA public`:                                    `dropped table "Odd one"."x.y"; added table public."x.y"`,
		`ALTER TABLE organizations SET (fillfactor = 70)`:                                  ``,
		`ALTER SEQUENCE users_id_seq RESTART WITH 7`:                                       ``,
		`INSERT INTO organizations VALUES (gen_random_uuid(), 'A'); ANALYZE organizations`: ``,
		`COMMENT ON TABLE users IS 'x'; GRANT SELECT ON users TO PUBLIC`:                   ``,
		// columns
		`ALTER TABLE users DROP COLUMN born`:                                                                                 `dropped column public.users.born`,
		`ALTER TABLE users ADD COLUMN locale text`:                                                                           `added column public.users.locale`,
		`ALTER TABLE users ALTER COLUMN born TYPE date`:                                                                      `changed column public.users.born`,
		`ALTER TABLE users ALTER COLUMN born TYPE timestamptz(3)`:                                                            `changed column public.users.born`,
		`ALTER TABLE users ALTER COLUMN age SET DEFAULT 8`:                                                                   `changed column public.users.age`,
		`ALTER TABLE users ALTER COLUMN age SET NOT NULL`:                                                                    `changed column public.users.age`,
		`ALTER TABLE organizations ALTER COLUMN name DROP NOT NULL`:                                                          `changed column public.organizations.name`,
		`ALTER TABLE organizations ALTER COLUMN name TYPE text COLLATE "C"`:                                                  `changed column public.organizations.name`,
		`ALTER TABLE users ALTER COLUMN full_name DROP EXPRESSION`:                                                           `changed column public.users.full_name`,
		`ALTER SEQUENCE users_id_seq INCREMENT 2`:                                                                            `changed column public.users.id`,
		`ALTER TABLE users ALTER COLUMN id DROP DEFAULT; DROP SEQUENCE users_id_seq`:                                         `changed column public.users.id`,
		`ALTER TABLE "Odd one"."x.y" DROP COLUMN "a ""b"`:                                                                    `dropped column "Odd one"."x.y"."a ""b"`,
		`ALTER TABLE users DROP COLUMN born; ALTER TABLE users ADD COLUMN born timestamptz DEFAULT '2020-01-01 00:00:00+00'`: ``,
		// constraints
		`ALTER TABLE users DROP CONSTRAINT users_pkey`:                                                      `dropped constraint public.users.users_pkey`,
		`ALTER TABLE users DROP CONSTRAINT users_email_key`:                                                 `dropped constraint public.users.users_email_key`,
		`ALTER TABLE users DROP CONSTRAINT users_age_check, ADD CONSTRAINT users_age_check CHECK (age > 1)`: `changed constraint public.users.users_age_check`,
		`ALTER TABLE users DROP CONSTRAINT users_organization_id_fkey`:                                      `dropped constraint public.users.users_organization_id_fkey`,
		`ALTER TABLE users ADD CONSTRAINT grown CHECK (age > 2) NOT VALID`:                                  `added constraint public.users.grown`,
		// indexes
		`DROP INDEX users_age`: `dropped index public.users.users_age`,
		`DROP INDEX users_age; CREATE INDEX users_age ON users (age DESC)`: `changed index public.users.users_age`,
		`CREATE INDEX by_name ON organizations (lower(name))`:              `added index public.organizations.by_name`,
		`DROP INDEX ages_age`: `dropped index public.ages.ages_age`,
		`REINDEX TABLE users`: ``,
		// types
		`DROP TYPE mood`:                              `dropped type public.mood`,
		`ALTER TYPE mood ADD VALUE 'glad'`:            `changed type public.mood`,
		`ALTER TYPE mood RENAME VALUE 'ok' TO 'fine'`: `changed type public.mood`,
		`CREATE TYPE size AS ENUM ('s')`:              `added type public.size`,
		`ALTER DOMAIN zip SET NOT NULL`:               `changed type public.zip`,
		`ALTER DOMAIN zip DROP CONSTRAINT zip_check`:  `changed type public.zip`,
		`ALTER TYPE pair ADD ATTRIBUTE c int`:         `changed type public.pair`,
		`DROP TYPE span`:                              `dropped type public.span`,
		`CREATE TYPE reach AS RANGE (subtype = date)`: `added type public.reach`,
		// views
		`DROP VIEW adults`: `dropped view public.adults`,
		`CREATE OR REPLACE VIEW adults AS SELECT id, email FROM users WHERE age > 20`: `changed view public.adults`,
		`ALTER VIEW adults SET (security_barrier)`:                                    `changed view public.adults`,
		`DROP MATERIALIZED VIEW ages`:                                                 `dropped view public.ages`,
		`CREATE VIEW kids AS SELECT id FROM users`:                                    `added view public.kids`,
		`REFRESH MATERIALIZED VIEW ages`:                                              ``,
		// sequences
		`DROP SEQUENCE tickets`:               `dropped sequence public.tickets`,
		`ALTER SEQUENCE tickets INCREMENT 10`: `changed sequence public.tickets`,
		`CREATE SEQUENCE bills`:               `added sequence public.bills`,
		`SELECT nextval('tickets')`:           ``,
		// functions
		`DROP FUNCTION twice(int)`: `dropped function public.twice(integer)`,
		`CREATE OR REPLACE FUNCTION twice(n text) RETURNS text LANGUAGE sql AS 'SELECT n'`:                      `changed function public.twice(text)`,
		`ALTER FUNCTION twice(int) SECURITY DEFINER`:                                                            `changed function public.twice(integer)`,
		`CREATE FUNCTION one() RETURNS int LANGUAGE sql AS 'SELECT 1'`:                                          `added function public.one()`,
		`DROP PROCEDURE nothing()`:                                                                              `dropped function public.nothing()`,
		`DROP AGGREGATE total(int); CREATE AGGREGATE total (int) (SFUNC = int4pl, STYPE = int, INITCOND = '1')`: `changed function public.total(integer)`,
		// triggers
		`DROP TRIGGER touched ON users`:                                                    `dropped trigger public.users.touched`,
		`ALTER TABLE users DISABLE TRIGGER touched`:                                        `changed trigger public.users.touched`,
		`CREATE TRIGGER made BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION touch()`: `added trigger public.users.made`,
		// policies
		`DROP POLICY own ON users`:                      `dropped policy public.users.own`,
		`ALTER POLICY own ON users USING (true)`:        `changed policy public.users.own`,
		`ALTER POLICY own ON users TO owner`:            `changed policy public.users.own`,
		`CREATE POLICY all_of_it ON users USING (true)`: `added policy public.users.all_of_it`,
		// what is none of a migration's business
		`CREATE TABLE events_2 PARTITION OF events FOR VALUES FROM ('2021-01-01') TO ('2022-01-01'); DROP TABLE events_1`: ``,
		`CREATE INDEX only_here ON events_1 (id)`:                     ``,
		`CREATE INDEX everywhere ON events (id)`:                      `added index public.events.everywhere`,
		`CREATE EXTENSION citext`:                                     ``,
		`CREATE TEMP TABLE scratch (id int)`:                          ``,
		`CREATE SCHEMA plan_charge; CREATE TABLE plan_charge.mark ()`: ``,
		`DROP TABLE alembic_version`:                                  ``,
		`CREATE SCHEMA "other"`:                                       ``,
	} {
		t.Run(statements, func(t *testing.T) {
			tx, err := conn.Begin(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(context.Background())
			exec(t, tx, statements)
			got := lines(schemaobjects.Diff(before, inspect(t, tx), nil))
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// A session's settings are its own business: the same schema looks the same to everybody, and they stay as they are.
func TestSettingsDoNotMatter(t *testing.T) {
	conn := fresh(t, made)
	before := inspect(t, conn)
	exec(t, conn, `SET TimeZone = 'Asia/Tokyo'; SET DateStyle = 'German'; SET search_path = "Odd one"; SET quote_all_identifiers = on`)
	if got := lines(schemaobjects.Diff(before, inspect(t, conn), nil)); got != "" {
		t.Errorf("with other settings: %s", got)
	}
	var path, limit string
	if err := conn.QueryRow(context.Background(), `SELECT current_setting('search_path'), current_setting('statement_timeout')`).Scan(&path, &limit); err != nil || path != `"Odd one"` || limit != "0" {
		t.Errorf("afterwards the search path is %s, the statement timeout %s (%v)", path, limit, err)
	}
}

// A view that somebody has locked stands for a schema that takes too long.
func TestTooLarge(t *testing.T) {
	conn := fresh(t, made)
	before := inspect(t, conn)
	locker := connect(t, conn.Config().ConnString())
	exec(t, locker, `BEGIN; ALTER VIEW adults SET (security_barrier)`)
	exec(t, conn, `DROP TABLE "Odd one"."x.y"; DROP FUNCTION twice(int)`)
	tx, err := conn.Begin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	after, err := schemaobjects.Inspect(context.Background(), tx, versions, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("a limit of 1 s took %s", took)
	}
	const want = "a schema too large, or too busy, to compare in 5s: left out is every view, sequence, function, trigger, policy"
	if got := after.Unread(before); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := after.Unread(after); got != "" {
		t.Errorf("what neither has is said to be left out: %s", got)
	}
	for name, c := range map[string]schemaobjects.Changes{
		`dropped table "Odd one"."x.y"`: schemaobjects.Diff(before, after, nil), `added table "Odd one"."x.y"`: schemaobjects.Diff(after, before, nil),
	} {
		if got := lines(c); got != name {
			t.Errorf("got %s, want %s", got, name)
		}
	}
	if _, err := tx.Exec(context.Background(), `SELECT 1`); err != nil {
		t.Errorf("the caller's transaction is lost: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if s, err := schemaobjects.Inspect(ctx, tx, versions, time.Minute); err == nil {
		t.Errorf("a caller who gave up got %v", s.LeftOut)
	}
}

func TestIgnore(t *testing.T) {
	conn := fresh(t, made)
	before := inspect(t, conn)
	exec(t, conn, `CREATE TABLE cache_1 (id int PRIMARY KEY); CREATE TABLE cached (id int); DROP INDEX ages_age; ALTER TABLE users DROP COLUMN born; DROP TABLE "Odd one"."x.y"`)
	after := inspect(t, conn)
	for pattern, want := range map[string]string{
		`table public.cache_*`:       `dropped column public.users.born; dropped index public.ages.ages_age; dropped table "Odd one"."x.y"; added table public.cached`,
		`* public.*`:                 `dropped table "Odd one"."x.y"`,
		`view public.ages`:           `dropped column public.users.born; dropped table "Odd one"."x.y"; added table public.cache_1; added table public.cached`,
		`index public.ages.ages_age`: `dropped column public.users.born; dropped table "Odd one"."x.y"; added table public.cache_1; added table public.cached`,
		`table public.user`:          `dropped column public.users.born; dropped index public.ages.ages_age; dropped table "Odd one"."x.y"; added table public.cache_1; added table public.cached`,
		`table "Odd one"."x.y"`:      `dropped column public.users.born; dropped index public.ages.ages_age; added table public.cache_1; added table public.cached`,
	} {
		if got := lines(schemaobjects.Diff(before, after, schemaobjects.NewPatterns([]string{pattern}))); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", pattern, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for text, want := range map[string][2]bool{ // a name, a pattern
		`table public.users`: {true, true}, `function public.twice(integer, text)`: {true, true}, `column "Odd one"."x.y"."a b"`: {true, true},
		`table public.cache_*`: {false, true}, `* analytics.*`: {false, true},
		`public.users`: {}, `table users`: {}, `tables public.users`: {}, `table `: {}, ``: {}, `*`: {}, `dropped table public.users`: {}, `table  public.users`: {}, `table public.`: {},
	} {
		if got := [2]bool{schemaobjects.ValidName(text), schemaobjects.ValidPattern(text)}; got != want {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestServersDiffer(t *testing.T) {
	was := schemaobjects.Snapshot{Major: 16, Objects: map[string]string{"view public.a": "1", "table public.b": "1"}}
	is := schemaobjects.Snapshot{Major: 17, Objects: map[string]string{"view public.a": "2"}}
	if got := lines(schemaobjects.Diff(was, is, nil)); got != "dropped table public.b" {
		t.Errorf("got %s", got)
	}
}

func TestWhatIsStillMissing(t *testing.T) {
	was := schemaobjects.Snapshot{Major: 16, Objects: map[string]string{"table public.a": "1", "index public.a.i": "1", "view public.v": "1", "table public.c": "1"}}
	is := schemaobjects.Snapshot{Major: 16, Objects: map[string]string{"view public.v": "2", "table public.c": "1", "table public.d": "1"}}
	changes := schemaobjects.Diff(was, is, nil)
	if got := lines(changes); got != "dropped table public.a; changed view public.v; added table public.d" {
		t.Errorf("changes: %s", got)
	}
	half := schemaobjects.Snapshot{Major: 16, Objects: map[string]string{"table public.a": "9", "view public.v": "2", "table public.e": "1"}}
	missing := changes.StillMissing(half)
	if got := lines(missing); got != "dropped index public.a.i" {
		t.Errorf("missing: %s", got)
	}
	// Undone, a later comparison finds the same again.
	if got := lines(schemaobjects.Diff(half.Undo(missing.Fold(), was), half, nil)); got != "dropped index public.a.i" {
		t.Errorf("undone: %s", got)
	}
	if got := lines(schemaobjects.Diff(is.Undo(changes.Fold(), was), is, nil)); got != lines(changes) {
		t.Errorf("all undone: %s", got)
	}
	if _, there := half.Objects["index public.a.i"]; there {
		t.Error("the snapshot itself was changed")
	}
}

func TestLines(t *testing.T) {
	d := []schemaobjects.Difference{{Verb: "dropped", Object: "table public.a"}, {Verb: "added", Object: "table public.b"}, {Verb: "added", Object: "table public.c"}}
	if got := strings.Join(schemaobjects.Lines(d, 1), "; "); got != "dropped table public.a; and 2 more" {
		t.Errorf("got %s", got)
	}
	if got := schemaobjects.Lines(d, 3); len(got) != 3 {
		t.Errorf("got %s", got)
	}
}
