// Package drift changes a deployment by hand, one thing after the other, on a sandbox of its own: what a refresh says of
// it, what `up` does, and what the site answers meanwhile.
package drift

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"plan-charge/internal/lastlines"
	"plan-charge/test/testbed"
)

// asked is a regular expression of what is changed one after the other, by "section: what": `.` for everything. Without
// it all is changed at once that can be.
var asked = os.Getenv("PLAN_CHARGE_DRIFT")

// change is one thing that somebody changes by hand.
type change struct {
	what     string
	hand     hand     // makes it
	look     look     // what it changes, and what must be as before in the end
	says     []string // by a refresh: the resource's name, then what its lines have
	fails    []string // what `up` says that cannot heal it
	undo     hand     // by hand again, where `up` has left it
	harmless bool     // no drift: it is said, if at all, and left alone
	outage   bool     // users notice, until it is undone
	alone    bool     // it would disturb others that are made at once
}

// box is the sandbox in a part of the test.
type box struct {
	*testbed.Box
	t       *testing.T
	site    testbed.Site
	url     string // of the database, as its owner
	process testbed.Container
	console *testbed.Console
}

func TestDrift(t *testing.T) {
	t.Parallel() // it mostly waits
	wanted, err := regexp.Compile(asked)
	if err != nil {
		t.Fatalf("PLAN_CHARGE_DRIFT: %v", err)
	}
	b := &box{Box: testbed.NewBox(t), t: t}
	b.Must(b.Run(25*time.Minute, "up"))
	b.site, b.process = b.Site(), b.Database()
	b.url, b.console = b.Connect().Config().ConnString(), b.Console(b.site)
	if asked == "" {
		together(t, b)
		return
	}
	made := map[string]string{} // of a run that fails, too: what is not as it has to be has no row
	for _, s := range sections {
		for _, c := range s.changes {
			if !wanted.MatchString(s.title + ": " + c.what) {
				continue
			}
			made[c.what] = ""
			passed := t.Run(c.what, func(t *testing.T) { made[c.what] = c.try(t, b) })
			writePage(t, made) // at once: all of it takes an hour, and may be interrupted
			if !passed && !b.restored(t, c) {
				t.Fatal("the stack is not as declared any more")
			}
		}
	}
	for _, q := range quiet {
		if !wanted.MatchString("Silence: " + q.after) {
			continue
		}
		made[q.after] = ""
		t.Run("silence after "+q.after, func(t *testing.T) { made[q.after] = b.in(t).silence(q) })
		writePage(t, made)
	}
}

// writePage writes the page, in which what was not tried now keeps its row of an earlier run.
func writePage(t *testing.T, made map[string]string) {
	path := os.Getenv("PLAN_CHARGE_TABLE")
	if path == "" {
		return
	}
	before, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(page(string(before), made)), 0o644); err != nil {
		t.Error(err)
	}
}

// page is docs/drift.md with the rows that were made, and those of before for what was not tried.
func page(before string, made map[string]string) string {
	old := map[string]string{}
	for line := range strings.Lines(before) {
		if cells := strings.SplitN(line, " | ", 2); len(cells) == 2 {
			old[strings.TrimPrefix(cells[0], "| ")] = line
		}
	}
	rowOf := func(what string) string {
		if row, ok := made[what]; ok {
			return row
		}
		return old[what]
	}
	text := driftPage
	for _, s := range sections {
		table := ""
		for _, c := range s.changes {
			table += rowOf(c.what)
		}
		if table != "" {
			text += fmt.Sprintf("\n## %s\n\n| changed by hand | a refresh says | `up` | the site meanwhile | took |\n|---|---|---|---|---|\n%s", s.title, table)
		}
	}
	table := ""
	for _, q := range quiet {
		table += rowOf(q.after)
	}
	if table != "" {
		text += silencePage + table
	}
	return text
}

