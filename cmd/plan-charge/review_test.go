package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"plan-charge/internal/review"
	"plan-charge/internal/testkit"
	"plan-charge/internal/testkit/fakegithub"
)

// fakeCLI stands where the Pulumi CLI does: it leaves a log that the real one wrote, and ends as told. How the real one
// behaves is tested on the sandbox.
const fakeCLI = `#!/bin/sh
verb=$1
echo "$*" >>"$FAKE/calls"
while [ $# -gt 0 ]; do
	case $1 in
	--event-log) log=$2 ;;
	--refresh=false|--exclude) again=-again ;;
	esac
	shift
done
if [ -f "$FAKE/$verb$again.jsonl" ]; then cat "$FAKE/$verb$again.jsonl" >"$log"; else echo "error: no stack named 'sandbox' found"; fi
exit $(cat "$FAKE/$verb$again.rc" 2>/dev/null || echo 0)
`

// world is a project with a CLI that does as told, and a server that keeps state.
type world struct {
	t      *testing.T
	dir    string
	github *fakegithub.Server
	rds    *fakeRDS
}

// fakeRDS answers as RDS does for the one instance of the recorded logs.
type fakeRDS struct {
	pending string // XML of what waits
	refuses bool
}

func (f *fakeRDS) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if f.refuses {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `<ErrorResponse><Error><Code>AccessDenied</Code><Message>not authorized to perform rds:DescribeDBInstances</Message></Error></ErrorResponse>`)
		return
	}
	fmt.Fprintf(w, `<R><DescribeDBInstancesResult><DBInstances><DBInstance><DBInstanceClass>db.t4g.micro</DBInstanceClass>
		<PreferredMaintenanceWindow>sun:05:00-sun:06:00</PreferredMaintenanceWindow><PendingModifiedValues>%s</PendingModifiedValues>
		</DBInstance></DBInstances></DescribeDBInstancesResult></R>`, f.pending)
}

