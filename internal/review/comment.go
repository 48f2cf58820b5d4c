package review

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"text/template"
	"time"
)

// Budget is how long a comment may be: 65,536 characters are taken by GitHub. It is counted in bytes here, which are
// never fewer.
const Budget = 65536

// Meta is where a preview comes from.
type Meta struct {
	Project string    `json:"project"`
	Stack   string    `json:"stack"`
	Head    string    `json:"head,omitempty"`    // commit that is to be deployed
	Base    string    `json:"base,omitempty"`    // commit of main that it stands on
	Backend string    `json:"backend,omitempty"` // tells apart stacks of one name in two backends
	Run     int       `json:"run,omitempty"`     // number of the workflow's run; a rerun keeps it
	Attempt int       `json:"attempt,omitempty"`
	RunURL  string    `json:"runUrl,omitempty"`
	Time    time.Time `json:"time"`
}

// Review is what a preview hands over: to the comment, the gate and the deployment.
type Review struct {
	Meta    Meta     `json:"meta"`
	Plan    *Plan    `json:"plan"`
	Digest  string   `json:"digest"`
	Outcome *Outcome `json:"outcome,omitempty"`
}

// Outcome is how a deployment ended.
type Outcome struct {
	Deployed bool   `json:"deployed"`
	Run      int    `json:"run,omitempty"`
	RunURL   string `json:"runUrl,omitempty"`
	Why      string `json:"why,omitempty"`    // it failed
	Serves   string `json:"serves,omitempty"` // which version does now
	Next     string `json:"next,omitempty"`   // the command that goes on from here
}

//go:embed comment.md.tmpl
var commentText string

// commentTemplate is parsed when it is used first: a migration, which is the same program, does without.
var commentTemplate = sync.OnceValue(func() *template.Template {
	return template.Must(template.New("comment").Funcs(template.FuncMap{
		"plain":  plain,
		"code":   code,
		"fenced": func(text string) string { return block("text", text) },
		"ends":   ends,
		"inc":    func(i int) int { return i + 1 },
		"limit":  func(all []Problem, n int) []Problem { return all[:min(n, len(all))] },
		"over":   func(all []Problem, n int) int { return max(0, len(all)-n) },
	}).Parse(commentText))
})

// name is how project and stack are spelled in a marker, and what they may be made of.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// link is a URL that ends nothing in Markdown.
var link = regexp.MustCompile(`^https?://[A-Za-z0-9._~:/?#&=%@+-]+$`)

// Marker is the first line of a stack's comment, by which it is found again.
func Marker(project, stack string) string {
	return fmt.Sprintf("<!-- plan-charge review of %s/%s -->", project, stack)
}

// NewReview checks the names and computes the digest. A plan that names another stack is an error.
func NewReview(meta Meta, plan *Plan) (*Review, error) {
	for _, n := range []string{meta.Project, meta.Stack} {
		if !name.MatchString(n) {
			return nil, fmt.Errorf("project and stack: found %q, allowed are letters, digits, dots, dashes and underscores, for example plan-charge", n)
		}
	}
	if meta.RunURL != "" && !link.MatchString(meta.RunURL) {
		return nil, fmt.Errorf("run's URL: found %q, wanted one such as https://github.com/OWNER/NAME/actions/runs/1", meta.RunURL)
	}
	if plan.Project != "" && (plan.Project != meta.Project || plan.Stack != meta.Stack) {
		return nil, fmt.Errorf("the log is of %s/%s, not of %s/%s", plan.Project, plan.Stack, meta.Project, meta.Stack)
	}
	return &Review{Meta: meta, Plan: plan, Digest: plan.Digest()}, nil
}

// level is how much a comment says. Each drops detail that the one before had; none drops a deletion.
type level struct {
	values     int  // longest printed value, in bytes; 0 for none
	operations bool // whether each operation has a line
	each       int  // lines of every other list; 0 for no bound
	packed     bool // whether the steps travel along, so that a gate can show both lists
	names      bool // whether what is deleted is named one by one; else by type, counted
	sql        int  // longest SQL of the migration, in bytes; 0 for none
}

var levels = []level{
	{longest, true, 0, true, true, 24000},
	{60, true, 0, true, true, 8000},
	{0, true, 0, true, true, 2000},
	{0, false, 50, true, true, 2000},
	{0, false, 20, false, true, 0},
	{0, false, 10, false, false, 0},
}

