package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/testkit/postgres"
)

func options(t *testing.T) postgres.Options {
	return postgres.Options{
		Dir: t.TempDir(), User: "owner", Password: `p'a"s$s w\o:r/d@%`, Database: "plan_charge", TLS: true, Log: testLog{t},
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

func start(t *testing.T, o postgres.Options) *postgres.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	o.Log = nil
	s, err := postgres.Start(ctx, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	return s
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	var out *string
	if err := conn.QueryRow(ctx, sql).Scan(&out); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatal(err)
	}
	if out == nil {
		return ""
	}
	return *out
}

func TestMasterUserIsLikeThatOfRDS(t *testing.T) {
	o := options(t)
	o.Params = map[string]string{"rds.force_ssl": "1", "log_min_duration_statement": "0"}
	s := start(t, o)
	for sql, want := range map[string]string{
		`SELECT rolsuper::text || rolcreatedb || rolcreaterole FROM pg_roles WHERE rolname = current_user`: "falsetruetrue",
		`SELECT pg_get_userbyid(datdba)::text FROM pg_database WHERE datname = current_database()`:         "owner",
		`SELECT pg_has_role('rds_superuser', 'member')::text`:                                              "true",
		`SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()`:                                   "true",
		`SELECT current_setting('rds.force_ssl')`:                                                          "1",
		`SELECT inet_server_addr()::text`:                                                                  "127.0.0.1/32",
		`SELECT has_schema_privilege('public', 'CREATE')::text`:                                            "true",
	} {
		if got := query(t, s.URL(), sql); got != want {
			t.Errorf("%s: got %q, want %q", sql, got, want)
		}
	}
	if got := query(t, s.SuperuserURL("plan_charge"), `SELECT rolsuper::text FROM pg_roles WHERE rolname = current_user`); got != "true" {
		t.Errorf("superuser: got %q", got)
	}
}

func TestPasswordIsInNoArgumentAndNoLog(t *testing.T) {
	o := options(t)
	o.Password = "Zq8unmistakable8qZ"
	var log bytes.Buffer
	o.Log = &log
	o.Params = map[string]string{"log_statement": "all"}
	s, err := postgres.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.PID()))
	if err != nil {
		t.Skip("no /proc here")
	}
	if err := s.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"arguments": string(args), "log": log.String()} {
		if strings.Contains(text, o.Password) {
			t.Errorf("the password is in the server's %s", name)
		}
	}
}

func TestRequireTLS(t *testing.T) {
	o := options(t)
	o.RequireTLS = true
	s := start(t, o)
	_, err := pgx.Connect(context.Background(), strings.Replace(s.URL(), "sslmode=require", "sslmode=disable", 1))
	if err == nil {
		t.Error("a connection without TLS was accepted")
	}
	verified := strings.Replace(s.URL(), "sslmode=require", "sslmode=verify-full&sslrootcert="+s.CertFile, 1)
	if got := query(t, verified, `SELECT 'ok'`); got != "ok" {
		t.Errorf("verify-full: got %q", got)
	}
}

// As RDS's, the certificate is for one name, and whoever trusts its authority trusts it. Another authority's is another's.
func TestAuthority(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) *postgres.Authority {
		a, err := postgres.OpenAuthority(filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key"), name)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	ours, other := open("ours"), open("other")
	o := options(t)
	o.RequireTLS, o.Authority, o.Name = true, ours, "localhost"
	s := start(t, o)
	try := func(mode string, root *postgres.Authority, host string) error {
		u := strings.Replace(s.URL(), "sslmode=require", "sslmode="+mode+"&sslrootcert="+root.File, 1)
		conn, err := pgx.Connect(t.Context(), strings.Replace(u, "@127.0.0.1:", "@"+host+":", 1))
		if err == nil {
			conn.Close(t.Context())
		}
		return err
	}
	if err := try("verify-full", open("ours"), "localhost"); err != nil {
		t.Error(err)
	}
	if err := try("verify-ca", ours, "127.0.0.1"); err != nil {
		t.Error(err)
	}
	if err := try("verify-full", ours, "127.0.0.1"); err == nil {
		t.Error("the certificate is for another name, too")
	}
	if err := try("verify-ca", other, "localhost"); err == nil {
		t.Error("another authority signed it, too")
	}
	info, err := os.Stat(filepath.Join(dir, "ours.key"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info.Mode(), err)
	}
	// Data of before gets a certificate for the name that it is asked for now.
	s.Kill()
	o.Name, o.Authority = "other.example", other
	s = start(t, o)
	if err := try("verify-ca", other, "localhost"); err != nil {
		t.Error(err)
	}
	if err := try("verify-full", other, "localhost"); err == nil {
		t.Error("the certificate of before is in use")
	}
}

func TestDataOutlivesEveryKindOfEnd(t *testing.T) {
	o := options(t)
	s := start(t, o)
	o.Port = s.Port
	query(t, s.URL(), `CREATE TABLE kept (how text)`)
	ends := map[string]func() error{
		"stopped": func() error { return s.Stop(context.Background()) },
		"killed":  func() error { return s.Kill() },
		// As after the end of the program that started it: nobody stops the server before the next Start.
		"left behind": func() error { return nil },
		// As after a crash of the machine: the lock file names a process that is somebody else's now.
		"rebooted": func() error {
			if err := s.Kill(); err != nil {
				return err
			}
			lock := fmt.Sprintf("%d\n%s\n%d\n%d\n\n127.0.0.1\n\n", os.Getpid(), o.Dir, time.Now().Unix(), o.Port)
			return os.WriteFile(filepath.Join(o.Dir, "data", "postmaster.pid"), []byte(lock), 0o600)
		},
		"postmaster killed": func() error { return syscall.Kill(s.PID(), syscall.SIGKILL) },
	}
	want := 0
	for name, end := range ends {
		query(t, s.URL(), `INSERT INTO kept VALUES ('`+name+`')`)
		want++
		if err := end(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		s = start(t, o)
		if got := query(t, s.URL(), `SELECT count(*)::text FROM kept`); got != fmt.Sprint(want) {
			t.Errorf("%s: %s rows, want %d", name, got, want)
		}
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	o := options(t)
	o.Port = l.Addr().(*net.TCPAddr).Port
	_, err = postgres.Start(context.Background(), o)
	if !errors.Is(err, postgres.ErrPortInUse) || !strings.Contains(err.Error(), fmt.Sprint(o.Port)) {
		t.Errorf("got %v", err)
	}
}

func TestBadOptionsAreRefusedTogether(t *testing.T) {
	_, err := postgres.Start(context.Background(), postgres.Options{
		Host: "0.0.0.0", Port: 70000, Password: "x", RequireTLS: true, Params: map[string]string{"port": "1", "a b": "2"},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"Dir", "0.0.0.0", "70000", "User", "Database", "RequireTLS", `"port"`, `"a b"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
}

func TestBadSettingSaysWhatTheServerSaid(t *testing.T) {
	o := options(t)
	o.Params = map[string]string{"max_connections": "many"}
	_, err := postgres.Start(context.Background(), o)
	if err == nil || !strings.Contains(err.Error(), "max_connections") {
		t.Errorf("got %v", err)
	}
}

func TestOtherVersionsDataIsRefused(t *testing.T) {
	t.Setenv(postgres.EnvDir, "")
	o := options(t)
	o.Version = 16
	if err := start(t, o).Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	o.Version = 15
	_, err := postgres.Start(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "ask for 16") {
		t.Errorf("got %v", err)
	}
}
