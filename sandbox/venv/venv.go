// Package venv makes Python virtual environments in the cache, each keyed by what is installed into it.
package venv

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"plan-charge/internal/lastlines"
	"plan-charge/internal/progress"
	"plan-charge/internal/testkit/cache"
)

// ErrNoPython means that this machine has no Python that can make virtual environments.
var ErrNoPython = errors.New("no usable Python 3")

// Options say what an environment holds.
type Options struct {
	// Name is the environment's folder in the cache, What the step that progress names, Takes how long that usually is.
	Name, What string
	Takes      time.Duration
	// Requirements is the text of a requirements file; empty where Install says what to install.
	Requirements string
	// Install are the arguments of `pip install`, run in Folder, and Key stands for all that they read there.
	Install     []string
	Folder, Key string
}

// Ensure returns the environment's folder, and makes it where it is missing. Progress goes to w.
func Ensure(ctx context.Context, w io.Writer, o Options) (string, error) {
	python, about, err := find(ctx)
	if err != nil {
		return "", err
	}
	// An environment points to the Python that made it.
	return cache.Ensure(ctx, o.Name, cache.Key(about, o.Requirements, strings.Join(o.Install, "\n"), o.Key), func(dir string) error {
		step := progress.Start(w, o.What, o.Takes)
		err := o.build(ctx, python, dir, step.Note)
		step.Done(err)
		return err
	})
}

// about prints what an environment depends on, and fails where none can be made.
const about = `import sys, venv, ensurepip
assert sys.version_info >= (3, 10), "it is Python %d.%d" % sys.version_info[:2]
print(sys.executable, sys.version)`

func find(ctx context.Context) (path, what string, err error) {
	const cure = "Python 3.10 or newer with its venv module is needed (Debian and Ubuntu: apt-get install python3 python3-venv)"
	path, err = exec.LookPath("python3")
	if err != nil {
		return "", "", fmt.Errorf("%w: %s", ErrNoPython, cure)
	}
	out, err := exec.CommandContext(ctx, path, "-c", about).CombinedOutput()
	if err != nil {
		return "", "", fmt.Errorf("%w: %s: %w: %s: %s", ErrNoPython, path, err, lastlines.Of(string(out), 1), cure)
	}
	return path, string(out), nil
}

func (o Options) build(ctx context.Context, python, dir string, note func(string)) error {
	if out, err := exec.CommandContext(ctx, python, "-m", "venv", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s cannot make a virtual environment: %w: %s", ErrNoPython, python, err, lastlines.Of(string(out), 5))
	}
	install := o.Install
	if o.Requirements != "" {
		install = []string{"-r", "/dev/stdin"}
	}
	pip := exec.CommandContext(ctx, filepath.Join(dir, "bin", "python"), append([]string{
		"-m", "pip", "install",
		"--no-input", "--disable-pip-version-check", "--progress-bar", "off",
	}, install...)...)
	pip.Dir, pip.Stdin = o.Folder, strings.NewReader(o.Requirements)
	if err := runNoting(pip, note); err != nil {
		return fmt.Errorf("pip install (is a Python package index reachable? PIP_INDEX_URL names another one): %w", err)
	}
	return relocate(filepath.Join(dir, "bin"))
}

// relocate lets the commands that pip wrote find their Python beside them: they remember the folder that the environment
// was built in, and the cache moves it.
func relocate(bin string) error {
	entries, err := os.ReadDir(bin)
	if err != nil {
		return err
	}
	// A shell takes the second line as a command, Python as the beginning of a text that the third line ends.
	const launcher = "#!/bin/sh\n'''exec' \"$(dirname \"$0\")/python\" \"$0\" \"$@\"\n' '''\n"
	for _, e := range entries {
		path := filepath.Join(bin, e.Name())
		if !e.Type().IsRegular() {
			continue // python itself
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		first, rest, _ := bytes.Cut(text, []byte("\n"))
		if !bytes.HasPrefix(first, []byte("#!"+bin+"/python")) {
			continue
		}
		if err := os.WriteFile(path, append([]byte(launcher), rest...), 0o755); err != nil {
			return err
		}
	}
	return nil
}

// runNoting runs cmd, passes each line to note and puts the last ones into the error.
func runNoting(cmd *exec.Cmd, note func(string)) error {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		return err
	}
	var all strings.Builder
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		note(strings.SplitN(line, " (from", 2)[0])
		all.WriteString(line + "\n")
	}
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("%w:\n%s", err, lastlines.Of(all.String(), 8))
	}
	return nil
}
