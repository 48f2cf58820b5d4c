package vpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"plan-charge/sandbox/vpc"
)

const (
	// asked makes the test's program connect to an address, instead of testing, and say what came of it.
	asked = "VPC_TEST_ASK"
	// entitled marks the test's program as one that has got the rights an ordinary user can have.
	entitled = "VPC_TEST_ENTITLED"
	// ordinary is the user that the tests run as once more.
	ordinary = 65534
)

func TestMain(m *testing.M) {
	if address := os.Getenv(asked); address != "" {
		fmt.Print(ask((&net.Dialer{Timeout: time.Second}).DialContext, address))
		os.Exit(0)
	}
	if os.Geteuid() != 0 && os.Getenv(entitled) == "" {
		cmd := exec.Command(os.Args[0], os.Args[1:]...)
		cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), entitled+"=1"), os.Stdout, os.Stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{}
		vpc.Rights(cmd.SysProcAttr)
		if err := cmd.Start(); err == nil { // otherwise the tests say what is lacking
			_ = cmd.Wait() // the code says it
			os.Exit(cmd.ProcessState.ExitCode())
		}
	}
	os.Exit(m.Run())
}

// ask connects, says hello and returns the answer or what is wrong.
func ask(dial func(context.Context, string, string) (net.Conn, error), address string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	conn, err := dial(ctx, "tcp4", address)
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
		return err.Error()
	}
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		return err.Error()
	}
	answer, err := io.ReadAll(conn)
	return strings.TrimSpace(fmt.Sprintf("%s%v", answer, err))
}

// private makes a network; where none can be had there is nothing to test.
func private(t *testing.T) *vpc.Network {
	t.Helper()
	n, err := vpc.New(vpc.Options{Hosts: filepath.Join(t.TempDir(), "hosts"), Region: "eu-west-3"})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(n.Close)
	return n
}

// attach makes the place of a task or a database.
func attach(t *testing.T, n *vpc.Network, task, database string) (*vpc.Interface, netip.Addr) {
	t.Helper()
	address, err := n.Address()
	if err != nil {
		t.Fatal(err)
	}
	i, err := n.Attach(vpc.Party{Address: address, Task: task, Database: database}, 15432)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Close)
	return i, address
}

// echo answers at an address in a place: with what it is called, and what it was told.
func echo(t *testing.T, i *vpc.Interface, address, name string) {
	t.Helper()
	var l net.Listener
	err := i.Do(func() (err error) {
		l, err = net.Listen("tcp4", address)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			line := make([]byte, 64)
			size, _ := conn.Read(line)
			fmt.Fprintf(conn, "%s heard %s", name, line[:size])
			conn.Close()
		}
	}()
}

// inside asks from a process in a place.
func inside(t *testing.T, i *vpc.Interface, address string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), asked+"="+address)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := i.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	return out.String()
}

func TestOnlyWhoIsAdmittedReachesTheDatabase(t *testing.T) {
	n := private(t)
	n.Enforce(func(_ context.Context, from, to vpc.Party, port int) bool {
		return from.Task == "service" && to.Database == "plan" && port != 5432
	})
	if err := n.Declare("plan", 5433); err != nil {
		t.Fatal(err)
	}
	early, _ := attach(t, n, "service", "") // a task may be there before the database
	database, _ := attach(t, n, "", "plan")
	late, source := attach(t, n, "service", "")
	stranger, _ := attach(t, n, "stranger", "")
	echo(t, database, "127.0.0.1:15432", "plan")

	name := n.DatabaseName("plan")
	if !strings.HasPrefix(name, "plan.") || !strings.HasSuffix(name, ".eu-west-3.rds.amazonaws.com") {
		t.Errorf("it is called %s", name)
	}
	const answer = "plan heard hello\n<nil>"
	for what, i := range map[string]*vpc.Interface{"a task": late, "a task of before": early} {
		if got := inside(t, i, name+":5433"); got != answer {
			t.Errorf("%s hears %q", what, got)
		}
		if got := inside(t, i, name+":5432"); !strings.Contains(got, "connection refused") {
			t.Errorf("%s at another port: %q", what, got)
		}
	}
	if got := inside(t, stranger, name+":5433"); !strings.Contains(got, "timeout") {
		t.Errorf("one whom nothing admits hears %q", got)
	}
	if got := inside(t, n.Control(), "localhost:15432"); got != answer {
		t.Errorf("AWS itself hears %q", got)
	}
	agent := func(ctx context.Context, _, address string) (net.Conn, error) {
		return n.DialFrom(ctx, source, address)
	}
	if got := ask(agent, name+":5433"); got != answer {
		t.Errorf("the agent of a task hears %q", got)
	}
	if got := ask(agent, "elsewhere.example:5433"); !strings.Contains(got, "no such host") {
		t.Errorf("the agent of a task, of an unknown name: %q", got)
	}
	outside := (&net.Dialer{}).DialContext
	if _, err := net.DefaultResolver.LookupHost(t.Context(), name); err == nil {
		t.Errorf("%s has an address outside", name)
	}
	if got := ask(outside, "127.0.0.1:15432"); !strings.Contains(got, "connection refused") {
		t.Errorf("outside, at the port of the database's container: %q", got)
	}

	if err := n.Declare("plan", 5434); err != nil {
		t.Fatal(err)
	}
	if got := inside(t, late, name+":5434"); got != answer {
		t.Errorf("at its new port: %q", got)
	}
	if got := inside(t, late, name+":5433"); !strings.Contains(got, "connection refused") {
		t.Errorf("at the port that it had: %q", got)
	}

	database.Close()
	if got := inside(t, late, name+":5434"); !strings.Contains(got, "reset") {
		t.Errorf("after the database's end a task hears %q", got)
	}
	if err := n.Withdraw("plan"); err != nil {
		t.Fatal(err)
	}
	if got := inside(t, late, name+":5434"); !strings.Contains(got, "lookup") {
		t.Errorf("after it was deleted: %q", got)
	}
}

