// Package toolchain provides what `pulumi up` needs: the CLI, a Go language host and the provider plugins, in one folder
// that is put first on PATH. The official ones are taken where they are or can be downloaded; on a machine that can
// download nothing but Go modules everything is built, once, and kept in the cache.
package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"plan-charge/internal/progress"
	"plan-charge/internal/testkit/cache"
)

// Tools is a complete set of programs.
type Tools struct {
	// BinDir holds pulumi, pulumi-language-go and a pulumi-resource-NAME for each plugin. It goes first on PATH.
	BinDir string
	// Kinds says for each program in BinDir what it is. Tests print it, because a stand-in proves less.
	Kinds map[string]Kind
	// Why says in a few words why it is these.
	Why string

	plugins map[string]string // the versions under which the CLI looks for them
}

// Kind is where a program came from.
type Kind string

// The kinds, from the real thing to the least real.
const (
	Official Kind = "official" // as published
	Built    Kind = "built"    // the official program, compiled from its Go module
	Bridged  Kind = "bridged"  // the Terraform provider under the official plugin, behind Pulumi's bridge
	StandIn  Kind = "stand-in" // this repository's, behaving as the official one where it is used
)

// Official says whether everything is as published.
func (t *Tools) Official() bool {
	for _, kind := range t.Kinds {
		if kind != Official {
			return false
		}
	}
	return true
}

// Prepare puts the plugins where the CLI keeps downloaded ones, below the folder home, and returns the variables that
// the tools need, as NAME=value; PATH with BinDir is not among them. Found on PATH alone, each plugin would be used with
// a warning in every command's output. Other content of home stays as it is.
func (t *Tools) Prepare(home string) ([]string, error) {
	for name, version := range t.plugins {
		program := "pulumi-resource-" + name
		dir := filepath.Join(home, "plugins", "resource-"+name+"-"+version)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("prepare the Pulumi home: %w", err)
		}
		if err := link(filepath.Join(t.BinDir, program), filepath.Join(dir, program)); err != nil {
			return nil, fmt.Errorf("prepare the Pulumi home: %w", err)
		}
	}
	return []string{
		"PULUMI_HOME=" + home,
		"PULUMI_IGNORE_AMBIENT_PLUGINS=true",
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true",
		"PULUMI_SKIP_UPDATE_CHECK=true", // the versions belong together
	}, nil
}

// link makes a symbolic link, replacing an older one in one step: another command may be about to follow it.
func link(to, path string) error {
	if now, err := os.Readlink(path); err == nil && now == to {
		return nil
	}
	scratch := fmt.Sprintf("%s.%d", path, os.Getpid())
	if err := os.Symlink(to, scratch); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return os.Rename(scratch, path)
}

// built maps each program to its kind when it was not taken as published.
var built = map[string]Kind{
	"pulumi":                     Built,
	"pulumi-language-go":         StandIn,
	"pulumi-resource-aws":        Bridged,
	"pulumi-resource-postgresql": Bridged,
	"pulumi-resource-command":    StandIn,
	"pulumi-resource-random":     StandIn,
}

