// Faults deploys a change again and again, breaks something at another point each time, deploys once more and looks
// whether everything is as it should be: the sandbox's answer to "and what if the deployment dies right here?".
//
//	go run ./test/faults                 a handful of points, as CI does
//	go run ./test/faults -points 0       every point of a change once
//	go run ./test/faults -seed 7         the same points in the same order as another run with that seed
//	go run ./test/faults -table FILE     also write the table of outcomes, docs/faults.md
//
// It brings up a sandbox of its own and removes it at the end, unless -state names the folder of one to keep.
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", uint64(time.Now().UnixNano()%1_000_000), "which points and faults, and in which order")
	flag.IntVar(&o.points, "points", 5, "how many points; 0: all")
	flag.DurationVar(&o.limit, "for", 3*time.Hour, "start no further trial after this time")
	flag.StringVar(&o.table, "table", "", "file for the table of outcomes")
	flag.StringVar(&o.state, "state", "", "folder of a sandbox to use and keep")
	flag.Parse()
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
	points int
	limit  time.Duration
	table  string
	state  string
}

func run(ctx context.Context, o options) (bad int, err error) {
	began := time.Now()
	fmt.Printf("seed %d\n", o.seed)
	b, err := newBox(ctx, o.state)
	if err != nil {
		return 0, err
	}
	defer b.close(o.state == "")

	// An undisturbed change tells which points there are, and that the checks hold without a fault.
	b.nextChange()
	reference := b.up(ctx, nil)
	if reference.code != 0 {
		return 0, fmt.Errorf("the undisturbed change failed:\n%s", lastLines(reference.out, 40))
	}
	if err := b.readSecrets(ctx); err != nil {
		return 0, err
	}
	if problems := b.check(ctx, reference.out); len(problems) > 0 {
		return 0, fmt.Errorf("without any fault: %s", strings.Join(problems, "; "))
	}
	fmt.Printf("%d points in an undisturbed change, which took %s\n", len(reference.points), reference.took.Round(time.Second))

	trials := plan(rand.New(rand.NewPCG(o.seed, 0)), reference.points, o.points)
	var done []outcome
	for i, trial := range trials {
		if time.Since(began) > o.limit || ctx.Err() != nil {
			fmt.Printf("%d trials are left out: the time is over\n", len(trials)-i)
			break
		}
		result := trial.run(ctx, b)
		if ctx.Err() != nil {
			break
		}
		done = append(done, result)
		fmt.Printf("%3d/%d %s\n", i+1, len(trials), result)
		if len(result.problems) > 0 {
			bad++
			log := filepath.Join(os.TempDir(), fmt.Sprintf("plan-charge-fault-%d-%d.log", o.seed, i+1))
			if err := os.WriteFile(log, []byte(strings.Join(result.outputs, "\n\n===\n\n")), 0o600); err != nil {
				return bad, err
			}
			fmt.Println("    all that was printed in it:", log)
		}
		if o.table != "" { // after each one: a run that is cut short has its table too
			if err := writeTable(o.table, o.seed, len(reference.points), time.Since(began), done); err != nil {
				return bad, err
			}
		}
	}
	return bad, ctx.Err()
}
