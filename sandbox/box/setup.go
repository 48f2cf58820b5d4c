package box

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"plan-charge/internal/progress"
	"plan-charge/sandbox/backend"
	"plan-charge/sandbox/emulator"
	"plan-charge/tools/toolchain"
)

// Prepare fetches and builds what the sandbox needs. With a full cache it takes no time.
func (b *Box) Prepare(ctx context.Context, w io.Writer) error {
	var err error
	if b.Project, err = toolchain.Repository(); err != nil {
		return err
	}
	if err := ensureSystem(ctx, w); err != nil {
		return err
	}
	if err := ensureDatabase(ctx, w, b.Project); err != nil {
		return err
	}
	if _, err := emulator.Ensure(ctx, w); err != nil {
		return err
	}
	if _, err := backend.Ensure(ctx, w); err != nil {
		return err
	}
	if b.Tools, err = toolchain.Ensure(ctx, w); err != nil {
		return err
	}
	prepared, err := b.Tools.Prepare(b.File("pulumi-home"))
	if err != nil {
		return err
	}
	b.variables = append(prepared,
		"PATH="+b.Tools.BinDir+string(os.PathListSeparator)+withoutDir(os.Getenv("PATH"), b.Tools.BinDir),
		"AWS_ENDPOINT_URL="+b.GatewayURL(),
		"AWS_ACCESS_KEY_ID=test",
		"AWS_SECRET_ACCESS_KEY=test",
		"AWS_EC2_METADATA_DISABLED=true",
		// Without metadata: those files are not written in one step, and one cut short by a kill makes the state unreadable.
		"PULUMI_BACKEND_URL=file://"+b.File("pulumi")+"?metadata=skip",
		"PULUMI_CONFIG_PASSPHRASE=sandbox",
		"PLAN_CHARGE_CONNECT_TO="+b.EdgeURL(),
		"PGSSLROOTCERT="+b.AuthorityFile(),
	)
	return nil
}

// Env is what makes an ordinary shell one that works on the sandbox, as NAME=value; empty before Prepare.
func (b *Box) Env() []string { return slices.Clone(b.variables) }

// Pulumi prepares a pulumi command on the program that the sandbox deploys.
func (b *Box) Pulumi(ctx context.Context, args ...string) *exec.Cmd {
	cmd := b.Command(ctx, "pulumi", args...)
	cmd.Dir = b.Project
	return cmd
}

// Command prepares a command in the sandbox's environment, on this process's terminal.
func (b *Box) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, b.lookPath(name), args...)
	cmd.Env = append(os.Environ(), b.variables...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	// An interrupt reaches the child by the terminal; it gets time to end in its own way.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Minute
	return cmd
}

// lookPath finds a program on the sandbox's PATH.
func (b *Box) lookPath(name string) string {
	if b.Tools == nil || filepath.Base(name) != name {
		return name
	}
	if path, err := exec.LookPath(filepath.Join(b.Tools.BinDir, name)); err == nil {
		return path
	}
	return name // the rest of that PATH is this process's own
}

// withoutDir drops dir from a search path, so that asking for the environment twice does not grow it.
func withoutDir(path, dir string) string {
	kept := slices.DeleteFunc(filepath.SplitList(path), func(p string) bool { return p == dir })
	return strings.Join(kept, string(os.PathListSeparator))
}

// ensureSystem checks for what comes from the operating system, and installs it on Debian where this runs as root.
func ensureSystem(ctx context.Context, w io.Writer) error {
	const python = "Python 3.10 or newer with its venv module"
	if err := exec.CommandContext(ctx, "python3", "-c", "import sys, venv, ensurepip; assert sys.version_info >= (3, 10)").Run(); err == nil {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil || os.Geteuid() != 0 {
		return fmt.Errorf("missing: %s. On Debian or Ubuntu: sudo apt-get install python3 python3-venv. Elsewhere install it with the system's package manager", python)
	}
	step := progress.Start(w, "install python3, python3-venv", time.Minute)
	err := apt(ctx, "python3", "python3-venv")
	step.Done(err)
	if err != nil {
		return fmt.Errorf("missing: %s, and installing failed: %w", python, err)
	}
	return nil
}

func apt(ctx context.Context, packages ...string) error {
	for _, args := range [][]string{{"update", "-q"}, append([]string{"install", "-q", "-y", "--no-install-recommends"}, packages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}
