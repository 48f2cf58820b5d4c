package migrate

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"plan-charge/internal/awsquery"
	"plan-charge/internal/releases"
	"plan-charge/internal/testkit"
	"plan-charge/internal/versiontable"
)

// tool is a migration as Alembic does it: it knows revisions up to one, and refuses a database that is further.
func tool(t *testing.T, knows string) func(*fakeTask) {
	return func(f *fakeTask) {
		f.status("RUNNING")
		if live := current(t); live > knows {
			f.print("INFO  [alembic.runtime.migration] Will assume transactional DDL.",
				fmt.Sprintf("FAILED: Can't locate revision identified by '%s'", live))
			f.exit(255)
			return
		}
		migrated(t, knows)
		f.exit(0)
	}
}

func current(t *testing.T) string {
	t.Helper()
	conn := open(t)
	defer conn.Close(context.Background())
	live, err := (&database{conn: conn, table: versiontable.New("", "", "")}).revision(t.Context())
	if err != nil {
		t.Error(err)
	}
	return live
}

// deployments are what one database sees, one after the other.
type deployments struct {
	t *testing.T
	c *cloud
	s Settings
}

func deploy(t *testing.T) *deployments {
	return &deployments{t, newCloud(t, freshURL(t)), testSettings()}
}

// up deploys an image that knows revisions up to one.
func (d *deployments) up(image, knows string) (revision, said string, tasks int, err error) {
	d.t.Helper()
	before := len(d.c.run)
	d.s.Image, d.s.Key = image, image+` ["alembic"] 1`
	d.c.script = tool(d.t, knows)
	var out testkit.Buffer
	revision, err = run(d.t.Context(), d.s, d.c.clients(), &out, fast())
	return revision, out.String(), len(d.c.run) - before, err
}

// want deploys it and expects a success with a revision, after so many tasks.
func (d *deployments) want(image, knows, revision string, tasks int) string {
	d.t.Helper()
	got, said, ran, err := d.up(image, knows)
	if err != nil || got != revision || ran != tasks {
		d.t.Errorf("%s: %q after %d tasks, %v; want %q after %d", image, got, ran, err, revision, tasks)
	}
	return said
}

func TestBackAndForth(t *testing.T) {
	d := deploy(t)
	d.want("app:1.0", "0003", "0003", 1)
	d.want("app:1.1", "0004", "0004", 1)
	testkit.Contains(t, "going back", d.want("app:1.0", "0003", "0004", 0), "schema is at 0004 by 1.1; 1.0 knows 0003: not migrated")
	if mark(t) != "0004" {
		t.Errorf("the mark is %q, want that of the last migration", mark(t))
	}
	d.want("app:1.0", "0003", "0004", 0) // once more
	d.s.UnlessDone = true                // as after a change of the timeout
	testkit.Contains(t, "an update", d.want("app:1.0", "0003", "0004", 0), "not migrated")
	d.s.UnlessDone = false
	d.want("app:1.1", "0004", "0004", 1)
	d.want("app:1.2", "0005", "0005", 1)
	testkit.Contains(t, "going two back", d.want("app:1.0", "0003", "0005", 0), "schema is at 0005 by 1.2; 1.0 knows 0003: not migrated")
	d.want("app:1.2", "0005", "0005", 1)
}

func TestADowngradeNeverHappensUnasked(t *testing.T) {
	d := deploy(t)
	d.want("app:1.0", "0003", "0003", 1)
	d.want("app:1.1", "0004", "0004", 1)
	d.c.script = func(f *fakeTask) { f.status("RUNNING"); migrated(t, "0001"); f.exit(0) }
	before := len(d.c.run)
	d.s.Image, d.s.Key, d.s.Command = "app:1.0", `app:1.0 ["downgrade"] 1`, []string{"alembic", "downgrade", "base"}
	got, err := run(t.Context(), d.s, d.c.clients(), &testkit.Buffer{}, fast())
	if err != nil || got != "0004" || len(d.c.run) != before || current(t) != "0004" {
		t.Errorf("%q, %v, %d tasks, and the database is at %s", got, err, len(d.c.run)-before, current(t))
	}
}

// snapshots is RDS, which takes a while, and answers a call once that is made again.
type snapshots struct {
	calls  []string
	status []string // one a look
	err    error
}

