package engine_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plan-charge/internal/testkit/postgres"
	"plan-charge/sandbox/engine"
	"plan-charge/sandbox/vpc"
)

// childDir makes the test binary run an engine in that folder instead of tests, so that a test can kill it.
const childDir = "ENGINE_TEST_CHILD"

func TestMain(m *testing.M) {
	if url := os.Getenv(queryURL); url != "" {
		os.Exit(query(url))
	}
	if dir := os.Getenv(childDir); dir != "" {
		network, err := networkOfChild(dir)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		e, err := newEngineIn(dir, network)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := e.Run(context.Background()); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func newEngine(dir string) (*engine.Engine, error) { return newEngineIn(dir, nil) }

func newEngineIn(dir string, network *vpc.Network) (*engine.Engine, error) {
	authority, err := postgres.OpenAuthority(filepath.Join(dir, "authority.pem"), filepath.Join(dir, "authority.key"), "test")
	if err != nil {
		return nil, err
	}
	return engine.New(engine.Options{Socket: filepath.Join(dir, "s"), Dir: filepath.Join(dir, "e"), Network: network, Authority: authority, Images: func(ref string) engine.Image {
		name, tag, _ := strings.Cut(ref, ":")
		shell := engine.CommandImage{
			Dir: dir, Workdir: "/app", Command: []string{"sh", "-c", "echo default $GREETING; exec sleep 60"}, Env: map[string]string{"GREETING": "hello"},
			Path: filepath.Join(dir, "bin"),
		}
		switch name {
		case "shell":
			return shell
		case "remote":
			return remote{shell, tag, filepath.Join(dir, "pulled")}
		case "postgres":
			return engine.PostgresImage{Tag: tag}
		}
		return nil
	}})
}

// remote is an image that is here once its file is. The tag "slow" takes longer to pull than the engine is silent, and
// "broken" cannot be pulled.
type remote struct {
	engine.Image
	tag, file string
}

func (r remote) Check() error { return nil }

func (r remote) Here() bool {
	_, err := os.Stat(r.file)
	return err == nil
}

func (r remote) Pull(ctx context.Context) error {
	switch r.tag {
	case "broken":
		return errors.New("no way to get it")
	case "slow":
		select {
		case <-time.After(1200 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return os.WriteFile(r.file, nil, 0o600)
}

func TestImagesArePulledBeforeTheyRun(t *testing.T) {
	d := start(t)
	create := func(image string) (int, string) {
		status, body := d.call("POST", "/containers/create", map[string]any{"Image": image})
		return status, string(body)
	}
	if status, body := create("remote:slow"); status != 404 || !strings.Contains(body, "No such image: remote:slow") {
		t.Errorf("before the pull: %d %s", status, body)
	}
	status, body := d.call("POST", "/images/create?fromImage=remote&tag=broken", nil)
	if status != 200 || !strings.Contains(string(body), `"error":"no way to get it"`) {
		t.Errorf("a pull that fails: %d %s", status, body)
	}
	if status, _ := create("remote:broken"); status != 404 {
		t.Errorf("after a pull that failed: %d", status)
	}
	status, body = d.call("POST", "/images/create?fromImage=remote&tag=slow", nil)
	if status != 200 || !strings.HasPrefix(string(body), `{"id":"remote:slow","status":"Downloading"}`) || strings.Contains(string(body), "error") {
		t.Errorf("a slow pull: %d %s", status, body)
	}
	if status, body := create("remote:slow"); status != 201 {
		t.Errorf("after the pull: %d %s", status, body)
	}
}

func TestPostgresOfAnUnknownVersionDoesNotExist(t *testing.T) {
	t.Setenv("PLAN_CHARGE_POSTGRES", "")
	d := start(t)
	for ref, want := range map[string]string{
		"postgres:99-alpine": "no version 99 to fetch: ask for 14 to 18",
		"postgres:13":        "no version 13 to fetch",
		"postgres:latest":    `tag \"latest\" names no version`,
		"postgres":           `tag \"\" names no version`,
		"postgres:x16":       "names no version",
	} {
		_, tag, _ := strings.Cut(ref, ":")
		for _, call := range []struct {
			method, path string
			in           any
		}{
			{"GET", "/images/" + ref + "/json", nil},
			{"POST", "/images/create?fromImage=postgres&tag=" + tag, nil},
			{"POST", "/containers/create", map[string]any{"Image": ref}},
		} {
			status, body := d.call(call.method, call.path, call.in)
			if status != 404 || !strings.Contains(string(body), "No such image: "+ref) || !strings.Contains(string(body), want) {
				t.Errorf("%s %s: %d %s", call.method, call.path, status, body)
			}
		}
	}
	for _, tag := range []string{"14", "16.3-bookworm", "18-alpine"} {
		if err := (engine.PostgresImage{Tag: tag}).Check(); err != nil {
			t.Errorf("%s: %v", tag, err)
		}
	}
}

// docker is a client of one engine.
type docker struct {
	t      *testing.T
	dir    string
	client *http.Client
}

func (d *docker) call(method, path string, in any) (int, []byte) {
	d.t.Helper()
	data, err := json.Marshal(in)
	if err != nil {
		d.t.Fatal(err)
	}
	req, err := http.NewRequest(method, "http://engine/v1.43"+path, bytes.NewReader(data))
	if err != nil {
		d.t.Fatal(err)
	}
	resp, err := d.client.Do(req)
	if err != nil {
		d.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	return resp.StatusCode, body
}

func (d *docker) must(status int, method, path string, in, out any) {
	d.t.Helper()
	got, body := d.call(method, path, in)
	if got != status {
		d.t.Fatalf("%s %s: %d %s, want %d", method, path, got, body, status)
	}
	if out != nil {
		if err := json.Unmarshal(body, out); err != nil {
			d.t.Fatal(err)
		}
	}
}

func connect(t *testing.T, dir string) *docker {
	return &docker{t: t, dir: dir, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var dialer net.Dialer
		return dialer.DialContext(ctx, "unix", filepath.Join(dir, "s"))
	}}}}
}

// shortDir is a folder whose path leaves room for a socket.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pc-e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func writeProgram(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T) *docker { return startIn(t, shortDir(t), nil) }

func startIn(t *testing.T, dir string, network *vpc.Network) *docker {
	t.Helper()
	writeProgram(t, filepath.Join(dir, "bin", "greet"), "#!/bin/sh\necho \"it's\" \"$@\"\n")
	e, err := newEngineIn(dir, network)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if n := e.Running(); n > 0 {
			t.Errorf("%d containers run after the engine ended", n)
		}
	})
	d := connect(t, dir)
	d.await()
	return d
}

func (d *docker) await() {
	d.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if resp, err := d.client.Get("http://engine/_ping"); err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(end) {
			d.t.Fatal("the engine does not answer")
		}
	}
}

