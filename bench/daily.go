package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"plan-charge/test/testbed"
)

// rounds is how often each command is measured; the median counts.
const rounds = 5

// daily measures what is typed every day on a stack that is as declared, in turn with an engine that has nothing to do.
func (s sandbox) daily() error {
	const idle = "--cwd=bench/idle"
	defer os.Remove("bench/idle/Pulumi.idle.yaml") // which init writes
	if _, err := s.pulumi("stack", "init", "idle", idle); err != nil {
		return err
	}
	commands := []struct {
		name string
		args []string
	}{
		{"preview", []string{"preview"}},
		{"preview that does not look", []string{"preview", "--refresh=false"}},
		{"up", []string{"up", "--yes", "--skip-preview"}},
		{"up that does not look", []string{"up", "--yes", "--skip-preview", "--refresh=false"}},
		{"refresh, what it would change", []string{"refresh", "--preview-only", "--expect-no-changes"}},
		{"preview of 100 idle resources", []string{"preview", idle}},
		{"up of 100 idle resources", []string{"up", "--yes", "--skip-preview", idle}},
	}
	took := map[string][]time.Duration{}
	for range rounds + 1 {
		for _, c := range commands {
			d, err := s.pulumi(c.args...)
			if err != nil {
				return err
			}
			took[c.name] = append(took[c.name], d)
		}
	}
	for _, c := range commands {
		all := slices.Sorted(slices.Values(took[c.name][1:])) // the first builds the program
		fmt.Printf("%-44s %10s\n", "pulumi "+c.name, all[rounds/2].Round(10*time.Millisecond))
	}
	return nil
}

// pulumi runs a command in the sandbox and says how long it took.
func (s sandbox) pulumi(args ...string) (time.Duration, error) {
	cmd, err := s.Pulumi(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	if out, err := testbed.Output(cmd); err != nil {
		return 0, fmt.Errorf("pulumi %v: %w\n%s", args, err, out)
	}
	return time.Since(began), nil
}
