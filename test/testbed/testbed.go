// Package testbed gives tests and benchmarks a sandbox of their own: another folder, other ports, the same program.
package testbed

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
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Sandbox is one that deploys the program in this project's folder.
type Sandbox struct {
	Project string // the program's folder
	State   string // the folder of all that the sandbox remembers

	binary  string
	env     []string // of the sandbox's own program
	passing bool     // the folder goes with it

	inside sync.Mutex // guards variables
	// variables are those that make a shell one of the sandbox, by name; nil before somebody asked.
	variables map[string]string
}

// New builds the sandbox's program and finds free ports. It starts nothing. An empty state means a new folder, which
// Close removes.
func New(state string) (*Sandbox, error) {
	project, err := projectDir()
	if err != nil {
		return nil, err
	}
	s := &Sandbox{Project: project, State: state, passing: state == ""}
	if s.passing {
		// Short, because a Unix socket's path may have 107 bytes at the most.
		if s.State, err = os.MkdirTemp("", "pc"); err != nil {
			return nil, err
		}
	}
	if s.State, err = filepath.Abs(s.State); err != nil {
		return nil, err
	}
	if err := errors.Join(os.MkdirAll(s.State, 0o711), os.Chmod(s.State, 0o711)); err != nil { // the database runs as another user
		return nil, err
	}
	offset, err := freeOffset()
	if err != nil {
		return nil, err
	}
	s.env = append(os.Environ(), "PLAN_CHARGE_STATE="+s.State, "PLAN_CHARGE_PORT_OFFSET="+strconv.Itoa(offset), "NO_COLOR=1")
	s.binary = filepath.Join(s.State, "sandbox-under-test")
	build := exec.Command("go", "build", "-o", s.binary, "./sandbox")
	build.Dir = project
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build the sandbox: %w\n%s", err, out)
	}
	return s, nil
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

// freeOffset finds an offset at which all of a sandbox's ports are free, and nobody is about to take them.
func freeOffset() (int, error) {
search:
	for offset := 5000; offset < 40000; offset += 500 {
		if !claim(offset) {
			continue
		}
		for _, port := range []int{4566, 4567, 4580, 15432, 15433} {
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

var (
	claiming sync.Mutex
	claimed  []*os.File // open, and so locked, as long as this process lives
)

// claim reserves an offset on this machine for this process: another test may look for one before the ports are taken.
func claim(offset int) bool {
	file, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("plan-charge-offset-%d.lock", offset)), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return false // another user's
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		file.Close()
		return false
	}
	claiming.Lock()
	defer claiming.Unlock()
	claimed = append(claimed, file)
	return true
}

// Close stops the sandbox, and removes its folder if that was made for it.
func (s *Sandbox) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if out, err := Output(s.Command(ctx, "stop")); err != nil {
		return fmt.Errorf("stop the sandbox in %s: %w\n%s", s.State, err, out)
	}
	if !s.passing {
		return nil
	}
	return os.RemoveAll(s.State)
}

// Passing tells whether Close removes the folder.
func (s *Sandbox) Passing() bool { return s.passing }

// Keep makes Close leave the folder.
func (s *Sandbox) Keep() { s.passing = false }

// Command prepares a call of the sandbox's program, such as Command(ctx, "up").
func (s *Sandbox) Command(ctx context.Context, args ...string) *exec.Cmd {
	return s.prepare(ctx, s.binary, s.env, args)
}

// Pulumi prepares a pulumi command inside the sandbox, which it starts where it does not run.
func (s *Sandbox) Pulumi(ctx context.Context, args ...string) (*exec.Cmd, error) {
	return s.Inside(ctx, "pulumi", append(args, "--color=never")...)
}

// Inside prepares any command in the sandbox's environment.
func (s *Sandbox) Inside(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	env := s.env[:len(s.env):len(s.env)]
	for name, value := range s.variables {
		env = append(env, name+"="+value)
	}
	for _, dir := range filepath.SplitList(s.variables["PATH"]) {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			name = path
			break
		}
	}
	return s.prepare(ctx, name, env, args), nil
}

func (s *Sandbox) prepare(ctx context.Context, name string, env, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = s.Project, env
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	return cmd
}

var export = regexp.MustCompile(`(?m)^export (\w+)='(.*)'$`)

