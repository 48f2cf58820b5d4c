// Package timeline turns the event log of one Pulumi update into a picture: each resource a bar, and marked among them
// the chain of dependencies that took the longest.
package timeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Operation is one thing that the engine did with one resource. Times count from the start of the run.
type Operation struct {
	URN        string
	Type       string // such as aws:ecs/service:Service
	Name       string
	Op         string // as the engine calls it: refresh, same, create, update, replace, …
	Start, End time.Duration
	Failed     bool
}

// Took is how long it lasted.
func (o Operation) Took() time.Duration { return o.End - o.Start }

// changes tells whether the operation changed something outside the state.
func (o Operation) changes() bool {
	return o.Op != "same" && o.Op != "refresh" && !strings.HasPrefix(o.Op, "read")
}

// onTheWay tells whether others wait for the operation: refreshing comes before all of it, and what was replaced is
// deleted at the end.
func (o Operation) onTheWay() bool { return o.Op != "refresh" && !strings.HasPrefix(o.Op, "delete") }

// Run is one update, as its event log tells it.
type Run struct {
	Operations []Operation // in the order they started
	Took       time.Duration
	Failed     bool

	began time.Time
	open  map[[2]string]int // URN and op to the operation that has not ended
}

// NewRun is a run that began at the given time and of which nothing is known yet.
func NewRun(began time.Time) *Run {
	return &Run{began: began, open: map[[2]string]int{}}
}

type event struct {
	ResourcePreEvent *stepEvent
	ResOutputsEvent  *stepEvent
	ResOpFailedEvent *stepEvent
	SummaryEvent     *struct{ Result string }
}

type stepEvent struct {
	Planning bool
	Metadata struct {
		Op, URN, Type string
		New, Old      *struct{ Custom bool }
	}
}

// Add takes the next line of the log and the time it was written. The log itself has whole seconds only, which is too
// coarse for most resources.
func (r *Run) Add(at time.Time, line []byte) error {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		return fmt.Errorf("line of the event log: %w", err)
	}
	since := at.Sub(r.began)
	r.Took = max(r.Took, since)
	switch {
	case e.ResourcePreEvent != nil:
		r.start(e.ResourcePreEvent, since)
	case e.ResOutputsEvent != nil:
		r.end(e.ResOutputsEvent, since, false)
	case e.ResOpFailedEvent != nil:
		r.end(e.ResOpFailedEvent, since, true)
	case e.SummaryEvent != nil && e.SummaryEvent.Result == "failed":
		r.Failed = true
	}
	return nil
}

func (r *Run) start(e *stepEvent, since time.Duration) {
	m := e.Metadata
	custom := m.New != nil && m.New.Custom || m.Old != nil && m.Old.Custom
	// Components and providers do nothing themselves; a replacement is told as its creation and its deletion.
	if e.Planning || !custom || strings.HasPrefix(m.Type, "pulumi:") || m.Op == "replace" {
		return
	}
	r.open[[2]string{m.URN, m.Op}] = len(r.Operations)
	r.Operations = append(r.Operations, Operation{
		URN: m.URN, Type: m.Type, Name: nameOf(m.URN), Op: m.Op, Start: since, End: since,
	})
}

func (r *Run) end(e *stepEvent, since time.Duration, failed bool) {
	key := [2]string{e.Metadata.URN, e.Metadata.Op}
	i, ok := r.open[key]
	if !ok {
		return
	}
	delete(r.open, key)
	r.Operations[i].End, r.Operations[i].Failed = since, failed
	r.Failed = r.Failed || failed
}

// Close ends the run. Operations that never reported an end were cut off with it.
func (r *Run) Close(at time.Time) {
	r.Took = max(r.Took, at.Sub(r.began))
	for key, i := range r.open {
		r.Operations[i].End, r.Operations[i].Failed = r.Took, true
		delete(r.open, key)
	}
}

func nameOf(urn string) string {
	return urn[strings.LastIndex(urn, "::")+2:]
}

// component is what a resource belongs to: the outermost component above it, or "" in none. Types of nested resources
// are chained with $ in a URN, but names are not, so the state has to be asked.
func (g *Graph) component(urn string) string {
	name := ""
	for parent := g.parents[urn]; parent != ""; parent = g.parents[parent] {
		if !strings.Contains(parent, "::pulumi:pulumi:Stack::") {
			name = nameOf(parent)
		}
	}
	return name
}

// Graph is what the resources of a stack wait for.
type Graph struct {
	needs   map[string][]string
	parents map[string]string
}

// ReadGraph reads what `pulumi stack export` prints.
func ReadGraph(export []byte) (*Graph, error) {
	var state struct {
		Deployment struct {
			Resources []struct {
				URN, Parent, Provider string
				Dependencies          []string
				PropertyDependencies  map[string][]string
			}
		}
	}
	if err := json.Unmarshal(export, &state); err != nil {
		return nil, fmt.Errorf("stack export: %w", err)
	}
	g := &Graph{needs: map[string][]string{}, parents: map[string]string{}}
	for _, r := range state.Deployment.Resources {
		all := slices.Clone(r.Dependencies)
		for _, d := range r.PropertyDependencies {
			all = append(all, d...)
		}
		// A provider is referred to as URN::ID, and waits for what it is made of.
		if i := strings.LastIndex(r.Provider, "::"); i > 0 {
			all = append(all, r.Provider[:i])
		}
		slices.Sort(all)
		g.needs[r.URN], g.parents[r.URN] = slices.Compact(all), r.Parent
	}
	return g, nil
}

// Chain is the chain of dependencies that the run's end waited for, as URNs from its first resource to its last: back from
// what ended last, each time to the dependency that ended last.
func (r *Run) Chain(g *Graph) []string {
	ends := map[string]time.Duration{}
	last := ""
	for _, o := range r.Operations {
		if !o.onTheWay() {
			continue
		}
		ends[o.URN] = max(ends[o.URN], o.End)
		if last == "" || o.End > ends[last] {
			last = o.URN
		}
	}
	var chain []string
	for seen := map[string]bool{}; last != "" && !seen[last]; { // a damaged state could hold a circle
		seen[last] = true
		chain = append(chain, last)
		last = latest(g, last, ends, map[string]bool{})
	}
	slices.Reverse(chain)
	return chain
}

// latest is what urn waited for the longest, also through resources that do nothing themselves, such as providers.
func latest(g *Graph, urn string, ends map[string]time.Duration, seen map[string]bool) (need string) {
	seen[urn] = true
	for _, n := range g.needs[urn] {
		if _, ok := ends[n]; !ok && !seen[n] {
			n = latest(g, n, ends, seen)
		}
		if _, ok := ends[n]; ok && (need == "" || ends[n] > ends[need]) {
			need = n
		}
	}
	return need
}
