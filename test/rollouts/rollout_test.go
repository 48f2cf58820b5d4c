// Package rollouts deploys what must fail and then what works, on a sandbox of its own, and looks at the site from
// outside all the while.
package rollouts

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"plan-charge/internal/lastlines"
	"plan-charge/test/testbed"
)

// allFaults asks for the slow failures too. CI leaves them to `make faults`.
var allFaults = os.Getenv("PLAN_CHARGE_FAULTS") == "all"

// silenceAllowed is how long a deployment may say nothing on a loaded machine; on an idle machine it is 8 s.
const silenceAllowed = 15 * time.Second

// box is a sandbox in a part of a test.
type box struct {
	*testbed.Box
	t *testing.T
}

// failingUp is an `up` that must fail and leave everything as it was.
type failingUp struct {
	name     string
	image    string
	replace  []string // in the stack's configuration, pairs of old and new text
	disturb  func(*box) (undo func())
	waits    time.Duration // how long users may wait for an answer besides
	says     []string      // in the output of `up`
	slow     bool          // only with all faults
	sees5xx  bool          // the new version answers until it is withdrawn
	rollback bool          // ECS tried the new version
}

var failingUps = []failingUp{
	{
		name: "migration exits with 1", image: "1.1.0-broken-migration",
		says: []string{"migration task", "exited with code 1", "log lines:", `relation "invoice" does not exist`},
	},
	{
		name: "migration hangs", image: "1.1.0-hang-migration", slow: true,
		replace: []string{"  plan-charge:migration:\n    timeout: 5m", "  plan-charge:migration:\n    timeout: 45s"},
		says:    []string{"was given up", "MIGRATE_TIMEOUT, 45s", "it was stopped", "waiting for something that never comes"},
	},
	{
		name: "migration is killed", image: "1.1.0-hang-migration", slow: true, disturb: killMigration,
		says: []string{"migration task", "exited with code 137", "code 137 means killed", "waiting for something that never comes"},
	},
	{
		name: "a transaction in the migration's way", image: "1.1.0", slow: true, disturb: readUsers, waits: 10 * time.Second,
		says: []string{"migration task", "exited with code 1", "waits for a lock on table users", "was cancelled after 10s", "migration.lockTimeout"},
	},
	{
		name: "migration's secret is gone", image: "1.1.0", slow: true, disturb: deleteOwnerSecret,
		says: []string{"read the owner's database URL from secret", "plan-charge-sandbox"},
	},
	{
		name: "image is missing", image: "missing-1.1.0", slow: true,
		says: []string{"migration task", "ended without an exit code", "CannotPullContainer", "does its tag exist"},
	},
	{
		name: "version crashes", image: "1.0.1-crash", rollback: true,
		says: []string{"does not run what was deployed", "wanted:  plan-charge-sandbox-backend:", "running: plan-charge-sandbox-backend:", "stopped task", "exited with code 3", "see app/variants.py", "tasks failed to start"},
	},
	{
		name: "version is unhealthy", image: "1.0.1-unhealthy", rollback: true, slow: true,
		says: []string{"does not run what was deployed", "wanted:  plan-charge-sandbox-backend:", "running: plan-charge-sandbox-backend:", "stopped task", "health check"},
	},
	{
		name: "version answers logins with 500", image: "1.0.1-errors", rollback: true, slow: true, sees5xx: true,
		says: []string{"does not run what was deployed", "wanted:  plan-charge-sandbox-backend:", "running: plan-charge-sandbox-backend:", "alarm"},
	},
}

// lastWords end each deployment that fails.
var lastWords = []string{"  failed   the ", "  serves   plan-charge-sandbox-backend:", "image plan-charge/backend:1.0.0: 1 of 1 tasks run", "answers GET /health with 200", "  next     "}

