package engine_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/testkit/process"
	"plan-charge/sandbox/vpc"
)

const (
	// queryURL makes the test binary ask that database for a number, as a task would.
	queryURL = "ENGINE_TEST_QUERY"
	// childNetwork makes the engine of childDir one with a private network.
	childNetwork = "ENGINE_TEST_NETWORK"
)

func query(url string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		fmt.Println(err)
		return 7
	}
	defer conn.Close(ctx)
	var number int
	if err := conn.QueryRow(ctx, "SELECT 42").Scan(&number); err != nil {
		fmt.Println(err)
	}
	return number
}

func newNetwork(dir string) (*vpc.Network, error) {
	n, err := vpc.New(vpc.Options{Hosts: filepath.Join(dir, "hosts"), Region: "eu-west-3"})
	if err != nil {
		return nil, err
	}
	n.Enforce(func(context.Context, vpc.Party, vpc.Party, int) bool { return true })
	return n, n.Declare("plan", 5432)
}

func networkOfChild(dir string) (*vpc.Network, error) {
	if os.Getenv(childNetwork) == "" {
		return nil, nil
	}
	return newNetwork(dir)
}

// database starts a PostgreSQL.
func (d *docker) database() string {
	d.t.Helper()
	var out struct{ Id string }
	d.must(201, "POST", "/containers/create?name=plan", map[string]any{
		"Image": "postgres:15-alpine", "Labels": map[string]string{"db_id": "plan"},
		"Env":        []string{"POSTGRES_USER=owner", "POSTGRES_PASSWORD=secret", "POSTGRES_DB=plan"},
		"HostConfig": map[string]any{"PortBindings": map[string]any{"5432/tcp": []any{map[string]string{"HostPort": "25432"}}}},
	}, &out)
	d.must(204, "POST", "/containers/"+out.Id+"/start", nil, nil)
	return out.Id
}

func TestContainersInAPrivateNetwork(t *testing.T) {
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	n, err := newNetwork(dir)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(n.Close)
	d := startIn(t, dir, n)
	if status, body := d.call("POST", "/images/create?fromImage=postgres&tag=15-alpine", nil); status != 200 || strings.Contains(string(body), "error") {
		t.Skipf("no PostgreSQL: %d %s", status, body)
	}
	database := d.database()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	url := "postgresql://owner:secret@" + n.DatabaseName("plan") + ":5432/plan?sslmode=verify-full&sslrootcert=" + filepath.Join(dir, "authority.pem")
	task := d.create("task", map[string]any{"Cmd": []string{self}, "Env": []string{queryURL + "=" + url}})
	d.must(204, "POST", "/containers/"+task+"/start", nil, nil)
	if code := d.wait(task); code != 42 {
		t.Errorf("a task ends with %d: %s", code, d.logs(task, ""))
	}
	if code := query(url); code != 7 {
		t.Errorf("outside it is %d", code)
	}
	if conn, err := net.Dial("tcp", "127.0.0.1:25432"); err == nil {
		conn.Close()
		t.Error("the published port is open outside")
	}

	// A restart behind RDS's back changes nothing for the tasks.
	d.must(204, "POST", "/containers/"+database+"/stop", nil, nil)
	d.must(204, "POST", "/containers/"+database+"/start", nil, nil)
	d.must(204, "POST", "/containers/"+task+"/start", nil, nil)
	if code := d.wait(task); code != 42 {
		t.Errorf("after a restart a task ends with %d: %s", code, d.logs(task, ""))
	}

	service := d.create("service", map[string]any{"Cmd": []string{"python3", "-m", "http.server", "8000", "--bind", "0.0.0.0"}})
	d.must(204, "POST", "/containers/"+service+"/start", nil, nil)
	var c inspected
	d.must(200, "GET", "/containers/"+service+"/json", nil, &c)
	at := netip.MustParseAddr(c.NetworkSettings.IPAddress)
	if !netip.MustParsePrefix("10.20.128.0/20").Contains(at) {
		t.Errorf("its address is %s", at)
	}
	want := fmt.Sprintf(`["%s:8000"]`, at)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		_, body := d.call("GET", "/containers/"+service+"/listening", nil)
		if strings.TrimSpace(string(body)) == want {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it listens on %s, want %s", body, want)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	conn, err := n.DialTo(ctx, vpc.Party{}, at.String()+":8000")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	check := `import urllib.request; urllib.request.urlopen("http://localhost:8000/")`
	var exec struct{ Id string }
	d.must(201, "POST", "/containers/"+service+"/exec", map[string]any{"Cmd": []string{"python3", "-c", check}}, &exec)
	d.call("POST", "/exec/"+exec.Id+"/start", map[string]any{})
	var state struct{ ExitCode *int }
	d.must(200, "GET", "/exec/"+exec.Id+"/json", nil, &state)
	if state.ExitCode == nil || *state.ExitCode != 0 {
		shown, _ := json.Marshal(state)
		t.Errorf("a health check in the container: %s", shown)
	}
}

// TestNothingIsLeftOfAPrivateNetwork kills an engine and expects all that ran in its network to end with it.
func TestNothingIsLeftOfAPrivateNetwork(t *testing.T) {
	dir := shortDir(t)
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	probe, err := newNetwork(dir)
	if err != nil {
		t.Skip(err)
	}
	probe.Close()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childNetwork+"=1")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }() // the test's own, ended or not
	d := connect(t, dir)
	d.await()
	if status, body := d.call("POST", "/images/create?fromImage=postgres&tag=15-alpine", nil); status != 200 || strings.Contains(string(body), "error") {
		t.Skipf("no PostgreSQL: %d %s", status, body)
	}
	d.database()
	id := d.create("task", map[string]any{})
	d.must(204, "POST", "/containers/"+id+"/start", nil, nil)
	below := process.Below(cmd.Process.Pid)
	if len(below) < 3 { // the task, the server and its children
		t.Fatalf("below the engine run %v", below)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		var left []process.Info
		for _, p := range below {
			if p.Alive() {
				left = append(left, p)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("of %v these are left: %v", below, left)
		}
	}
}