func (s *snapshots) Call(_ context.Context, _ awsquery.Service, action string, form url.Values, out any) error {
	s.calls = append(s.calls, action+" "+form.Get("DBInstanceIdentifier"))
	if action == "CreateDBSnapshot" {
		return s.err
	}
	status := s.status[0]
	s.status = s.status[1:]
	return xml.Unmarshal([]byte("<R><DescribeDBSnapshotsResult><DBSnapshots><DBSnapshot><Status>"+status+"</Status></DBSnapshot></DBSnapshots></DescribeDBSnapshotsResult></R>"), out)
}

func TestADowngradeThatIsAskedForTakesASnapshotFirst(t *testing.T) {
	d := deploy(t)
	d.want("app:1.0", "0003", "0003", 1)
	d.want("app:1.1", "0004", "0004", 1)
	rds := &snapshots{err: &smithy.GenericAPIError{Code: "SnapshotQuotaExceeded", Message: "too many"}}
	down := func(to string) (got string, ran int, err error) {
		d.c.script = func(f *fakeTask) { f.status("RUNNING"); migrated(t, "0003"); f.exit(0) }
		before, clients, s := len(d.c.run), d.c.clients(), d.s
		clients.RDS = rds
		s.Image, s.Command, s.DowngradeTo, s.SnapshotOf = "app:1.1", []string{"alembic", "downgrade", to}, to, "db"
		s.Key = "app:1.1 down " + to
		got, err = run(t.Context(), s, clients, &testkit.Buffer{}, fast())
		return got, len(d.c.run) - before, err
	}
	_, ran, err := down("0003")
	if err == nil || ran > 0 || !strings.Contains(err.Error(), "nothing was downgraded") || !strings.Contains(err.Error(), "too many") {
		t.Fatalf("without a snapshot: %v, %d tasks", err, ran)
	}
	rds.err = &smithy.GenericAPIError{Code: "DBSnapshotAlreadyExists"}
	rds.status = []string{"creating", "failed"}
	if _, ran, err = down("0003"); err == nil || ran > 0 || !strings.Contains(err.Error(), "has failed") {
		t.Fatalf("with a failed one: %v, %d tasks", err, ran)
	}
	rds.calls, rds.status = nil, []string{"creating", "available", "available"}
	got, ran, err := down("0003")
	if err != nil || got != "0003" || ran != 1 || strings.Join(rds.calls, ", ") != "CreateDBSnapshot db, DescribeDBSnapshots , DescribeDBSnapshots " {
		t.Fatalf("%q, %v, %d tasks, %q", got, err, ran, rds.calls)
	}
	rds.calls = nil
	if got, _, err = down("0003"); err != nil || got != "0003" || len(rds.calls) > 0 { // is there already
		t.Errorf("%q, %v, %q", got, err, rds.calls)
	}
	if _, _, err = down("0002"); err == nil || !strings.Contains(err.Error(), "left 0003, and migration.downgradeTo is 0002") {
		t.Errorf("the command went elsewhere: %v", err)
	}
	d.want("app:1.0", "0003", "0003", 1) // is up to date again
	d.want("app:1.1", "0004", "0004", 1) // and the newer one migrates
}

func TestADatabaseThatWasDowngradedByHandMigrates(t *testing.T) {
	d := deploy(t)
	d.want("app:1.0", "0003", "0003", 1)
	d.want("app:1.1", "0004", "0004", 1)
	migrated(t, "0003")
	d.want("app:1.1", "0004", "0004", 1)
	migrated(t, "0003")
	d.want("app:1.0.1", "0003", "0003", 1) // a correction of the old version
	d.want("app:1.1", "0004", "0004", 1)   // is not newer for coming later
}

func TestAnUnknownImageIsNotLetThrough(t *testing.T) {
	d := deploy(t)
	d.want("app:1.0", "0003", "0003", 1)
	d.want("app:1.1", "0004", "0004", 1)
	_, _, ran, err := d.up("app:0.9", "0002")
	if err == nil || ran != 1 {
		t.Fatalf("%d tasks, %v", ran, err)
	}
	testkit.Contains(t, "the error", err.Error(), "exited with code 255", "| FAILED: Can't locate revision identified by '0004'",
		"hint: the image does not know 0004, which the database is at. Roll forward: deploy an image that knows it",
		"go back to one that was deployed here", "\n    app:1.1 left 0004, last on 2", "\n    app:1.0 left 0003, last on 2")
	if _, _, _, err := d.up("app:0.9", "0002"); err == nil {
		t.Error("it is known for having failed")
	}
}

