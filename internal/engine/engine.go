// Package engine runs the Pulumi CLI on a stack and reads what it did from its log of events. The CLI is called itself,
// because the Automation API hands on neither its exit code nor `--refresh=false`.
package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"plan-charge/internal/lastlines"
	"plan-charge/internal/review"
)

// Stack is what the CLI is called for.
type Stack struct {
	Name   string
	Config string        // file with the stack's configuration; empty: the usual one
	Dir    string        // the project's folder; empty: the current one
	Out    io.Writer     // progress, for people
	Took   time.Duration // so far, by the CLI
}

// killAfter is how long an interrupted CLI has to come to its end.
const killAfter = 5 * time.Minute

// Preview foresees an update. Where the database cannot be reached, it is made once more without asking what is there,
// and what was not seen is part of the plan. The error is for what kept the CLI from telling a plan at all.
func (s *Stack) Preview(ctx context.Context) (*review.Plan, error) {
	plan, err := s.run(ctx, "preview")
	if err != nil || !plan.Failed {
		return plan, err
	}
	away := unreachable(plan)
	if len(away) == 0 {
		return plan, nil
	}
	fmt.Fprintln(s.Out, "the database cannot be reached; previewing without a refresh")
	again, err := s.run(ctx, "preview", "--refresh=false")
	if err != nil {
		return nil, err
	}
	again.Unseen = append([]review.Problem{{Message: "the database cannot be reached, so this is against what the last deployment left, not against what is there"}}, append(away, again.Unseen...)...)
	return again, nil
}

// Up deploys without asking. Its plan says what was done and what failed.
func (s *Stack) Up(ctx context.Context) (*review.Plan, error) {
	return s.run(ctx, "up", "--yes", "--skip-preview")
}

// Drift asks what is there and changes nothing. What fails because the database is away is left out and told as unseen,
// so that the rest is looked at.
func (s *Stack) Drift(ctx context.Context) (*review.Plan, error) {
	plan, err := s.run(ctx, "refresh", "--preview-only")
	if err != nil || !plan.Failed {
		return plan, err
	}
	away := unreachable(plan)
	if len(away) == 0 || slices.ContainsFunc(plan.Errors, func(e review.Problem) bool { return e.URN != "" && !slices.Contains(away, e) && !ofStack(e.URN) }) {
		return plan, nil
	}
	fmt.Fprintln(s.Out, "the database cannot be reached; looking at the rest")
	// One that fails keeps the engine from asking others, so all that stand in the database are left out.
	again, err := s.run(ctx, "refresh", "--preview-only", "--exclude", "**postgresql:index/**", "--exclude", "**pgrows:index:**")
	if err != nil {
		return nil, err
	}
	again.Unseen = append(away, again.Unseen...)
	return again, nil
}

// ofStack is the resource that stands for the whole, which fails with any other.
func ofStack(urn string) bool { return strings.Contains(urn, "::pulumi:pulumi:Stack::") }

// unreachable are the errors that a database out of reach leaves.
func unreachable(p *review.Plan) []review.Problem {
	return slices.DeleteFunc(slices.Clone(p.Errors), func(e review.Problem) bool { return !e.Unreachable() })
}

// run calls the CLI. A plan that failed is no error: it says itself why.
func (s *Stack) run(ctx context.Context, args ...string) (*review.Plan, error) {
	dir, err := os.MkdirTemp("", "plan-charge-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) // the log has values in clear that nobody marked as secret
	log := filepath.Join(dir, "events.jsonl")
	args = append(slices.Clone(args), "--stack", s.Name, "--non-interactive", "--color=never", "--event-log", log)
	if s.Config != "" {
		args = append(args, "--config-file", s.Config)
	}
	said := &lastlines.Keeper{Next: s.Out}
	cmd := exec.CommandContext(ctx, "pulumi", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.Dir, said, said
	cmd.Env = append(os.Environ(), "PULUMI_DEBUG_COMMANDS=true") // for --event-log
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
	cmd.WaitDelay = killAfter
	began := time.Now()
	ended := cmd.Run()
	s.Took += time.Since(began)
	var exit *exec.ExitError
	if ended != nil && !errors.As(ended, &exit) {
		return nil, fmt.Errorf("pulumi: %w", ended)
	}
	plan, err := read(log)
	switch {
	case err != nil && ended != nil:
		return nil, fmt.Errorf("pulumi %s ended with exit code %d: %s", args[0], exit.ExitCode(), said.Last(12))
	case err != nil:
		return nil, err
	}
	if ended != nil {
		plan.Failed = true
		if len(plan.Errors) == 0 {
			plan.Errors = append(plan.Errors, review.Problem{Message: said.Last(12)})
		}
	}
	return plan, nil
}

func read(path string) (*review.Plan, error) {
	log, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	events, err := review.ReadEvents(log)
	if err != nil {
		return nil, err
	}
	return review.FromEvents(events), nil
}
