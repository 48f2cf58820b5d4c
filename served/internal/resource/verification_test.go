package resource_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/internal/awsclient"
)

func verificationInputs() property.Map {
	return obj(map[string]any{
		"siteUrl": "https://site.example", "cluster": "c", "service": "backend", "taskDefinition": definition, "distributionId": "E1", "distributionVersion": "v1",
		"checks":  `[{"name":"health","path":"/health","status":200},{"name":"login","method":"POST","path":"/login","status":400,"safe":true},{"name":"store","method":"PUT","path":"/x","status":204}]`,
		"timeout": "200ms", "timeoutKey": "verification.timeout", "region": "eu-west-3", "role": "arn:aws:iam::123456789012:role/deployer",
	})
}

const good = `{"health":"200","login":"400","service":"backend:7 serves","store":"204"}`

var passed = regexp.MustCompile(`^https://site\.example: 3 checks passed at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$`)

func TestRefreshAsksTheSite(t *testing.T) {
	w := newWorld(t)
	s, err := w.create(verificationURN, verificationInputs())
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "results", s.output("results"), good)
	equal(t, "verified", s.output("verified"), good)
	if !passed.MatchString(s.output("summary")) {
		t.Errorf("summary: %s", s.output("summary"))
	}
	if want := (awsclient.Settings{Region: "eu-west-3", Role: "arn:aws:iam::123456789012:role/deployer"}); len(w.opened) != 1 || w.opened[0] != want {
		t.Errorf("AWS is reached as %+v, want %+v once", w.opened, want)
	}
	summary, diff := s.output("summary"), ""
	w.change(func() { w.asked = nil })
	for range 10 {
		if s, diff = w.refresh(s); diff != "" || s.output("results") != good {
			t.Fatalf("a refresh shows %s: %s", diff, s.output("results"))
		}
	}
	if asked := strings.Join(w.asked, ","); strings.Contains(asked, "PUT") || len(w.asked) != 20 {
		t.Errorf("asked: %s", asked)
	}

	w.change(func() { w.login = 500 })
	for range 2 { // a second refresh still says so
		s, diff = w.refresh(s)
		equal(t, "diff", diff, "results")
		equal(t, "results", s.output("results"), strings.Replace(good, `"login":"400"`, `"login":"500"`, 1))
	}
	w.change(func() { w.running, w.desired = 0, 0 })
	s, diff = w.refresh(s)
	equal(t, "without tasks", diff, "results")
	w.change(func() { w.running, w.desired, w.definition = 2, 2, strings.Replace(definition, ":7", ":6", 1) })
	s, _ = w.refresh(s)
	equal(t, "another version", s.output("results"), `{"health":"200","login":"500","service":"backend:6 is deployed","store":"204"}`)

	w.change(func() { w.login, w.definition = 400, definition })
	s, diff = w.refresh(s)
	equal(t, "healed by itself", diff+s.output("results"), good)
	equal(t, "summary", s.output("summary"), summary)
}

func TestVerificationAsksAgain(t *testing.T) {
	w := newWorld(t)
	s, err := w.create(verificationURN, verificationInputs())
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"siteUrl": "siteUrl", "cluster": "cluster", "service": "service", "taskDefinition": "taskDefinition", "distributionId": "distributionId",
		"distributionVersion": "distributionVersion", "checks": "checks", "timeout": "", "timeoutKey": "", "region": "", "role": "",
	} {
		equal(t, key, w.diff(s, s.inputs.Set(key, property.New("x"))), want)
	}
	w.change(func() { w.login = 500 })
	s, _ = w.refresh(s)
	w.change(func() { w.login, w.asked = 400, nil })
	s, err = w.update(s, s.inputs)
	if err != nil || len(w.asked) != 3 {
		t.Errorf("%v, asked %q", err, w.asked)
	}
	equal(t, "after the update", w.diff(s, s.inputs)+s.output("results"), good)
}

