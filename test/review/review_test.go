// Package review takes the commands for pull requests and drift through their days on a sandbox of its own: the real
// engine, the real AWS provider and PostgreSQL, and a server that answers as GitHub does.
package review

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"plan-charge/internal/review"
	"plan-charge/internal/testkit"
	"plan-charge/internal/testkit/fakegithub"
	"plan-charge/test/testbed"
)

// box is a sandbox with a repository on the server, in a part of the test.
type box struct {
	*testbed.Box
	t       *testing.T
	github  *fakegithub.Server
	site    testbed.Site
	console *testbed.Console
	program string // plan-charge, built once
	run     int    // number of the last workflow's run
}

// ownPart is how long the program may take beside the CLI, on a loaded machine; on an idle one it is well below a second.
const ownPart = 5 * time.Second

func TestReview(t *testing.T) {
	t.Parallel() // it mostly waits
	b := &box{Box: testbed.NewBox(t), t: t, github: fakegithub.New(t)}
	if _, err := os.Stat(b.File("up.jsonl")); err != nil { // a folder given by name is deployed already
		b.Must(b.Run(25*time.Minute, "up"))
	}
	b.site = b.Site()
	b.console = b.Console(b.site)
	b.program = filepath.Join(t.TempDir(), "plan-charge")
	b.Must(b.Type(nil, "go", "build", "-o", b.program, "./cmd/plan-charge"))
	for _, scene := range []struct {
		name string
		play func(*testing.T, *box)
	}{
		{"NothingToDo", nothingToDo},
		{"BadInputChangesNothing", badInput},
		{"DriftIsOneIssue", driftIsOneIssue},
		{"NotSeenIsNeverGreen", notSeen},
		{"WhatWaitsForTheWindow", waits},
		{"AMigrationThatFails", failingMigration},
		{"AnotherChangeOnMainInBetween", anotherChange},
		{"WhatWasReviewedIsDeployed", deployed},
	} {
		t.Run(scene.name, func(t *testing.T) {
			now := *b
			now.Box, now.t = b.With(t), t
			now.console = b.console.With(now.Box)
			defer func() { b.run = now.run }()
			scene.play(t, &now)
		})
	}
}

// command calls one of the commands as a step of a workflow's run does, and wants an exit code.
func (b *box) command(code int, name string, args ...string) string {
	b.t.Helper()
	r := b.Type([]string{
		"GITHUB_TOKEN=" + fakegithub.Token, "GITHUB_REPOSITORY=o/r", "GITHUB_API_URL=" + b.github.URL, "GITHUB_SERVER_URL=https://github.example",
		"GITHUB_RUN_NUMBER=" + strconv.Itoa(b.run), "GITHUB_RUN_ATTEMPT=1", "GITHUB_RUN_ID=" + strconv.Itoa(1000+b.run),
		"GITHUB_STEP_SUMMARY=" + b.File("summary.md"), "GITHUB_OUTPUT=" + b.File("output"), "GITHUB_SHA=",
	}, b.program, append([]string{name}, args...)...)
	if r.Code != code {
		b.t.Fatalf("%s: exit code %d, want %d:\n%s", name, r.Code, code, r.Out)
	}
	return r.Out
}

// on says of which stack a command speaks, with the configuration that a commit has.
func on(config string, args ...string) []string {
	return append([]string{"--stack", "sandbox", "--config-file", config}, args...)
}

// pull is a pull request: a commit on a base.
type pull struct {
	number     int
	head, base string
	config     string // the stack's configuration as the commit has it
}

// opened is a new pull request with texts of the configuration replaced, previewed and commented on.
func (b *box) opened(head, base string, replace ...string) pull {
	b.t.Helper()
	config, err := b.Config(head+".yaml", replace...)
	if err != nil {
		b.t.Fatal(err)
	}
	p := pull{b.github.Add(fakegithub.Issue{Title: head, User: "dev", Pull: true}), head, base, config}
	b.preview(0, p)
	return p
}

