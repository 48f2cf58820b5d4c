package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/testkit"
	"plan-charge/internal/testkit/postgres"
	"plan-charge/sandbox/backend"
	"plan-charge/sandbox/image"
)

const (
	login         = "/api/v1/auth/sso/token-exchange"
	structured    = `{"userInfo":{"email":"test@nda-partners.com","name":"Test User","id":"test-id"},"access_token":"test"}`
	organizations = `INSERT INTO organizations (id, name, created_at, updated_at) VALUES
		('00000000-0000-0000-0000-000000000001', 'NDA Partners', now(), now()),
		('00000000-0000-0000-0000-000000000002', 'Default Organization', now(), now())`
	// A password that URLs, ini files and format strings would each like to change.
	password = `p'a"s$s w\o:r/d@%(x)s%41`
)

var (
	server *postgres.Server
	app    image.Program
)

func TestMain(m *testing.M) {
	os.Exit(func() int {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		dir, err := os.MkdirTemp("", "backend-test-")
		if err != nil {
			panic(err)
		}
		defer os.RemoveAll(dir)
		if app, err = backend.Ensure(ctx, os.Stdout); err != nil {
			fmt.Println(err)
			return 1
		}
		server, err = postgres.Start(ctx, postgres.Options{Dir: dir, User: "owner", Password: password, Database: "first", TLS: true, RequireTLS: true})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		defer server.Kill()
		return m.Run()
	}())
}

// newDatabase returns the owner's URL of an empty database.
func newDatabase(t *testing.T) string {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "_", "-", "_", ".", "_").Replace(t.Name()))
	execSQL(t, server.URL(), `CREATE DATABASE "`+name+`"`)
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

func execSQL(t *testing.T, database, sql string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// value reads one text; "" stands for null and for no row.
func value(t *testing.T, database, sql string) string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var out *string
	if err := conn.QueryRow(ctx, sql).Scan(&out); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatalf("%s: %v", sql, err)
	}
	if out == nil {
		return ""
	}
	return *out
}

func environment(tag, database string, more ...string) []string {
	env := []string{"PATH=" + app.Bin + ":" + os.Getenv("PATH"), "DATABASE_URL=" + database}
	for name, v := range image.Env(tag) {
		env = append(env, name+"="+v)
	}
	return append(env, more...)
}

// alembic runs the command as a task does, from its PATH in /app.
func alembic(ctx context.Context, tag, database string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(app.Bin, "alembic"), args...)
	cmd.Dir, cmd.Env = app.Dir, environment(tag, database)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func migrate(t *testing.T, tag, database string, args ...string) string {
	t.Helper()
	out, err := alembic(context.Background(), tag, database, args...)
	if err != nil {
		t.Fatalf("alembic %v: %v\n%s", args, err, out)
	}
	return out
}

// service is a running copy of the application.
type service struct {
	url  string
	log  *testkit.Buffer
	cmd  *exec.Cmd
	done chan struct{}
}

func launch(t *testing.T, tag, database string, more ...string) *service {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	command := app.Command
	s := &service{url: fmt.Sprintf("http://127.0.0.1:%d", port), log: &testkit.Buffer{}, done: make(chan struct{})}
	s.cmd = exec.Command(filepath.Join(app.Bin, command[0]), command[1:]...)
	s.cmd.Dir = app.Dir
	s.cmd.Env = environment(tag, database, append(more, "HOST=127.0.0.1", fmt.Sprintf("PORT=%d", port))...)
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.cmd.Wait(); close(s.done) }()
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		<-s.done
		if strings.Contains(s.log.String(), url.QueryEscape(password)) || strings.Contains(s.log.String(), password) {
			t.Error("the database's password is in the service's log")
		}
	})
	return s
}

