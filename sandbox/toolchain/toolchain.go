// Package toolchain provides what `pulumi up` needs on a machine that can download nothing but Go modules: the CLI, a
// Go language host and the provider plugins, in one folder that is put first on PATH. The official ones are taken where
// they can be had; otherwise everything is built once and kept in the cache.
package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"plan-charge/sandbox/cache"
	"plan-charge/sandbox/progress"
)

// Version is that of the Pulumi CLI, and of the SDK that the program is written with.
const Version = "3.259.0"

// Tools is a complete set of programs.
type Tools struct {
	// BinDir holds pulumi, pulumi-language-go and a pulumi-resource-NAME for each plugin. It goes first on PATH.
	BinDir string
	// Kinds says for each program in BinDir what it is. Tests print it, because a stand-in proves less.
	Kinds map[string]Kind
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

// official says whether everything is as published.
func (t *Tools) Official() bool {
	for _, kind := range t.Kinds {
		if kind != Official {
			return false
		}
	}
	return true
}

// Environ returns the variables that the tools need, as NAME=value. PATH is not among them.
func (t *Tools) Environ() []string {
	return []string{
		"PULUMI_SKIP_UPDATE_CHECK=true", // these versions belong together
		"PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION=true",
		"PULUMI_IGNORE_AMBIENT_PLUGINS=false", // the plugins are found on PATH
	}
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
	root, err := repository()
	if err != nil {
		return nil, err
	}
	if tools, err := findOfficial(ctx, w); err != nil || tools != nil {
		return tools, err
	}
	b, err := newBuilder(ctx, root, w)
	if err != nil {
		return nil, err
	}
	cli, own, bridged, err := b.keys()
	if err != nil {
		return nil, err
	}
	dir, err := cache.Ensure(ctx, "tools", cache.Key(cli, own, bridged), func(out string) error {
		if err := b.checkDisk(); err != nil {
			return err
		}
		step := progress.Start(w, "build the Pulumi CLI and its plugins", expected)
		err := b.buildAll(step, out, cli, own, bridged)
		step.Done(err)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Tools{BinDir: dir, Kinds: built}, nil
}

// expected is what building from empty caches takes on two cores.
const expected = 8 * time.Minute

// buildAll builds the three groups side by side. The bridged plugins start first: they have the longest single compile,
// which the other groups fill the second core beside.
func (b *builder) buildAll(step *progress.Step, out, cli, own, bridged string) error {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	c := *b
	c.ctx = ctx
	groups := []struct {
		what  string
		build func() (string, error)
	}{
		{"AWS and PostgreSQL plugins", func() (string, error) { return c.bridged(bridged) }},
		{"CLI", func() (string, error) { return c.cli(cli) }},
		{"language host, command and random plugins", func() (string, error) { return c.own(own) }},
	}
	var mu sync.Mutex
	var running []string
	var errs []error
	dirs := make([]string, len(groups))
	note := func() {
		text := ""
		for i, what := range running {
			if i > 0 {
				text += ", "
			}
			text += what
		}
		step.Note(text)
	}
	for _, g := range groups {
		running = append(running, g.what)
	}
	note()
	var all sync.WaitGroup
	for i, g := range groups {
		all.Go(func() {
			dir, err := g.build()
			mu.Lock()
			defer mu.Unlock()
			for j, what := range running {
				if what == g.what {
					running = append(running[:j], running[j+1:]...)
					break
				}
			}
			note()
			dirs[i] = dir
			if err != nil {
				// The others are stopped by this failure and report only that.
				if ctx.Err() == nil || !errors.Is(err, context.Canceled) {
					errs = append(errs, fmt.Errorf("build %s: %w", g.what, err))
				}
				cancel()
			}
		})
	}
	all.Wait()
	if b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
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
