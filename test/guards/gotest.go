package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// result is how a package's tests ended.
type result struct {
	tests  map[string]string // name to pass, fail or skip
	broken bool              // it did not compile
	output string            // what it said, in the end
}

// event is a line of go test -json.
type event struct{ Action, Test, Output string }

// goTest runs some tests of a package. The error is for not being able to run any.
func goTest(ctx context.Context, dir, pkg, pattern string) (result, error) {
	// Vet is not asked: a guard that was taken out may leave what it complains about.
	cmd := exec.CommandContext(ctx, "go", "test", "-json", "-count=1", "-vet=off", "-timeout=2m", "-run", pattern, pkg)
	cmd.Dir = dir
	// Tests start servers; interrupted, they can end them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = 10 * time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		return result{}, ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return result{}, err
	}
	r, err := read(&out)
	if err != nil {
		return result{}, fmt.Errorf("go test %s: %w\n%s", pkg, err, errs.String())
	}
	r.output += errs.String()
	return r, nil
}

// read takes in the lines of go test -json.
func read(lines io.Reader) (result, error) {
	r := result{tests: map[string]string{}}
	var said strings.Builder
	for dec := json.NewDecoder(lines); ; {
		var e event
		if err := dec.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			return r, err
		}
		switch e.Action {
		case "build-fail":
			r.broken = true
		case "build-output", "output":
			said.WriteString(e.Output)
		case "pass", "fail", "skip":
			if e.Test != "" {
				r.tests[e.Test] = e.Action
			}
		}
	}
	r.output = said.String()
	return r, nil
}

// ended is how a test ended, by the name that the table has for it.
func (r result) ended(test string) string { return r.tests[strings.ReplaceAll(test, " ", "_")] }

// notPassed says why a test did not pass with every guard in place, or "".
func (r result) notPassed(test string) string {
	switch how := r.ended(test); {
	case r.broken:
		return "it does not even compile with every guard in place:\n" + tail(r.output)
	case how == "":
		return "there is no such test"
	case how != "pass":
		return "even with every guard in place the test does not pass: " + how + "\n" + tail(r.output)
	}
	return ""
}

// notFailed says why a test did not fail as it should without its guard, or "".
func (r result) notFailed(test string) string {
	switch how := r.ended(test); {
	case r.broken:
		return "without it the package does not compile, so no test was asked:\n" + tail(r.output)
	case strings.Contains(r.output, "panic: "):
		return "without it the test panics or runs out of time instead of saying what is wrong:\n" + tail(r.output)
	case how == "":
		return "no such test was run:\n" + tail(r.output)
	case how != "fail":
		return "without it the test still ends with: " + how
	}
	for name, how := range r.tests {
		top, _, _ := strings.Cut(test, "/")
		if how == "fail" && name != top && !strings.HasPrefix(name, top+"/") {
			return "another test failed: " + name
		}
	}
	return ""
}

// tail is the end of an output.
func tail(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-30):], "\n")
}

// copyProject copies what git has or would add.
func copyProject(ctx context.Context, to string) error {
	top, err := exec.CommandContext(ctx, "git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		return fmt.Errorf("find the project: %w", err)
	}
	from := strings.TrimSpace(string(top))
	list := exec.CommandContext(ctx, "git", "ls-files", "-z", "-co", "--exclude-standard")
	list.Dir = from
	names, err := list.Output()
	if err != nil {
		return fmt.Errorf("list the project's files: %w", err)
	}
	for name := range strings.SplitSeq(strings.Trim(string(names), "\x00"), "\x00") {
		info, err := os.Stat(filepath.Join(from, name))
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and git does not know yet
		}
		if err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Join(to, filepath.Dir(name)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, name), text, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}
