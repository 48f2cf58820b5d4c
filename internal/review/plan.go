package review

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
)

// What a step does. An operation of the engine that is none of these keeps its own name and counts as a change.
const (
	Create  = "create"
	Update  = "update"
	Replace = "replace"
	Delete  = "delete"
	Revise  = "revise" // a new revision of a task definition
	Run     = "run"    // a command runs again
)

// Step is what happens to one resource.
type Step struct {
	Op      string   `json:"op"`
	URN     string   `json:"urn"`
	Type    string   `json:"type"`
	Name    string   `json:"name"`
	Keys    []string `json:"keys,omitempty"` // the properties that force a replacement
	Changes []Change `json:"changes,omitempty"`
	Kept    bool     `json:"kept,omitempty"`   // the thing itself stays when the stack lets go of it
	Failed  bool     `json:"failed,omitempty"` // an update could not do it
	Done    bool     `json:"done,omitempty"`   // an update did it
}

// Problem is what the engine or a provider said.
type Problem struct {
	URN     string `json:"urn,omitempty"`
	Message string `json:"message"`
}

// Name is the resource's name, or "" for what concerns the whole.
func (p Problem) Name() string { return nameOf(p.URN) }

// away is how providers say that nobody answers. EOF is what a session's other end leaves where the database is down.
var away = regexp.MustCompile(`(?i)\bEOF\b|no connection to|connection refused|connection reset|i/o timeout|no such host|could not connect|no route to host|deadline exceeded|server closed the connection|the database system is (?:starting up|shutting down)`)

// Unreachable says whether it is that the database could not be asked.
func (p Problem) Unreachable() bool {
	inside := strings.Contains(p.URN, "postgresql:index/") || strings.Contains(p.URN, "pgrows:index:") || strings.Contains(p.URN, "pulumi:providers:postgresql::")
	return inside && away.MatchString(p.Message)
}

// Plan is what a preview foresees or an update did.
type Plan struct {
	Project   string     `json:"project"`
	Stack     string     `json:"stack"`
	Steps     []Step     `json:"steps"` // in the order of execution, without what stays as it is
	Same      int        `json:"same"`
	Migration *Migration `json:"migration,omitempty"`
	Findings  []Finding  `json:"findings,omitempty"`
	Drift     []Step     `json:"drift,omitempty"` // what a refresh found to be other than the state says
	Blind     []string   `json:"blind,omitempty"` // types that a refresh cannot look at
	Errors    []Problem  `json:"errors,omitempty"`
	Warnings  []Problem  `json:"warnings,omitempty"`
	Unseen    []Problem  `json:"unseen,omitempty"` // what could not be looked at
	Failed    bool       `json:"failed"`
	Seconds   int        `json:"seconds"`
	Account   Account    `json:"-"`
}

// FromEvents makes sense of a complete log of events.
func FromEvents(events []apitype.EngineEvent) *Plan {
	b := builder{plan: &Plan{}, steps: map[string]int{}, refreshing: map[string]bool{}, same: map[string]bool{}}
	for _, e := range events {
		switch {
		case e.ResourcePreEvent != nil && ofEngine(e.ResourcePreEvent.Metadata.URN), e.ResOutputsEvent != nil && ofEngine(e.ResOutputsEvent.Metadata.URN):
		case e.ResourcePreEvent != nil:
			b.before(e.ResourcePreEvent.Metadata)
		case e.ResOutputsEvent != nil:
			b.after(e.ResOutputsEvent.Metadata)
		case e.ResOpFailedEvent != nil:
			b.failed(e.ResOpFailedEvent.Metadata)
		case e.DiagnosticEvent != nil:
			b.said(e.DiagnosticEvent)
		case e.ErrorEvent != nil:
			b.plan.Errors = append(b.plan.Errors, Problem{Message: b.clean(e.ErrorEvent.Error)})
		case e.SummaryEvent != nil:
			b.plan.Seconds = e.SummaryEvent.DurationSeconds
			b.plan.Failed = b.plan.Failed || e.SummaryEvent.Result != "" && e.SummaryEvent.Result != apitype.OperationResultSucceeded
		}
	}
	b.plan.Failed = b.plan.Failed || len(b.plan.Errors) > 0
	b.finish()
	return b.plan
}

