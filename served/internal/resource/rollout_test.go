package resource_test

import (
	"errors"
	"strings"
	"testing"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

func rolloutInputs() property.Map {
	return obj(map[string]any{
		"cluster": "c", "service": "backend", "taskDefinition": definition, "targetGroup": targetGroup, "container": "backend", "port": 8000.0,
		"settings": "1", "site": "https://site.example", "healthPath": "/health",
		"timeout": "1m", "timeoutKey": "service.timeout", "region": "eu-west-3",
	})
}

func TestRollout(t *testing.T) {
	w := newWorld(t)
	s, err := w.create(rolloutURN, rolloutInputs())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "id", s.id, "c/backend")
	for range 10 {
		var diff string
		s, diff = w.refresh(s)
		equal(t, "an unchanged service", diff+s.output("deployed"), "ok")
	}
	if len(w.deployed) > 0 {
		t.Errorf("deployed without need: %q", w.deployed)
	}

	// Somebody deploys by hand, or ECS has gone back: the program's own service need not have changed.
	w.change(func() { w.definition = earlier })
	for range 2 {
		var diff string
		s, diff = w.refresh(s)
		equal(t, "another version", diff+": "+s.output("deployed"), "deployed: backend:6 is deployed")
	}
	if s, err = w.update(s, s.inputs); err != nil {
		t.Fatal(err)
	}
	equal(t, "asked for", strings.Join(w.deployed, " "), definition)
	equal(t, "healed", w.diff(s, s.inputs)+s.output("deployed"), "ok")

	w.change(func() { w.err = errors.New("AWS is away") })
	_, diff := w.refresh(s)
	equal(t, "unseen", diff, "deployed")
}

// A rollout that failed is followed again by the next update, whatever has become of the inputs until then.
func TestFailedRollout(t *testing.T) {
	w := newWorld(t)
	w.change(func() { w.definition, w.refuses = earlier, definition })
	s, err := w.create(rolloutURN, rolloutInputs())
	if err == nil || s.id == "" {
		t.Fatalf("got %v, %+v", err, s)
	}
	for _, part := range []string{
		"does not run what was deployed", "wanted:  backend:7", "  failed   the rollout", "  serves   backend:6: 2 of 2 tasks run",
		"  site     https://site.example answers GET /health with 200", "  next     `pulumi config set image",
	} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in %v", part, err)
		}
	}
	equal(t, "diff", w.diff(s, s.inputs), "deployed")
	equal(t, "deployed", s.output("deployed"), "backend:6 is deployed")
	for range 10 {
		before := s.output("deployed")
		s, _ = w.refresh(s)
		equal(t, "a refresh after the failure", s.output("deployed"), before)
	}
	w.change(func() { w.refuses = "" })
	if s, err = w.update(s, s.inputs); err != nil {
		t.Fatal(err)
	}
	equal(t, "diff", w.diff(s, s.inputs)+s.output("deployed"), "ok")

	before := s.inputs
	w.change(func() { w.definition, w.refuses = earlier, definition })
	if s, err = w.update(s, before.Set("settings", property.New("2"))); err == nil {
		t.Fatal("a rollout that ECS took back is a success")
	}
	if diff := w.diff(s, before); !strings.Contains(diff, "deployed") {
		t.Errorf("going back shows %q", diff)
	}
}

// What ECS takes back leaves the state as it was, which is what is deployed then: a refresh is silent, and the next update
// tries again.
func TestRolloutThatIsTakenBackLeavesTheTruth(t *testing.T) {
	w := newWorld(t)
	w.change(func() { w.definition = earlier })
	s, err := w.create(rolloutURN, rolloutInputs().Set("taskDefinition", property.New(earlier)))
	if err != nil {
		t.Fatal(err)
	}
	w.change(func() { w.refuses = definition })
	kept := s
	s, err = w.update(s, rolloutInputs())
	if err == nil || !strings.Contains(err.Error(), "  serves   backend:6: 2 of 2 tasks run") {
		t.Fatalf("got %v", err)
	}
	if s.state.Len() > 0 {
		t.Errorf("the failed update leaves a state: %v", s.state)
	}
	s = kept // so the engine does
	for range 10 {
		var diff string
		s, diff = w.refresh(s)
		equal(t, "a refresh after the failure", diff+": "+s.output("deployed"), ": ok")
	}
	equal(t, "the next preview", w.diff(s, rolloutInputs()), "taskDefinition")
	w.change(func() { w.refuses = "" })
	if s, err = w.update(s, rolloutInputs()); err != nil {
		t.Fatal(err)
	}
	equal(t, "deployed", strings.Join(w.deployed, " "), definition+" "+definition)
	equal(t, "healed", w.diff(s, s.inputs)+s.output("deployed"), "ok")
}

