package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func somePoints() []point {
	var points []point
	for _, r := range []struct{ name, kind, op string }{
		{"plan-charge-sandbox", "pulumi:pulumi:Stack", "same"},
		{"network", "plan-charge:infra:Network", "same"},
		{"network-vpc", "aws:ec2/vpc:Vpc", "same"},
		{"migration-run", "command:local:Command", "create-replacement"},
		{"migration-run", "command:local:Command", "delete-replaced"},
		{"organizations-rows", "pgrows:index:Rows", "update"},
		{"service-rollout", "served:index:Rollout", "update"},
	} {
		for _, phase := range []string{"start", "end"} {
			points = append(points, point{Name: r.name, Type: r.kind, Op: r.op, Phase: phase})
		}
	}
	return points
}

func TestASeedGivesTheSamePlan(t *testing.T) {
	points := somePoints()
	want := plan(rand.New(rand.NewPCG(7, 0)), points)
	slices.Reverse(points) // the engine's order is never the same
	if got := plan(rand.New(rand.NewPCG(7, 0)), points); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if other := plan(rand.New(rand.NewPCG(8, 0)), points); slices.Equal(other, want) {
		t.Error("another seed gives the same plan")
	}
}

func TestThePlanHasEveryPointOnceAndKillsOnlyWhatThereIs(t *testing.T) {
	points := somePoints()
	met := map[point]int{}
	for _, trial := range plan(rand.New(rand.NewPCG(1, 0)), points) {
		met[trial.point]++
		if trial.fault == killProvider && !trial.point.custom() {
			t.Errorf("%s: a component has no provider", trial.point)
		}
	}
	for _, p := range points {
		if p.Type == "pulumi:pulumi:Stack" && p.Phase == "end" {
			continue
		}
		if met[p] == 0 {
			t.Errorf("%s is left out", p)
		}
	}
	for _, trial := range plan(rand.New(rand.NewPCG(1, 0)), points, fullDisk) {
		if trial.fault == fullDisk {
			t.Errorf("%s: this fault cannot be made", trial.point)
		}
	}
}

func TestFollowReadsACutLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "events")
	line := `{"%s":{"metadata":{"op":"update","urn":"urn:pulumi:s::p::a$b:c:D::rows","type":"b:c:D"}}}` + "\n"
	text := fmt.Sprintf(line, "resourcePreEvent") + `{"diagnosticEvent":{}}` + "\n" + fmt.Sprintf(line, "resOutputsEvent") + `{"resOutputsEvent":{"meta`
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	var got []string
	if err := follow(ended, path, func(p point) { got = append(got, p.String()) }); err != nil {
		t.Fatal(err)
	}
	if want := []string{"start of update rows", "end of update rows"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
