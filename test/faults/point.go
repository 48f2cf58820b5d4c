package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"plan-charge/test/replay/timeline"
)

// point is a moment of an `up`: the start or the end of what happens to one resource.
type point struct {
	Name  string // of the resource
	Type  string
	Op    string // such as update, create-replacement or same
	Phase string // start or end
}

func (p point) String() string {
	return p.Phase + " of " + p.Op + " " + p.Name
}

// changes tells a point of a resource that is changed from one of a resource that is only looked at.
func (p point) changes() bool { return p.Op != "same" && p.Op != "read" }

// custom resources have a provider that can be killed; components have none.
func (p point) custom() bool {
	return !strings.HasPrefix(p.Type, "plan-charge:") && !strings.HasPrefix(p.Type, "pulumi:")
}

// pkg is the package of the resource's provider, such as aws.
func (p point) pkg() string {
	pkg, _, _ := strings.Cut(p.Type, ":")
	return pkg
}

// event is what matters of one line of the engine's event log.
type event struct {
	Pre  *step `json:"resourcePreEvent"`
	Post *step `json:"resOutputsEvent"`
}

type step struct {
	Metadata struct {
		Op   string `json:"op"`
		URN  string `json:"urn"`
		Type string `json:"type"`
	} `json:"metadata"`
}

func (e event) point() (point, bool) {
	s, phase := e.Pre, "start"
	if s == nil {
		s, phase = e.Post, "end"
	}
	if s == nil {
		return point{}, false
	}
	m := s.Metadata
	return point{Name: m.URN[strings.LastIndex(m.URN, "::")+2:], Type: m.Type, Op: m.Op, Phase: phase}, true
}

// follow calls each with every point in an event log as it is written, until ctx ends and the log has been read.
func follow(ctx context.Context, path string, each func(point)) error {
	return timeline.Follow(ctx, path, func(_ time.Time, line []byte) error {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			return fmt.Errorf("the engine's event log: %w", err)
		}
		if p, ok := e.point(); ok {
			each(p)
		}
		return nil
	})
}
