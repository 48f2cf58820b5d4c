package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

// phase is one part of a run, for the table at its end.
type phase struct {
	name string
	took time.Duration
}

// up starts the sandbox, runs the ordinary `pulumi up`, with further flags, on it and shows what works afterwards.
func up(ctx context.Context, flags ...string) error {
	project, err := projectDir()
	if err != nil {
		return err
	}
	var phases []phase
	began := time.Now()
	done := func(name string) {
		phases = append(phases, phase{name, time.Since(began)})
		began = time.Now()
	}

	box, err := setup(ctx, os.Stdout)
	if err != nil {
		return err
	}
	done("set-up")
	if err := ensureDaemon(ctx, os.Stdout, box.state); err != nil {
		return err
	}
	done("start")
	sel := box.command(ctx, "pulumi", "stack", "select", "--create", "--stack", "sandbox")
	sel.Dir, sel.Stdout = project, nil
	if err := sel.Run(); err != nil {
		return err
	}
	run, err := pulumiUp(ctx, box, project, "up.jsonl", flags...)
	if err != nil {
		fmt.Fprintln(os.Stderr, "\n'pulumi up' failed, see above. Correct what it names and run 'make sandbox' again: it goes on from here.")
		return err
	}
	done("pulumi up")

	report, err := inspect(ctx, box, project)
	if err != nil {
		return err
	}
	done("checks")
	report.print(os.Stdout, phases)
	if err := draw(ctx, box, project, run, box.state.file("up.svg"), "plan-charge, one pulumi up", nil); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox: no timeline:", err) // and the deployment is no worse for it
	}
	if !report.good() {
		return errors.New("the deployment ended but not everything works: see the rows marked ✗")
	}
	fmt.Print(`
Next: eval "$(go run ./sandbox env)"   then pulumi preview | up | refresh | destroy, as everywhere
      go run ./sandbox status          what runs, and where
      go run ./sandbox stop            stop it; what was deployed is kept
`)
	return nil
}
