package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"plan-charge/sandbox/box"
	"plan-charge/sandbox/report"
	"plan-charge/test/replay"
)

// up starts the sandbox, runs the ordinary `pulumi up` on it and shows what works afterwards.
func up(ctx context.Context) error {
	var phases []report.Phase
	began := time.Now()
	done := func(name string) {
		phases = append(phases, report.Phase{Name: name, Took: time.Since(began)})
		began = time.Now()
	}

	b, err := box.Open()
	if err != nil {
		return err
	}
	if err := b.Prepare(ctx, os.Stdout); err != nil {
		return err
	}
	done("set-up")
	if err := b.Start(ctx, os.Stdout); err != nil {
		return err
	}
	done("start")
	sel := b.Pulumi(ctx, "stack", "select", "--create", "--stack", "sandbox")
	sel.Stdout = nil
	if err := sel.Run(); err != nil {
		return err
	}
	run, err := replay.Up(ctx, b, "up.jsonl")
	if err != nil {
		fmt.Fprintln(os.Stderr, "\n'pulumi up' failed, see above. Correct what it names and run 'make sandbox' again: it goes on from here.")
		return err
	}
	done("pulumi up")

	found, err := report.Inspect(ctx, b)
	if err != nil {
		return err
	}
	done("checks")
	found.Print(os.Stdout, phases)
	if err := replay.Draw(ctx, b, run, b.File("up.svg"), "plan-charge, one pulumi up", nil); err != nil {
		fmt.Fprintln(os.Stderr, "sandbox: no timeline:", err) // and the deployment is no worse for it
	}
	if !found.Good() {
		return errors.New("the deployment ended but not everything works: see the rows marked ✗")
	}
	fmt.Print(`
Next: eval "$(go run ./sandbox env)"   then pulumi preview | up | refresh | destroy, as everywhere
      go run ./sandbox status          what runs, and where
      go run ./sandbox stop            stop it; what was deployed is kept
`)
	return nil
}