func (d *docker) create(name string, body map[string]any) string {
	d.t.Helper()
	body["Image"] = "shell:1"
	var out struct{ Id string }
	d.must(201, "POST", "/containers/create?name="+name, body, &out)
	return out.Id
}

func (d *docker) wait(id string) int {
	d.t.Helper()
	var out struct{ StatusCode int }
	d.must(200, "POST", "/containers/"+id+"/wait", nil, &out)
	return out.StatusCode
}

// frames takes a multiplexed stream apart.
func frames(t *testing.T, data []byte) string {
	t.Helper()
	var text strings.Builder
	for len(data) > 0 {
		if len(data) < 8 {
			t.Fatalf("a frame is cut: %q", data)
		}
		n := int(binary.BigEndian.Uint32(data[4:8]))
		text.Write(data[8 : 8+n])
		data = data[8+n:]
	}
	return text.String()
}

func (d *docker) logs(id, query string) string {
	d.t.Helper()
	status, body := d.call("GET", "/containers/"+id+"/logs?stdout=1&stderr=1"+query, nil)
	if status != 200 {
		d.t.Fatalf("logs: %d %s", status, body)
	}
	return frames(d.t, body)
}

func TestCommands(t *testing.T) {
	d := start(t)
	for _, tc := range []struct {
		name    string
		command []string
		code    int
		log     string
	}{
		{"exit code", []string{"sh", "-c", "echo out; echo err >&2; exit 7"}, 7, "out\nerr\n"},
		{"signal", []string{"sh", "-c", "kill -TERM $$"}, 143, ""},
		{"work folder", []string{"sh", "-c", "cd /app && pwd"}, 0, "DIR\n"},
		{"work folder as part", []string{"echo", "/app/x", "/apple", "a/app"}, 0, "DIR/x /apple a/app\n"},
		{"environment", []string{"sh", "-c", `echo "$GREETING $GIVEN"`}, 0, "hello a b=c\n"},
		{"every address", []string{"echo", "0.0.0.0", "--bind=0.0.0.0:80", "10.0.0.0.0"}, 0, "IP --bind=IP:80 10.0.0.0.0\n"},
		{"program of the image", []string{"greet", "you"}, 0, "it's you\n"},
		{"program of the image in a shell", []string{"sh", "-c", "greet 'you two'"}, 0, "it's you two\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := &docker{t, d.dir, d.client}
			id := d.create(strings.ReplaceAll(tc.name, " ", "-"), map[string]any{"Cmd": tc.command, "Env": []string{"GIVEN=a b=c"}})
			d.must(204, "POST", "/containers/"+id+"/start", nil, nil)
			if code := d.wait(id); code != tc.code {
				t.Errorf("exit code %d, want %d", code, tc.code)
			}
			var c inspected
			d.must(200, "GET", "/containers/"+id+"/json", nil, &c)
			want := strings.NewReplacer("DIR", d.dir, "IP", c.NetworkSettings.IPAddress).Replace(tc.log)
			if got := d.logs(id, "&follow=1"); got != want {
				t.Errorf("log %q, want %q", got, want)
			}
			d.must(204, "DELETE", "/containers/"+id, nil, nil)
			d.must(404, "GET", "/containers/"+id+"/json", nil, nil)
		})
	}
}