func start(t *testing.T, tag, database string, more ...string) *service {
	t.Helper()
	s := launch(t, tag, database, more...)
	deadline := time.After(30 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(s.url, "http://"), time.Second)
		if err == nil {
			conn.Close()
			return s
		}
		select {
		case <-s.done:
			t.Fatalf("the service ended:\n%s", s.log)
		case <-deadline:
			t.Fatalf("the service does not listen:\n%s", s.log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

type answer struct {
	status int
	header http.Header
	body   map[string]any
	text   string
}

func (s *service) ask(t *testing.T, method, path, body string) answer {
	t.Helper()
	req, err := http.NewRequest(method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{status: resp.StatusCode, header: resp.Header, text: string(data)}
	_ = json.Unmarshal(data, &a.body) // not every answer is JSON
	return a
}

func tokenBody(t *testing.T, email string) string {
	t.Helper()
	token, err := backend.SignToken(email, "Test User")
	if err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]any{"userInfo": map[string]string{"email": email, "name": "Test User", "id": "1"}, "access_token": token})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestMigrationsGoUpAndDownAndUp(t *testing.T) {
	db := newDatabase(t)
	tables := `SELECT string_agg(table_name, ' ' ORDER BY table_name) FROM information_schema.tables WHERE table_schema = 'public'`
	revision := func() string { return value(t, db, `SELECT version_num FROM alembic_version`) }

	out := migrate(t, "1.0.0", db, "upgrade", "head")
	for _, line := range []string{"-> 0001, organizations", "0001 -> 0002, users", "0002 -> 0003"} {
		if !strings.Contains(out, line) {
			t.Errorf("the log lacks %q:\n%s", line, out)
		}
	}
	if got := value(t, db, tables); got != "alembic_version organizations users" || revision() != "0003" {
		t.Errorf("after upgrade: tables %s, revision %s", got, revision())
	}
	if out := migrate(t, "1.0.0", db, "current"); !strings.Contains(out, "0003 (head)") {
		t.Errorf("alembic current: %s", out)
	}
	for _, want := range []string{"0002", "0001"} {
		migrate(t, "1.0.0", db, "downgrade", "-1")
		if revision() != want {
			t.Errorf("revision is %s after a downgrade, want %s", revision(), want)
		}
	}
	migrate(t, "1.0.0", db, "downgrade", "base")
	if got := value(t, db, tables); got != "alembic_version" {
		t.Errorf("after downgrade base: %s", got)
	}
	migrate(t, "1.0.0", db, "upgrade", "head")
	if revision() != "0003" {
		t.Errorf("revision is %s", revision())
	}
}

func TestLaterVersionHasAnotherRevision(t *testing.T) {
	db := newDatabase(t)
	migrate(t, "1.0.0", db, "upgrade", "head")
	execSQL(t, db, organizations)
	migrate(t, "1.1.0", db, "upgrade", "head")
	if got := value(t, db, `SELECT version_num FROM alembic_version`); got != "0004" {
		t.Errorf("revision is %s, want 0004", got)
	}
	// The old version goes on working on the new schema: it serves until the rollout is over.
	for _, tag := range []string{"1.0.0", "1.1.0"} {
		if a := start(t, tag, db).ask(t, "POST", login, tokenBody(t, "both@nda-partners.com")); a.status != 200 {
			t.Errorf("version %s: %d %s", tag, a.status, a.text)
		}
	}
	out, err := alembic(context.Background(), "1.0.0", db, "upgrade", "head")
	if err == nil || !strings.Contains(out, "Can't locate revision identified by '0004'") {
		t.Errorf("an image older than the schema: %v\n%s", err, out)
	}
	migrate(t, "1.1.0", db, "downgrade", "0003")
}

func TestLogin(t *testing.T) {
	db := newDatabase(t)
	migrate(t, "1.0.0", db, "upgrade", "head")
	execSQL(t, db, organizations)
	s := start(t, "1.0.0", db)

	good := tokenBody(t, "User@NDA-Partners.com")
	other, err := backend.SignToken("other@example.com", "Other")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, path, body string
		status           int
		organization     string
	}{
		{"a token alone", login, `{"token":"test"}`, 400, ""},
		{"past a cache", login + "?t=1", `{"token":"test"}`, 400, ""},
		{"structured", login, structured, 400, ""},
		{"no JSON", login, `{`, 400, ""},
		{"no object", login, `[]`, 400, ""},
		{"nothing known", login, `{}`, 400, ""},
		{"userInfo without an address", login, `{"userInfo":{},"access_token":"x"}`, 400, ""},
		{"somebody else's token", login, `{"userInfo":{"email":"a@nda-partners.com"},"access_token":"` + other + `"}`, 400, ""},
		{"good", login, good, 200, "NDA Partners"},
		{"again", login, good, 200, "NDA Partners"},
		{"another domain", login, tokenBody(t, "someone@example.com"), 200, "Default Organization"},
		{"a good token alone", login, `{"token":"` + other + `"}`, 200, "Default Organization"},
	} {
		a := s.ask(t, "POST", c.path, c.body)
		if a.status != c.status {
			t.Errorf("%s: %d, want %d: %s", c.what, a.status, c.status, a.text)
			continue
		}
		if c.organization != "" {
			user := a.body["user"].(map[string]any)
			if got := user["organization"].(map[string]any)["name"]; got != c.organization {
				t.Errorf("%s: organization %v, want %s", c.what, got, c.organization)
			}
		}
	}
	got := value(t, db, `SELECT string_agg(u.email || ' ' || o.name, ', ' ORDER BY u.email) FROM users u JOIN organizations o ON o.id = u.organization_id`)
	if want := "other@example.com Default Organization, someone@example.com Default Organization, user@nda-partners.com NDA Partners"; got != want {
		t.Errorf("users:\n%s, want\n%s", got, want)
	}
	execSQL(t, db, `UPDATE users SET deleted_at = now()`)
	if a := s.ask(t, "POST", login, good); a.status != 403 {
		t.Errorf("a removed user: %d %s", a.status, a.text)
	}
}

func TestMissingTableIsAServerError(t *testing.T) {
	s := start(t, "1.0.0", newDatabase(t))
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/health", "", 200},
		{"GET", "/health/ready", "", 200},
		{"POST", login, `{"token":"test"}`, 400}, // as in the incident: only the structured body showed what was wrong
		{"POST", login, structured, 500},
		{"GET", "/api/v1/organizations", "", 500},
	} {
		a := s.ask(t, c.method, c.path, c.body)
		if a.status != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, a.status, c.status)
		}
		if strings.Contains(a.text, "relation") || strings.Contains(a.text, "SELECT") {
			t.Errorf("%s %s tells the client about the database: %s", c.method, c.path, a.text)
		}
	}
	s.says(t, `relation "users" does not exist`)
	if strings.Contains(s.log.String(), "test@nda-partners.com") {
		t.Error("the log holds a user's address")
	}
}