func TestAFailureOfAnotherKindHasNoSuchHint(t *testing.T) {
	d := deploy(t)
	d.want("app:1.0", "0003", "0003", 1)
	d.s.Image = "app:1.1"
	d.c.script = func(f *fakeTask) {
		f.status("RUNNING")
		f.print("Running upgrade 0003 -> 0004", `relation "invoice" is unknown`)
		f.exit(1)
	}
	_, err := run(t.Context(), d.s, d.c.clients(), &testkit.Buffer{}, fast())
	if err == nil || strings.Contains(err.Error(), "hint") {
		t.Errorf("got %v", err)
	}
}

func TestOnlyTheNewestReleasesAreListed(t *testing.T) {
	d := deploy(t)
	for i := range 7 {
		d.want(fmt.Sprintf("app:1.%d", i), "0003", "0003", 1)
	}
	migrated(t, "0004")
	_, _, _, err := d.up("app:2.0", "0003")
	text := fmt.Sprint(err)
	if strings.Count(text, "left 0003") != 5 || !strings.Contains(text, "app:1.6 left") || strings.Contains(text, "app:1.1 left") {
		t.Errorf("got %v", err)
	}
}

// A database that was migrated before it could remember has the release of its mark.
func TestADatabaseWithoutReleases(t *testing.T) {
	forget := func() { sql(t, `DROP SCHEMA plan_charge CASCADE`) }
	table := versiontable.New("", "", "")
	remember := func() {
		conn := open(t)
		defer conn.Close(context.Background())
		key := `app:1.0 ["alembic"] 1`
		if err := table.WriteMark(t.Context(), conn, versiontable.Mark{Revision: "0003", Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("goes on to a new image", func(t *testing.T) {
		d := deploy(t)
		d.want("app:1.0", "0003", "0003", 1)
		forget()
		remember()
		d.want("app:1.1", "0004", "0004", 1)
		testkit.Contains(t, "going back", d.want("app:1.0", "0003", "0004", 0), "schema is at 0004 by 1.1; 1.0 knows 0003: not migrated")
	})
	t.Run("is updated without migrating", func(t *testing.T) {
		d := deploy(t)
		d.want("app:1.0", "0003", "0003", 1)
		forget()
		remember()
		d.s.UnlessDone = true
		d.want("app:1.0", "0003", "0003", 0)
		conn := open(t)
		defer conn.Close(context.Background())
		if h, err := releases.Load(t.Context(), conn, table); err != nil || len(h) != 1 || h[0].Image != "app:1.0" || h[0].Revision != "0003" {
			t.Errorf("%+v, %v", h, err)
		}
	})
}

func TestAReleaseThatCannotBeNotedIsAFailure(t *testing.T) {
	d := deploy(t)
	d.want("app:1.0", "0003", "0003", 1)
	sql(t, `ALTER TABLE plan_charge.release ADD CHECK (image <> 'app:1.1')`)
	_, _, _, err := d.up("app:1.1", "0004")
	testkit.Contains(t, "error", fmt.Sprint(err), "the database is at 0004", "app:1.1", "could not be noted", "plan_charge.release")
}

// An older image is not migrated, so it mends nothing either.
func TestAnOlderImageIsNotRolledOutOnASchemaThatIsNotWhatWasLeft(t *testing.T) {
	sql(t, `DROP TABLE IF EXISTS users; CREATE TABLE users (id int)`)
	t.Cleanup(func() { sql(t, `DROP TABLE IF EXISTS users`) })
	d := deploy(t)
	d.want("app:1.0", "0003", "0003", 1)
	d.want("app:1.1", "0004", "0004", 1)
	sql(t, `DROP TABLE users`)
	_, said, ran, err := d.up("app:1.0", "0003")
	if err == nil || ran != 0 {
		t.Errorf("%d tasks, %v\n%s", ran, err, said)
	}
	testkit.Contains(t, "error", fmt.Sprint(err), "the schema is not what the migration to 0004 left", "dropped table public.users")
	d.s.Accept = []string{"table public.users"}
	testkit.Contains(t, "accepted", d.want("app:1.0", "0003", "0004", 0), "is accepted", "not migrated")
	d.s.Accept = nil
	d.want("app:1.0", "0003", "0004", 0)
	d.want("app:1.1", "0004", "0004", 1)
}
