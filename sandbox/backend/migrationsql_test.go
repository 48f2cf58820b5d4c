package backend_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plan-charge/internal/migrationsql"
	"plan-charge/internal/review"
	"plan-charge/internal/testkit"
	"plan-charge/sandbox/venv"
)

// TestMigrationsSayTheirSQL asks the application's Alembic for the SQL of its migrations, and squawk about it.
func TestMigrationsSayTheirSQL(t *testing.T) {
	linter, err := venv.Ensure(context.Background(), os.Stderr, venv.Options{
		Name: "squawk", What: "install squawk", Takes: 15 * time.Second, Requirements: "squawk-cli==2.70.0\n",
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", filepath.Join(linter, "bin")+":"+os.Getenv("PATH"))
	for _, c := range []struct {
		version string
		m       review.Migration
		to      string
		says    string // of the statements that block
		sql     []string
	}{
		{"1.1.0", review.Migration{From: "0003"}, "0004", "", []string{"ALTER TABLE users ADD COLUMN locale TEXT;"}},
		{"1.1.0", review.Migration{From: "0002"}, "0004", "7 CREATE INDEX users_organization_id ON users (organization_id): During normal index creation, table updates are blocked", []string{"last_login_at"}},
		{"1.0.0", review.Migration{Empty: true}, "0003", "", []string{"CREATE TABLE organizations", "CREATE TABLE users"}},
		{"1.1.0", review.Migration{From: "0004"}, "", "", nil},
	} {
		m := c.m
		source := migrationsql.Source{Dir: app.Dir, Command: "env SERVICE_VERSION=" + c.version + " " + app.Bin + "/alembic upgrade {from}:head --sql"}
		source.Tell(context.Background(), &m)
		s := m.Script
		if s.Failed != "" || s.NoLinter != "" || s.To != c.to {
			t.Fatalf("%s from %q: got %+v", c.version, c.m.From, s)
		}
		testkit.Contains(t, "the SQL", s.SQL, c.sql...)
		said := ""
		for _, note := range s.Blocks {
			said += strings.TrimSuffix(note.Statement, ";") + ": " + note.Text + "\n"
		}
		if _, want, _ := strings.Cut(c.says, " "); !strings.Contains(said, want) || (want == "") != (said == "") {
			t.Errorf("%s from %q: squawk says %q, want %q in\n%s", c.version, c.m.From, said, want, s.SQL)
		}
	}
	m := review.Migration{From: "9999"}
	migrationsql.Source{Dir: app.Dir, Command: app.Bin + "/alembic upgrade {from}:head --sql"}.Tell(context.Background(), &m)
	if !strings.Contains(m.Script.Failed, "Can't locate revision identified by '9999'") {
		t.Errorf("a revision that the source does not know: got %+v", m.Script)
	}
}