// says awaits a line of the service's log, which comes by a pipe and so after the answer that it belongs to.
func (s *service) says(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !strings.Contains(s.log.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("the log does not say %q:\n%s", text, s.log)
			return
		}
	}
}

func TestMissingOrganization(t *testing.T) {
	db := newDatabase(t)
	migrate(t, "1.0.0", db, "upgrade", "head")
	s := start(t, "1.0.0", db)
	expect := func(what string, status int) {
		t.Helper()
		if a := s.ask(t, "POST", login, tokenBody(t, "first@nda-partners.com")); a.status != status {
			t.Errorf("%s: %d %s, want %d", what, a.status, a.text, status)
		}
	}
	expect("no organizations", 500)
	s.says(t, "organization 'NDA Partners' does not exist or is deleted")
	execSQL(t, db, organizations)
	execSQL(t, db, `UPDATE organizations SET deleted_at = now()`)
	expect("deleted", 500)
	execSQL(t, db, `UPDATE organizations SET deleted_at = NULL`)
	expect("back again", 200)
	if a := s.ask(t, "GET", "/api/v1/organizations", ""); a.status != 200 || len(a.body["organizations"].([]any)) != 2 {
		t.Errorf("organizations: %d %s", a.status, a.text)
	}
}

func TestRestrictedRole(t *testing.T) {
	db := newDatabase(t)
	migrate(t, "1.0.0", db, "upgrade", "head")
	execSQL(t, db, organizations)
	execSQL(t, db, `CREATE ROLE restricted LOGIN PASSWORD 'restricted'; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO restricted`)
	u, err := url.Parse(db)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("restricted", "restricted")
	if a := start(t, "1.0.0", u.String()).ask(t, "POST", login, tokenBody(t, "r@nda-partners.com")); a.status != 200 {
		t.Errorf("login: %d %s", a.status, a.text)
	}
	out, err := alembic(context.Background(), "1.0.0", u.String(), "downgrade", "base")
	if err == nil || !strings.Contains(out, "must be owner of") {
		t.Errorf("the role that serves can change the schema: %v\n%s", err, out)
	}
}

