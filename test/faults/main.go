// Faults deploys a change again and again, breaks something at another point each time, deploys once more and looks
// whether everything is as it should be: the sandbox's answer to "and what if the deployment dies right here?".
//
//	go run ./test/faults                 a handful of points, as CI does
//	go run ./test/faults -points 0       every point of a change once
//	go run ./test/faults -only "disk"    those whose point or fault is named so
//	go run ./test/faults -seed 7         the same points in the same order as another run with that seed
//	go run ./test/faults -boxes 2        side by side on two sandboxes
//	go run ./test/faults -table FILE     also write the table of outcomes, docs/faults.md
//
// It brings up sandboxes of its own and removes them at the end, unless -state names the folder of one to keep.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"plan-charge/internal/lastlines"
)

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()%1_000_000), "which points and faults, and in which order")
	flag.IntVar(&o.points, "points", 5, "how many points; 0: all")
	only := flag.String("only", "", "regular expression that a trial's `point | fault` has to match")
	flag.DurationVar(&o.limit, "for", 3*time.Hour, "start no further trial after this time")
	flag.IntVar(&o.boxes, "boxes", 1, "how many sandboxes to try on at the same time")
	flag.StringVar(&o.table, "table", "", "file for the table of outcomes")
	flag.StringVar(&o.state, "state", "", "folder of a sandbox to use and keep")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		fmt.Fprintln(os.Stderr, "faults: -only:", err)
		os.Exit(2)
	}
	if flag.NArg() > 0 || o.points < 0 || o.boxes < 1 || o.state != "" && o.boxes > 1 {
		fmt.Fprintln(os.Stderr, "faults: -points from 0, -boxes from 1, one with -state, and nothing else, for example: go run ./test/faults -points 10 -boxes 2")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	bad, err := run(ctx, o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
	if bad > 0 {
		fmt.Fprintf(os.Stderr, "faults: %d trials ended badly, see above; seed %d\n", bad, o.seed)
		os.Exit(1)
	}
}

type options struct {
	seed   uint64
	points int // 0: all
	only   *regexp.Regexp
	boxes  int
	limit  time.Duration
	table  string
	state  string
}

func run(ctx context.Context, o options) (bad int, err error) {
	began := time.Now()
	fmt.Printf("seed %d\n", o.seed)
	boxes := make([]*box, o.boxes)
	errs := make([]error, o.boxes)
	var starting sync.WaitGroup
	for i := range boxes {
		starting.Go(func() { boxes[i], errs[i] = newBox(ctx, o.state) })
	}
	starting.Wait()
	for _, b := range boxes {
		if b != nil {
			defer b.close()
		}
	}
	if err := errors.Join(errs...); err != nil {
		return 0, err
	}

	// An undisturbed change tells which points there are, and that the checks hold without a fault.
	b := boxes[0]
	b.nextChange()
	reference := b.up(ctx, nil)
	if reference.code != 0 {
		return 0, fmt.Errorf("the undisturbed change failed:\n%s", lastlines.Of(reference.out, 40))
	}
	if problems := b.check(ctx, reference.out); len(problems) > 0 {
		return 0, fmt.Errorf("without any fault: %s", strings.Join(problems, "; "))
	}
	fmt.Printf("%d points in an undisturbed change, which took %s\n", len(reference.points), reference.took.Round(time.Second))

	without := []string{}
	if b.disk == nil {
		without = append(without, fullDisk)
	}
	trials := plan(rand.New(rand.NewPCG(o.seed, 0)), reference.points, without...)
	trials = slices.DeleteFunc(trials, func(t trial) bool { return !o.only.MatchString(t.where() + " | " + t.fault) })
	if o.points > 0 {
		trials = trials[:min(o.points, len(trials))]
	}
	var done []outcome
	var recording sync.Mutex
	record := func(n int, result outcome) (err error) {
		recording.Lock()
		defer recording.Unlock()
		done = append(done, result)
		fmt.Printf("%3d/%d %s\n", len(done), len(trials), result)
		if len(result.problems) > 0 {
			bad++
			log := filepath.Join(os.TempDir(), fmt.Sprintf("plan-charge-fault-%d-%d.log", o.seed, n+1))
			err = os.WriteFile(log, []byte(strings.Join(result.outputs, "\n\n===\n\n")), 0o600)
			fmt.Println("    all that was printed in it:", log)
		}
		if o.table != "" { // after each one: a run that is cut short has its table too
			err = errors.Join(err, writeTable(o.table, o.seed, len(reference.points), len(trials), time.Since(began), done))
		}
		return err
	}
	queue := make(chan int, len(trials))
	for n := range trials {
		queue <- n
	}
	close(queue)
	var trying sync.WaitGroup
	for i, b := range boxes {
		trying.Go(func() {
			for n := range queue {
				if time.Since(began) > o.limit || ctx.Err() != nil {
					return
				}
				if result := trials[n].run(ctx, b); ctx.Err() == nil {
					errs[i] = errors.Join(errs[i], record(n, result))
				}
			}
		})
	}
	trying.Wait()
	if len(done) < len(trials) {
		fmt.Printf("%d trials are left out: the time is over\n", len(trials)-len(done))
	}
	return bad, errors.Join(append(errs, ctx.Err())...)
}