func TestRefusals(t *testing.T) {
	d := start(t)
	d.must(404, "POST", "/containers/create", map[string]any{"Image": "nowhere:1"}, nil)
	d.must(404, "POST", "/images/create?fromImage=nowhere&tag=1", nil, nil)
	d.must(404, "GET", "/images/nowhere:1/json", nil, nil)
	d.must(200, "GET", "/images/shell:1/json", nil, nil)
	id := d.create("taken", map[string]any{})
	d.must(409, "POST", "/containers/create?name=taken", map[string]any{"Image": "shell:1"}, nil)
	d.must(400, "POST", "/containers/create?name=bind", map[string]any{"Image": "shell:1", "HostConfig": map[string]any{"Binds": []string{"/etc:/etc"}}}, nil)
	d.must(409, "POST", "/containers/"+id+"/kill", nil, nil)
	d.must(204, "POST", "/containers/"+id+"/start", nil, nil)
	d.must(304, "POST", "/containers/taken/start", nil, nil)
	d.must(409, "DELETE", "/containers/"+id, nil, nil)
	d.must(204, "DELETE", "/containers/"+id+"?force=true", nil, nil)
	id = d.create("lost", map[string]any{"Cmd": []string{"no-such-program"}})
	d.must(400, "POST", "/containers/"+id+"/start", nil, nil)
}

type inspected struct {
	State struct {
		Status   string
		Running  bool
		Pid      int
		ExitCode int
	}
	Config          struct{ Env []string }
	NetworkSettings struct{ IPAddress string }
}

func TestExec(t *testing.T) {
	d := start(t)
	id := d.create("service", map[string]any{"Env": []string{"SECRET=s3cr3t"}})
	d.must(204, "POST", "/containers/"+id+"/start", nil, nil)
	var c inspected
	d.must(200, "GET", "/containers/"+id+"/json", nil, &c)
	for _, tc := range []struct {
		command []string
		code    int
		output  string
	}{
		{[]string{"sh", "-c", "echo length ${#SECRET}; exit 3"}, 3, "length 6\n"},
		{[]string{"echo", "http://localhost:8000/health", "https://127.0.0.1/x"}, 0, "http://" + c.NetworkSettings.IPAddress + ":8000/health https://" + c.NetworkSettings.IPAddress + "/x\n"},
	} {
		var made struct{ Id string }
		d.must(201, "POST", "/containers/"+id+"/exec", map[string]any{"Cmd": tc.command}, &made)
		_, body := d.call("POST", "/exec/"+made.Id+"/start", map[string]any{})
		var state struct{ ExitCode *int }
		d.must(200, "GET", "/exec/"+made.Id+"/json", nil, &state)
		if got := frames(t, body); got != tc.output || state.ExitCode == nil || *state.ExitCode != tc.code {
			t.Errorf("%v: %q, code %v; want %q, %d", tc.command, got, state.ExitCode, tc.output, tc.code)
		}
	}
	// What is kept and told must not hold the secret.
	_, body := d.call("GET", "/containers/"+id+"/json", nil)
	kept, err := os.ReadFile(filepath.Join(d.dir, "e", "containers", id, "record.json"))
	if err != nil || bytes.Contains(kept, []byte("s3cr3t")) || bytes.Contains(body, []byte("s3cr3t")) {
		t.Errorf("the secret is in the record or the inspection (%v)", err)
	}
	args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", c.State.Pid))
	if err == nil && bytes.Contains(args, []byte("s3cr3t")) {
		t.Error("the secret is on the command line")
	}
}