// together makes all changes at once: one refresh has to name each of them, and one `up` to heal them all.
func together(t *testing.T, b *box) {
	b.console.Look()
	var made []change
	var before []string
	for _, s := range sections {
		for _, c := range s.changes {
			if !c.alone && len(c.fails) == 0 && !c.harmless && c.undo == nil {
				made, before = append(made, c), append(before, c.look(b))
			}
		}
	}
	for i, c := range made {
		c.hand(b)
		if c.look(b) == before[i] {
			t.Errorf("%s: the change by hand did nothing", c.what)
		}
	}
	r := b.drift()
	if r.Code != 7 {
		t.Errorf("refresh ended with %d, want 7", r.Code)
	}
	for _, c := range made {
		if missing := testbed.Missing(r.Out, c.says...); len(missing) > 0 {
			t.Errorf("%s: refresh does not say %q", c.what, missing)
		}
	}
	b.Must(b.Pulumi("up", "--yes", "--skip-preview"))
	for i, c := range made {
		t.Run(c.what, func(t *testing.T) { b.in(t).want(c, before[i]) })
	}
	b.WantNoDrift()
	testbed.Eventually(t, time.Minute, "the site to answer", func() bool { return serves(b) == good })
}

// in is the box in a part of the test.
func (b *box) in(t *testing.T) *box {
	now := *b
	now.Box, now.t = b.With(t), t
	now.console = b.console.With(now.Box)
	return &now
}

// try makes a change, looks what becomes of it, and returns its row of the table.
func (c change) try(t *testing.T, all *box) string {
	b := all.in(t)
	b.console.Look()
	before, began := c.look(b), time.Now()
	viewer := testbed.Watch(b.site.Status)
	defer func() { viewer.Stop() }()
	c.hand(b)
	changed := before
	testbed.Eventually(t, time.Minute, "what is changed by hand to be another", func() bool { changed = c.look(b); return changed != before })
	if c.outage {
		testbed.Eventually(t, time.Minute, "users to notice", func() bool { wrong, _ := viewer.Wrong(); return wrong > 0 })
	}

	said := c.refresh(b)
	done := c.up(b, before, changed)
	b.WantNoDrift()
	testbed.Eventually(t, time.Minute, "the site to answer", func() bool { return serves(b) == good })
	took := time.Since(began)
	viewer.Stop()
	defer func() { viewer = testbed.Watch(b.site.Status) }()
	if !c.outage {
		viewer.WantUndisturbed(t, testbed.GapAllowed)
	}
	wrong, asked := viewer.Wrong()
	meanwhile := "all well"
	if wrong > 0 {
		meanwhile = fmt.Sprintf("%d of %d answers wrong", wrong, asked)
	}
	return row(c.what, said, done, meanwhile, fmt.Sprintf("%.0f s", took.Seconds()))
}

// good is what serves returns of a site that is well.
const good = "200 OK, login 400"

var padding = regexp.MustCompile(` +: `)

// drift is what a scheduled check prints, without the spaces that stand before a colon for show.
func (b *box) drift() testbed.Result {
	b.t.Helper()
	r := b.Pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff")
	r.Out = padding.ReplaceAllString(r.Out, ": ")
	return r
}

// refresh asks as a scheduled check does, and returns what it says of the change.
func (c change) refresh(b *box) string {
	b.t.Helper()
	r := b.drift()
	want := 7
	if c.harmless {
		want = 0
	}
	if r.Code != want {
		b.t.Errorf("refresh ended with %d, want %d", r.Code, want)
	}
	testbed.WantIn(b.t, r.Out, c.says...)
	if len(c.says) == 0 {
		return "nothing"
	}
	return "`" + c.says[0] + "`: " + code(lines(r.Out, c.says[1:]))
}

