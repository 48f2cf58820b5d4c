package backend

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"plan-charge/internal/progress"
	"plan-charge/internal/testkit/cache"
)

// aboutPython prints what the virtual environment depends on, and fails where it cannot be made.
const aboutPython = `import sys, venv, ensurepip
assert sys.version_info >= (3, 10), "it is Python %d.%d" % sys.version_info[:2]
print(sys.executable, sys.version)`

// ensureVenv returns the Python of a virtual environment that has the pinned requirements.
func ensureVenv(ctx context.Context, w io.Writer) (string, error) {
	about, err := exec.CommandContext(ctx, "python3", "-c", aboutPython).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("the sample backend needs python3, 3.10 or newer and with its venv module (Debian: apt-get install python3-venv): %w: %s", err, lastLines(string(about), 1))
	}
	requirements, err := source.ReadFile("app/requirements.txt")
	if err != nil {
		return "", err
	}
	dir, err := cache.Ensure(ctx, "backend-venv", cache.Key(string(about), string(requirements)), func(dir string) error {
		step := progress.Start(w, "install the sample backend's Python packages", 30*time.Second)
		err := buildVenv(ctx, dir, requirements, step.Note)
		step.Done(err)
		return err
	})
	if err != nil {
		return "", fmt.Errorf("virtual environment of the sample backend: %w", err)
	}
	return filepath.Join(dir, "bin", "python"), nil
}

func buildVenv(ctx context.Context, dir string, requirements []byte, note func(string)) error {
	if out, err := exec.CommandContext(ctx, "python3", "-m", "venv", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("python3 -m venv: %w: %s", err, lastLines(string(out), 5))
	}
	list := filepath.Join(dir, "requirements.txt")
	if err := os.WriteFile(list, requirements, 0o644); err != nil {
		return err
	}
	pip := exec.CommandContext(ctx, filepath.Join(dir, "bin", "python"), "-m", "pip", "install",
		"--no-input", "--disable-pip-version-check", "--progress-bar", "off", "-r", list)
	if err := runNoting(pip, note); err != nil {
		return fmt.Errorf("pip install (is a Python package index reachable? PIP_INDEX_URL names another one): %w", err)
	}
	return writeCommands(filepath.Join(dir, "bin"))
}

// writeCommands replaces the commands that pip wrote: theirs remember the folder that the environment was built in,
// and the cache moves it.
func writeCommands(bin string) error {
	entries, err := os.ReadDir(bin)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "python") {
			if err := os.Remove(filepath.Join(bin, e.Name())); err != nil {
				return err
			}
		}
	}
	for _, module := range []string{"alembic", "uvicorn"} {
		text := fmt.Sprintf("#!/bin/sh\nexec \"$(dirname \"$0\")/python\" -m %s \"$@\"\n", module)
		if err := os.WriteFile(filepath.Join(bin, module), []byte(text), 0o755); err != nil {
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
		return fmt.Errorf("%w:\n%s", err, lastLines(all.String(), 8))
	}
	return nil
}

func lastLines(text string, n int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}
