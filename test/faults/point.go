package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"time"
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
	file, err := os.OpenFile(path, os.O_RDONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	r := bufio.NewReader(file)
	var line []byte
	for {
		part, err := r.ReadBytes('\n')
		line = append(line, part...)
		if err == nil {
			var e event
			if json.Unmarshal(line, &e) == nil { // a killed engine's last line may be cut
				if p, ok := e.point(); ok {
					each(p)
				}
			}
			line = line[:0]
			continue
		}
		if !errors.Is(err, io.EOF) {
			return err
		}
		if ctx.Err() != nil {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}