// Ensure returns the tools, fetching or building what the cache does not hold and reporting progress to w. Building
// from nothing takes several minutes, mostly for the AWS provider. It must be called inside the project's folder.
// Several processes may call it at once; an interrupted build leaves nothing that a later one would trust.
func Ensure(ctx context.Context, w io.Writer) (*Tools, error) {
	root, err := Repository()
	if err != nil {
		return nil, err
	}
	v, err := readVersions(root)
	if err != nil {
		return nil, err
	}
	o := newOfficial(ctx, w, v)
	tools, why := o.find()
	if why == nil {
		return tools, nil
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if o.forbidden() == nil {
		fmt.Fprintf(w, "! %v. The tools are built instead.\n", o.failed)
	}
	if tools, err = build(ctx, w, root, v); err != nil {
		return nil, err
	}
	tools.Why = why.Error()
	return tools, o.remember()
}

// build returns the tools as they are made from their sources.
func build(ctx context.Context, w io.Writer, root string, v versions) (*Tools, error) {
	b, err := newBuilder(ctx, root, w)
	if err != nil {
		return nil, err
	}
	k, err := b.keys(v)
	if err != nil {
		return nil, err
	}
	begun := announceWait(w)
	defer begun()
	dir, err := cache.Ensure(ctx, "tools", cache.Key(k.cli, k.standIns, k.bridged), func(out string) error {
		begun()
		if err := b.checkDisk(); err != nil {
			return err
		}
		step := progress.Start(w, "build the Pulumi CLI and its plugins", expected)
		err := b.buildAll(step, out, k)
		step.Done(err)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Tools{BinDir: dir, Kinds: built, plugins: v.plugins}, nil
}

// announceWait reports when nothing has begun for a while: then another process holds the lock because it builds the same
// tools. The returned function ends the report.
func announceWait(w io.Writer) func() {
	var mu sync.Mutex
	var step *progress.Step
	var over bool
	timer := time.AfterFunc(2*time.Second, func() {
		mu.Lock()
		defer mu.Unlock()
		if !over {
			step = progress.Start(w, "wait for another process that fetches or builds the tools", expected)
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		if step != nil && !over {
			step.Done(nil)
		}
		over = true
	}
}

// expected is what building from empty caches takes on two cores.
const expected = 8 * time.Minute

// group is something that is built into an entry of its own.
type group struct {
	what  string
	build func() (dir string, err error)
}

// buildAll builds the groups in two lanes, which keeps two cores busy: the bridged plugins have the longest single
// compile, and beside it the CLI is built. The stand-ins come after the CLI, with which they share most of their packages: two go commands at the same time would compile them twice. For the same reason the standard library
// comes before both.
func (b *builder) buildAll(step *progress.Step, out string, k keys) error {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	c := *b
	c.ctx = ctx
	step.Note("standard library")
	if err := c.standardLibrary(); err != nil {
		return err
	}
	lanes := [][]group{
		{{"AWS and PostgreSQL plugins", func() (string, error) { return c.bridged(k.bridged) }}},
		{
			{"CLI", func() (string, error) { return c.cli(k) }},
			{"language host, command and random plugins", func() (string, error) { return c.standIns(k.standIns) }},
		},
	}
	var mu sync.Mutex
	running := make([]string, len(lanes))
	var dirs []string
	var errs []error
	note := func(lane int, what string) {
		mu.Lock()
		defer mu.Unlock()
		running[lane] = what
		step.Note(strings.Join(slices.DeleteFunc(slices.Clone(running), func(s string) bool { return s == "" }), ", "))
	}
	var all sync.WaitGroup
	for i, lane := range lanes {
		all.Go(func() {
			defer note(i, "")
			for _, g := range lane {
				note(i, g.what)
				dir, err := g.build()
				mu.Lock()
				if err == nil {
					dirs = append(dirs, dir)
				} else if ctx.Err() == nil { // else it only ended because the other lane failed
					errs = append(errs, fmt.Errorf("build %s: %w", g.what, err))
				}
				mu.Unlock()
				if err != nil {
					cancel()
					return
				}
			}
		})
	}
	all.Wait()
	if err := errors.Join(append(errs, b.ctx.Err())...); err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := linkAll(dir, out); err != nil {
			return err
		}
	}
	for name := range built {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			return fmt.Errorf("%s was not built: %w", name, err)
		}
	}
	return nil
}

// linkAll puts the programs of one entry into another folder, without using space where the system allows it.
func linkAll(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		source, dest := filepath.Join(from, e.Name()), filepath.Join(to, e.Name())
		if os.Link(source, dest) == nil {
			continue
		}
		if err := copyFile(source, dest); err != nil {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// platform is part of every key: the cache folder may be shared by machines.
func platform() string { return runtime.GOOS + "/" + runtime.GOARCH }