func TestATaskIsReachedByWhomItsGroupNames(t *testing.T) {
	n := private(t)
	n.Enforce(func(_ context.Context, from, to vpc.Party, port int) bool {
		return len(from.Groups) == 1 && from.Groups[0] == "balancer" && to.Task == "service"
	})
	i, address := attach(t, n, "service", "")
	at := address.String() + ":8000"
	echo(t, i, at, "service")
	echo(t, i, "127.0.0.1:8001", "itself")
	as := func(group, address string) string {
		return ask(func(ctx context.Context, _, _ string) (net.Conn, error) {
			return n.DialTo(ctx, vpc.Party{Groups: []string{group}}, address)
		}, "")
	}
	if got := as("balancer", at); got != "service heard hello\n<nil>" {
		t.Errorf("the balancer hears %q", got)
	}
	if got := as("other", at); got != context.DeadlineExceeded.Error() {
		t.Errorf("somebody else hears %q", got)
	}
	if got := as("balancer", address.String()+":8001"); !strings.Contains(got, "refused") {
		t.Errorf("what listens on the task's own 127.0.0.1 answers %q", got)
	}
	other, _ := attach(t, n, "service", "")
	if got := inside(t, other, at); !strings.Contains(got, "unreachable") {
		t.Errorf("another task hears %q", got)
	}
	if got := ask((&net.Dialer{}).DialContext, at); strings.Contains(got, "heard") {
		t.Errorf("outside: %q", got)
	}
}

func TestTheDoor(t *testing.T) {
	n := private(t)
	if err := n.Declare("plan", 5432); err != nil {
		t.Fatal(err)
	}
	database, _ := attach(t, n, "", "plan")
	echo(t, database, "127.0.0.1:15432", "plan")
	path := filepath.Join(t.TempDir(), "door")
	if err := n.Door(path); err != nil {
		t.Fatal(err)
	}
	enter := func(ctx context.Context, _, address string) (net.Conn, error) { return vpc.EnterBy(ctx, path, address) }
	if got := ask(enter, n.DatabaseName("plan")+":5432"); got != "plan heard hello\n<nil>" {
		t.Errorf("got %q", got)
	}
	if got := ask(enter, "10.20.128.9:5432"); !strings.Contains(got, vpc.ErrNoHost.Error()) {
		t.Errorf("got %q", got)
	}
}

func TestWhatIsLeftEndsWithItsPlace(t *testing.T) {
	n := private(t)
	i, _ := attach(t, n, "service", "")
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	vpc.EndWithParent(cmd.SysProcAttr, syscall.SIGKILL)
	if err := i.Do(cmd.Start); err != nil {
		t.Fatal(err)
	}
	i.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
		_ = cmd.Process.Kill() // the test's own, ended or not
	}
	if err := i.Do(func() error { return nil }); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a place that is closed: %v", err)
	}
}

// TestAsAnOrdinaryUser runs the tests again as somebody who is not root.
func TestAsAnOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("they ran as one")
	}
	dir, err := os.MkdirTemp("", "vpc")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "vpc.test")
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-test.run", "TestOnly|TestATask|TestTheDoor|TestWhatIsLeft", "-test.v")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "TMPDIR="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if strings.Contains(string(out), "SKIP") {
		t.Skipf("%s", out)
	}
}
