package resource_test

import (
	"errors"
	"strings"
	"testing"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

func capacityInputs() property.Map {
	return obj(map[string]any{
		"cluster": "c", "service": "backend", "taskDefinition": definition, "minimum": 2, "timeout": "100ms", "timeoutKey": "service.timeout", "region": "eu-west-3",
	})
}

func TestCapacity(t *testing.T) {
	w := newWorld(t)
	s, err := w.create(capacityURN, capacityInputs())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "id", s.id, "c/backend")
	equal(t, "desired", s.output("desired"), "ok")
	for _, tasks := range []int32{2, 6, 3} { // autoscaling's to say
		w.change(func() { w.desired, w.running = tasks, tasks })
		var diff string
		s, diff = w.refresh(s)
		equal(t, "diff", diff+s.output("desired"), "ok")
	}

	w.change(func() { w.desired, w.running = 0, 0 })
	for range 2 {
		var diff string
		s, diff = w.refresh(s)
		equal(t, "set to nothing", diff+": "+s.output("desired"), "desired: 0 tasks are wanted, the minimum is 2")
	}
	if s, err = w.update(s, s.inputs); err != nil {
		t.Fatal(err)
	}
	equal(t, "desired", w.diff(s, s.inputs)+s.output("desired"), "ok")
	if w.desired != 2 {
		t.Errorf("%d tasks are wanted, want 2", w.desired)
	}

	w.change(func() { w.err = errors.New("AWS is away") })
	_, diff := w.refresh(s)
	equal(t, "unseen", diff, "desired")
	w.change(func() { w.err = nil })

	w.change(func() { w.desired, w.running, w.broken = 3, 0, true })
	s, _ = w.refresh(s)
	equal(t, "none comes up", s.output("desired"), "no task runs")
	_, err = w.update(s, s.inputs)
	if err == nil || !strings.Contains(err.Error(), "0 of at least 2 tasks run, no task runs; the time allowed by service.timeout, 100ms, has run out") {
		t.Errorf("got %v", err)
	}
	if w.desired != 3 {
		t.Errorf("%d tasks are wanted, want 3 as autoscaling left it", w.desired)
	}
}

func TestCapacityLooksAgain(t *testing.T) {
	w := newWorld(t)
	s, err := w.create(capacityURN, capacityInputs())
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"cluster": "cluster", "service": "service", "taskDefinition": "taskDefinition", "timeout": "", "region": ""} {
		equal(t, key, w.diff(s, s.inputs.Set(key, property.New("x"))), want)
	}
	more := s.inputs.Set("minimum", property.New(4.0))
	equal(t, "minimum", w.diff(s, more), "minimum")
	if _, err := w.update(s, more); err != nil || w.desired != 4 {
		t.Errorf("%d tasks are wanted, want 4 (%v)", w.desired, err)
	}
}

func TestMistakesInCapacity(t *testing.T) {
	w := newWorld(t)
	resp, err := w.server.Check(p.CheckRequest{Urn: capacityURN, Inputs: capacityInputs().Set("minimum", property.New(0.0)).Set("timeout", property.New("-1s"))})
	if err != nil || len(resp.Failures) != 2 {
		t.Error(err, resp.Failures)
	}
}
