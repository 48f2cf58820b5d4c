package resource_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

func strangersInputs() property.Map {
	return obj(map[string]any{
		"securityGroups": []any{"sg-1 database"}, "rules": []any{}, "roles": []any{}, "policies": []any{}, "loadBalancers": []any{}, "listeners": []any{},
		"listenerRules": []any{}, "secretVersions": []any{"arn v1"}, "region": "eu-west-3",
	})
}

const (
	world5432 = "security group database: ingress tcp 5432 from 0.0.0.0/0"
	world22   = "security group database: ingress tcp 22 from 0.0.0.0/0"
)

func TestStrangers(t *testing.T) {
	w := newWorld(t)
	w.rules = []int{5432}
	s, err := w.create(strangersURN, strangersInputs())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "when it is made", s.list("found")+w.diff(s, s.inputs), "")
	if w.rules == nil {
		t.Error("what nobody was shown is removed")
	}
	s, diff := w.refresh(s)
	equal(t, "seen", s.list("found")+" "+diff, world5432+" found[0]")

	w.change(func() { w.rules = append(w.rules, 22) }) // after the refresh
	if s, err = w.update(s, s.inputs); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(w.rules, []int{22}) {
		t.Errorf("left are %v, want the one that came after the refresh", w.rules)
	}
	equal(t, "afterwards", s.list("found")+w.diff(s, s.inputs), "")

	s, _ = w.refresh(s)
	equal(t, "seen", s.list("found"), world22)
	allowed := s.inputs.Set("allow", property.New([]property.Value{property.New(world22)}))
	equal(t, "allowed", w.diff(s, allowed), "allow")
	if s, err = w.update(s, allowed); err != nil || len(w.rules) != 1 {
		t.Error("what is allowed was removed", err)
	}
	s, diff = w.refresh(s)
	equal(t, "allowed from then on", s.list("found")+diff, "")

	w.change(func() { w.err = errors.New("AWS is away") })
	s, diff = w.refresh(s)
	equal(t, "unseen", s.list("found")+" "+diff, "not seen: security groups: AWS is away found[0]")
	if _, err := w.update(s, s.inputs); err == nil || !strings.Contains(err.Error(), "look at security groups: AWS is away") {
		t.Errorf("got %v", err)
	}
	w.change(func() { w.err = nil })
	if s, err = w.update(s, s.inputs); err != nil {
		t.Fatal(err)
	}
	equal(t, "seen again", s.list("found"), "")
}

// A rule that the changed program no longer declares is the AWS provider's to remove, at the end of the update.
func TestWhatWasDeclaredIsNoStranger(t *testing.T) {
	w := newWorld(t)
	w.rules = []int{5432, 22}
	with := strangersInputs().Set("rules", property.New([]property.Value{property.New("sg-1 ingress tcp 5432 from 0.0.0.0/0")}))
	s, err := w.create(strangersURN, with)
	if err != nil {
		t.Fatal(err)
	}
	s, _ = w.refresh(s)
	equal(t, "seen", s.list("found"), world22)
	equal(t, "changed", w.diff(s, strangersInputs()), "found[0] rules")
	if _, err := w.update(s, strangersInputs()); err != nil || !slices.Equal(w.rules, []int{5432}) {
		t.Errorf("left are %v, %v", w.rules, err)
	}
}

func TestMovedSecretIsNoFault(t *testing.T) {
	w := newWorld(t)
	s, err := w.create(strangersURN, strangersInputs())
	if err != nil {
		t.Fatal(err)
	}
	for _, current := range []string{"v1", "v2"} {
		w.change(func() { w.current = current })
		_, diff := w.refresh(s)
		equal(t, current, diff, "")
	}
	if w.described != 2 {
		t.Errorf("the secret was looked at %d times, want 2", w.described)
	}
}