// preview is the workflow of that name.
func (b *box) preview(code int, p pull) {
	b.t.Helper()
	b.run++
	out := b.File("review-" + p.head)
	b.command(code, "preview", on(p.config, "--head", p.head, "--base", p.base, "--out", out)...)
	b.command(0, "comment", "--pull", strconv.Itoa(p.number), "--review", filepath.Join(out, "review.json"))
}

// comment is the one that the pull request has.
func (b *box) comment(p pull) string {
	b.t.Helper()
	all := b.github.Issue(p.number).Comments
	if len(all) != 1 {
		b.t.Fatalf("pull request %d has %d comments, want one", p.number, len(all))
	}
	return all[0].Body
}

// merged puts the pull request on main.
func (b *box) merged(p pull) { b.github.Merge(p.head, p.number) }

// serves is the version that answers.
func (b *box) serves() string {
	b.t.Helper()
	return b.site.Get(b.t, "/health").Header.Get("X-Served-By")
}

func nothingToDo(t *testing.T, b *box) {
	p := b.opened("nothing", "main0")
	testkit.Contains(t, "the comment", b.comment(p), "plan-charge/sandbox: no changes, ", " unchanged", "head `nothing`", "base `main0`", "[run 1](https://github.example/o/r/actions/runs/1001)")
	if strings.Contains(b.comment(p), "Not seen") {
		t.Errorf("something was not seen:\n%s", b.comment(p))
	}
	m := took.FindStringSubmatch(b.command(0, "preview", on(p.config)...))
	if m == nil {
		t.Fatal("the preview does not say how long it took")
	}
	t.Logf("pulumi took %s, the program itself %s", m[1], m[2])
	if own, err := time.ParseDuration(m[2]); err != nil || own > ownPart {
		t.Errorf("the program takes %s beside pulumi, allowed are %s: %v", m[2], ownPart, err)
	}
}

var took = regexp.MustCompile(`pulumi took (\S+), the rest of the preview (\S+)`)

func badInput(t *testing.T, b *box) {
	config := b.Changed()
	testkit.Contains(t, "a stack that is not there", b.command(1, "drift", "--stack", "nowhere"), "no stack named 'nowhere' found")
	testkit.Contains(t, "a stack that is not there", b.command(1, "gate", "--stack", "nowhere", "--pull", "1"), "no stack named 'nowhere' found")
	mistake, err := b.Config("mistake.yaml", "class: db.t4g.micro", "class: small")
	if err != nil {
		t.Fatal(err)
	}
	p := pull{b.github.Add(fakegithub.Issue{Title: "mistake", User: "dev", Pull: true}), "mistake", "main0", mistake}
	b.preview(1, p)
	testkit.Contains(t, "the comment", b.comment(p), "**The preview failed.** Nothing was changed.", "database.class", "small", "db.t4g")
	b.merged(p)
	testkit.Contains(t, "deploy", b.command(7, "deploy", on(config, "--head", p.head)...), "the last preview of pull request", "failed")
	testkit.Contains(t, "deploy", b.command(7, "deploy", on(config, "--head", "unknown")...), "commit unknown came with no pull request")
}

// failingMigration is reviewed, and fails where no preview can see it.
func failingMigration(t *testing.T, b *box) {
	p := b.opened("broken", "main0", "plan-charge/backend:1.0.0", "plan-charge/backend:1.1.0-broken-migration")
	b.merged(p)
	b.run++
	testkit.Contains(t, "the gate", b.command(0, "gate", on(p.config, "--head", p.head, "--base", "main0")...), "### As reviewed")
	b.command(1, "deploy", on(p.config, "--head", p.head)...)
	testkit.Contains(t, "the comment", b.comment(p), fmt.Sprintf("**The deployment failed** in [run %d]", b.run), `relation "invoice" does not exist`, "plan-charge/backend:1.0.0 serves on", "`pulumi up --stack sandbox`")
	if now := b.serves(); now != "backend/1.0.0" {
		t.Errorf("%s serves, want backend/1.0.0", now)
	}
}

