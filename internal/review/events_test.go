package review_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"plan-charge/internal/review"
)

// recorded is a log that was written by the engine on the sandbox.
func recorded(t testing.TB, name string) []byte {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", name+".jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	log, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return log
}

func planOf(t testing.TB, log []byte) *review.Plan {
	t.Helper()
	events, err := review.ReadEvents(bytes.NewReader(log))
	if err != nil {
		t.Fatal(err)
	}
	return review.FromEvents(events)
}

// TestCutLogIsAnError cuts a log at every line and inside some: what is missing could be the deletion of a database.
func TestCutLogIsAnError(t *testing.T) {
	log := recorded(t, "mistake")
	if _, err := review.ReadEvents(bytes.NewReader(log)); err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(bytes.TrimRight(log, "\n"), []byte("\n"))
	length := 0
	for i, line := range lines {
		for _, end := range []int{length, length + len(line)/2} {
			if i == len(lines)-1 && end == length+len(line) {
				continue
			}
			if _, err := review.ReadEvents(bytes.NewReader(log[:end])); !errors.Is(err, review.ErrCut) {
				t.Fatalf("cut after %d of %d bytes: got %v, want ErrCut", end, len(log), err)
			}
		}
		length += len(line)
	}
	if _, err := review.ReadEvents(strings.NewReader("no JSON")); err == nil || errors.Is(err, review.ErrCut) {
		t.Errorf("a log that is none: got %v", err)
	}
}

// event and the functions below write logs as the engine does.
func event(t testing.TB, e apitype.EngineEvent) []byte {
	t.Helper()
	line, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return append(line, '\n')
}

// step is one step of a made-up log.
type step struct {
	op        apitype.OpType
	typ, name string
	old, new  map[string]any // inputs, and outputs where a refresh found them
	keys      []string
	diff      map[string]apitype.PropertyDiff
	retain    bool
}

func (s step) metadata() apitype.StepEventMetadata {
	urn := "urn:pulumi:prod::plan-charge::" + s.typ + "::" + s.name
	m := apitype.StepEventMetadata{Op: s.op, URN: urn, Type: s.typ, Keys: s.keys, DetailedDiff: s.diff}
	if s.old != nil {
		m.Old = &apitype.StepEventStateMetadata{URN: urn, Type: s.typ, Inputs: s.old, Outputs: s.old, RetainOnDelete: s.retain}
	}
	if s.new != nil {
		m.New = &apitype.StepEventStateMetadata{URN: urn, Type: s.typ, Inputs: s.new, Outputs: s.new}
	}
	return m
}

// logOf writes a preview of steps.
func logOf(t testing.TB, steps ...step) []byte {
	t.Helper()
	var log []byte
	for _, s := range steps {
		log = append(log, event(t, apitype.EngineEvent{ResourcePreEvent: &apitype.ResourcePreEvent{Metadata: s.metadata(), Planning: true}})...)
		log = append(log, event(t, apitype.EngineEvent{ResOutputsEvent: &apitype.ResOutputsEvent{Metadata: s.metadata(), Planning: true}})...)
	}
	return append(log, ended(t)...)
}

func ended(t testing.TB) []byte {
	t.Helper()
	return append(
		event(t, apitype.EngineEvent{SummaryEvent: &apitype.SummaryEvent{IsPreview: true, Result: apitype.OperationResultSucceeded}}),
		event(t, apitype.EngineEvent{CancelEvent: &apitype.CancelEvent{}})...)
}

func differs(paths ...string) map[string]apitype.PropertyDiff {
	diff := map[string]apitype.PropertyDiff{}
	for _, path := range paths {
		diff[path] = apitype.PropertyDiff{Kind: apitype.DiffUpdate, InputDiff: true}
	}
	return diff
}

