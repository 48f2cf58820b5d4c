package main

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
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// upLimit bounds one `up`: the longest of the program's own waits and then some.
const upLimit = 10 * time.Minute

// box is a sandbox on which changes are deployed.
type box struct {
	project, state, binary string
	env                    []string
	edge, host             string // of the site
	aws                    string // URL of the gateway
	database               string // URL of its owner; secret
	outputs                map[string]string

	change  int               // number of the change that is being deployed
	secrets map[string]string // what must not be shown, by what it is
	stable  []row             // the organizations that no change touches
}

// newBox brings a sandbox up in the folder, or in a new one.
func newBox(ctx context.Context, state string) (*box, error) {
	project, err := projectDir()
	if err != nil {
		return nil, err
	}
	if state == "" {
		// Short, because a Unix socket's path may have 107 bytes at the most; open, because the database runs as another user.
		if state, err = os.MkdirTemp("", "pf"); err != nil {
			return nil, err
		}
	}
	if state, err = filepath.Abs(state); err != nil {
		return nil, err
	}
	if err := errors.Join(os.MkdirAll(state, 0o711), os.Chmod(state, 0o711)); err != nil {
		return nil, err
	}
	b := &box{project: project, state: state, binary: filepath.Join(state, "sandbox-under-test"), change: int(time.Now().Unix() % 1_000_000)}
	offset, err := freeOffset()
	if err != nil {
		return nil, err
	}
	b.env = append(os.Environ(), "PLAN_CHARGE_STATE="+state, "PLAN_CHARGE_PORT_OFFSET="+strconv.Itoa(offset), "NO_COLOR=1", "PULUMI_DEBUG_COMMANDS=true") // or there is no --event-log
	build := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "./sandbox")
	build.Dir = project
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the sandbox: %w\n%s", err, out)
	}
	if _, err := os.Stat(filepath.Join(state, "daemon.json")); err != nil {
		if out, err := b.output(ctx, b.binary, "up"); err != nil {
			return b, fmt.Errorf("bring the sandbox up: %w\n%s", err, lastLines(out, 40))
		}
	}
	env, err := b.output(ctx, b.binary, "env")
	if err != nil {
		return b, fmt.Errorf("the sandbox's environment: %w\n%s", err, env)
	}
	for _, v := range regexp.MustCompile(`(?m)^export (\w+)='(.*)'$`).FindAllStringSubmatch(env, -1) {
		b.env = append(b.env, v[1]+"="+v[2])
		os.Setenv(v[1], v[2]) // so that pulumi is found, and the AWS clients find the gateway
	}
	text, err := b.output(ctx, b.binary, "status", "--json", "--show-secrets")
	if err != nil {
		return b, fmt.Errorf("the sandbox's status: %w", err)
	}
	var status struct {
		Edge     string
		AWS      string `json:"aws"`
		Database string
		Outputs  map[string]any
	}
	if err := json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &status); err != nil {
		return b, fmt.Errorf("the sandbox's status: %w", err)
	}
	b.edge, b.aws, b.database, b.outputs = status.Edge, status.AWS, status.Database, map[string]string{}
	for name, value := range status.Outputs {
		if s, ok := value.(string); ok {
			b.outputs[name] = s
		}
	}
	b.host = strings.TrimPrefix(b.outputs["siteUrl"], "https://")
	return b, b.prepareRows(ctx)
}

// close stops the sandbox and, where it is a passing one, removes it.
func (b *box) close(remove bool) {
	if !remove {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if out, err := b.output(ctx, b.binary, "stop"); err != nil {
		fmt.Fprintf(os.Stderr, "the sandbox in %s did not stop: %v\n%s\n", b.state, err, out)
		return
	}
	_ = os.RemoveAll(b.state)
}

func projectDir() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "Pulumi.sandbox.yaml")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run this inside the project's folder")
		}
	}
	return "", err
}

// freeOffset finds an offset at which all of the sandbox's ports are free.
func freeOffset() (int, error) {
search:
	for offset := 7000; offset < 40000; offset += 500 {
		for _, port := range []int{4566, 4567, 4580, 15432} {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+offset))
			if err != nil {
				continue search
			}
			l.Close()
		}
		return offset, nil
	}
	return 0, errors.New("no free ports for a sandbox")
}