// anotherChange came to main after the preview: what is there now would be deployed with it.
func anotherChange(t *testing.T, b *box) {
	const image = "plan-charge/backend:1.0.0"
	p := b.opened("image", "main1", image, "plan-charge/backend:1.1.0")
	testkit.Contains(t, "the comment", b.comment(p), "`plan-charge/backend:1.0.0` → `plan-charge/backend:1.1.0`, new revision", "**Migration**")
	if strings.Contains(b.comment(p), "**Deleted or replaced**") {
		t.Errorf("a new image is no replacement:\n%s", b.comment(p))
	}
	b.merged(p)
	both, err := b.Config("both.yaml", image, "plan-charge/backend:1.1.0", "logDays: 1", "logDays: 7", "name: Default Organization", "name: Default")
	if err != nil {
		t.Fatal(err)
	}
	b.run++
	out := b.command(7, "gate", on(both, "--head", p.head, "--base", "main2")...)
	testkit.Contains(t, "the gate", out, "Not what was reviewed in pull request", "The preview was made on main at main1; main was at main2",
		"<th>reviewed</th><th>now</th>", "retentionInDays: 1 → 7", "Default Organization → Default")
	if _, list, _ := strings.Cut(out, "### Not what was reviewed"); strings.Contains(list, "1.1.0") {
		t.Errorf("the gate lists what is the same:\n%s", list)
	}
	b.command(7, "deploy", on(both, "--head", p.head)...)
	if now := b.serves(); now != "backend/1.0.0" || strings.Contains(b.comment(p), "**Deployed**") {
		t.Errorf("%s serves, and the comment says\n%s", now, b.comment(p))
	}
	// Somebody agrees to what the gate printed, and something else is on main by then.
	if err := os.Truncate(b.File("output"), 0); err != nil {
		t.Fatal(err)
	}
	b.command(0, "gate", on(both, "--head", p.head, "--base", "main2", "--ask")...)
	b.command(7, "deploy", on(p.config, "--head", p.head, "--digest", b.output("digest"))...)
	if environment := b.output("environment"); environment != "production-approval" {
		t.Errorf("the deployment waits in %q, want production-approval", environment)
	}
}

// output is what a command handed to later jobs last.
func (b *box) output(key string) string {
	b.t.Helper()
	text, err := os.ReadFile(b.File("output"))
	if err != nil {
		b.t.Fatal(err)
	}
	value := ""
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), key+"="); ok {
			value = rest
		}
	}
	return value
}

// deployed goes from the pull request to the comment's last word.
func deployed(t *testing.T, b *box) {
	p := b.opened("release", "main1", "plan-charge/backend:1.0.0", "plan-charge/backend:1.1.0", "name: Default Organization", "name: Default")
	testkit.Contains(t, "the comment", b.comment(p), "**Migration**", "**Image:**", "**Rows** `organizations-rows`", "`Default Organization` → `Default`")
	b.merged(p)
	reviewed := b.run
	b.run++
	b.command(0, "gate", on(p.config, "--head", p.head, "--base", "main1")...)
	if environment := b.output("environment"); environment != "production" {
		t.Errorf("the deployment waits in %q, want production", environment)
	}
	b.command(0, "deploy", on(p.config, "--head", p.head, "--digest", b.output("digest"))...)
	testkit.Contains(t, "the comment", b.comment(p), fmt.Sprintf("**Deployed** in [run %d](https://github.example/o/r/actions/runs/%d). The new version serves.", b.run, 1000+b.run))
	if now := b.serves(); now != "backend/1.1.0" {
		t.Errorf("%s serves, want backend/1.1.0", now)
	}
	// A rerun of the preview leaves the last word, and a new one says that nothing is left.
	b.run = reviewed
	out := b.command(1, "comment", "--pull", strconv.Itoa(p.number), "--review", filepath.Join(b.File("review-"+p.head), "review.json"))
	testkit.Contains(t, "comment", out, "is deployed; nothing was changed")
	b.run += 2
	b.command(0, "drift", on(p.config)...)
	b.preview(0, p)
	testkit.Contains(t, "the comment", b.comment(p), "no changes")
	if _, _, err := review.ReadComment(b.comment(p)); err != nil {
		t.Error(err)
	}
}
