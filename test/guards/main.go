// Guards takes each guard of the table in guards.go out of a copy of the project, one at a time, and looks whether the
// test that is named beside it fails: a guard that no test misses may be lost without anybody noticing.
//
//	go run ./test/guards               every guard
//	go run ./test/guards -run REGEXP   those whose part or description fits, such as ^Rollouts
//	go run ./test/guards -table FILE   also write the table, docs/guards.md
//
// The named tests have to pass with all guards in place, and each must fail, not just stop compiling or panic.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	choice := flag.String("run", "", "regular expression for the guards to take out; all when empty")
	table := flag.String("table", "", "file to write the table to, once every guard is missed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *choice, *table); err != nil {
		fmt.Fprintln(os.Stderr, "guards:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, choice, table string) error {
	if choice != "" && table != "" {
		return errors.New("found -run and -table; allowed: one of them, since the table has every guard")
	}
	wanted, err := regexp.Compile(choice)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	var chosen []guard
	for _, p := range parts {
		for _, g := range p.guards {
			if wanted.MatchString(p.title + ": " + g.what) {
				chosen = append(chosen, g)
			}
		}
	}
	// One package after the other, so that the build cache holds what the next guard needs.
	slices.SortStableFunc(chosen, func(a, b guard) int { return strings.Compare(a.pkg, b.pkg) })
	began := time.Now()
	mistakes, err := proveAll(ctx, chosen)
	if err != nil {
		return err
	}
	if len(mistakes) > 0 {
		return fmt.Errorf("%d of %d guards are not proven:\n\n%s", len(mistakes), len(chosen), strings.Join(mistakes, "\n\n"))
	}
	fmt.Printf("%d guards, each missed by its test, in %s\n", len(chosen), time.Since(began).Round(time.Second))
	if table == "" {
		return nil
	}
	return os.WriteFile(table, []byte(render()), 0o644)
}

// proveAll returns what is wrong with the guards; the error is for not being able to tell.
func proveAll(ctx context.Context, chosen []guard) (mistakes []string, err error) {
	dir, err := os.MkdirTemp("", "guards-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := copyProject(ctx, dir); err != nil {
		return nil, fmt.Errorf("copy the project: %w", err)
	}
	whole, err := unbroken(ctx, dir, chosen)
	if err != nil {
		return nil, err
	}
	for i, g := range chosen {
		started := time.Now()
		wrong := whole[g.pkg].notPassed(g.test)
		if wrong == "" {
			wrong = prove(ctx, dir, g)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		word := "missed by"
		if wrong != "" {
			word = "NOT PROVEN by"
			mistakes = append(mistakes, fmt.Sprintf("%s (%s, %s in %s): %s", g.what, g.file, g.test, g.pkg, wrong))
		}
		fmt.Printf("%3d/%d %5.1fs  %s: %s %s\n", i+1, len(chosen), time.Since(started).Seconds(), g.what, word, g.test)
	}
	return mistakes, nil
}

// unbroken runs every named test with all guards in place, by package.
func unbroken(ctx context.Context, dir string, chosen []guard) (map[string]result, error) {
	tests := map[string][]string{}
	var packages []string
	for _, g := range chosen {
		if tests[g.pkg] == nil {
			packages = append(packages, g.pkg)
		}
		name, _, _ := strings.Cut(g.test, "/")
		if !slices.Contains(tests[g.pkg], name) {
			tests[g.pkg] = append(tests[g.pkg], name)
		}
	}
	results := map[string]result{}
	for _, pkg := range packages {
		started := time.Now()
		r, err := goTest(ctx, dir, pkg, "^("+strings.Join(tests[pkg], "|")+")$")
		if err != nil {
			return nil, err
		}
		results[pkg] = r
		fmt.Printf("%13.1fs  %s: %d named tests with every guard in place\n", time.Since(started).Seconds(), pkg, len(tests[pkg]))
	}
	return results, nil
}

// prove takes one guard out, runs its test and puts it back. It returns what is wrong, or "".
func prove(ctx context.Context, dir string, g guard) (wrong string) {
	path := filepath.Join(dir, g.file)
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	broken, err := g.remove(string(text))
	if err != nil {
		return err.Error()
	}
	if err := os.WriteFile(path, []byte(broken), 0o644); err != nil {
		return err.Error()
	}
	defer func() {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			wrong = err.Error()
		}
	}()
	r, err := goTest(ctx, dir, g.pkg, g.pattern())
	if err != nil {
		return err.Error()
	}
	return r.notFailed(g.test)
}

// remove returns the file's text without the guard.
func (g guard) remove(text string) (string, error) {
	if n := strings.Count(text, g.old); n != 1 {
		return "", fmt.Errorf("its text is %d times in the file, not once:\n%s", n, g.old)
	}
	if g.old == g.new {
		return "", errors.New("its text and the one without it are the same")
	}
	return strings.Replace(text, g.old, g.new, 1), nil
}

// pattern is what go test -run takes for the guard's test and no other.
func (g guard) pattern() string {
	levels := strings.Split(g.test, "/")
	for i, name := range levels {
		levels[i] = "^" + regexp.QuoteMeta(name) + "$"
	}
	return strings.Join(levels, "/")
}
