package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"plan-charge/internal/progress"
	"plan-charge/internal/testkit/postgres"
	"plan-charge/sandbox/backend"
	"plan-charge/sandbox/emulator"
	"plan-charge/tools/toolchain"
)

// sandbox is a sandbox whose parts are there; whether it runs is another matter.
type sandbox struct {
	state *state
	tools *toolchain.Tools
	// variables are what makes an ordinary shell one that works on the sandbox, as NAME=value.
	variables []string
}

// setup fetches and builds what the sandbox needs. With a full cache it takes no time.
func setup(ctx context.Context, w io.Writer) (*sandbox, error) {
	if err := ensureSystem(ctx, w); err != nil {
		return nil, err
	}
	s, err := openState()
	if err != nil {
		return nil, err
	}
	if _, err := emulator.Ensure(ctx, w); err != nil {
		return nil, err
	}
	if _, err := backend.Ensure(ctx, w); err != nil {
		return nil, err
	}
	tools, err := toolchain.Ensure(ctx, w)
	if err != nil {
		return nil, err
	}
	prepared, err := tools.Prepare(s.file("pulumi-home"))
	if err != nil {
		return nil, err
	}
	return &sandbox{state: s, tools: tools, variables: append(prepared,
		"PATH="+tools.BinDir+string(os.PathListSeparator)+withoutDir(os.Getenv("PATH"), tools.BinDir),
		"AWS_ENDPOINT_URL="+s.gatewayURL(),
		"AWS_ACCESS_KEY_ID=test",
		"AWS_SECRET_ACCESS_KEY=test",
		"AWS_REGION=eu-west-3",
		"AWS_EC2_METADATA_DISABLED=true",
		// Without metadata: those files are not written in one step, and one cut short by a kill makes the state unreadable.
		"PULUMI_BACKEND_URL=file://"+s.file("pulumi")+"?metadata=skip",
		"PULUMI_CONFIG_PASSPHRASE=sandbox",
		"PLAN_CHARGE_CONNECT_TO="+s.edgeURL(),
	)}, nil
}

// start is setup, with the background process running.
func start(ctx context.Context, w io.Writer) (*sandbox, error) {
	box, err := setup(ctx, w)
	if err != nil {
		return nil, err
	}
	return box, ensureDaemon(ctx, w, box.state)
}

// command prepares a command in the sandbox's environment, on this process's terminal.
func (b *sandbox) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	for _, v := range b.variables {
		key, value, _ := strings.Cut(v, "=")
		os.Setenv(key, value) // here too, so that name is looked up on the new PATH
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// An interrupt reaches the child by the terminal; it gets time to end in its own way.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Minute
	return cmd
}

// withoutDir drops dir from a search path, so that asking for the environment twice does not grow it.
func withoutDir(path, dir string) string {
	kept := slices.DeleteFunc(filepath.SplitList(path), func(p string) bool { return p == dir })
	return strings.Join(kept, string(os.PathListSeparator))
}

// ensureSystem checks for what comes from the operating system, and installs it on Debian where this runs as root.
func ensureSystem(ctx context.Context, w io.Writer) error {
	var missing, packages []string
	if _, err := postgres.Find(); err != nil {
		missing, packages = append(missing, "PostgreSQL 15 or newer ("+err.Error()+")"), append(packages, "postgresql")
	}
	if err := exec.CommandContext(ctx, "python3", "-c", "import sys, venv, ensurepip; assert sys.version_info >= (3, 10)").Run(); err != nil {
		missing, packages = append(missing, "Python 3.10 or newer with its venv module"), append(packages, "python3", "python3-venv")
	}
	if len(missing) == 0 {
		return nil
	}
	what := strings.Join(missing, " and ")
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("missing: %s. On Debian or Ubuntu: sudo apt-get install %s. Elsewhere install them with the system's package manager", what, strings.Join(packages, " "))
	}
	step := progress.Start(w, "install "+strings.Join(packages, ", "), time.Minute)
	err := apt(ctx, packages)
	step.Done(err)
	if err != nil {
		return fmt.Errorf("missing: %s, and installing failed: %w", what, err)
	}
	return nil
}

func apt(ctx context.Context, packages []string) error {
	for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}

// projectDir finds the program from the current folder upwards.
func projectDir() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "Pulumi.sandbox.yaml")); err == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			return "", errors.New("run this inside the project's folder: no Pulumi.sandbox.yaml here or above")
		}
	}
}
