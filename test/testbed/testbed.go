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
	"strings"
	"sync"
	"syscall"
	"time"

	"plan-charge/sandbox/box"
	"plan-charge/sandbox/report"
	"plan-charge/tools/toolchain"
)

// Sandbox is a box for a test: one that deploys the program in this project's folder, and may go when it is closed.
type Sandbox struct {
	*box.Box
	passing bool // the folder goes with it

	entering sync.Mutex
	entered  bool // it was prepared and started
}

// New builds the sandbox's program and finds free ports. It starts nothing. An empty dir means a new folder, which
// Close removes.
func New(dir string) (*Sandbox, error) {
	s := &Sandbox{passing: dir == ""}
	var err error
	if s.passing {
		// Short, because a Unix socket's path may have 107 bytes at the most.
		if dir, err = os.MkdirTemp("", "pc"); err != nil {
			return nil, err
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	if err := errors.Join(os.MkdirAll(dir, 0o711), os.Chmod(dir, 0o711)); err != nil { // the database runs as another user
		return nil, err
	}
	ports, err := freePorts()
	if err != nil {
		return nil, err
	}
	if s.Box, err = box.At(dir, ports, filepath.Join(dir, "sandbox-under-test")); err != nil {
		return nil, err
	}
	if s.Project, err = toolchain.Repository(); err != nil {
		return nil, err
	}
	build := exec.Command("go", "build", "-o", s.Program, "./sandbox")
	build.Dir = s.Project
	if out, err := Output(build); err != nil {
		return nil, fmt.Errorf("build the sandbox: %w\n%s", err, out)
	}
	return s, nil
}

// freePorts finds ports for a sandbox, also for a second database, that nobody has or is about to take.
func freePorts() (box.Ports, error) {
	for offset := 5000; offset < 40000; offset += 500 {
		ports := box.PortsAt(offset)
		if claim(offset) && ports.Free() == nil && free(ports.Database) && free(ports.Database+1) {
			return ports, nil
		}
	}
	return box.Ports{}, errors.New("no free ports for a sandbox")
}

func free(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	l.Close()
	return true
}

// Open tells whether somebody listens on a port of this machine.
func Open(port int) bool {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	c.Close()
	return true
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
	if err := s.Stop(ctx, io.Discard); err != nil {
		return fmt.Errorf("stop the sandbox in %s: %w", s.Dir, err)
	}
	if !s.passing {
		return nil
	}
	return os.RemoveAll(s.Dir)
}

// Passing tells whether Close removes the folder.
func (s *Sandbox) Passing() bool { return s.passing }

// Keep makes Close leave the folder.
func (s *Sandbox) Keep() { s.passing = false }

// laptop is a region that the stack does not live in, as a shell of somebody's names it. Nothing may ask it.
const laptop = "AWS_REGION=us-east-1"

// CLI prepares a call of the sandbox's program, such as CLI(ctx, "up").
func (s *Sandbox) CLI(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.Program, args...)
	cmd.Dir, cmd.Env = s.Project, append(os.Environ(), box.EnvState+"="+s.Dir, "NO_COLOR=1", laptop)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	return cmd
}

// Pulumi prepares a pulumi command inside the sandbox, which it starts where it does not run.
func (s *Sandbox) Pulumi(ctx context.Context, args ...string) (*exec.Cmd, error) {
	return s.Inside(ctx, "pulumi", append(args, "--color=never")...)
}

// Inside prepares any command in the project's folder and the sandbox's environment.
func (s *Sandbox) Inside(ctx context.Context, name string, args ...string) (*exec.Cmd, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	cmd := s.Command(ctx, name, args...)
	cmd.Dir, cmd.Env = s.Project, append(cmd.Env, "NO_COLOR=1", laptop)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = nil, nil, nil
	cmd.WaitDelay = time.Minute
	return cmd, nil
}

// enter prepares and starts the sandbox, once: a test that stops it starts it again itself.
func (s *Sandbox) enter(ctx context.Context) error {
	s.entering.Lock()
	defer s.entering.Unlock()
	if s.entered {
		return nil
	}
	var said bytes.Buffer
	err := s.Prepare(ctx, &said)
	if err == nil {
		err = s.Start(ctx, &said)
	}
	if err != nil {
		return fmt.Errorf("start the sandbox in %s: %w\n%s", s.Dir, err, said.String())
	}
	s.entered = true
	return nil
}

// Status asks what runs and where; withPassword puts the owner's password into the database's URL.
func (s *Sandbox) Status(ctx context.Context, withPassword bool) (*report.Status, error) {
	if err := s.enter(ctx); err != nil {
		return nil, err
	}
	return report.Look(ctx, s.Box, withPassword)
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
	path = s.File(name)
	return path, os.WriteFile(path, []byte(text), 0o600)
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
		return (&net.Dialer{}).DialContext(ctx, "unix", s.File("engine.sock"))
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
