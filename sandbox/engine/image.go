package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"plan-charge/internal/testkit/postgres"
	"plan-charge/sandbox/vpc"
)

// Image runs the containers of one image.
type Image interface {
	// Start launches the container's process and returns without waiting for it to be ready.
	Start(ctx context.Context, s Spec) (Process, error)
	// Exec builds a command that runs beside the container's process, in its environment.
	Exec(s Spec, argv []string) (*exec.Cmd, error)
}

// RemoteImage is an image that may have to be fetched before its containers start.
type RemoteImage interface {
	Image
	// Check says why there is no such image, if so.
	Check() error
	// Here says whether the image has been fetched.
	Here() bool
	// Pull fetches the image.
	Pull(ctx context.Context) error
}

// Spec is what a container was asked to be.
type Spec struct {
	// ID is the container's identifier, 64 hexadecimal digits. Reference is the image as it was asked for.
	ID, Reference string
	// Dir is a private folder that goes with the container.
	Dir string
	// IP is the address that is the container's own.
	IP string
	// Env holds the environment, secrets included: nothing of it may reach a log or a command line.
	Env map[string]string
	// Command is the entrypoint with the command; empty means the image's own.
	Command []string
	// Ports maps a port of the container to the one asked for on the host.
	Ports map[string]int
	// Volumes maps a path in the container to a folder of the host.
	Volumes map[string]string
	// Log receives standard output and standard error. It stays valid when the engine ends.
	Log *os.File
	// Network is the container's place in the private network; nil without one.
	Network *vpc.Interface
	// Name is what a database's clients call it, and Authority signs its certificate; nil: it signs one itself.
	Name      string
	Authority *postgres.Authority
}

// inside runs what starts the container's processes in its network, if it has one.
func (s Spec) inside(f func() error) error {
	if s.Network == nil {
		return f()
	}
	return s.Network.Do(f)
}

// launch starts a command in the container's network. There it ends with the engine, whatever ends that: nothing outside
// could reach it any more.
func (s Spec) launch(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if s.Network != nil {
		vpc.EndWithParent(cmd.SysProcAttr, syscall.SIGKILL)
	}
	return s.inside(cmd.Start)
}

// Process is a container's process.
type Process interface {
	// PID is the process number, 0 as long as there is none.
	PID() int
	// Done is closed when the process has ended.
	Done() <-chan struct{}
	// ExitCode tells how it ended: its own code, or 128 and the signal's number. It is valid after Done.
	ExitCode() int
	// Signal sends a signal to the whole process group.
	Signal(sig syscall.Signal) error
}

// CommandImage is an image whose containers run one program of this machine.
type CommandImage struct {
	// Dir is the program's folder on this machine, and Workdir the path that the image has for it, such as /app.
	Dir, Workdir string
	// Command runs when the container names none. Strings starting with $ are taken from the environment.
	Command []string
	// Path is a folder that is put before PATH, "" for none.
	Path string
	// Env is the image's own environment. The container's wins.
	Env map[string]string
}

// Start runs the container's command, or the image's own.
func (i CommandImage) Start(_ context.Context, s Spec) (Process, error) {
	argv := s.Command
	if len(argv) == 0 {
		argv = make([]string, len(i.Command))
		for n, arg := range i.Command {
			argv[n] = os.Expand(arg, func(name string) string { return i.lookup(s, name) })
		}
	}
	cmd, err := i.Exec(s, argv)
	if err != nil {
		return nil, err
	}
	cmd.Stdout, cmd.Stderr = s.Log, s.Log
	return startCommand(s, cmd)
}

// everywhere is how a command line asks to listen on all of a container's addresses. Here there is one that is its own.
var everywhere = regexp.MustCompile(`(^|[^0-9.])0\.0\.0\.0($|[^0-9.])`)

// Exec prepares a command with the container's environment, folder and programs.
func (i CommandImage) Exec(s Spec, argv []string) (*exec.Cmd, error) {
	if len(argv) == 0 {
		return nil, errors.New("no command specified")
	}
	path := os.Getenv("PATH")
	if i.Path != "" {
		path = i.Path + string(os.PathListSeparator) + path
	}
	args := make([]string, len(argv))
	for n, arg := range argv {
		args[n] = everywhere.ReplaceAllString(i.here(arg), "${1}"+s.IP+"${2}")
	}
	program, err := lookPath(args[0], path, i.Dir)
	if err != nil {
		return nil, fmt.Errorf("exec: %q: executable file not found in $PATH", argv[0])
	}
	cmd := exec.Command(program)
	cmd.Args = args
	cmd.Dir = i.Dir
	cmd.Env = []string{"PATH=" + path, "HOME=" + s.Dir, "LANG=C.UTF-8"}
	for _, env := range []map[string]string{{"HOST": s.IP, "HOSTNAME": s.ID[:12]}, i.Env, s.Env} {
		for name, value := range env {
			if name != "PATH" && name != "HOME" {
				cmd.Env = append(cmd.Env, name+"="+value)
			}
		}
	}
	return cmd, nil
}

func (i CommandImage) lookup(s Spec, name string) string {
	for _, env := range []map[string]string{s.Env, i.Env, {"HOST": s.IP}} {
		if value, ok := env[name]; ok {
			return value
		}
	}
	return ""
}

// here replaces the image's folder by the one on this machine wherever it stands as a path.
func (i CommandImage) here(arg string) string {
	if i.Workdir == "" || i.Dir == "" {
		return arg
	}
	path := regexp.MustCompile(`(^|[\s"'=:;(])` + regexp.QuoteMeta(i.Workdir) + `(/|$|[\s"';:)&|])`)
	return path.ReplaceAllString(arg, "${1}"+strings.ReplaceAll(i.Dir, "$", "$$")+"${2}")
}

func lookPath(program, path, dir string) (string, error) {
	if strings.Contains(program, "/") {
		if !filepath.IsAbs(program) {
			program = filepath.Join(dir, program)
		}
		return exec.LookPath(program)
	}
	for _, folder := range filepath.SplitList(path) {
		if found, err := exec.LookPath(filepath.Join(folder, program)); err == nil {
			return found, nil
		}
	}
	return "", exec.ErrNotFound
}

// commandProcess is a child process with its own group.
type commandProcess struct {
	cmd  *exec.Cmd
	done chan struct{}
	code int
}

func startCommand(s Spec, cmd *exec.Cmd) (Process, error) {
	if err := s.launch(cmd); err != nil {
		return nil, err
	}
	p := &commandProcess{cmd: cmd, done: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // the state tells more than the error
		p.code = exitCode(cmd.ProcessState)
		// What the program left running has lost its container.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		close(p.done)
	}()
	return p, nil
}

func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

func (p *commandProcess) PID() int              { return p.cmd.Process.Pid }
func (p *commandProcess) Done() <-chan struct{} { return p.done }
func (p *commandProcess) ExitCode() int         { return p.code }
func (p *commandProcess) Signal(sig syscall.Signal) error {
	select {
	case <-p.done: // the number may belong to another process by now
		return nil
	default:
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}
