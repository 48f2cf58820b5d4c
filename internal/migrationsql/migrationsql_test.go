package migrationsql_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plan-charge/internal/migrationsql"
	"plan-charge/internal/review"
	"plan-charge/internal/testkit"
)

// program puts a shell script on the PATH, which has nothing else but the usual folders.
func program(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return dir
}

func tell(t *testing.T, command string, m review.Migration) *review.Script {
	t.Helper()
	migrationsql.Source{Dir: t.TempDir(), Command: command}.Tell(context.Background(), &m)
	return m.Script
}

func TestCommandIsCalledByWordsAndWithoutCredentials(t *testing.T) {
	program(t, "print-sql", `echo "-- $# $1 $2"; env; pwd; echo "-- Running upgrade 0003 -> 0004"`)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "planted-1")
	t.Setenv("PULUMI_CONFIG_PASSPHRASE", "planted-2")
	t.Setenv("GITHUB_TOKEN", "planted-3")
	s := tell(t, "print-sql {from}:head;$(id) {image}", review.Migration{From: "0003", Image: "backend:1.1.0"})
	testkit.Contains(t, "the SQL", s.SQL, "-- 2 0003:head;$(id) backend:1.1.0\n", "PATH=")
	if strings.Contains(s.SQL, "planted") {
		t.Errorf("it is given credentials:\n%s", s.SQL)
	}
	if s.To != "0004" || s.Command != "print-sql 0003:head;$(id) backend:1.1.0" || s.Failed != "" || !strings.Contains(s.NoLinter, "squawk is not on the PATH") {
		t.Errorf("got %+v", s)
	}
}

func TestWhyThereIsNoSQLIsSaid(t *testing.T) {
	program(t, "print-sql", `echo "cannot connect to postgresql://u:planted@h/d" >&2; exit 3`)
	known := review.Migration{From: "0003", Image: "backend:1.1.0"}
	for _, c := range []struct {
		command string
		m       review.Migration
		want    string
	}{
		{"print-sql {from}", known, "print-sql: exit status 3: cannot connect to postgresql://u:***@h/d"},
		{"not-there {from}", known, "executable file not found"},
		{"print-sql {from}", review.Migration{}, "revision was not seen"},
		{"print-sql {from} {image}", review.Migration{From: "0003"}, "which image migrates is not known"},
		{"print-sql {from} {image}", review.Migration{From: "0003", Image: "--rm"}, "which image migrates is not known"},
	} {
		if s := tell(t, c.command, c.m); !strings.Contains(s.Failed, c.want) || s.SQL != "" {
			t.Errorf("%s: got %+v, want %q", c.command, s, c.want)
		}
	}
	err := migrationsql.Source{Dir: filepath.Join(t.TempDir(), "none"), Command: "alembic"}.Check()
	if err == nil {
		t.Fatal("mistakes are taken")
	}
	testkit.Contains(t, "the mistakes", err.Error(), "--migrations: found", "--migrations-sql: found", "alembic upgrade {from}:head --sql")
}

func TestMuchOutputIsCut(t *testing.T) {
	program(t, "print-sql", `yes "SELECT 1;" | head -c 2000000`)
	s := tell(t, "print-sql {from}", review.Migration{From: "0003"})
	if s.Failed != "" || len(s.SQL) > 64<<10 || !s.Cut {
		t.Errorf("%d bytes are kept, cut: %v: %s", len(s.SQL), s.Cut, s.Failed)
	}
}

// TestLinterThatSaysNonsense stands where squawk does; the real one is asked in sandbox/backend.
func TestLinterThatSaysNonsense(t *testing.T) {
	for said, want := range map[string]string{
		`echo nonsense`:                     "squawk: invalid character",
		`echo "no such option" >&2; exit 2`: "exit status 2: no such option",
		`echo '[{"line":-1,"rule_name":"ban-drop-table"},{"line":99,"rule_name":"ban-drop-table"},{"line":0,"line_end":99,"rule_name":"nobody-knows"}]'; exit 1`: "",
		`echo '[{"line":0,"line_end":-7,"rule_name":"ban-drop-table","message":"x"}]'`:                                                                           "",
	} {
		dir := program(t, "squawk", said)
		if err := os.WriteFile(filepath.Join(dir, "print-sql"), []byte("#!/bin/sh\necho 'SELECT 1;'"), 0o755); err != nil {
			t.Fatal(err)
		}
		s := tell(t, "print-sql {from}", review.Migration{From: "0003"})
		if s.SQL != "SELECT 1;" || (want == "") != (s.NoLinter == "") || !strings.Contains(s.NoLinter, want) {
			t.Errorf("%s: got %+v, want %q", said, s, want)
		}
	}
}
