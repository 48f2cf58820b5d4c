package ssm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"

	"plan-charge/internal/session"
	"plan-charge/internal/testkit/freeport"
	"plan-charge/internal/testkit/postgres"
	"plan-charge/sandbox/ssm"
)

// ways makes ways of one stack in this account, each as a process of its own would.
func (a *account) ways(t *testing.T, host, port string) func(command int) *session.Way {
	t.Helper()
	to := a.waysTo(t, host, port)
	return func(command int) *session.Way { return to("db-A", command) }
}

func (a *account) waysTo(t *testing.T, host, port string) func(database string, command int) *session.Way {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_ENDPOINT_URL": a.url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "", "AWS_PROFILE": "",
	} {
		t.Setenv(name, value)
	}
	route := session.Route{
		Stack: "plan-charge-test", Region: "eu-west-3", Cluster: "here", TaskDefinition: "way", Container: "way",
		Subnets: []string{"subnet-1"}, SecurityGroups: []string{"sg-1"}, Port: freeport.Find(),
	}
	var n int
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	return func(database string, command int) *session.Way {
		route.Database = database
		w := session.NewWay(route, host, n, t.Output())
		w.Command = command
		t.Cleanup(w.Close)
		return w
	}
}

func through(t *testing.T, w *session.Way, address string) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := w.DialContext(ctx, "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// byPort goes through a port of this machine, as a program does that takes a host and a port only.
func byPort(port, size int) error {
	c, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer c.Close()
	return said(c, size)
}

// The processes of one command have one session and one task, whoever comes first; it is opened by the first connection.
func TestOneSessionACommand(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	way := a.ways(t, host, port)
	address := net.JoinHostPort(host, port)
	first, second := way(1), way(1)
	for _, w := range []*session.Way{first, second} {
		if err := w.Listen(); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.started) != 0 {
		t.Fatal("a task was started before a connection was wanted")
	}
	var all sync.WaitGroup
	for _, w := range []*session.Way{second, first, way(1), second} {
		all.Go(func() {
			if err := w.Ready(t.Context()); err != nil {
				t.Error(err)
			}
			c := through(t, w, address)
			if err := said(c, 50_000); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if err := byPort(first.Port(), 50_000); err != nil {
		t.Error(err)
	}
	if len(a.started) != 1 || a.calls["StartSession"] != 1 {
		t.Errorf("%d tasks, calls %v", len(a.started), a.calls)
	}

	// The port is taken over from the first that ends, and with a session of its own the second goes on.
	first.Close()
	eventually(t, "the port is taken over", func() bool { return byPort(second.Port(), 10) == nil })
	if err := said(through(t, second, address), 10); err != nil {
		t.Error(err)
	}
	if len(a.started) != 1 {
		t.Errorf("the task that was left was not used: %d were started", len(a.started))
	}
}

// A port that leads to another database is nobody's way to this one, whatever the stack and the address are called.
func TestAPortThatLeadsElsewhereIsRefused(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	way := a.waysTo(t, host, port)
	if err := way("db-A", 1).Listen(); err != nil {
		t.Fatal(err)
	}
	other := way("db-B", 1)
	if err := other.Listen(); err == nil || !strings.Contains(err.Error(), "is in use by") || !strings.Contains(err.Error(), "it leads to another database") {
		t.Errorf("got %v", err)
	}
}

// Two commands of one stack on one machine have a session each, so that the end of one is not the end of the other.
func TestTwoCommandsDoNotBreakEachOther(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	way := a.ways(t, host, port)
	address := net.JoinHostPort(host, port)
	one, other := way(1), way(2)
	for _, w := range []*session.Way{one, other} {
		if err := w.Listen(); err != nil {
			t.Fatal(err)
		}
	}
	c, d := through(t, one, address), through(t, other, address)
	if err := errors.Join(said(c, 10), said(d, 10)); err != nil {
		t.Fatal(err)
	}
	if len(a.started) != 1 || a.calls["StartSession"] != 2 {
		t.Errorf("%d tasks, calls %v", len(a.started), a.calls)
	}
	one.Close()
	if err := said(d, 10); err != nil {
		t.Errorf("the other's connection: %v", err)
	}
	eventually(t, "the port is the other's", func() bool { return byPort(other.Port(), 10) == nil })
}

// A command that goes on without the database gives session and task back, and opens another where it needs one.
func TestAWayRests(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	w := a.ways(t, host, port)(1)
	w.Rest = 10 * time.Millisecond
	for range 2 {
		c := through(t, w, net.JoinHostPort(host, port))
		if err := said(c, 10); err != nil {
			t.Fatal(err)
		}
		c.Close()
		eventually(t, "nothing runs", func() bool { return len(a.running()) == 0 && len(a.Running()) == 0 })
	}
	if len(a.started) != 2 {
		t.Errorf("%d tasks for two uses", len(a.started))
	}
}

// At its end a command leaves no port and no session. The task is for the next one.
func TestAWayEnds(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	way := a.ways(t, host, port)
	w := way(1)
	if err := w.Listen(); err != nil {
		t.Fatal(err)
	}
	c := through(t, w, net.JoinHostPort(host, port))
	w.Close()
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("a connection of an ended command reads")
	}
	if got := a.Running(); len(got) != 0 {
		t.Errorf("sessions left behind: %v", got)
	}
	if _, err := net.Dial("tcp4", fmt.Sprintf("127.0.0.1:%d", w.Port())); err == nil {
		t.Error("the port is still open")
	}
	if _, err := w.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("an ended way dials: %v", err)
	}
	next := way(2)
	through(t, next, net.JoinHostPort(host, port))
	if len(a.started) != 1 {
		t.Errorf("the next command started a task beside the one that was left: %d", len(a.started))
	}
}

// A preview starts nothing, says so to a PostgreSQL client as a server would, and leaves the port to who deploys.
func TestAPreviewOpensNothing(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	way := a.ways(t, host, port)
	w := way(1)
	w.Preview = true
	if err := w.Listen(); err != nil {
		t.Fatal(err)
	}
	if err := w.Ready(t.Context()); !errors.Is(err, session.ErrPreview) {
		t.Errorf("it is ready: %v", err)
	}
	if _, err := w.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port)); !errors.Is(err, session.ErrPreview) {
		t.Errorf("it dials: %v", err)
	}
	authority, err := postgres.OpenAuthority(filepath.Join(t.TempDir(), "a.pem"), filepath.Join(t.TempDir(), "a.key"), "nobody here")
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []string{"require", "disable", "prefer", "verify-ca sslrootcert=" + authority.File} {
		_, err := pgx.Connect(t.Context(), fmt.Sprintf("host=127.0.0.1 port=%d user=u password=p dbname=d sslmode=%s", w.Port(), mode))
		if err == nil || !strings.Contains(err.Error(), session.ErrPreview.Error()) {
			t.Errorf("%s: %v", mode, err)
		}
	}
	if a.calls["RunTask"]+a.calls["StartSession"]+a.calls["ListTasks"] != 0 {
		t.Errorf("calls: %v", a.calls)
	}
	deploys := way(2)
	if err := deploys.Listen(); err != nil {
		t.Fatal(err)
	}
	if err := byPort(w.Port(), 10); err != nil {
		t.Errorf("the port does not lead on: %v", err)
	}
}