// TestRollouts deploys what must fail and then what works, and looks at the site from outside all the while.
func TestRollouts(t *testing.T) {
	t.Parallel() // it mostly waits
	b := &box{testbed.NewBox(t), t}
	b.Must(b.Run(25*time.Minute, "up"))
	s := b.Site()
	table := "| pulumi up | ended | took | longest silence | requests | statuses | longest gap | served by |\n|---|---|---|---|---|---|---|---|\n"
	screens := ""
	// watched runs one `up` with a client outside, and adds the client's log to the table.
	watched := func(t *testing.T, b *box, name, image string, replace ...string) (testbed.Result, *testbed.Viewer) {
		v := testbed.Watch(s.Status)
		began := time.Now()
		r := b.upWith(image, replace...)
		v.Stop()
		ended := "failed"
		if r.Code == 0 {
			ended = "succeeded"
		}
		cells := append([]string{name, ended, fmt.Sprintf("%.0f s", time.Since(began).Seconds()), fmt.Sprintf("%.0f s", r.Silence.Seconds())}, v.Row()...)
		if r.Silence > silenceAllowed {
			t.Errorf("nothing was said for %s", r.Silence)
		}
		table += "| " + strings.Join(cells, " | ") + " |\n"
		if r.Code != 0 {
			screens += fmt.Sprintf("\n### %s\n\n```text\n%s\n```\n", name, lastScreen(r.Out))
		}
		return r, v
	}
	step := func(name string, f func(t *testing.T, b *box)) {
		t.Run(name, func(t *testing.T) { f(t, &box{b.With(t), t}) })
	}

	step("the state outlives a stop", restart)
	for _, c := range failingUps {
		if c.slow && !allFaults {
			continue
		}
		step(c.name, func(t *testing.T, b *box) {
			before := b.look(s)
			undo := func() {}
			if c.disturb != nil {
				undo = c.disturb(b)
			}
			r, v := watched(t, b, c.name, c.image, c.replace...)
			undo()
			if r.Code == 0 {
				t.Fatal("up reports a success")
			}
			testbed.WantIn(t, r.Out, append(c.says, lastWords...)...)
			if strings.Contains(r.Out, "- siteUrl") {
				t.Error("the outputs are shown as if they were deleted")
			}
			if after := b.look(s); after != before {
				t.Errorf("it left something behind:\nbefore %+v\nafter  %+v", before, after)
			}
			if c.rollback { // what runs is named, and it is what ran before
				testbed.WantIn(t, r.Out, "running: "+before.definition)
			}
			if !c.sees5xx {
				v.WantUndisturbed(t, testbed.GapAllowed+c.waits)
			}
			if v.Ever("backend/"+c.image) != c.sees5xx {
				t.Errorf("served by %v", v.Versions())
			}
			if last := v.Last(); last != "backend/1.0.0" {
				t.Errorf("at the end %s serves, want the old version", last)
			}
		})
	}

	if allFaults {
		step("what was changed by hand is taken back by a rollout that fails", func(t *testing.T, b *box) {
			b.Must(b.upWith("1.0.0")) // so that the service is all there is to do
			before := b.look(s)
			b.DeployByHand(s, "1.0.2")
			stop := b.kill("plan-charge/backend:1.0.0", func(context.Context) bool { return true })
			r, v := watched(t, b, "taking back what was deployed by hand fails", "1.0.0")
			stop()
			if r.Code == 0 {
				t.Error("up reports a success")
			}
			testbed.WantIn(t, r.Out, "does not run what was deployed", "wanted:  "+before.definition, "running: by-hand:")
			v.WantUndisturbed(t, testbed.GapAllowed)
			b.Must(b.upWith("1.0.0")) // asks again
			if after := b.look(s); after != before {
				t.Errorf("it left something behind:\nbefore %+v\nafter  %+v", before, after)
			}
		})
	}

	step("good version converges after the failures", func(t *testing.T, b *box) {
		before := b.look(s)
		r, v := watched(t, b, "a good version after all of these", "1.1.0")
		b.Must(r)
		v.WantUndisturbed(t, testbed.GapAllowed)
		after := b.look(s)
		if before.revision != "0003" || after.revision != "0004" || b.Site().Output(t, "revision") != "0004" {
			t.Errorf("revision: %s before, %s after, %s in the outputs", before.revision, after.revision, b.Site().Output(t, "revision"))
		}
		if after.definition == before.definition || after.organizations != before.organizations {
			t.Errorf("before %+v\nafter  %+v", before, after)
		}
		if want := []string{"backend/1.0.0", "backend/1.1.0"}; !slices.Equal(v.Versions(), want) {
			t.Errorf("served by %v, want %v", v.Versions(), want)
		}
		b.wantMigratedFirst(s, after.definition)
		if r := b.Pulumi("preview", "--expect-no-changes", "--diff", "--config-file", b.Changed("plan-charge/backend:1.0.0", "plan-charge/backend:1.1.0")); r.Code != 0 {
			t.Errorf("the next preview would change something (exit code %d):\n%s", r.Code, lastlines.Of(r.Out, 60))
		}
	})
	step("back to the old version and forth again", func(t *testing.T, b *box) {
		const said = "schema is at 0004 by 1.1.0; 1.0.0 knows 0003: not migrated"
		newer := b.look(s)
		older := b.Changed() // as the stack's own configuration has it
		testbed.WantIn(t, b.Must(b.Pulumi("preview", "--config-file", older)).Out, said)
		// goBack deploys 1.0.0 by a plain up, on the schema of 1.1.0.
		goBack := func(name string) {
			r, v := watched(t, b, name, "1.0.0")
			testbed.WantIn(t, b.Must(r).Out, said)
			v.WantUndisturbed(t, testbed.GapAllowed)
			if last := v.Last(); last != "backend/1.0.0" {
				t.Errorf("%s serves, want 1.0.0", last)
			}
			now := b.look(s)
			if now.revision != "0004" || b.Site().Output(t, "revision") != "0004" || now.organizations != newer.organizations || now.tables != newer.tables {
				t.Errorf("with 1.1.0 %+v\nwith 1.0.0 %+v", newer, now)
			}
			b.Must(b.Pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff", "--config-file", older))
		}
		goBack("back to the old version")
		b.wantActive(newer.definition)
		if allFaults {
			r, _ := watched(t, b, "forth to one that crashes", "1.1.0-crash")
			if r.Code == 0 {
				t.Error("up reports a success")
			}
			goBack("back after ECS had gone back")
		}
		r, v := watched(t, b, "and forth again", "1.1.0")
		b.Must(r)
		v.WantUndisturbed(t, testbed.GapAllowed)
		if now := b.look(s); now.revision != "0004" || v.Last() != "backend/1.1.0" {
			t.Errorf("%s serves, and the database is at %s", v.Last(), now.revision)
		}
	})
	t.Logf("what a client outside saw:\n%s", table)
	if path := os.Getenv("PLAN_CHARGE_TABLE"); path != "" && !t.Failed() {
		if err := os.WriteFile(path, []byte(rolloutsPage+table+screensPage+screens), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// rolloutsPage is what stands above the table in docs/rollouts.md.
const rolloutsPage = `# Failing deployments, seen from outside

Made by ` + "`make faults`" + `; it is written over by the next run. While each of these deployments ran, a client outside asked through
the CDN ten times a second, half of it GET /health, which wants 200, half logins with a token that is no good, which want 400.
After each that failed, the service ran the same task definition as before, in one deployment, no migration task ran, and
tables, revision and organizations were as before. The longest gap is the longest time without such an answer, the longest
silence the longest time in which ` + "`pulumi up`" + ` printed no line, from the first resource on.

A version that is well by its health check and answers logins with 500 is seen by users until its alarm rings: that is what a
rolling deployment cannot hide, and what rolls it back.

`

// screensPage stands above the last screens.
const screensPage = `
## The last screen of each

What a terminal of 120 columns and 40 lines shows when ` + "`pulumi up --skip-preview`" + ` has failed.
`

// lastScreen is what a terminal shows of an output that has come to its end.
func lastScreen(out string) string {
	const columns, height = 120, 40
	var screen []string
	for line := range strings.Lines(strings.TrimRight(out, "\n ")) {
		text := []rune(strings.ReplaceAll(strings.TrimRight(line, "\r\n"), "\t", "    "))
		for len(text) > columns {
			screen, text = append(screen, string(text[:columns])), text[columns:]
		}
		screen = append(screen, strings.TrimRight(string(text), " "))
	}
	return strings.Join(screen[max(0, len(screen)-height+1):], "\n") // the shell's prompt is the last line
}

// restart stops the sandbox and starts it again.
func restart(t *testing.T, b *box) {
	before := b.Site()
	b.Must(b.Run(2*time.Minute, "stop"))
	if resp, err := http.Get(before.Edge); err == nil {
		resp.Body.Close()
		t.Error("the edge still answers after stop")
	}
	b.Must(b.Run(10*time.Minute, "up"))
	b.WantNoDrift()
}

// upWith deploys an image, with changes to the sandbox's configuration.
func (b *box) upWith(image string, replace ...string) testbed.Result {
	b.t.Helper()
	config := b.Changed(append([]string{"plan-charge/backend:1.0.0", "plan-charge/backend:" + image}, replace...)...)
	return b.Pulumi("up", "--yes", "--skip-preview", "--config-file", config)
}

// killMigration kills the next migration's process when it has written its first lines.
func killMigration(b *box) (undo func()) {
	logs, began := cloudwatchlogs.NewFromConfig(b.AWS()), time.Now()
	return b.kill("hang-migration", func(ctx context.Context) bool {
		out, err := logs.FilterLogEvents(ctx, &cloudwatchlogs.FilterLogEventsInput{
			LogGroupName: aws.String("/plan-charge-sandbox/migration"), StartTime: aws.Int64(began.UnixMilli()),
		})
		return err == nil && slices.ContainsFunc(out.Events, func(e logtypes.FilteredLogEvent) bool {
			return strings.Contains(aws.ToString(e.Message), "waiting for something")
		})
	})
}

// kill kills every container whose image is named so, once it may, until stop is called.
func (b *box) kill(image string, may func(context.Context) bool) (stop func()) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	var killing sync.WaitGroup
	killing.Go(func() {
		for ; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
			running, _ := b.Containers(ctx) // asked again anyway
			for _, c := range running {
				if strings.Contains(c.Image, image) && may(ctx) {
					_ = b.Engine(ctx, http.MethodPost, "/containers/"+c.ID+"/kill", nil) // it may have ended
				}
			}
		}
	})
	return func() { cancel(); killing.Wait() }
}

// readUsers leaves a transaction open that has read the table users, as a query editor does.
func readUsers(b *box) (undo func()) {
	conn := b.Connect()
	tx, err := conn.Begin(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := tx.Exec(context.Background(), `SELECT count(*) FROM users`); err != nil {
		b.t.Fatal(err)
	}
	return func() { tx.Rollback(context.Background()) }
}

// deleteOwnerSecret schedules the migration's secret for deletion, from where it can be brought back.
func deleteOwnerSecret(b *box) (undo func()) {
	client := secretsmanager.NewFromConfig(b.AWS())
	arn := b.Site().Output(b.t, "migrationUrlSecret")
	if _, err := client.DeleteSecret(context.Background(), &secretsmanager.DeleteSecretInput{SecretId: &arn, RecoveryWindowInDays: aws.Int64(7)}); err != nil {
		b.t.Fatal(err)
	}
	return func() {
		if _, err := client.RestoreSecret(context.Background(), &secretsmanager.RestoreSecretInput{SecretId: &arn}); err != nil {
			b.t.Error(err)
		}
	}
}

// sight is what a failed `up` must not change.
type sight struct {
	definition    string // family:revision that the service runs
	deployments   int
	revision      string
	tables        string
	organizations string
	tasks         int // migration tasks that run
}

func (b *box) look(s testbed.Site) sight {
	b.t.Helper()
	ctx := context.Background()
	client := ecs.NewFromConfig(b.AWS())
	cluster, service := s.Output(b.t, "cluster"), s.Output(b.t, "service")
	var now sight
	// A failed deployment stays visible for a few seconds.
	testbed.Eventually(b.t, 30*time.Second, "a single deployment", func() bool {
		out, err := client.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &cluster, Services: []string{service}})
		if err != nil || len(out.Services) != 1 {
			b.t.Fatalf("describe the service: %v", err)
		}
		definition := aws.ToString(out.Services[0].TaskDefinition)
		now.definition, now.deployments = definition[strings.LastIndexByte(definition, '/')+1:], len(out.Services[0].Deployments)
		return now.deployments == 1
	})
	tasks, err := client.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &cluster, Family: aws.String("plan-charge-sandbox-migration"), DesiredStatus: ecstypes.DesiredStatusRunning})
	if err != nil {
		b.t.Fatal(err)
	}
	now.tasks = len(tasks.TaskArns)
	conn := b.Connect()
	err = conn.QueryRow(ctx, `SELECT
		(SELECT version_num FROM alembic_version),
		(SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace),
		(SELECT string_agg(o::text, ' ' ORDER BY o.id) FROM organizations o)`).Scan(&now.revision, &now.tables, &now.organizations)
	if err != nil {
		b.t.Fatal(err)
	}
	return now
}

