package review

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
)

// Differs is one value that is not as declared.
type Differs struct {
	Resource string `json:"resource"`
	Type     string `json:"type"`
	URN      string `json:"urn"`
	Property string `json:"property"` // empty: the resource as a whole
	Declared string `json:"declared"`
	Found    string `json:"found"`
}

// Pending is a change of a database instance that waits for its maintenance window.
type Pending struct {
	Resource string `json:"resource"`
	URN      string `json:"urn"`
	Property string `json:"property"`
	Found    string `json:"found"`
	Then     string `json:"then"`
	Until    string `json:"until"` // the window, in UTC
}

// Drift is what a look at all that is there brought.
type Drift struct {
	Project    string    `json:"project"`
	Stack      string    `json:"stack"`
	Drift      []Differs `json:"drift"`
	Pending    []Pending `json:"pending"` // declared, and waiting for a maintenance window
	Unseen     []Problem `json:"notSeen"`
	Noted      []Problem `json:"noted"`      // what a provider warns of, which no deployment changes
	NotCovered []string  `json:"notCovered"` // types that nobody can look at
	Errors     []Problem `json:"errors"`
	Failed     bool      `json:"failed"`
	Looked     int       `json:"looked"` // resources that are as declared
}

// Exit codes of a look for drift. What failed and what was not seen is never 0.
const (
	ExitClean  = 0
	ExitFailed = 1
	ExitDrift  = 7
	ExitUnseen = 8
)

// blind are types without a Read: a refresh gives back what it knows.
var blind = []string{"command:local:Command", "random:index/"}

// NewDrift sorts what a refresh found.
func NewDrift(p *Plan) *Drift {
	d := &Drift{Project: p.Project, Stack: p.Stack, Unseen: p.Unseen, Errors: p.Errors, Failed: p.Failed, Looked: p.Same, NotCovered: p.Blind}
	for _, s := range p.Drift {
		d.add(s)
	}
	for _, w := range p.Warnings {
		if w.URN != "" && !slices.Contains(p.Unseen, w) && !slices.Contains(d.Noted, w) {
			d.Noted = append(d.Noted, w)
		}
	}
	slices.SortFunc(d.Drift, func(a, b Differs) int {
		return strings.Compare(a.URN+"\x00"+a.Property, b.URN+"\x00"+b.Property)
	})
	return d
}

func (d *Drift) add(s Step) {
	at := Differs{Resource: s.Name, Type: s.Type, URN: s.URN}
	seen := 0
	for _, c := range s.Changes {
		// What could not be looked at is a change to the engine, and told apart here.
		if strings.HasPrefix(c.New, unseenPrefix) || strings.HasPrefix(c.Old, unseenPrefix) {
			continue
		}
		at.Property, at.Declared, at.Found = c.Path, c.Old, c.New
		d.Drift = append(d.Drift, at)
		seen++
	}
	switch {
	case s.Op == Delete:
		at.Declared, at.Found = "there", "gone"
		d.Drift = append(d.Drift, at)
	case seen == 0 && len(s.Changes) == 0:
		at.Declared, at.Found = "as deployed", "changed"
		d.Drift = append(d.Drift, at)
	}
}

// Wait notes what waits for an instance's maintenance window. That what is declared is not there yet is no drift then, and
// what waits and is not declared is.
func (d *Drift) Wait(i Instance, p Pending) {
	p.Resource, p.URN = i.Name, i.URN
	if declared := word(i.declared[p.Property]); declared != "" && p.Then != declared && !minor(p, declared) && !isSecret(i.declared[p.Property]) {
		d.Drift = append(d.Drift, Differs{
			Resource: i.Name, Type: "aws:rds/instance:Instance", URN: i.URN, Property: p.Property, Declared: declared,
			Found: fmt.Sprintf("%s from %s UTC on; no deployment takes it back, aws rds modify-db-instance does", p.Then, p.Until),
		})
		return
	}
	d.Pending = append(d.Pending, p)
	d.Drift = slices.DeleteFunc(d.Drift, func(x Differs) bool {
		return x.URN == p.URN && x.Property == p.Property && x.Declared == p.Then
	})
}

// minor says whether a version of PostgreSQL is one of the declared major version.
func minor(p Pending, declared string) bool {
	return p.Property == "engineVersion" && strings.HasPrefix(p.Then, declared+".")
}

// String says a change that waits in a line.
func (p Pending) String() string {
	return fmt.Sprintf("%s %s: %s → %s, pending until %s UTC", p.Resource, p.Property, cmp.Or(p.Found, "(nothing)"), p.Then, p.Until)
}

// Exit is the exit code of a look: failed before drift before not seen, and 0 only where everything was seen.
func (d *Drift) Exit() int {
	switch {
	case d.Failed:
		return ExitFailed
	case len(d.Drift) > 0:
		return ExitDrift
	case len(d.Unseen) > 0:
		return ExitUnseen
	}
	return ExitClean
}