func TestAnswersAreMarked(t *testing.T) {
	s := start(t, "1.2.3", newDatabase(t), "DEBUG_ROUTES=1")
	seen := map[string]bool{}
	for _, path := range []string{"/health", "/nowhere", "/api/v1/organizations", "/api/v1/debug/fail?status=503", "/nowhere"} {
		a := s.ask(t, "GET", path, "")
		id := a.header.Get("X-Request-Id")
		if id == "" || seen[id] || a.header.Get("X-Served-By") != "backend/1.2.3" {
			t.Errorf("%s: headers %v", path, a.header)
		}
		seen[id] = true
	}
	if a := s.ask(t, "GET", "/api/v1/debug/fail?status=503", ""); a.status != 503 {
		t.Errorf("debug route: %d", a.status)
	}
	if a := start(t, "1.0.0", newDatabaseless).ask(t, "GET", "/api/v1/debug/fail", ""); a.status != 404 {
		t.Errorf("debug route where it is not enabled: %d", a.status)
	}
}

// newDatabaseless names a server that is not there.
const newDatabaseless = "postgresql://nobody:nothing@127.0.0.1:9/none"

func TestServesWithoutDatabase(t *testing.T) {
	s := start(t, "1.0.0", newDatabaseless)
	for path, want := range map[string]int{"/health": 200, "/health/ready": 503, "/api/v1/organizations": 500} {
		if a := s.ask(t, "GET", path, ""); a.status != want {
			t.Errorf("%s: %d, want %d", path, a.status, want)
		}
	}
	if a := s.ask(t, "HEAD", "/health", ""); a.status != 200 {
		t.Errorf("HEAD /health: %d", a.status)
	}
}

func TestVariants(t *testing.T) {
	db := newDatabase(t)
	migrate(t, "1.0.0", db, "upgrade", "head")
	execSQL(t, db, organizations)

	t.Run("crash", func(t *testing.T) {
		s := launch(t, "crash", db)
		<-s.done
		if code := s.cmd.ProcessState.ExitCode(); code != 3 {
			t.Errorf("exit code %d, want 3:\n%s", code, s.log)
		}
	})
	t.Run("no address", func(t *testing.T) {
		s := launch(t, "1.0.0", "")
		<-s.done
		if code := s.cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(s.log.String(), "DATABASE_URL is not set") {
			t.Errorf("exit code %d, want 2:\n%s", code, s.log)
		}
	})
	for _, c := range []struct {
		tag           string
		health, login int
	}{{"unhealthy", 500, 200}, {"errors", 200, 500}, {"1.1.0-errors", 200, 500}, {"v7", 200, 200}} {
		t.Run(c.tag, func(t *testing.T) {
			s := start(t, c.tag, db)
			a := s.ask(t, "GET", "/health", "")
			if a.status != c.health || a.body["version"] != c.tag {
				t.Errorf("/health: %d %s", a.status, a.text)
			}
			if a := s.ask(t, "POST", login, tokenBody(t, "v@nda-partners.com")); a.status != c.login {
				t.Errorf("login: %d %s", a.status, a.text)
			}
		})
	}
	t.Run("broken-migration", func(t *testing.T) {
		out, err := alembic(context.Background(), "broken-migration", db, "upgrade", "head")
		if err == nil || !strings.Contains(out, `relation "invoice" does not exist`) {
			t.Errorf("%v\n%s", err, out)
		}
		if got := value(t, db, `SELECT version_num || coalesce(to_regclass('invoices')::text, '') FROM alembic_version`); got != "0003" {
			t.Errorf("the failed migration left %s", got)
		}
	})
	t.Run("hang-migration", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if out, err := alembic(ctx, "hang-migration", db, "upgrade", "head"); err == nil || ctx.Err() == nil {
			t.Errorf("it ended: %v\n%s", err, out)
		}
	})
}

func TestRequestsInFlightFinish(t *testing.T) {
	s := start(t, "1.0.0", newDatabaseless, "DEBUG_ROUTES=1")
	got := make(chan error, 1)
	go func() {
		resp, err := http.Get(s.url + "/api/v1/debug/slow?seconds=1.5")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode != 200 {
				err = errors.New(resp.Status)
			}
		}
		got <- err
	}()
	time.Sleep(500 * time.Millisecond) // the request is with the service, which has no way of telling
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-got; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	select {
	case <-s.done:
	case <-time.After(10 * time.Second):
		t.Error("the service did not end")
	}
}