// wantActive looks whether ECS would deploy a task definition once more.
func (b *box) wantActive(definition string) {
	b.t.Helper()
	out, err := ecs.NewFromConfig(b.AWS()).DescribeTaskDefinition(context.Background(), &ecs.DescribeTaskDefinitionInput{TaskDefinition: &definition})
	if err != nil {
		b.t.Fatal(err)
	}
	if out.TaskDefinition.Status != ecstypes.TaskDefinitionStatusActive {
		b.t.Errorf("%s is %s: nobody can go back to it", definition, out.TaskDefinition.Status)
	}
}

// wantMigratedFirst compares the end of the last migration with the first task that it had to come before.
func (b *box) wantMigratedFirst(s testbed.Site, definition string) {
	b.t.Helper()
	ctx := context.Background()
	client := ecs.NewFromConfig(b.AWS())
	cluster := s.Output(b.t, "cluster")
	tasks := func(in ecs.ListTasksInput) []ecstypes.Task {
		b.t.Helper()
		in.Cluster = &cluster
		list, err := client.ListTasks(ctx, &in)
		if err != nil || len(list.TaskArns) == 0 {
			b.t.Fatalf("list tasks: %v, %d found", err, len(list.TaskArns))
		}
		found, err := client.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &cluster, Tasks: list.TaskArns})
		if err != nil {
			b.t.Fatal(err)
		}
		return found.Tasks
	}
	var migrated time.Time
	for _, task := range tasks(ecs.ListTasksInput{Family: aws.String("plan-charge-sandbox-migration"), DesiredStatus: ecstypes.DesiredStatusStopped}) {
		if task.StoppedAt != nil && task.StoppedAt.After(migrated) {
			migrated = *task.StoppedAt
		}
	}
	for _, task := range tasks(ecs.ListTasksInput{ServiceName: aws.String(s.Output(b.t, "service"))}) {
		if strings.HasSuffix(aws.ToString(task.TaskDefinitionArn), "/"+definition) && task.CreatedAt.Before(migrated) {
			b.t.Errorf("a task of %s was made at %s, before the migration had ended at %s", definition, task.CreatedAt, migrated)
		}
	}
}
