package replay

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"plan-charge/sandbox/box"
	"plan-charge/sandbox/report"
	"plan-charge/test/replay/timeline"
)

// shortest is what an unchanged resource must have taken to be in the picture.
const shortest = 200 * time.Millisecond

// Up runs `pulumi up` on the sandbox's stack and records it. The event log stays in the sandbox's folder.
func Up(ctx context.Context, b *box.Box, log string, flags ...string) (*timeline.Run, error) {
	path := b.File(log)
	// An old log would be taken for the beginning of this one. A log shows much of an account, though no secret.
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return nil, err
	}
	args := append([]string{"up", "--yes", "--skip-preview", "--stack", "sandbox"}, flags...)
	fmt.Printf("\n$ pulumi %s\n", strings.Join(args, " "))
	cmd := b.Pulumi(ctx, append(args, "--event-log", path)...)
	cmd.Env = append(cmd.Env, "PULUMI_DEBUG_COMMANDS=true") // which is what --event-log asks for

	began := time.Now()
	run := timeline.NewRun(began)
	reading, stop := context.WithCancel(context.WithoutCancel(ctx))
	followed := make(chan error, 1)
	go func() { followed <- timeline.Follow(reading, path, run.Add) }()
	err := cmd.Run()
	ended := time.Now()
	stop()
	if logErr := <-followed; logErr != nil {
		fmt.Fprintln(os.Stderr, "sandbox: the run could not be recorded:", logErr) // and is no worse for it
	}
	run.Close(ended)
	return run, err
}

// Draw writes the picture of a run and says where.
func Draw(ctx context.Context, b *box.Box, run *timeline.Run, path, title string, marks []timeline.Mark) error {
	export, err := report.Export(ctx, b)
	if err != nil {
		return err
	}
	graph, err := timeline.ReadGraph(export)
	if err != nil {
		return err
	}
	svg := run.SVG(timeline.Picture{Title: title, Graph: graph, Marks: marks, Shortest: shortest})
	if err := os.WriteFile(path, svg, 0o644); err != nil {
		return fmt.Errorf("write the picture: %w", err)
	}
	fmt.Printf("\n  timeline of the run: %s\n", path)
	return nil
}