// output runs a command to its end and returns all that it wrote.
func (b *box) output(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = b.project, b.env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

func (b *box) config() string { return filepath.Join(b.state, "faults.yaml") }

// nextChange writes the configuration of another version with another organization.
func (b *box) nextChange() {
	b.change++
	data, err := os.ReadFile(filepath.Join(b.project, "Pulumi.sandbox.yaml"))
	text := string(data)
	for _, r := range [][2]string{
		{"plan-charge/backend:1.0.0", "plan-charge/backend:" + b.version()},
		{"        name: Default Organization\n", "        name: Default Organization\n      - id: " + changedOrg + "\n        name: " + b.organization() + "\n"},
	} {
		if err == nil && !strings.Contains(text, r[0]) {
			err = fmt.Errorf("Pulumi.sandbox.yaml has no %q", r[0])
		}
		text = strings.Replace(text, r[0], r[1], 1)
	}
	if err == nil {
		err = os.WriteFile(b.config(), []byte(text), 0o600)
	}
	if err != nil {
		panic(err) // the repository is not whole: no trial makes sense
	}
}

func (b *box) version() string      { return fmt.Sprintf("1.1.%d", b.change) }
func (b *box) organization() string { return fmt.Sprintf("Trial %d", b.change) }

// update is an `up` and how it ended.
type update struct {
	out    string
	code   int // -1: killed
	took   time.Duration
	points []point
	family []process // what it had started when it was last looked at
}

// up deploys the change. At each point of it, at is called with the engine's process.
func (b *box) up(ctx context.Context, at func(point, *exec.Cmd)) update {
	ctx, cancel := context.WithTimeout(ctx, upLimit)
	defer cancel()
	events := filepath.Join(b.state, fmt.Sprintf("events-%d.jsonl", time.Now().UnixNano()))
	defer os.Remove(events)
	cmd := exec.CommandContext(ctx, "pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--color=never", "--stack", "sandbox",
		"--config-file", b.config(), "--event-log", events)
	cmd.Dir, cmd.Env = b.project, b.env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second // orphans may hold the pipes of a killed engine
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var u update
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return update{code: -1, out: err.Error()}
	}
	reading, done := context.WithCancel(ctx)
	read := make(chan struct{})
	go func() {
		defer close(read)
		_ = follow(reading, events, func(p point) {
			u.points = append(u.points, p)
			if at != nil {
				u.family = descendants(cmd.Process.Pid)
				at(p, cmd)
			}
		})
	}()
	err := cmd.Wait()
	done()
	<-read
	u.out, u.took, u.code = out.String(), time.Since(began), cmd.ProcessState.ExitCode()
	if ctx.Err() != nil {
		u.out += fmt.Sprintf("\nerror: it did not end within %s", upLimit)
	} else if err != nil && u.code == 0 {
		u.code = -1
	}
	return u
}

// engine calls the process engine, for what happens to a container from outside.
func (b *box) engine(ctx context.Context, method, path string, into any) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(b.state, "engine.sock"))
	}}}
	return call(ctx, &client, method, "http://engine"+path, nil, into)
}

// databaseContainer is the running database, or "".
func (b *box) databaseContainer(ctx context.Context) (string, error) {
	var containers []struct{ Id, Image string }
	if err := b.engine(ctx, http.MethodGet, "/containers/json", &containers); err != nil {
		return "", err
	}
	for _, c := range containers {
		if strings.HasPrefix(c.Image, "postgres") {
			return c.Id, nil
		}
	}
	return "", errors.New("no database runs")
}

// inject asks the gateway to disturb its next calls.
func (b *box) inject(ctx context.Context, kind string, times int) error {
	body := fmt.Sprintf(`{"kind": %q, "times": %d}`, kind, times)
	return call(ctx, http.DefaultClient, http.MethodPost, b.aws+"/_sandbox/faults", strings.NewReader(body), nil)
}

// calm takes back the faults that no call has met.
func (b *box) calm(ctx context.Context) error {
	return call(ctx, http.DefaultClient, http.MethodDelete, b.aws+"/_sandbox/faults", nil, nil)
}

func call(ctx context.Context, client *http.Client, method, url string, body io.Reader, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s %s", method, url, resp.Status, data)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(data, into)
}

// connect opens the database as its owner. One that was just started may need a moment.
func (b *box) connect(ctx context.Context) (*pgx.Conn, error) {
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := pgx.Connect(ctx, b.database)
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return conn, err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
