package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"

	"plan-charge/internal/testkit/cache"
)

// keep is how many binaries of one program stay: enough to switch between a few states of the sources without
// building again.
const keep = 4

var errNoGo = errors.New("the go tool is not on PATH: install Go 1.26 or newer, or put its bin folder on PATH")

// build returns the binary of the Go package in dir, building it only when something that goes into it has changed.
// It says so on log when it builds; what the compiler says is in the error.
func build(ctx context.Context, dir string, log io.Writer) (string, error) {
	if _, err := exec.LookPath("go"); err != nil {
		return "", errNoGo
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	settings, err := goSettings(ctx, dir, "GOVERSION", "GOOS", "GOARCH", "GOFLAGS", "GOEXPERIMENT", "CGO_ENABLED", "GOWORK")
	if err != nil {
		return "", err
	}
	sources, err := fingerprint(dir)
	if err != nil {
		return "", fmt.Errorf("read the sources in %s: %w", dir, err)
	}
	name := filepath.Join("programs", filepath.Base(dir)+"-"+cache.Key(dir))
	key := cache.Key(settings, sources)
	entry, err := cache.Ensure(ctx, name, key, func(out string) error {
		started := time.Now()
		fmt.Fprintf(log, "building %s\n", filepath.Base(dir)) // with an empty build cache it takes a minute
		if err := goBuild(ctx, dir, filepath.Join(out, "program")); err != nil {
			return err
		}
		if took := time.Since(started); took > time.Second {
			fmt.Fprintf(log, "built %s in %s\n", filepath.Base(dir), took.Round(100*time.Millisecond))
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	now := time.Now()
	_ = os.Chtimes(entry, now, now) // marks it as used; only pruning reads it
	prune(filepath.Dir(entry))
	return filepath.Join(entry, "program"), nil
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
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("go build in %s: %w\n%s", dir, err, strings.TrimSpace(said.String()))
	}
	return nil
}

// goSettings returns what `go env` says for the names, one a line.
func goSettings(ctx context.Context, dir string, names ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"env"}, names...)...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go env: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// prune removes the binaries that were not used for longest. A running one may go: the system keeps its file.
func prune(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	type used struct {
		path string
		at   time.Time
	}
	var all []used
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || strings.HasSuffix(e.Name(), ".partial") {
			continue
		}
		all = append(all, used{filepath.Join(dir, e.Name()), info.ModTime()})
	}
	sort.Slice(all, func(i, j int) bool { return all[i].at.After(all[j].at) })
	for i := keep; i < len(all); i++ {
		_ = os.RemoveAll(all[i].path)
	}
}