// finish counts what stays, and calls replacements that replace nothing anybody uses by what they are.
func (b *builder) finish() {
	for i := range b.plan.Steps {
		s := &b.plan.Steps[i]
		delete(b.same, s.URN)
		if again, ok := again[s.Type]; ok && s.Op == Replace {
			s.Op = again
		}
	}
	for _, d := range b.plan.Drift {
		delete(b.same, d.URN)
	}
	b.plan.Same = len(b.same)
	b.migration()
}

// again are the types whose replacement is a new revision beside the old one, or a run.
var again = map[string]string{
	"aws:ecs/taskDefinition:TaskDefinition": Revise,
	"command:local:Command":                 Run,
	"served:index:Verification":             Run,
}

// Count says how many steps do something.
func (p *Plan) Count(op string) int {
	count := 0
	for _, s := range p.Steps {
		if s.Op == op {
			count++
		}
	}
	return count
}

type builder struct {
	plan       *Plan
	steps      map[string]int  // place of a resource's step
	refreshing map[string]bool // whose next outputs are what a refresh found
	same       map[string]bool
	migrated   migrated
}

func (b *builder) before(m apitype.StepEventMetadata) {
	b.identify(m.URN)
	b.account(m)
	b.refreshing[m.URN] = m.Op == apitype.OpRefresh
	if m.Op == apitype.OpRefresh {
		b.cannotSee(m.Type)
		return
	}
	b.unseen(m)
	op := meaning(m.Op)
	if op == "" {
		b.same[m.URN] = true
		return
	}
	b.step(m, op)
}

// step adds a step, or what another event says of the same one: a replacement is told in three.
func (b *builder) step(m apitype.StepEventMetadata, op string) {
	key := m.URN
	if op == Delete && m.Old != nil && m.Old.Delete {
		key += "#leftover" // of a replacement that did not come to its end
		if again, ok := again[m.Type]; ok {
			op = again
		}
	}
	delete(b.same, key)
	i, ok := b.steps[key]
	if !ok {
		i = len(b.plan.Steps)
		b.steps[key] = i
		b.plan.Steps = append(b.plan.Steps, Step{Op: op, URN: m.URN, Type: m.Type, Name: nameOf(m.URN)})
	}
	s := &b.plan.Steps[i]
	if op == Replace {
		s.Op = Replace
	}
	if len(s.Keys) == 0 && op == Replace {
		s.Keys = slices.Clone(m.Keys)
	}
	if len(s.Changes) == 0 {
		s.Changes = changesOf(m)
	}
	b.migrates(m)
	s.Kept = s.Kept || m.Old != nil && m.Old.RetainOnDelete
	b.findings(m, s)
}

func (b *builder) after(m apitype.StepEventMetadata) {
	b.identify(m.URN)
	b.unseen(m)
	b.revision(m)
	if b.refreshing[m.URN] {
		b.refreshing[m.URN] = false
		b.refreshed(m)
		return
	}
	if i, ok := b.steps[m.URN]; ok {
		b.plan.Steps[i].Done = true
		return
	}
	if meaning(m.Op) == "" {
		b.same[m.URN] = true // components are told by their outputs alone
	}
}

// refreshed notes what a refresh found.
func (b *builder) refreshed(m apitype.StepEventMetadata) {
	op := meaning(m.Op)
	if m.Op == apitype.OpRefresh { // before a preview or an update the engine does not say what it found
		switch {
		case m.New == nil:
			op = Delete
		case len(m.DetailedDiff) > 0 || len(m.Diffs) > 0:
			op = Update
		default:
			op = ""
		}
	}
	if op == "" {
		b.same[m.URN] = true
		return
	}
	delete(b.same, m.URN)
	b.plan.Drift = append(b.plan.Drift, Step{Op: op, URN: m.URN, Type: m.Type, Name: nameOf(m.URN), Changes: found(m)})
}

func (b *builder) failed(m apitype.StepEventMetadata) {
	b.plan.Failed = true
	if i, ok := b.steps[m.URN]; ok {
		b.plan.Steps[i].Failed = true
	}
}