// TestListening looks at a program that listens at its own address, and at one that the same process started.
func TestListening(t *testing.T) {
	d := start(t)
	const program = `
import os, socket, subprocess, sys, time
s = socket.create_server((os.environ["HOST"], 0)); six = socket.create_server(("::1", 0), family=socket.AF_INET6)
print(s.getsockname()[1], six.getsockname()[1], flush=True)
if len(sys.argv) > 1: time.sleep(60)
subprocess.Popen([sys.executable, *sys.orig_argv[1:], "child"]).wait()`
	id := d.create("listens", map[string]any{"Cmd": []string{"python3", "-c", program}})
	d.must(409, "GET", "/containers/"+id+"/listening", nil, nil)
	other := d.create("silent", map[string]any{})
	for _, c := range []string{id, other} {
		d.must(204, "POST", "/containers/"+c+"/start", nil, nil)
	}
	var c inspected
	d.must(200, "GET", "/containers/"+id+"/json", nil, &c)
	var lines []string
	for end := time.Now().Add(10 * time.Second); len(lines) < 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the program says %q", lines)
		}
		lines = strings.Split(strings.TrimSpace(d.logs(id, "")), "\n")
	}
	var own [2]int
	if _, err := fmt.Sscan(lines[0], &own[0], &own[1]); err != nil {
		t.Fatal(err)
	}
	var child [2]int
	if _, err := fmt.Sscan(lines[1], &child[0], &child[1]); err != nil {
		t.Fatal(err)
	}
	var got []string
	d.must(200, "GET", "/containers/"+id+"/listening", nil, &got)
	for _, want := range []string{
		fmt.Sprintf("%s:%d", c.NetworkSettings.IPAddress, own[0]), fmt.Sprintf("[::1]:%d", own[1]),
		fmt.Sprintf("%s:%d", c.NetworkSettings.IPAddress, child[0]), fmt.Sprintf("[::1]:%d", child[1]),
	} {
		if !slices.Contains(got, want) {
			t.Errorf("%s is not among %v", want, got)
		}
	}
	d.must(200, "GET", "/containers/"+other+"/listening", nil, &got)
	if len(got) != 0 {
		t.Errorf("a container that listens on nothing listens on %v", got)
	}
}

func TestAddressesDiffer(t *testing.T) {
	d := start(t)
	seen := map[string]bool{}
	for n := range 5 {
		id := d.create(fmt.Sprint("c", n), map[string]any{})
		var c inspected
		d.must(200, "GET", "/containers/"+id+"/json", nil, &c)
		ip := net.ParseIP(c.NetworkSettings.IPAddress)
		if ip == nil || !ip.IsLoopback() || seen[ip.String()] {
			t.Errorf("address %q is no new loopback address", c.NetworkSettings.IPAddress)
		}
		seen[c.NetworkSettings.IPAddress] = true
	}
}

// TestCrash kills an engine and expects the next one to find the running container, and to be able to stop it.
func TestCrash(t *testing.T) {
	dir := shortDir(t)
	run := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	first := run()
	d := connect(t, dir)
	d.await()
	id := d.create("survivor", map[string]any{"Env": []string{"SECRET=s3cr3t"}})
	d.must(204, "POST", "/containers/"+id+"/start", nil, nil)
	var before inspected
	d.must(200, "GET", "/containers/"+id+"/json", nil, &before)
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait() // it was killed
	second := run()
	defer func() {
		_ = second.Process.Kill() // the test's own, stopped or not
		_ = second.Wait()
	}()
	d.await()
	var after inspected
	d.must(200, "GET", "/containers/survivor/json", nil, &after)
	if !after.State.Running || after.State.Pid != before.State.Pid || after.NetworkSettings != before.NetworkSettings {
		t.Errorf("after the crash: %+v, want the same process as before: %+v", after, before)
	}
	d.must(204, "POST", "/containers/survivor/stop?t=2", nil, nil)
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", before.State.Pid))
	if err == nil && !bytes.Contains(stat, []byte(") Z ")) { // nobody may be there to bury it
		t.Error("the process still runs after the stop")
	}
	if code := d.wait("survivor"); code != 137 {
		t.Errorf("exit code %d, want 137: nobody could see how it ended", code)
	}
	if _, err := newEngine(dir); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("a second engine on one folder: %v, want a refusal", err)
	}
}