// What bars the way is said to everybody who wants to go it, and tried once.
func TestABarredWayIsTriedOnce(t *testing.T) {
	a := newAccount(t, ssm.Options{AgentVersion: "3.0.196.0"})
	host, port := echo(t)
	way := a.ways(t, host, port)
	w, other := way(1), way(1)
	if err := errors.Join(w.Listen(), other.Listen()); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := w.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "3.0.196.0") {
			t.Errorf("ready: %v", err)
		}
	}
	if err := other.Ready(t.Context()); err == nil || !strings.Contains(err.Error(), "3.0.196.0") {
		t.Errorf("another process of the command: %v", err)
	}
	_, err := pgx.Connect(t.Context(), fmt.Sprintf("host=127.0.0.1 port=%d user=u password=p dbname=d sslmode=require", w.Port()))
	if err == nil || !strings.Contains(err.Error(), "3.0.196.0") {
		t.Errorf("a PostgreSQL client is told: %v", err)
	}
	if len(a.started) != 1 || len(a.running()) != 0 {
		t.Errorf("%d tasks, still running %v", len(a.started), a.running())
	}
}

// A port that something else has is named, before anything is opened.
func TestAPortThatIsTakenIsNamed(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	w := a.ways(t, host, port)(1)
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", w.Port()))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n")
			c.Close()
		}
	}()
	err = w.Listen()
	if err == nil {
		t.Fatal("it took a port that another program has")
	}
	for _, want := range []string{fmt.Sprint(w.Port()), fmt.Sprintf("process %d", os.Getpid()), "database.accessPort"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if len(a.calls) != 0 {
		t.Errorf("calls: %v", a.calls)
	}
}

// A cancelled statement ends on the server too, whichever process of the command has the session.
func TestAStatementIsCancelledThroughAWay(t *testing.T) {
	dir := t.TempDir()
	for d := dir; d != filepath.Dir(os.TempDir()) && d != "/"; d = filepath.Dir(d) {
		_ = os.Chmod(d, 0o755) // the server may run as another user
	}
	server, err := postgres.Start(t.Context(), postgres.Options{Dir: dir + "/pg", User: "owner", Password: "s3cr3t", Database: "app"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Kill()
	config, err := pgx.ParseConfig(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	a := newAccount(t, ssm.Options{})
	way := a.ways(t, config.Host, fmt.Sprint(config.Port))
	own, joined := way(1), way(1)
	if err := own.Listen(); err != nil {
		t.Fatal(err)
	}
	direct, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer direct.Close(context.Background())
	for name, w := range map[string]*session.Way{"own": own, "joined": joined} {
		through := config.Copy()
		through.DialFunc = w.DialContext
		through.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
		through.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, DeadlineDelay: 30 * time.Second}
		}
		conn, err := pgx.ConnectConfig(t.Context(), through)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := conn.Exec(ctx, "SELECT pg_sleep(600)")
			ended <- err
		}()
		sleeping := func() (n int) {
			if err := direct.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'").Scan(&n); err != nil {
				t.Error(err)
			}
			return n
		}
		eventually(t, "the statement runs", func() bool { return sleeping() == 1 })
		cancel()
		if err := <-ended; err == nil {
			t.Errorf("%s: a cancelled statement succeeds", name)
		}
		if n := sleeping(); n != 0 {
			t.Errorf("%s: it still runs on the server", name)
		}
		conn.Close(t.Context())
	}
	if a.calls["StartSession"] != 1 {
		t.Errorf("calls: %v", a.calls)
	}
}