// A new port is a new target group: ECS takes it only together with a task definition that has it.
func TestTargetsAreDeployedWithTheTaskDefinition(t *testing.T) {
	w := newWorld(t)
	s, err := w.create(rolloutURN, rolloutInputs())
	if err != nil {
		t.Fatal(err)
	}
	w.change(func() { w.port = 9000 })
	s, diff := w.refresh(s)
	equal(t, "another port", diff+": "+s.output("deployed"), "deployed: requests go to port 9000 of backend, targetgroup/backend/1")
	if s, err = w.update(s, s.inputs); err != nil {
		t.Fatal(err)
	}
	equal(t, "healed", w.diff(s, s.inputs)+s.output("deployed"), "ok")
	other := s.inputs.Set("port", property.New(8001.0)).Set("taskDefinition", property.New(earlier))
	if s, err = w.update(s, other); err != nil {
		t.Fatal(err)
	}
	equal(t, "asked for in one call each", strings.Join(w.deployed, " "), definition+" "+earlier)
	if w.port != 8001 {
		t.Errorf("requests go to port %d", w.port)
	}
}

// A state that an earlier version of this provider left knows no targets.
func TestRolloutOfAnEarlierVersion(t *testing.T) {
	w := newWorld(t)
	s, err := w.create(rolloutURN, rolloutInputs())
	if err != nil {
		t.Fatal(err)
	}
	inputs := s.inputs
	for _, key := range []string{"targetGroup", "container", "port"} {
		s.inputs, s.state = s.inputs.Delete(key), s.state.Delete(key)
	}
	s, diff := w.refresh(s)
	equal(t, "a refresh", diff+s.output("deployed"), "ok")
	equal(t, "the next preview", w.diff(s, inputs), "container port targetGroup")
	if _, err = w.update(s, inputs); err != nil {
		t.Fatal(err)
	}
	if len(w.deployed) > 0 {
		t.Errorf("deployed without need: %q", w.deployed)
	}
}

// A first version that fails has nothing to go back to: ECS gives it up, and each later update tries it once more.
func TestFirstRolloutThatFails(t *testing.T) {
	w := newWorld(t)
	w.change(func() { w.refuses, w.first = definition, true })
	s, err := w.create(rolloutURN, rolloutInputs())
	if err == nil || len(w.deployed) > 0 {
		t.Fatalf("got %v, deployed %q", err, w.deployed)
	}
	for range 2 {
		var diff string
		s, diff = w.refresh(s)
		equal(t, "a refresh", diff+": "+s.output("deployed"), "deployed: its rollout failed")
	}
	other := s.inputs.Set("taskDefinition", property.New(strings.Replace(definition, ":7", ":8", 1)))
	w.change(func() {
		w.definition, w.refuses = strings.Replace(definition, ":7", ":8", 1), strings.Replace(definition, ":7", ":8", 1)
	})
	if _, err := w.update(s, other); err == nil || len(w.deployed) > 0 {
		t.Errorf("another version that has failed by then: got %v, deployed %q", err, w.deployed)
	}
	w.change(func() { w.definition, w.refuses = definition, definition })
	if s, err = w.update(s, s.inputs); err != nil {
		t.Fatal(err)
	}
	equal(t, "deployed once more", strings.Join(w.deployed, " "), definition)
	equal(t, "healed", w.diff(s, s.inputs)+s.output("deployed"), "ok")
}

// An update that was killed leaves the state as it was before: what it followed differs from that.
func TestRolloutIsFollowedAgain(t *testing.T) {
	w := newWorld(t)
	s, err := w.create(rolloutURN, rolloutInputs())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "port", w.diff(s, s.inputs.Set("port", property.New(1.0))), "port")
	for key, want := range map[string]string{
		"cluster": "cluster", "service": "service", "taskDefinition": "taskDefinition", "settings": "settings",
		"targetGroup": "targetGroup", "container": "container",
		"site": "", "healthPath": "", "timeout": "", "timeoutKey": "", "region": "",
	} {
		equal(t, key, w.diff(s, s.inputs.Set(key, property.New("x"))), want)
	}
}

func TestPreviewFollowsNothing(t *testing.T) {
	w := newWorld(t)
	inputs := w.check(rolloutURN, rolloutInputs())
	if _, err := w.server.Create(p.CreateRequest{Urn: rolloutURN, Properties: inputs, DryRun: true}); err != nil {
		t.Fatal(err)
	}
	if len(w.opened)+len(w.deployed) > 0 {
		t.Errorf("opened %v, deployed %q", w.opened, w.deployed)
	}
	resp, err := w.server.Check(p.CheckRequest{Urn: rolloutURN, Inputs: rolloutInputs().Set("timeout", property.New("soon"))})
	if err != nil || len(resp.Failures) != 1 {
		t.Error(err, resp.Failures)
	}
}
