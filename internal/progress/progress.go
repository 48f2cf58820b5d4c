// Package progress reports long steps so that they read well in a terminal and in a CI log:
// a line when a step starts, one every few seconds while it runs, and one when it ends.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// beat is how often a running step says that it is still there.
const beat = 8 * time.Second

// Step is one long piece of work that is being reported.
type Step struct {
	w        io.Writer
	what     string
	expected time.Duration
	started  time.Time

	mu   sync.Mutex
	note string
	done chan struct{}
	once sync.Once
}

// Start announces a step that is expected to take about the given time (0: unknown).
func Start(w io.Writer, what string, expected time.Duration) *Step {
	s := &Step{w: w, what: what, expected: expected, started: time.Now(), done: make(chan struct{})}
	if expected > 0 {
		fmt.Fprintf(w, "… %s (about %s)\n", what, round(expected))
	} else {
		fmt.Fprintf(w, "… %s\n", what)
	}
	go s.run()
	return s
}

func (s *Step) run() {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-s.done:
			return
		case <-tick.C:
			s.mu.Lock()
			line := fmt.Sprintf("… %s: %s", s.what, round(time.Since(s.started)))
			if s.expected > 0 {
				line += fmt.Sprintf(" of about %s", round(s.expected))
			}
			if s.note != "" {
				line += ", " + s.note
			}
			fmt.Fprintln(s.w, line)
			s.mu.Unlock()
		}
	}
}

// Note sets the detail that the next line carries, such as the item being worked on.
func (s *Step) Note(note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note = note
}

// Tell sets the detail and says it at once, where it is another one than before.
func (s *Step) Tell(note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if note != s.note {
		s.note = note
		fmt.Fprintf(s.w, "… %s: %s, %s\n", s.what, round(time.Since(s.started)), note)
	}
}

// Done ends the step. Calls after the first do nothing.
func (s *Step) Done(err error) {
	s.once.Do(func() {
		close(s.done)
		s.mu.Lock()
		defer s.mu.Unlock()
		took := round(time.Since(s.started))
		if err != nil {
			fmt.Fprintf(s.w, "✗ %s failed after %s\n", s.what, took)
			return
		}
		fmt.Fprintf(s.w, "✓ %s (%s)\n", s.what, took)
	})
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
