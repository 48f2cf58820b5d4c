// Package replay builds the incident on a sandbox by hand, and watches how one `pulumi up` heals it.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"plan-charge/internal/progress"
	"plan-charge/sandbox/box"
	"plan-charge/sandbox/report"
	"plan-charge/test/replay/timeline"
)

// Run builds the incident by hand, runs the ordinary `pulumi up` on it and watches from outside how its faults
// disappear. A deployment that works is there; the picture of that run is written to a file.
func Run(ctx context.Context, b *box.Box, picture string) error {
	status, err := report.Look(ctx, b, true)
	if err != nil {
		return err
	}
	i, err := newIncident(ctx, b, status)
	if err != nil {
		return err
	}

	fmt.Print("\nThe incident, built by hand through the AWS API and SQL:\n")
	if err := i.build(ctx, os.Stdout); err != nil {
		return err
	}
	symptoms, err := i.symptoms(status)
	if err != nil {
		return err
	}
	step := progress.Start(os.Stdout, "look at it from outside", 3*time.Second)
	err = awaitAll(ctx, symptoms, false, time.Minute)
	step.Done(err)
	if err != nil {
		return fmt.Errorf("the incident could not be built, this is as it should be: %w", err)
	}
	for _, s := range symptoms {
		seen, _ := s.result()
		fmt.Printf("✗ %-38s %s\n", s.what, seen)
	}

	began := time.Now()
	healing := progress.Start(os.Stdout, "heal it by one pulumi up", time.Minute)
	stop := watch(ctx, os.Stdout, symptoms)
	// Line by line, because what is seen from outside is said between its lines.
	run, err := Up(ctx, b, "replay.jsonl", "--non-interactive", "--suppress-progress")
	stop()
	healing.Done(err)
	if err != nil {
		fmt.Fprintln(os.Stderr, "\n'pulumi up' failed, see above. What was built by hand is still there; another 'replay' goes on from here.")
	} else if late := awaitAll(ctx, symptoms, true, 10*time.Second); late == nil {
		step := progress.Start(os.Stdout, "remove what was made by hand", 5*time.Second)
		err = i.clean(ctx)
		step.Done(err)
	}

	printReplay(os.Stdout, symptoms, began)
	drawn := Draw(ctx, b, run, picture, "The incident, and one pulumi up", marks(symptoms, began))
	return errors.Join(err, left(symptoms), drawn)
}

// left names the symptoms that did not disappear.
func left(symptoms []*symptom) error {
	var names []string
	for _, s := range symptoms {
		if seen, since := s.result(); since.IsZero() {
			names = append(names, fmt.Sprintf("%s (%s)", s.what, seen))
		}
	}
	if len(names) == 0 {
		return nil
	}
	return errors.New("not healed: " + strings.Join(names, "; "))
}

func printReplay(w io.Writer, symptoms []*symptom, began time.Time) {
	line := func(mark, what, before, after, gone string) {
		fmt.Fprintf(w, "%1s %-38s %-42s %-42s %s\n", mark, what, before, after, gone)
	}
	fmt.Fprintln(w)
	line("", "fault", "before", "after", "gone after")
	fault := true
	for _, s := range symptoms {
		if fault && !s.fault {
			line("", "what users see of them", "", "", "")
			fault = false
		}
		mark, gone := "✗", "never"
		seen, since := s.result()
		if !since.IsZero() {
			mark, gone = "✓", fmt.Sprintf("%.1f s", since.Sub(began).Seconds())
		}
		line(mark, s.what, s.before, seen, gone)
	}
}

// marks are the moments at which faults disappeared, and the one from which on people could log in.
func marks(symptoms []*symptom, began time.Time) []timeline.Mark {
	labels := map[string]string{
		"DATABASE_URL names another database": "only the right database in use",
		"the schema is gone":                  "schema there",
		"no organizations":                    "organizations there",
		"errors are cached by default":        "errors no longer cached",
		"login, valid token":                  "people can log in",
	}
	var marks []timeline.Mark
	for _, s := range symptoms {
		if _, since := s.result(); labels[s.what] != "" && !since.IsZero() {
			marks = append(marks, timeline.Mark{At: since.Sub(began), Label: labels[s.what]})
		}
	}
	return marks
}
