package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A command gets the login by its environment, and nothing that leads elsewhere.
func TestLoginGoesByEnvironment(t *testing.T) {
	l := login{"app", "s3cr3t", "plan_charge", "require"}
	got := l.environment([]string{"PATH=/bin", "PGHOST=elsewhere", "PGHOSTADDR=192.0.2.1", "PGSERVICE=other", "PGPASSWORD=old", "PGSSLMODE=disable", "PGOPTIONS=-c x=y"}, 5433)
	want := []string{"PATH=/bin", "PGOPTIONS=-c x=y", "PGHOST=127.0.0.1", "PGPORT=5433", "PGUSER=app", "PGDATABASE=plan_charge", "PGPASSWORD=s3cr3t", "PGSSLMODE=require"}
	if !slices.Equal(got, want) {
		t.Errorf("the environment is %q, want %q", got, want)
	}
}

func TestOutputsThatLeadNowhereAreRefused(t *testing.T) {
	file := filepath.Join(t.TempDir(), "outputs.json")
	for name, text := range map[string]string{"empty": `{}`, "before this was there": `{"databaseAddress":"db","databaseUrlSecret":"a","migrationUrlSecret":"b"}`, "no JSON": `up first`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := (&dbOptions{as: "app", outputs: file}).run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "outputs") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (&dbOptions{as: "root"}).run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "app or owner") {
		t.Errorf("another role: %v", err)
	}
	if err := (&dbOptions{as: "app"}).run(t.Context(), []string{"no-such-program"}); err == nil || !strings.Contains(err.Error(), "no-such-program") {
		t.Errorf("a command that is not there: %v", err)
	}
}

// The command's exit code is db's, and an interrupt is the command's own affair.
func TestCommandEndsByItself(t *testing.T) {
	err := runWith(t.Context(), nil, []string{"/bin/sh", "-c", "exit 3"})
	var ended *exec.ExitError
	if !errors.As(err, &ended) || ended.ExitCode() != 3 {
		t.Errorf("a command that ends with 3: %v", err)
	}
	interrupted, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("stopped by signal interrupt"))
	if err := runWith(interrupted, nil, []string{"/bin/sh", "-c", "sleep 0.2"}); err != nil {
		t.Errorf("a command that was left alone: %v", err)
	}
}

func TestHelpNamesTheCommands(t *testing.T) {
	var out bytes.Buffer
	cmd := root()
	cmd.SetOut(&out)
	cmd.SetArgs([]string{"help"})
	if err := cmd.Execute(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"db", "migrate", "verify", "invalidate"} {
		if !strings.Contains(out.String(), "\n  "+name+" ") {
			t.Errorf("%s is not in:\n%s", name, out.String())
		}
	}
}
