package review_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"plan-charge/internal/review"
)

var update = flag.Bool("update", false, "write the comments that are compared")

func reviewOf(t testing.TB, p *review.Plan) *review.Review {
	t.Helper()
	project, stack := p.Project, p.Stack
	if project == "" {
		project, stack = "plan-charge", "prod"
	}
	r, err := review.NewReview(review.Meta{
		Project: project, Stack: stack, Head: "1111111111111111", Base: "2222222222222222",
		Run: 12, Attempt: 1, RunURL: "https://github.example/o/r/actions/runs/99", Time: time.Date(2026, 11, 24, 21, 0, 0, 0, time.UTC),
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestComments compares the comments of logs that the engine wrote on the sandbox, and of a made-up one.
func TestComments(t *testing.T) {
	logs := map[string][]byte{"hostile": hostile(t)}
	for _, name := range []string{"first", "empty", "image", "row", "class", "replacement", "mistake", "away"} {
		logs[name] = recorded(t, name)
	}
	for name, log := range logs {
		t.Run(name, func(t *testing.T) { compare(t, name, render(t, planOf(t, log))) })
	}
	t.Run("not deployed", func(t *testing.T) {
		r := reviewOf(t, planOf(t, recorded(t, "image")))
		up := planOf(t, recorded(t, "failed"))
		r.Outcome = &review.Outcome{Run: 13, RunURL: r.Meta.RunURL, Why: up.Errors[0].Message, Serves: up.Serves(), Next: "pulumi up --stack sandbox"}
		text, err := r.Render(review.Budget)
		if err != nil {
			t.Fatal(err)
		}
		compare(t, "not-deployed", text)
	})
}

// compare holds a comment against the one on file. What is packed in it is left out: it is held against the digest.
func compare(t *testing.T, name, text string) {
	t.Helper()
	if _, _, err := review.ReadComment(text); err != nil {
		t.Errorf("it cannot be read again: %v", err)
	}
	lines := strings.SplitN(text, "\n", 3)
	if start, _, packed := strings.Cut(lines[1], `,"steps"`); packed {
		lines[1] = start + `,"steps":"…"} -->`
	}
	text = strings.Join(lines, "\n")
	file := filepath.Join("testdata", name+".md")
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("%s differs; `go test ./internal/review -update` takes it:\n%s", file, text)
	}
}

// names that try to be more than a name.
var names = []string{
	"`tick", "two``ticks``", "</details>", "<img src=x onerror=alert(1)>", "@team", "#12", "a|b|c", "[link](https://evil.example)",
	"line\nbreak", "<!-- plan-charge review of plan-charge/prod -->", "-->", "**bold**", "\u202eright to left", "```\nfence",
}

func hostile(t testing.TB) []byte {
	t.Helper()
	var steps []step
	for i, name := range names {
		op := []apitype.OpType{apitype.OpDelete, apitype.OpUpdate, apitype.OpCreate}[i%3]
		steps = append(steps, step{op: op, typ: instance, name: name, old: texts("engineVersion", name), new: texts("engineVersion", name+"!"), diff: differs("engineVersion")})
	}
	log := logOf(t, steps...)
	said := event(t, apitype.EngineEvent{DiagnosticEvent: &apitype.DiagnosticEvent{Severity: "error", Message: strings.Join(names, "\n")}})
	return append(said, log...)
}

// TestHostileNamesStayNames looks at what Markdown would make of them: nothing.
func TestHostileNamesStayNames(t *testing.T) {
	text := render(t, planOf(t, hostile(t)))
	body := strings.SplitN(text, "\n", 3)[2]
	outside := outsideCode(body)
	for _, bad := range []string{"</details>\n</details>", "<img", "@team", "[link](", "<!--", "-->", "\u202e"} {
		if strings.Contains(outside, bad) {
			t.Errorf("%q stands outside of code:\n%s", bad, outside)
		}
	}
	if got, want := strings.Count(outside, "<details"), strings.Count(outside, "</details>"); got != want {
		t.Errorf("%d details open, %d close", got, want)
	}
	if !strings.HasPrefix(text, review.Marker("plan-charge", "prod")+"\n") {
		t.Errorf("the comment does not begin with its marker:\n%s", text)
	}
}

// outsideCode takes code out of Markdown, as CommonMark reads it: a row of backticks to the next row of that length.
func outsideCode(text string) string {
	var b strings.Builder
	for text != "" {
		start := strings.IndexByte(text, '`')
		if start < 0 {
			b.WriteString(text)
			break
		}
		b.WriteString(text[:start])
		row := len(text[start:]) - len(strings.TrimLeft(text[start:], "`"))
		end := closing(text[start+row:], row)
		if end < 0 {
			b.WriteString(text[start : start+row])
			text = text[start+row:]
			continue
		}
		text = text[start+row+end+row:]
	}
	return b.String()
}

func closing(text string, row int) int {
	for i := 0; i < len(text); {
		if text[i] != '`' {
			i++
			continue
		}
		n := len(text[i:]) - len(strings.TrimLeft(text[i:], "`"))
		if n == row {
			return i
		}
		i += n
	}
	return -1
}

// TestBudgetDropsDetailAndNoDeletion renders ever more resources.
func TestBudgetDropsDetailAndNoDeletion(t *testing.T) {
	for _, count := range []int{10, 400, 1000, 5000} {
		var steps []step
		for i := range count {
			s := step{op: apitype.OpUpdate, typ: "aws:ec2/subnet:Subnet", name: fmt.Sprintf("subnet-of-a-longer-name-%d", i), old: texts("cidrBlock", fmt.Sprintf("10.0.%d.0/24", i)), new: texts("cidrBlock", strings.Repeat("x", 100)), diff: differs("cidrBlock")}
			if i%50 == 0 {
				s.op = apitype.OpDelete
			}
			steps = append(steps, s)
		}
		text := render(t, planOf(t, logOf(t, steps...)))
		if len(text) > review.Budget {
			t.Errorf("%d resources: %d bytes", count, len(text))
		}
		for i := 0; i < count; i += 50 {
			if want := fmt.Sprintf("deleted: `subnet-of-a-longer-name-%d`", i); !strings.Contains(text, want) {
				t.Errorf("%d resources: %q is missing", count, want)
			}
		}
		if shortened := strings.Contains(text, "Shortened"); shortened != (count > 100) {
			t.Errorf("%d resources: shortened is %v", count, shortened)
		}
	}
	// Where not even the names fit, the numbers stay.
	var steps []step
	for i := range 5000 {
		steps = append(steps, step{op: apitype.OpDelete, typ: instance, name: fmt.Sprintf("database-of-a-longer-name-%d", i), old: texts("engine", "postgres")})
	}
	text := render(t, planOf(t, logOf(t, steps...)))
	for _, want := range []string{"5000 deleted", "deleted: 5000 of `aws:rds/instance:Instance`"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %d bytes:\n%.2000s", want, len(text), text)
		}
	}
}

// TestGate compares what was reviewed with what would happen now.
func TestGate(t *testing.T) {
	change := func(name, to string) step {
		return step{op: apitype.OpUpdate, typ: instance, name: name, old: texts("instanceClass", "db.t4g.small"), new: texts("instanceClass", to), diff: differs("instanceClass")}
	}
	reviewed := planOf(t, logOf(t, change("db", "db.t4g.large"), change("other", "db.t4g.large")))
	text := render(t, reviewed)
	hidden, lines, err := review.ReadComment(text)
	if err != nil || hidden.Run != 12 || hidden.Head != "1111111111111111" {
		t.Fatalf("got %+v, %v", hidden, err)
	}
	same := planOf(t, logOf(t, change("other", "db.t4g.large"), change("db", "db.t4g.large")))
	if same.Digest() != hidden.Digest || len(review.Compare(lines, same.Canonical())) > 0 {
		t.Error("the same steps in another order have another digest")
	}
	for name, steps := range map[string][]step{
		"another value":   {change("db", "db.t4g.xlarge"), change("other", "db.t4g.large")},
		"one more":        {change("db", "db.t4g.large"), change("other", "db.t4g.large"), change("third", "db.t4g.large")},
		"one fewer":       {change("db", "db.t4g.large")},
		"another op":      {change("other", "db.t4g.large"), {op: apitype.OpReplace, typ: instance, name: "db", old: texts("instanceClass", "db.t4g.small"), new: texts("instanceClass", "db.t4g.large"), diff: differs("instanceClass")}},
		"nothing anymore": nil,
	} {
		now := planOf(t, logOf(t, steps...))
		if now.Digest() == hidden.Digest {
			t.Errorf("%s: the digest is the same", name)
		}
		if len(review.Compare(lines, now.Canonical())) == 0 {
			t.Errorf("%s: no difference is shown", name)
		}
	}
	forged := strings.Replace(text, hidden.Digest, same.Digest()[:63]+"0", 1)
	if _, _, err := review.ReadComment(forged); err == nil && same.Digest()[63] != '0' {
		t.Error("a comment with another digest than its steps have is read")
	}
	if _, _, err := review.ReadComment("hello"); err == nil {
		t.Error("a comment without a digest is read")
	}
}