func newWorld(t *testing.T) *world {
	w := &world{t, t.TempDir(), fakegithub.New(t), &fakeRDS{}}
	aws := httptest.NewServer(w.rds)
	t.Cleanup(aws.Close)
	w.file("pulumi", fakeCLI)
	if err := os.Chmod(filepath.Join(w.dir, "pulumi"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir(testkit.Project(t))
	for key, value := range map[string]string{
		"AWS_ENDPOINT_URL": aws.URL, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_CONFIG_FILE": w.path("none"),
		"FAKE": w.dir, "PATH": w.dir + ":" + os.Getenv("PATH"), "PULUMI_BACKEND_URL": "file:///here",
		"GITHUB_TOKEN": fakegithub.Token, "GITHUB_REPOSITORY": "o/r", "GITHUB_API_URL": w.github.URL, "PLAN_CHARGE_PAUSE": "1ms",
		"GITHUB_RUN_NUMBER": "12", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_RUN_ID": "99", "GITHUB_SERVER_URL": "https://github.example",
		"GITHUB_SHA": "abc", "GITHUB_OUTPUT": w.path("output"), "GITHUB_STEP_SUMMARY": w.path("summary"),
	} {
		t.Setenv(key, value)
	}
	return w
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

func (w *world) file(name, text string) {
	w.t.Helper()
	if err := os.WriteFile(w.path(name), []byte(text), 0o644); err != nil {
		w.t.Fatal(err)
	}
}

// log makes the CLI leave a recorded log when it is called so, and end with an exit code.
func (w *world) log(verb, recorded, code string) {
	w.t.Helper()
	file, err := os.Open(filepath.Join("internal", "review", "testdata", recorded+".jsonl.gz"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer file.Close()
	z, err := gzip.NewReader(file)
	if err != nil {
		w.t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		w.t.Fatal(err)
	}
	w.file(verb+".jsonl", string(text))
	w.file(verb+".rc", code)
}

// run calls a command and wants an exit code.
func (w *world) run(code int, args ...string) string {
	w.t.Helper()
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(context.Background())
	got := 0
	if err != nil {
		got = exitCode(err)
		out.WriteString(err.Error())
	}
	if got != code {
		w.t.Fatalf("%s: exit code %d, want %d:\n%s", strings.Join(args, " "), got, code, out.String())
	}
	return out.String()
}

func (w *world) read(name string) string {
	w.t.Helper()
	text, err := os.ReadFile(w.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		w.t.Fatal(err)
	}
	return string(text)
}

// reviewed previews and comments on pull request 1, which is merged then as commit abc.
func (w *world) reviewed() {
	w.t.Helper()
	w.run(0, "preview", "--stack", "sandbox", "--out", w.path("out"), "--head", "abc", "--base", "000")
	w.run(0, "comment", "--pull", "1", "--review", w.path("out/review.json"))
	w.github.Merge("abc", 1)
}

func (w *world) comment() string {
	w.t.Helper()
	comments := w.github.Issue(1).Comments
	if len(comments) != 1 {
		w.t.Fatalf("%d comments, want 1", len(comments))
	}
	return comments[0].Body
}

// TestWhatWasReviewedIsDeployed goes from the pull request to the comment's last word.
func TestWhatWasReviewedIsDeployed(t *testing.T) {
	w := newWorld(t)
	w.log("preview", "image", "0")
	w.reviewed()
	testkit.Contains(t, "the comment", w.comment(), "6 changed", "`plan-charge/backend:1.0.0` → `plan-charge/backend:1.1.0`", "[run 12]")
	w.run(0, "gate", "--stack", "sandbox", "--head", "abc")
	testkit.Contains(t, "output", w.read("output"), "environment=production\n", "digest=")
	w.log("up", "image", "0")
	w.run(0, "deploy", "--stack", "sandbox", "--head", "abc")
	testkit.Contains(t, "the comment", w.comment(), "**Deployed** in [run 12]", "The new version serves")
	testkit.Contains(t, "calls", w.read("calls"), "up --yes --skip-preview --stack sandbox")
	w.run(1, "comment", "--pull", "1", "--review", w.path("out/review.json"))
	testkit.Contains(t, "the comment", w.comment(), "**Deployed**")
}

// TestGateStopsWhatWasNotReviewed: another change came to main in between.
func TestGateStopsWhatWasNotReviewed(t *testing.T) {
	w := newWorld(t)
	w.log("preview", "image", "0")
	w.reviewed()
	w.log("preview", "class", "0")
	w.log("up", "class", "0")
	out := w.run(7, "gate", "--stack", "sandbox", "--head", "abc", "--base", "111")
	testkit.Contains(t, "the gate", out, "Not what was reviewed in pull request 1", "<th>reviewed</th><th>now</th>", "database-instance", "instanceClass: db.t4g.micro → db.t4g.medium", "made on main at 000; main was at 111")
	w.run(7, "deploy", "--stack", "sandbox", "--head", "abc")
	w.run(7, "deploy", "--stack", "sandbox", "--head", "abc", "--digest", "another")
	if strings.Contains(w.read("calls"), "up ") {
		t.Fatal("it was deployed all the same")
	}
	if strings.Contains(w.comment(), "Deployed") {
		t.Error("the comment says that it was deployed")
	}
	w.run(0, "gate", "--stack", "sandbox", "--head", "abc", "--ask")
	testkit.Contains(t, "output", w.read("output"), "environment=production-approval\n")
	_, digest, _ := strings.Cut(w.read("output"), "digest=")
	digest, _, _ = strings.Cut(digest, "\n")
	w.run(0, "deploy", "--stack", "sandbox", "--head", "abc", "--digest", digest)
	testkit.Contains(t, "the comment", w.comment(), "**Deployed**", "database-instance")
}

// TestNothingIsDeployedThatNobodyReviewed: no pull request, no comment, a failed preview, a comment by somebody else.
func TestNothingIsDeployedThatNobodyReviewed(t *testing.T) {
	w := newWorld(t)
	w.log("preview", "image", "0")
	out := w.run(7, "gate", "--stack", "sandbox", "--head", "def")
	testkit.Contains(t, "the gate", out, "commit def came with no pull request", "plan-charge/backend:1.1.0")
	out = w.run(7, "deploy", "--stack", "sandbox", "--pull", "1")
	testkit.Contains(t, "deploy", out, "pull request 1 has no preview of this stack")
	w.run(0, "preview", "--stack", "sandbox", "--out", w.path("out"))
	w.github.Say(1, "mallory", w.read("out/comment.md"))
	out = w.run(7, "deploy", "--stack", "sandbox", "--pull", "1")
	testkit.Contains(t, "deploy", out, "pull request 1 has no preview of this stack")
	w.log("preview", "mistake", "255")
	w.run(1, "preview", "--stack", "sandbox", "--out", w.path("out"))
	w.run(0, "comment", "--pull", "1", "--review", w.path("out/review.json"))
	testkit.Contains(t, "the comment", w.github.Issue(1).Comments[1].Body, "the preview failed", "allowed: an RDS instance class")
	w.log("preview", "image", "0")
	out = w.run(7, "deploy", "--stack", "sandbox", "--pull", "1")
	testkit.Contains(t, "deploy", out, "the last preview of pull request 1 failed")
	if strings.Contains(w.read("calls"), "up ") {
		t.Error("it was deployed")
	}
}

func TestAFailedDeploymentIsSaid(t *testing.T) {
	w := newWorld(t)
	w.log("preview", "image", "0")
	w.reviewed()
	w.log("up", "failed", "255")
	w.run(1, "deploy", "--stack", "sandbox", "--head", "abc")
	testkit.Contains(t, "the comment", w.comment(), "**The deployment failed** in [run 12]", "plan-charge/backend:1.0.0 serves on", "`pulumi up --stack sandbox`")
}

func TestBadInputChangesNothing(t *testing.T) {
	w := newWorld(t)
	out := w.run(1, "preview", "--stack", "sandbox", "--out", w.path("out"))
	testkit.Contains(t, "no such stack", out, "no stack named 'sandbox' found")
	w.log("preview", "image", "0")
	text := w.read("preview.jsonl")
	w.file("preview.jsonl", text[:len(text)/2])
	out = w.run(1, "gate", "--stack", "sandbox", "--head", "abc")
	testkit.Contains(t, "a cut log", out, review.ErrCut.Error())
	w.file("preview.jsonl", text)
	w.reviewed()
	writes := w.github.Writes()
	for name, c := range map[string]struct {
		env  map[string]string
		says string
	}{
		"an older run":             {map[string]string{"GITHUB_RUN_NUMBER": "11"}, "run 12, which is newer than this run 11"},
		"a stack in two backends":  {map[string]string{"PULUMI_BACKEND_URL": "file:///there"}, "in another backend"},
		"a token that may nothing": {map[string]string{"GITHUB_TOKEN": "reader"}, "the token may not (403)"},
		"no token":                 {map[string]string{"GITHUB_TOKEN": ""}, "set GITHUB_TOKEN"},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{t, w.dir, w.github, w.rds}
			w.github.Let("reader", fakegithub.User{Login: fakegithub.Author, May: []string{}})
			for key, value := range c.env {
				t.Setenv(key, value)
			}
			w.run(0, "preview", "--stack", "sandbox", "--out", w.path("other"), "--head", "another")
			out := w.run(1, "comment", "--pull", "1", "--review", w.path("other/review.json"))
			testkit.Contains(t, "comment", out, c.says)
			if w.github.Writes() != writes {
				t.Error("something was written")
			}
		})
	}
	w.file("bad.json", `{"meta":{"project":"x -->","stack":"y"},"plan":{}}`)
	w.run(1, "comment", "--pull", "1", "--review", w.path("bad.json"))
	w.file("bad.json", `{}`)
	w.run(1, "comment", "--pull", "1", "--review", w.path("bad.json"))
}

// TestPreviewWithoutTheDatabase is made once more, and says what it did not see.
func TestPreviewWithoutTheDatabase(t *testing.T) {
	w := newWorld(t)
	w.log("preview", "away-refresh", "255")
	w.log("preview-again", "image", "0")
	out := w.run(0, "preview", "--stack", "sandbox")
	testkit.Contains(t, "the comment", out, "**Not seen**", "the database cannot be reached", "6 changed")
	testkit.Contains(t, "calls", w.read("calls"), "preview --refresh=false")
	w.reviewed()
	testkit.Contains(t, "the gate", w.run(0, "gate", "--stack", "sandbox", "--head", "abc"), "### As reviewed", "**Not all was seen**", "cannot be reached")
}

// TestDriftIsOneIssue follows it from nothing to its end.
func TestDriftIsOneIssue(t *testing.T) {
	w := newWorld(t)
	look := func(code int) string {
		t.Helper()
		return w.run(code, "drift", "--stack", "sandbox", "--issue", "--deployments", "deploy.yml", "--json", w.path("drift.json"))
	}
	state := func(want string) {
		t.Helper()
		if issues := w.github.Issues(); len(issues) != 1 || issues[0].State != want {
			t.Fatalf("got %+v, want one, %s", issues, want)
		}
	}
	w.log("refresh", "clean", "0")
	look(0)
	if len(w.github.Issues()) > 0 {
		t.Fatal("an issue without drift")
	}
	w.log("refresh", "drift", "0")
	testkit.Contains(t, "the table", look(7), "RESOURCE", "healthCheckGracePeriodSeconds", "10", "200", "not covered", "command:local:Command")
	state("open")
	testkit.Contains(t, "the issue", w.github.Issues()[0].Body, "pulumi up --stack sandbox", "Pulumi.sandbox.yaml", "healthCheckGracePeriodSeconds")
	var found review.Drift
	if err := json.Unmarshal([]byte(w.read("drift.json")), &found); err != nil || len(found.Drift) != 1 || found.Drift[0].Found != "200" {
		t.Errorf("drift.json: %+v, %v", found, err)
	}
	writes := w.github.Writes()
	look(7)
	if w.github.Writes() != writes {
		t.Error("the same drift was written again")
	}
	w.log("refresh", "away-refresh", "255")
	w.log("refresh-again", "clean", "0")
	testkit.Contains(t, "not all seen", look(8), "not seen: ", "not all was")
	state("open")
	w.log("refresh", "mistake", "255")
	look(1)
	state("open")
	w.github.Run("deploy.yml", "in_progress")
	testkit.Contains(t, "during a deployment", look(0), "skipped: a deployment is under way")
	state("open")
	w.github.Run("deploy.yml", "")
	w.log("refresh", "clean", "0")
	look(0)
	state("closed")
}

// TestWhatWaitsForTheWindowIsNoDrift looks while the database has changes for its maintenance window.
func TestWhatWaitsForTheWindowIsNoDrift(t *testing.T) {
	w := newWorld(t)
	look := func(code int) string {
		t.Helper()
		return w.run(code, "drift", "--stack", "sandbox", "--issue", "--json", w.path("drift.json"))
	}
	w.log("refresh", "clean", "0")
	w.rds.pending = "<Iops>3000</Iops><MasterUserPassword>planted</MasterUserPassword>"
	out := look(0)
	testkit.Contains(t, "the table", out, "database-instance iops: (nothing) → 3000, pending until sun:05:00-sun:06:00 UTC", "database-instance password: ", "2 changes wait for a maintenance window")
	testkit.Contains(t, "drift.json", w.read("drift.json"), `"then": "3000"`, `"until": "sun:05:00-sun:06:00"`)
	if strings.Contains(out+w.read("drift.json"), "planted") {
		t.Errorf("a password is told:\n%s", out)
	}
	if len(w.github.Issues()) > 0 {
		t.Error("an issue without drift")
	}
	w.log("refresh", "drift", "0")
	look(7)
	testkit.Contains(t, "the issue", w.github.Issues()[0].Body, "**Pending**", "`database-instance iops: (nothing) → 3000, pending until sun:05:00-sun:06:00 UTC`")
	w.rds.pending = "<DBInstanceClass>db.t4g.large</DBInstanceClass>" // which nobody declared
	w.log("refresh", "clean", "0")
	testkit.Contains(t, "another class", look(7), "db.t4g.micro", "db.t4g.large from sun:05:00-sun:06:00 UTC on")
	w.rds.refuses = true
	w.log("refresh", "clean", "0")
	testkit.Contains(t, "without the right", look(8), "not seen: database-instance: what waits for the maintenance window: ", "AccessDenied")
}

// TestMigrationsSourceIsAsked previews an image whose source is at hand, up to the comment.
func TestMigrationsSourceIsAsked(t *testing.T) {
	w := newWorld(t)
	w.log("preview", "image", "0")
	w.file("print-sql", "#!/bin/sh\necho \"-- Running upgrade $1 -> 0004\"\necho 'ALTER TABLE users ADD COLUMN locale TEXT;'\n")
	if err := os.Chmod(w.path("print-sql"), 0o755); err != nil {
		t.Fatal(err)
	}
	out := w.run(1, "preview", "--stack", "sandbox", "--migrations", w.path("none"), "--migrations-sql", "print-sql")
	testkit.Contains(t, "the mistakes", out, "--migrations: found", "--migrations-sql: found")
	if calls := w.read("calls"); calls != "" {
		t.Errorf("it went on with mistakes: %s", calls)
	}
	w.run(0, "preview", "--stack", "sandbox", "--out", w.path("out"), "--migrations", w.dir, "--migrations-sql", w.path("print-sql")+" {from}")
	w.run(0, "comment", "--pull", "1", "--review", w.path("out/review.json"))
	testkit.Contains(t, "the comment", w.comment(), "**Migration** `0003` → `0004`", "SQL of the migration (2 lines)", "ALTER TABLE users ADD COLUMN locale TEXT;")
	w.run(0, "preview", "--stack", "sandbox", "--out", w.path("out"))
	w.run(0, "comment", "--pull", "1", "--review", w.path("out/review.json"))
	testkit.Contains(t, "the comment", w.comment(), "the image's source is not at hand here")
}