// enter asks the sandbox, once, what its environment is.
func (s *Sandbox) enter(ctx context.Context) error {
	s.inside.Lock()
	defer s.inside.Unlock()
	if s.variables != nil {
		return nil
	}
	cmd := s.Command(ctx, "env")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("the sandbox's environment: %w\n%s", err, errs.String())
	}
	s.variables = map[string]string{}
	for _, v := range export.FindAllStringSubmatch(string(out), -1) {
		s.variables[v[1]] = v[2]
	}
	return nil
}

// AWS is for calls as somebody with the sandbox's credentials.
func (s *Sandbox) AWS(ctx context.Context) (aws.Config, error) {
	if err := s.enter(ctx); err != nil {
		return aws.Config{}, err
	}
	return aws.Config{
		Region: s.variables["AWS_REGION"], BaseEndpoint: aws.String(s.variables["AWS_ENDPOINT_URL"]),
		Credentials: credentials.NewStaticCredentialsProvider(s.variables["AWS_ACCESS_KEY_ID"], s.variables["AWS_SECRET_ACCESS_KEY"], ""),
	}, nil
}

// Config copies the stack's configuration with texts replaced, pairs of old and new, to a file in the state folder.
// The stack's own file stays as it is: `up --config` would write to it.
func (s *Sandbox) Config(name string, replace ...string) (path string, err error) {
	data, err := os.ReadFile(filepath.Join(s.Project, "Pulumi.sandbox.yaml"))
	if err != nil {
		return "", err
	}
	text := string(data)
	for ; len(replace) > 1; replace = replace[2:] {
		if !strings.Contains(text, replace[0]) {
			return "", fmt.Errorf("Pulumi.sandbox.yaml has no %q", replace[0])
		}
		text = strings.Replace(text, replace[0], replace[1], 1)
	}
	path = filepath.Join(s.State, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}

// Status is what `status --json` prints.
type Status struct {
	Edge     string         // URL of the CDN edge
	AWS      string         `json:"aws"` // URL of the AWS API
	Database string         // URL of the database as its owner
	Outputs  map[string]any // of the stack
}

// Status asks what runs and where; withPassword puts the owner's password into the database's URL.
func (s *Sandbox) Status(ctx context.Context, withPassword bool) (Status, error) {
	args := []string{"status", "--json"}
	if withPassword {
		args = append(args, "--show-secrets")
	}
	cmd := s.Command(ctx, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return Status{}, fmt.Errorf("status: %w\n%s", err, errs.String())
	}
	var status Status
	if err := json.Unmarshal(out, &status); err != nil {
		return Status{}, fmt.Errorf("status prints no JSON: %w", err)
	}
	return status, nil
}

// Output is one of the stack's outputs, "" where it has none of that name.
func (s Status) Output(name string) string {
	value, _ := s.Outputs[name].(string)
	return value
}

// Request is what a viewer's browser sends for a path of the site, made so that the edge gets it.
func (s Status) Request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.Edge+path, body)
	if err != nil {
		return nil, err
	}
	req.Host = strings.TrimPrefix(s.Output("siteUrl"), "https://")
	return req, nil
}

// Get asks for a path of the site and reads the answer to its end.
func (s Status) Get(ctx context.Context, path string) (*http.Response, error) {
	req, err := s.Request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, err
}

// Container is one that runs.
type Container struct {
	ID    string `json:"Id"`
	Image string
	Names []string
}

// Containers lists what runs.
func (s *Sandbox) Containers(ctx context.Context) (running []Container, err error) {
	return running, s.Engine(ctx, http.MethodGet, "/containers/json", &running)
}

// Database is the running database of a stack.
func (s *Sandbox) Database(ctx context.Context, stack string) (Container, error) {
	running, err := s.Containers(ctx)
	for _, c := range running {
		if strings.HasPrefix(c.Image, "postgres") && strings.Contains(strings.Join(c.Names, " "), "plan-charge-"+stack) {
			return c, nil
		}
	}
	return Container{}, errors.Join(err, fmt.Errorf("no database of %s among %v", stack, running))
}

// Engine calls the process engine, for what somebody would do with `docker stop`.
func (s *Sandbox) Engine(ctx context.Context, method, path string, into any) error {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.State, "engine.sock"))
	}}}
	return Call(ctx, &client, method, "http://engine"+path, "", into)
}

// Call sends a request with a body and decodes the answer. Any status from 300 on is an error.
func Call(ctx context.Context, client *http.Client, method, url, body string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
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

// Output runs a command to its end and returns all that it wrote, in the order it came.
func Output(cmd *exec.Cmd) (string, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// LastLines are the last n lines of a text.
func LastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
