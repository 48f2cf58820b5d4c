package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// quiet is how long a build may take without being announced. One of an unchanged program takes less.
const quiet = 2 * time.Second

var errNoGo = errors.New("the go tool is not on PATH: install Go 1.26 or newer, or put its bin folder on PATH")

// build returns the binary of the Go package in dir. It is always the same file, so that the go tool sees by itself
// whether something that goes into it has changed. A build that takes long is announced on log; what the compiler says
// is in the error. The file is replaced in one step: another host may be about to start it.
func build(ctx context.Context, dir string, log io.Writer) (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", errNoGo
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	binary, err := binaryOf(dir)
	if err != nil {
		return "", err
	}
	lock := flock.New(binary + ".lock")
	if _, err := lock.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return "", fmt.Errorf("wait for another build of %s: %w", dir, err)
	}
	defer lock.Close()
	defer announce(log, filepath.Base(dir))()

	next := binary + ".next"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.Link(binary, next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	// The go tool leaves next as it is where nothing has changed, and never writes into a file that is there.
	if err := goBuild(ctx, dir, next); err != nil {
		return "", err
	}
	return binary, os.Rename(next, binary)
}

// binaryOf returns where the binary of the package in dir is kept, and makes the folder.
func binaryOf(dir string) (string, error) {
	root := os.Getenv("PLAN_CHARGE_CACHE")
	if root == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("no folder to keep programs in: set PLAN_CHARGE_CACHE to one: %w", err)
		}
		root = filepath.Join(base, "plan-charge")
	}
	root = filepath.Join(root, "programs")
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join(root, fmt.Sprintf("%s-%.8x", filepath.Base(dir), sum)), os.MkdirAll(root, 0o755)
}

// announce says on log that a build takes its time, and, by the returned function, when it is over.
func announce(log io.Writer, name string) (over func()) {
	began := time.Now()
	said := make(chan struct{})
	timer := time.AfterFunc(quiet, func() {
		defer close(said)
		fmt.Fprintf(log, "building %s\n", name) // with an empty build cache it takes a minute
	})
	return func() {
		if !timer.Stop() {
			<-said
			fmt.Fprintf(log, "built %s in %s\n", name, time.Since(began).Round(100*time.Millisecond))
		}
	}
}

func goBuild(ctx context.Context, dir, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-ldflags=-s -w", "-o", out, ".") // no debug tables: they double the time to link
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return cmp.Or(ctx.Err(), fmt.Errorf("go build in %s: %w\n%s", dir, err, strings.TrimSpace(said.String())))
	}
	return nil
}

// moduleRoot is the nearest folder at or above dir that holds a go.mod.
func moduleRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no go.mod in %s or above it: a Go program needs one", dir)
		}
	}
}