// A verification that failed is made again by the next update, whatever has become of the inputs until then.
func TestFailedVerification(t *testing.T) {
	w := newWorld(t)
	w.login = 500
	s, err := w.create(verificationURN, verificationInputs())
	if err == nil || s.id == "" {
		t.Fatalf("got %v, %+v", err, s)
	}
	for _, part := range []string{"expected status 400", "  failed   the verification", "  serves   backend:7: 2 of 2 tasks run", "answers GET /health with 200", "  next     "} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q is missing in %v", part, err)
		}
	}
	equal(t, "diff", w.diff(s, s.inputs), "results verified")
	if summary := s.output("summary"); !strings.HasPrefix(summary, "https://site.example: not verified at ") {
		t.Errorf("summary: %s", summary)
	}
	w.change(func() { w.login = 400 })
	if s, err = w.update(s, s.inputs); err != nil {
		t.Fatal(err)
	}
	equal(t, "diff", w.diff(s, s.inputs)+s.output("results"), good)

	before := s.inputs
	w.change(func() { w.login = 500 })
	if s, err = w.update(s, before.Set("distributionVersion", property.New("v2"))); err == nil {
		t.Fatal("a site that fails was verified")
	}
	w.change(func() { w.login = 400 })
	if diff := w.diff(s, before); !strings.Contains(diff, "verified") {
		t.Errorf("going back shows %q", diff)
	}
	_, diff := w.refresh(s)
	if !strings.Contains(diff, "verified") {
		t.Errorf("a refresh shows %q", diff)
	}
}

func TestPreviewAsksNothing(t *testing.T) {
	w := newWorld(t)
	inputs := w.check(verificationURN, verificationInputs())
	if _, err := w.server.Create(p.CreateRequest{Urn: verificationURN, Properties: inputs, DryRun: true}); err != nil {
		t.Fatal(err)
	}
	s, err := w.create(verificationURN, inputs)
	if err != nil {
		t.Fatal(err)
	}
	w.asked, w.opened = nil, nil
	if _, err := w.server.Update(p.UpdateRequest{ID: s.id, Urn: s.urn, State: s.state, Inputs: inputs.Set("service", property.New("x")), DryRun: true}); err != nil {
		t.Fatal(err)
	}
	if len(w.asked)+len(w.opened) > 0 {
		t.Errorf("asked %q, opened %v", w.asked, w.opened)
	}
}

func TestMistakesInVerification(t *testing.T) {
	w := newWorld(t)
	resp, err := w.server.Check(p.CheckRequest{Urn: verificationURN, Inputs: verificationInputs().
		Set("siteUrl", property.New("site.example")).Set("checks", property.New(`[{"path":"x","status":200}]`)).Set("timeout", property.New("soon"))})
	if err != nil || len(resp.Failures) != 3 {
		t.Fatal(err, resp.Failures)
	}
	said := fmt.Sprint(resp.Failures)
	for _, part := range []string{`siteUrl found "site.example"`, `path: found "x"`, `timeout found "soon"; allowed: a duration above zero; for example 5m`} {
		if !strings.Contains(said, part) {
			t.Errorf("%q is missing in %s", part, said)
		}
	}
	resp, err = w.server.Check(p.CheckRequest{Urn: verificationURN, Inputs: verificationInputs().Set("siteUrl", property.New(property.Computed)).Set("taskDefinition", property.New(property.Computed))})
	if err != nil || len(resp.Failures) != 0 {
		t.Error(err, resp.Failures)
	}
}

func TestChecksAskForTheVersion(t *testing.T) {
	w := newWorld(t)
	inputs := verificationInputs().Set("checks", property.New(`[{"path":"/is/{version}","status":200}]`)).Set("appVersion", property.New("1.4.2"))
	s, err := w.create(verificationURN, inputs)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "another version", w.diff(s, inputs.Set("appVersion", property.New("1.5.0"))), "appVersion")
	if asked := strings.Join(w.asked, ","); asked != "GET /is/1.4.2" {
		t.Errorf("asked %s", asked)
	}
}