// up deploys, and looks whether it did away with the change. It returns what it did.
func (c change) up(b *box, before, changed string) string {
	b.t.Helper()
	r := b.Pulumi("up", "--yes", "--skip-preview")
	switch {
	case len(c.fails) > 0:
		if r.Code == 0 {
			b.t.Error("up reports a success")
		}
		testbed.WantIn(b.t, r.Out, c.fails...)
		c.undo(b)
		b.want(c, before)
		b.Must(b.Pulumi("up", "--yes", "--skip-preview"))
		return "fails: " + code(lines(r.Out, c.fails))
	case c.harmless:
		b.Must(r)
		if now := c.look(b); now != changed {
			b.t.Errorf("up changed what is not ours:\nbefore %s\nafter  %s", changed, now)
		}
		c.undo(b)
		return "leaves it"
	}
	b.Must(r)
	b.want(c, before)
	return "heals: " + strings.Join(touched(r.Out), ", ")
}

// want awaits that what was changed is as before.
func (b *box) want(c change, before string) {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(500 * time.Millisecond) {
		now := c.look(b)
		if now == before {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("it is not as before:\nbefore %s\nnow    %s", before, now)
		}
	}
}

// restored takes back a change of which the test failed, so that the others are not disturbed.
func (b *box) restored(t *testing.T, c change) bool {
	if c.undo != nil {
		t.Run("undo "+c.what, func(t *testing.T) { c.undo(b.in(t)) })
	}
	b.Pulumi("up", "--yes", "--skip-preview")
	return b.Pulumi("refresh", "--preview-only", "--expect-no-changes").Code == 0
}

// lines are those of an output that have the parts.
func lines(out string, parts []string) string {
	var found []string
	for _, part := range parts {
		for line := range strings.Lines(out) {
			if strings.Contains(line, part) {
				if line = strings.TrimSpace(line); !slices.Contains(found, line) {
					found = append(found, line)
				}
				break
			}
		}
	}
	return strings.Join(found, "; ")
}

var changedLine = regexp.MustCompile(`(?m)^ *[~+-]+ +\S+ (\S+) ((?:updated|created|deleted|replaced)\b[^(\[]*)`)

// touched are the resources that an `up` changed.
func touched(out string) (list []string) {
	for _, m := range changedLine.FindAllStringSubmatch(out, -1) {
		if text := m[1] + " " + strings.TrimSpace(m[2]); !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list
}

// code is a text of a program in a cell.
func code(text string) string {
	if text == "" {
		return ""
	}
	if r := []rune(text); len(r) > 200 {
		text = string(r[:200]) + " …"
	}
	return "`" + strings.ReplaceAll(text, "`", "'") + "`"
}

func row(cells ...string) string {
	for i, c := range cells {
		cells[i] = strings.NewReplacer("|", "\\|", "\n", " ").Replace(c)
	}
	return "| " + strings.Join(cells, " | ") + " |\n"
}

// calm is what nobody changed by hand, so that a refresh has nothing to say after it.
type calm struct {
	after    string
	do, undo hand
}

var quiet = []calm{
	{"an `up`", deploy, deploy},
	{"a rollout that failed", func(b *box) {
		config := b.Changed("plan-charge/backend:1.0.0", "plan-charge/backend:1.0.1-crash")
		if r := b.Pulumi("up", "--yes", "--skip-preview", "--config-file", config); r.Code == 0 {
			b.t.Error("up reports a success")
		}
	}, deploy},
	{"autoscaling made two tasks of one", scale(2), scale(1)},
}

func deploy(b *box) { b.t.Helper(); b.Must(b.Pulumi("up", "--yes", "--skip-preview")) }

// silence refreshes ten times.
func (b *box) silence(q calm) string {
	q.do(b)
	defer q.undo(b)
	began := time.Now()
	for range 10 {
		if r := b.Pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff"); r.Code != 0 {
			b.t.Fatalf("a refresh after %s ended with %d:\n%s", q.after, r.Code, lastlines.Of(r.Out, 60))
		}
	}
	return row(q.after, "10", fmt.Sprintf("%.1f s", time.Since(began).Seconds()/10))
}