func texts(pairs ...string) map[string]any {
	m := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

const (
	instance = "aws:rds/instance:Instance"
	group    = "aws:lb/targetGroup:TargetGroup"
)

// TestReplacementCountsOnce: the engine tells a replacement in three steps, in two orders.
func TestReplacementCountsOnce(t *testing.T) {
	old, new := texts("port", "8000"), texts("port", "9000")
	for _, order := range [][]apitype.OpType{
		{apitype.OpCreateReplacement, apitype.OpReplace, apitype.OpDeleteReplaced},
		{apitype.OpDeleteReplaced, apitype.OpReplace, apitype.OpCreateReplacement},
	} {
		var steps []step
		for _, op := range order {
			steps = append(steps, step{op: op, typ: group, name: "backend", old: old, new: new, keys: []string{"port"}, diff: differs("port")})
		}
		p := planOf(t, logOf(t, steps...))
		if len(p.Steps) != 1 || p.Count(review.Replace) != 1 || p.Same != 0 {
			t.Errorf("%v: got %v, %d unchanged; want one replacement", order, p.Steps, p.Same)
			continue
		}
		if s := p.Steps[0]; len(s.Keys) != 1 || s.Keys[0] != "port" || len(s.Changes) != 1 || s.Changes[0].Old != "8000" || s.Changes[0].New != "9000" {
			t.Errorf("%v: got %+v", order, s)
		}
	}
}

// TestUnknownOperationIsAChange: an engine that learns a new operation must not make a preview look empty.
func TestUnknownOperationIsAChange(t *testing.T) {
	p := planOf(t, logOf(t, step{op: "transmogrify", typ: instance, name: "db", old: texts(), new: texts()}, step{op: apitype.OpSame, typ: group, name: "backend", old: texts(), new: texts()}))
	if len(p.Steps) != 1 || p.Steps[0].Op != "transmogrify" || p.Same != 1 {
		t.Errorf("got %v and %d unchanged, want the operation as a change and 1 unchanged", p.Steps, p.Same)
	}
	if title := p.Title("plan-charge", "prod"); title != "plan-charge/prod: 1 changed, 1 unchanged" {
		t.Errorf("got %q", title)
	}
}

// TestDriftIsWhatRefreshStepsFound: what a refresh finds is no step of the preview that follows it.
func TestDriftIsWhatRefreshStepsFound(t *testing.T) {
	was, is := texts("instanceClass", "db.t4g.small"), texts("instanceClass", "db.t4g.large")
	pre := func(s step) []byte {
		return event(t, apitype.EngineEvent{ResourcePreEvent: &apitype.ResourcePreEvent{Metadata: s.metadata()}})
	}
	out := func(s step) []byte {
		return event(t, apitype.EngineEvent{ResOutputsEvent: &apitype.ResOutputsEvent{Metadata: s.metadata()}})
	}
	refresh := step{op: apitype.OpRefresh, typ: instance, name: "db", old: was, new: was}
	for name, c := range map[string]struct {
		found step
		op    string
	}{
		"of a refresh":          {step{op: apitype.OpUpdate, typ: instance, name: "db", old: was, new: is, diff: differs("instanceClass")}, review.Update},
		"before a preview":      {step{op: apitype.OpRefresh, typ: instance, name: "db", old: was, new: is, diff: differs("instanceClass")}, review.Update},
		"deleted":               {step{op: apitype.OpDelete, typ: instance, name: "db", old: was}, review.Delete},
		"gone before a preview": {step{op: apitype.OpRefresh, typ: instance, name: "db", old: was}, review.Delete},
		"nothing":               {step{op: apitype.OpSame, typ: instance, name: "db", old: was, new: was}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			log := append(pre(refresh), out(c.found)...)
			p := planOf(t, append(log, ended(t)...))
			if len(p.Steps) != 0 {
				t.Errorf("steps: got %v, want none", p.Steps)
			}
			if c.op == "" {
				if len(p.Drift) != 0 || p.Same != 1 {
					t.Errorf("got drift %v and %d unchanged, want none and 1", p.Drift, p.Same)
				}
				return
			}
			if len(p.Drift) != 1 || p.Drift[0].Op != c.op || p.Same != 0 {
				t.Fatalf("got drift %v and %d unchanged, want one %s and 0", p.Drift, p.Same, c.op)
			}
			if c.op == review.Update && (len(p.Drift[0].Changes) != 1 || p.Drift[0].Changes[0].New != "db.t4g.large") {
				t.Errorf("got %+v", p.Drift[0].Changes)
			}
		})
	}
}

// TestDriftLeavesOutWhatIsTheSame: the engine names all properties of a list's element where one differs.
func TestDriftLeavesOutWhatIsTheSame(t *testing.T) {
	parameter := func(value string) map[string]any {
		return map[string]any{"parameters": []any{texts("name", "rds.force_ssl", "value", value, "applyMethod", "immediate")}}
	}
	look := func(found map[string]any, paths ...string) []review.Change {
		change := step{op: apitype.OpUpdate, typ: "aws:rds/parameterGroup:ParameterGroup", name: "parameters", old: parameter("1"), new: found, diff: differs(paths...)}
		refresh := step{op: apitype.OpRefresh, typ: change.typ, name: change.name, old: change.old, new: change.old}
		log := event(t, apitype.EngineEvent{ResourcePreEvent: &apitype.ResourcePreEvent{Metadata: refresh.metadata()}})
		log = append(log, event(t, apitype.EngineEvent{ResOutputsEvent: &apitype.ResOutputsEvent{Metadata: change.metadata()}})...)
		return planOf(t, append(log, ended(t)...)).Drift[0].Changes
	}
	if got := look(parameter("0"), "parameters[0].name", "parameters[0].value", "parameters[0].applyMethod"); len(got) != 1 || got[0].Path != "parameters[0].value" || got[0].New != "0" {
		t.Errorf("got %+v, want the value alone", got)
	}
	if got := look(parameter("1"), "parameters[0].value"); len(got) != 1 {
		t.Errorf("got %+v, want that something is said to differ", got)
	}
}

// TestDatabaseOutOfReachIsTold keeps apart what says that the database is away from what went wrong.
func TestDatabaseOutOfReachIsTold(t *testing.T) {
	const grant, rows, bucket = "urn:pulumi:prod::p::postgresql:index/grant:Grant::g", "urn:pulumi:prod::p::pgrows:index:Rows::r", "urn:pulumi:prod::p::aws:s3/bucket:Bucket::b"
	for _, c := range []struct {
		urn, message string
		want         bool
	}{
		{grant, "could not start transaction: EOF", true},
		{rows, "failed to connect: tls error: EOF", true},
		{rows, "no connection to plan_charge on db:5432: a preview opens no session to the private database", true},
		{grant, "dial tcp 127.0.0.1:5432: connect: connection refused", true},
		{grant, `role "GEOF" does not exist`, false},
		{grant, "permission denied for table users", false},
		{bucket, "could not start transaction: EOF", false},
		{"", "EOF", false},
	} {
		if got := (review.Problem{URN: c.urn, Message: c.message}).Unreachable(); got != c.want {
			t.Errorf("%s %q: out of reach is %v, want %v", c.urn, c.message, got, c.want)
		}
	}
}
