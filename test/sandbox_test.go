// Package test runs the whole program on a sandbox of its own: the real engine, the real AWS provider, PostgreSQL,
// Alembic and HTTP. The tests of one sandbox run in order, as the days of a deployment do.
package test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// box is a sandbox with its own folder and ports.
type box struct {
	t       *testing.T
	binary  string
	project string
	state   string
	env     []string
}

// result is what a command printed and how it ended.
type result struct {
	out  string // stdout and stderr in the order they came
	code int
}

// newBox builds the sandbox's program and gives it an empty state folder and free ports.
func newBox(t *testing.T) *box {
	t.Helper()
	project, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	// A folder given by name is used as it is and kept, to repeat a step without a new deployment.
	dir, given := os.LookupEnv("PLAN_CHARGE_TEST_STATE")
	if !given {
		// Short, because a Unix socket's path may have 107 bytes at the most.
		if dir, err = os.MkdirTemp("", "pc"); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o711); err != nil { // the database runs as another user
		t.Fatal(err)
	}
	b := &box{t: t, project: project, state: dir, binary: filepath.Join(dir, "sandbox-under-test")}
	b.env = append(os.Environ(), "PLAN_CHARGE_STATE="+dir, "PLAN_CHARGE_PORT_OFFSET="+strconv.Itoa(freeOffset(t)), "NO_COLOR=1")
	build := exec.Command("go", "build", "-o", b.binary, "./sandbox")
	build.Dir = project
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the sandbox: %v\n%s", err, out)
	}
	t.Cleanup(func() {
		b.run(2*time.Minute, "stop")
		if t.Failed() || given {
			log, _ := os.ReadFile(filepath.Join(dir, "daemon.log"))
			t.Logf("end of the sandbox's log:\n%s", lastLines(string(log), 60))
			t.Logf("the sandbox's folder is kept: %s", dir)
			return
		}
		os.RemoveAll(dir)
	})
	return b
}

var (
	offsets    sync.Mutex
	lastOffset = 4500 // given to a sandbox, which may not have taken its ports yet
)

// freeOffset finds an offset at which all of a sandbox's ports are free.
func freeOffset(t *testing.T) int {
	t.Helper()
	offsets.Lock()
	defer offsets.Unlock()
	for offset := lastOffset + 500; offset < 40000; offset += 500 {
		free := true
		for _, port := range []int{4566, 4567, 4580, 15432, 15433} {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+offset))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			lastOffset = offset
			return offset
		}
	}
	t.Fatal("no free ports for a sandbox")
	return 0
}

// run calls the sandbox's program. Its output also goes to the test's log as it comes.
func (b *box) run(limit time.Duration, args ...string) result {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.binary, args...)
	cmd.Dir, cmd.Env = b.project, b.env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	var out bytes.Buffer
	w := io.MultiWriter(&out, os.Stderr)
	cmd.Stdout, cmd.Stderr = w, w
	fmt.Fprintf(os.Stderr, "\n$ sandbox %s\n", strings.Join(args, " "))
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result{out.String() + err.Error(), -1}
	}
	return result{out.String(), cmd.ProcessState.ExitCode()}
}

// pulumi types a pulumi command in the sandbox's environment.
func (b *box) pulumi(args ...string) result {
	return b.run(15*time.Minute, append([]string{"run", "--", "pulumi"}, append(args, "--color=never")...)...)
}

// must is for steps whose failure makes the rest pointless.
func (b *box) must(r result) result {
	b.t.Helper()
	if r.code != 0 {
		b.t.Fatalf("exit code %d:\n%s", r.code, lastLines(r.out, 60))
	}
	return r
}

// statusReport is what `status --json` prints.
type statusReport struct {
	Edge     string
	AWS      string `json:"aws"`
	Database string
	Outputs  map[string]any
}

func (b *box) status(args ...string) statusReport {
	b.t.Helper()
	cmd := exec.Command(b.binary, append([]string{"status", "--json"}, args...)...)
	cmd.Dir, cmd.Env = b.project, b.env
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatalf("status: %v\n%s", err, out)
	}
	var s statusReport
	if err := json.Unmarshal(out, &s); err != nil {
		b.t.Fatalf("status prints no JSON: %v\n%s", err, out)
	}
	return s
}

func (s statusReport) output(t *testing.T, name string) string {
	t.Helper()
	v, ok := s.Outputs[name].(string)
	if !ok || v == "" {
		t.Fatalf("the stack has no output %s: %v", name, s.Outputs)
	}
	return v
}

// connect opens the database as its owner, as the people of the incident did by hand.
func (b *box) connect() *pgx.Conn {
	b.t.Helper()
	conn, err := pgx.Connect(context.Background(), b.status("--show-secrets").Database)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// get asks the edge as a viewer of the site would.
func get(t *testing.T, s statusReport, path string) *http.Response {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, s.Edge+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = strings.TrimPrefix(s.output(t, "siteUrl"), "https://")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	io.Copy(io.Discard, resp.Body)
	return resp
}

// engineAPI calls the process engine, for what somebody would do with `docker stop`.
func (b *box) engineAPI(method, path string, into any) {
	b.t.Helper()
	client := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(b.state, "engine.sock"))
	}}}
	req, err := http.NewRequest(method, "http://engine"+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode >= 300 {
		b.t.Fatalf("%s %s: %s %s", method, path, resp.Status, body)
	}
	if into != nil {
		if err := json.Unmarshal(body, into); err != nil {
			b.t.Fatal(err)
		}
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

func wantIn(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("%q is missing in:\n%s", p, lastLines(text, 80))
		}
	}
}
