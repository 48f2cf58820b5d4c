package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
)

// Names under which a command sees what the run before it wrote.
const (
	envStdout = "PULUMI_COMMAND_STDOUT"
	envStderr = "PULUMI_COMMAND_STDERR"
)

// killAfter is how long a cancelled command may take to end by itself.
const killAfter = 5 * time.Second

// run runs a command and keeps what it wrote in the state; on an error the state is as before. Each line goes to the
// engine as it comes. When ctx ends, so does the command with everything it started.
func (s *CommandState) run(ctx context.Context, command string) error {
	argv := []string{"/bin/sh", "-c"}
	if s.Interpreter != nil && len(*s.Interpreter) > 0 {
		argv = append([]string(nil), *s.Interpreter...)
	}
	argv = append(argv, command)

	var stdout, stderr, both bytes.Buffer
	var mu sync.Mutex // the process's two outputs are copied at the same time
	show := p.GetLogger(ctx).InfoStatus
	out := &output{mu: &mu, copies: []io.Writer{&stdout, &both}}
	errs := &output{mu: &mu, copies: []io.Writer{&stderr, &both}}
	if s.Logging.stdout() {
		out.show = show
	}
	if s.Logging.stderr() {
		errs.show = show
	}

	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, errs
	cmd.Env = s.environment()
	if s.Dir != nil {
		cmd.Dir = *s.Dir
	}
	if s.Stdin != nil && *s.Stdin != "" {
		cmd.Stdin = strings.NewReader(*s.Stdin)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	err := cmd.Run()
	if ctx.Err() != nil && cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // what ignored the first signal
	}
	out.flush()
	errs.flush()
	if err != nil {
		return fmt.Errorf("%w: running %q:\n%s", err, command, both.String())
	}
	s.Stdout = strings.TrimSuffix(stdout.String(), "\n")
	s.Stderr = strings.TrimSuffix(stderr.String(), "\n")
	return nil
}

// environment is the plugin's own, then the resource's, then what the run before wrote.
func (s *CommandState) environment() []string {
	env := os.Environ()
	if s.Environment != nil {
		for name, value := range *s.Environment {
			env = append(env, name+"="+value)
		}
	}
	if s.AddPreviousOutputInEnv == nil || *s.AddPreviousOutputInEnv {
		if s.Stdout != "" {
			env = append(env, envStdout+"="+s.Stdout)
		}
		if s.Stderr != "" {
			env = append(env, envStderr+"="+s.Stderr)
		}
	}
	return env
}

// output keeps all that is written to it and shows each full line at once.
type output struct {
	mu     *sync.Mutex
	copies []io.Writer
	show   func(string) // nil: nothing is shown
	line   []byte       // begun, not yet ended
}

func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range o.copies {
		if _, err := w.Write(text); err != nil {
			return 0, err
		}
	}
	if o.show == nil {
		return len(text), nil
	}
	o.line = append(o.line, text...)
	for {
		end := bytes.IndexByte(o.line, '\n')
		if end < 0 {
			return len(text), nil
		}
		o.show(strings.TrimSuffix(string(o.line[:end]), "\r"))
		o.line = o.line[end+1:]
	}
}

// flush shows a last line that has no line feed.
func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.show != nil && len(o.line) > 0 {
		o.show(string(o.line))
		o.line = nil
	}
}
