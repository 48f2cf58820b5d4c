// Package test runs the whole program on a sandbox of its own: the real engine, the real AWS provider, PostgreSQL,
// Alembic and HTTP. The tests of one sandbox run in order, as the days of a deployment do.
package test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"plan-charge/test/testbed"
)

// box is a sandbox in a test, which fails where the sandbox does not do what it is told.
type box struct {
	*testbed.Sandbox
	t *testing.T
}

// result is what a command printed and how it ended.
type result struct {
	out  string // stdout and stderr in the order they came
	code int
}

func newBox(t *testing.T) *box {
	t.Helper()
	// A folder given by name is used as it is and kept, to repeat a step without a new deployment.
	s, err := testbed.New(os.Getenv("PLAN_CHARGE_TEST_STATE"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(s.State, "daemon.log"))
			t.Logf("end of the sandbox's log:\n%s", testbed.LastLines(string(log), 60))
			s.Keep()
			t.Logf("the sandbox's folder is kept: %s", s.State)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &box{s, t}
}

// run calls the sandbox's program. Its output also goes to the test's log as it comes.
func (b *box) run(limit time.Duration, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return show("sandbox", b.Command(ctx, args...))
}

// pulumi types a pulumi command in the sandbox's environment.
func (b *box) pulumi(args ...string) result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cmd, err := b.Pulumi(ctx, args...)
	if err != nil {
		b.t.Fatal(err)
	}
	return show("pulumi", cmd)
}

func show(name string, cmd *exec.Cmd) result {
	var out bytes.Buffer
	w := io.MultiWriter(&out, os.Stderr)
	cmd.Stdout, cmd.Stderr = w, w
	fmt.Fprintf(os.Stderr, "\n$ %s %s\n", name, strings.Join(cmd.Args[1:], " "))
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result{out.String() + err.Error(), -1}
	}
	return result{out.String(), cmd.ProcessState.ExitCode()}
}

// must is for steps whose failure makes the rest pointless.
func (b *box) must(r result) result {
	b.t.Helper()
	if r.code != 0 {
		b.t.Fatalf("exit code %d:\n%s", r.code, testbed.LastLines(r.out, 60))
	}
	return r
}

// status is what `status --json` tells, with outputs that have to be there.
type status struct{ testbed.Status }

func (b *box) status() status {
	b.t.Helper()
	s, err := b.Status(context.Background(), false)
	if err != nil {
		b.t.Fatal(err)
	}
	return status{s}
}

func (s status) output(t *testing.T, name string) string {
	t.Helper()
	v := s.Output(name)
	if v == "" {
		t.Fatalf("the stack has no output %s: %v", name, s.Outputs)
	}
	return v
}

// connect opens the database as its owner, as the people of the incident did by hand.
func (b *box) connect() *pgx.Conn {
	b.t.Helper()
	s, err := b.Status(context.Background(), true)
	if err != nil {
		b.t.Fatal(err)
	}
	conn, err := pgx.Connect(context.Background(), s.Database)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// get asks the edge as a viewer of the site would.
func get(t *testing.T, s status, path string) *http.Response {
	t.Helper()
	resp, err := s.Get(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// config writes the stack's configuration with texts replaced, pairs of old and new, and returns the file's path.
func (b *box) config(replace ...string) string {
	b.t.Helper()
	path, err := b.Config("changed.yaml", replace...)
	if err != nil {
		b.t.Fatal(err)
	}
	return path
}

// database is the container of the sandbox's own stack.
func (b *box) database() testbed.Container {
	b.t.Helper()
	c, err := b.Database(context.Background(), "sandbox")
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// do tells the process engine what to do with a container: stop, start or kill.
func (b *box) do(what string, c testbed.Container) {
	b.t.Helper()
	if err := b.Engine(context.Background(), http.MethodPost, "/containers/"+c.ID+"/"+what, nil); err != nil {
		b.t.Fatal(err)
	}
}

func wantIn(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in:\n%s", p, testbed.LastLines(text, 80))
		}
	}
}

// eventually awaits a condition; it fails the test when the bound is over.
func eventually(t *testing.T, bound time.Duration, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(bound); ; time.Sleep(200 * time.Millisecond) {
		if condition() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", bound, what)
		}
	}
}