// Fingerprint is the same while the same is found: 16 hexadecimal digits.
func (d *Drift) Fingerprint() string {
	h := sha256.New()
	for _, x := range d.Drift {
		fmt.Fprintf(h, "%q %q %q\n", x.URN, x.Property, x.Found)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// Table prints it for a terminal.
func (d *Drift) Table() string {
	var b strings.Builder
	if len(d.Drift) > 0 {
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "RESOURCE\tPROPERTY\tDECLARED\tFOUND")
		for _, x := range d.Drift {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", oneLine(x.Resource), oneLine(x.Property), clipped(oneLine(x.Declared), 60), clipped(oneLine(x.Found), 60))
		}
		_ = w.Flush() // into a builder
	}
	for _, e := range d.Errors {
		fmt.Fprintf(&b, "failed: %s\n", inOneLine(e))
	}
	for _, p := range d.Pending {
		fmt.Fprintln(&b, oneLine(p.String()))
	}
	for _, u := range d.Unseen {
		fmt.Fprintf(&b, "not seen: %s\n", inOneLine(u))
	}
	for _, n := range d.Noted {
		fmt.Fprintf(&b, "noted: %s\n", inOneLine(n))
	}
	if len(d.NotCovered) > 0 {
		fmt.Fprintf(&b, "not covered, because nothing can be asked: %s\n", strings.Join(d.NotCovered, ", "))
	}
	fmt.Fprintln(&b, d.Summary())
	return b.String()
}

func inOneLine(p Problem) string {
	if p.Name() == "" {
		return oneLine(p.Message)
	}
	return oneLine(p.Name()) + ": " + oneLine(p.Message)
}

// Summary is one line.
func (d *Drift) Summary() string {
	switch d.Exit() {
	case ExitFailed:
		return "the look failed; nothing is known"
	case ExitDrift:
		return fmt.Sprintf("%s not as declared, %d resources are", counted(len(d.Drift), "value"), d.Looked)
	case ExitUnseen:
		return fmt.Sprintf("no drift in what was seen, but not all was: %s", counted(len(d.Unseen), "gap"))
	}
	if len(d.Pending) > 0 {
		return fmt.Sprintf("no drift: %d resources are as declared, %s for a maintenance window", d.Looked, waits(len(d.Pending)))
	}
	return fmt.Sprintf("no drift: %d resources are as declared", d.Looked)
}

func waits(n int) string {
	if n == 1 {
		return "1 change waits"
	}
	return fmt.Sprintf("%d changes wait", n)
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// DriftMarker is the first line of a stack's issue.
func DriftMarker(project, stack string) string {
	return fmt.Sprintf("<!-- plan-charge drift of %s/%s -->", project, stack)
}

// IssueTitle is the issue's, the same as long as it is open.
func (d *Drift) IssueTitle() string { return fmt.Sprintf("Drift in %s/%s", d.Project, d.Stack) }

// mostRows is how many rows an issue shows: each is bounded, so that all fit.
const mostRows = 60

// IssueBody says what differs and the two ways out. run is the URL of the look, or empty.
func (d *Drift) IssueBody(run string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**\n\n%s", plain(d.Summary()), d.List())
	if len(d.Pending) > 0 {
		b.WriteString("\n**Pending**, and no drift: the maintenance window brings it\n\n")
		for _, p := range d.Pending[:min(len(d.Pending), mostRows)] {
			fmt.Fprintf(&b, "- %s\n", code(clipped(p.String(), longest)))
		}
	}
	problems(&b, "Not seen", d.Unseen)
	problems(&b, "Noted, and changed by no deployment", d.Noted)
	if len(d.NotCovered) > 0 {
		fmt.Fprintf(&b, "\n**Not covered**, because nothing can be asked: %s.\n", codes(d.NotCovered))
	}
	fmt.Fprintf(&b, "\n**Two ways out.** To take it back: `pulumi up --stack %s`. To keep it: write what was found into `Pulumi.%s.yaml` or the program, merge that, and deploy; nothing is left to change then.\n", d.Stack, d.Stack)
	b.WriteString("\nThis issue closes by itself when a look finds all as declared, and only when all was seen.")
	if link.MatchString(run) {
		fmt.Fprintf(&b, " [The last look](%s).", run)
	}
	return b.String()
}

// problems lists what was said, in Markdown, under a title.
func problems(b *strings.Builder, title string, all []Problem) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(b, "\n**%s**\n\n", title)
	for _, p := range all[:min(len(all), mostRows)] {
		fmt.Fprintf(b, "- %s\n", code(clipped(inOneLine(p), longest)))
	}
}

// List is what differs, in Markdown.
func (d *Drift) List() string {
	var b strings.Builder
	for i, x := range d.Drift {
		if i == mostRows {
			fmt.Fprintf(&b, "- and %d more\n", len(d.Drift)-mostRows)
			break
		}
		what := code(clipped(x.Resource, 80))
		if x.Property != "" {
			what += " " + code(clipped(x.Property, 120))
		}
		fmt.Fprintf(&b, "- %s: declared %s, found %s\n", what, code(clipped(x.Declared, 120)), code(clipped(x.Found, 120)))
	}
	return b.String()
}