func (b *builder) said(d *apitype.DiagnosticEvent) {
	p := Problem{URN: d.URN, Message: b.clean(d.Message)}
	if p.Message == "" || d.Ephemeral {
		return
	}
	switch d.Severity {
	case "error":
		b.plan.Errors = append(b.plan.Errors, p)
	case "warning":
		b.plan.Warnings = append(b.plan.Warnings, p)
		if p.Unreachable() && !slices.Contains(b.plan.Unseen, p) {
			b.plan.Unseen = append(b.plan.Unseen, p)
		}
	}
}

// identify takes the names of project and stack from the first resource that is told.
func (b *builder) identify(urn string) {
	if b.plan.Project != "" {
		return
	}
	if parts := strings.SplitN(strings.TrimPrefix(urn, "urn:pulumi:"), "::", 3); len(parts) == 3 {
		b.plan.Stack, b.plan.Project = parts[0], parts[1]
	}
}

// cannotSee notes types that a refresh gives back unread.
func (b *builder) cannotSee(typ string) {
	for _, prefix := range blind {
		if strings.HasPrefix(typ, prefix) && !slices.Contains(b.plan.Blind, typ) {
			b.plan.Blind = append(b.plan.Blind, typ)
			slices.Sort(b.plan.Blind)
		}
	}
}

// unseenPrefix begins what the providers of this project say of what they could not look at.
const unseenPrefix = "not seen: "

// unseen notes what a refresh could not look at, which is part of a resource's state.
func (b *builder) unseen(m apitype.StepEventMetadata) {
	if m.New == nil {
		return
	}
	for _, key := range keysOf(m.New.Outputs, nil) {
		eachText(m.New.Outputs[key], func(text string) {
			if rest, ok := strings.CutPrefix(text, unseenPrefix); ok {
				p := Problem{URN: m.URN, Message: b.clean(rest)}
				if !slices.Contains(b.plan.Unseen, p) {
					b.plan.Unseen = append(b.plan.Unseen, p)
				}
			}
		})
	}
}

func eachText(v any, f func(string)) {
	switch v := v.(type) {
	case string:
		f(v)
	case map[string]any:
		for _, key := range keysOf(v, nil) {
			eachText(v[key], f)
		}
	case []any:
		for _, inner := range v {
			eachText(inner, f)
		}
	}
}

// meaning is what an operation does to a resource; "" is nothing.
func meaning(op apitype.OpType) string {
	switch op {
	case apitype.OpSame, apitype.OpRead, apitype.OpReadDiscard:
		return ""
	case apitype.OpCreate, apitype.OpUpdate, apitype.OpDelete, apitype.OpReplace:
		return string(op)
	case apitype.OpImport:
		return Create
	case apitype.OpCreateReplacement, apitype.OpDeleteReplaced, apitype.OpReadReplacement, apitype.OpDiscardReplaced,
		apitype.OpImportReplacement, apitype.OpRemovePendingReplace:
		return Replace
	}
	return string(op)
}

// colours are the engine's marks in a message.
var colours = regexp.MustCompile(`<\{%[^%]*%\}>`)

// wrapping is what the SDK puts around the one error of a program.
var wrapping = regexp.MustCompile(`^an unhandled error occurred: program failed:\s*(?:1 error occurred:\s*\* )?`)

// clean takes the engine's marks for colours, the SDK's wrapping, and what looks like a password out of a message.
func (b *builder) clean(message string) string {
	message = strings.TrimSpace(colours.ReplaceAllString(message, ""))
	return known.String(wrapping.ReplaceAllString(message, ""))
}

// ofEngine is a provider that the engine makes by itself; it counts them nowhere either.
func ofEngine(urn string) bool {
	return strings.Contains(urn, "::pulumi:providers:") && strings.HasPrefix(nameOf(urn), "default_")
}

func nameOf(urn string) string {
	if i := strings.LastIndex(urn, "::"); i >= 0 {
		return urn[i+2:]
	}
	return urn
}

// String names a step in one line of plain text.
func (s Step) String() string { return fmt.Sprintf("%s %s (%s)", s.Op, s.Name, s.Type) }