// Overwrites says whether this review may take the place of the comment that stands there: not where a later run wrote
// it, nor where it is of a stack of the same name in another backend. What carries no digest was broken by hand, and is
// taken over.
func (r *Review) Overwrites(existing string) error {
	h, _, err := ReadComment(existing)
	switch {
	case errors.Is(err, ErrNoData):
		return nil
	case h.Backend != "" && r.Meta.Backend != "" && h.Backend != r.Meta.Backend:
		return fmt.Errorf("the comment of %s/%s is of a stack of that name in another backend; give one of the two another name", r.Meta.Project, r.Meta.Stack)
	case r.Outcome == nil && r.Meta.Run > 0 && h.Run > r.Meta.Run:
		return fmt.Errorf("the comment is of run %d, which is newer than this run %d; nothing was changed", h.Run, r.Meta.Run)
	case r.Outcome == nil && h.Closed && r.Meta.Run > 0 && h.Run == r.Meta.Run:
		return fmt.Errorf("what run %d previewed is deployed; nothing was changed", h.Run)
	}
	return nil
}

// Render writes the comment in at most budget bytes.
func (r *Review) Render(budget int) (string, error) {
	for i, l := range levels {
		text, err := r.render(l, i > 0)
		if err != nil {
			return "", err
		}
		if len(text) <= budget {
			return text, nil
		}
	}
	return "", fmt.Errorf("the shortest comment has more than %d characters", budget)
}

func (r *Review) render(l level, shortened bool) (string, error) {
	data, err := r.data(l)
	if err != nil {
		return "", err
	}
	page := page{Review: r, level: l, Marker: Marker(r.Meta.Project, r.Meta.Stack), Data: data}
	if shortened {
		page.Shortened = "Shortened to fit a comment; the run's review.json has all of it."
	}
	var b bytes.Buffer
	if err := commentTemplate().Execute(&b, &page); err != nil {
		return "", err
	}
	return strings.TrimSpace(b.String()) + "\n", nil
}

// Hidden is what a comment says to the program that reads it again.
type Hidden struct {
	Digest  string `json:"digest"`
	Head    string `json:"head,omitempty"`
	Base    string `json:"base,omitempty"`
	Run     int    `json:"run,omitempty"`
	Attempt int    `json:"attempt,omitempty"`
	Failed  bool   `json:"failed,omitempty"` // the preview failed: nothing was reviewed
	Backend string `json:"backend,omitempty"`
	Closed  bool   `json:"closed,omitempty"` // a deployment ended it
	Steps   string `json:"steps,omitempty"`  // packed
}

const (
	dataStart = "<!-- plan-charge data "
	dataEnd   = " -->"
)

func (r *Review) data(l level) (string, error) {
	h := Hidden{
		Digest: r.Digest, Head: r.Meta.Head, Base: r.Meta.Base, Run: r.Meta.Run, Attempt: r.Meta.Attempt,
		Failed: r.Plan.Failed, Closed: r.Outcome != nil, Backend: r.Meta.Backend,
	}
	if l.packed {
		packed, err := pack(r.Plan.Canonical())
		if err != nil {
			return "", err
		}
		h.Steps = packed
	}
	// encoding/json writes < and > as escapes, so that nothing in it ends the HTML comment.
	text, err := json.Marshal(h)
	return dataStart + string(text) + dataEnd, err
}

// ErrNoData is a comment in which nothing stands for the program.
var ErrNoData = fmt.Errorf("the comment carries no digest: it was edited by hand, or another program wrote it")

// ReadComment reads what a comment says to the program. The list of steps is empty where the comment had no room.
func ReadComment(body string) (Hidden, []string, error) {
	var h Hidden
	_, rest, _ := strings.Cut(body, "\n")
	rest, ok := strings.CutPrefix(rest, dataStart)
	text, _, ends := strings.Cut(rest, dataEnd)
	if !ok || !ends || json.Unmarshal([]byte(text), &h) != nil || h.Digest == "" {
		return h, nil, ErrNoData
	}
	if h.Steps == "" {
		return h, nil, nil
	}
	lines, err := unpack(h.Steps)
	if err != nil || digest(lines) != h.Digest {
		return h, nil, fmt.Errorf("the comment's steps do not have its digest: it was changed by hand")
	}
	return h, lines, nil
}
