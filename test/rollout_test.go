package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// allFaults asks for the slow failures too. CI leaves them to `make faults`.
var allFaults = os.Getenv("PLAN_CHARGE_FAULTS") == "all"

// failingUp is an `up` that must fail and leave everything as it was.
type failingUp struct {
	name     string
	image    string
	replace  []string // in the stack's configuration, pairs of old and new text
	says     []string // in the output of `up`
	slow     bool     // only with all faults
	sees5xx  bool     // the new version answers until it is withdrawn
	rollback bool     // ECS tried the new version
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

// TestRollouts deploys what must fail and then what works, and looks at the site from outside all the while.
func TestRollouts(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBox(t)
	b.must(b.run(25*time.Minute, "up"))
	s := b.status()
	var table strings.Builder
	fmt.Fprintf(&table, "%-32s %7s %8s  %-34s %-11s %s\n", "up", "took", "requests", "statuses", "longest gap", "served by")
	// watched runs one `up` with a client outside, and adds the client's log to the table.
	watched := func(t *testing.T, b *box, name, image string, replace ...string) (result, *viewer) {
		v := watch(s.Edge, strings.TrimPrefix(s.output(t, "siteUrl"), "https://"))
		began := time.Now()
		r := b.upWith(image, replace...)
		v.stop()
		fmt.Fprintf(&table, "%-32s %6.0fs %s\n", name, time.Since(began).Seconds(), v)
		return r, v
	}
	step := func(name string, f func(t *testing.T, b *box)) {
		t.Run(name, func(t *testing.T) { here := *b; here.t = t; f(t, &here) })
	}

	for _, c := range failingUps {
		if c.slow && !allFaults {
			continue
		}
		step(c.name, func(t *testing.T, b *box) {
			before := b.look(s)
			r, v := watched(t, b, c.name, c.image, c.replace...)
			if r.code == 0 {
				t.Fatal("up reports a success")
			}
			wantIn(t, r.out, c.says...)
			if after := b.look(s); after != before {
				t.Errorf("it left something behind:\nbefore %+v\nafter  %+v", before, after)
			}
			if c.rollback { // what runs is named, and it is what ran before
				wantIn(t, r.out, "running: "+before.definition)
			}
			if !c.sees5xx {
				v.wantUndisturbed(t)
			}
			if v.ever("backend/"+c.image) != c.sees5xx {
				t.Errorf("served by %v", v.versions)
			}
			if last := v.last(); last != "backend/1.0.0" {
				t.Errorf("at the end %s serves, want the old version", last)
			}
		})
	}

	step("good version converges after the failures", func(t *testing.T, b *box) {
		before := b.look(s)
		r, v := watched(t, b, "1.0.0 -> 1.1.0", "1.1.0")
		b.must(r)
		v.wantUndisturbed(t)
		after := b.look(s)
		if before.revision != "0003" || after.revision != "0004" || b.status().output(t, "revision") != "0004" {
			t.Errorf("revision: %s before, %s after, %s in the outputs", before.revision, after.revision, b.status().output(t, "revision"))
		}
		if after.definition == before.definition || after.organizations != before.organizations {
			t.Errorf("before %+v\nafter  %+v", before, after)
		}
		if want := []string{"backend/1.0.0", "backend/1.1.0"}; !slices.Equal(v.versions, want) {
			t.Errorf("served by %v, want %v", v.versions, want)
		}
		b.wantMigratedFirst(s, after.definition)
		if r := b.pulumi("preview", "--refresh", "--expect-no-changes", "--diff", "--config-file", b.configFile()); r.code != 0 {
			t.Errorf("the next preview would change something (exit code %d):\n%s", r.code, lastLines(r.out, 60))
		}
	})
	t.Logf("a client outside, ten requests a second through the edge, half GET /health, half logins:\n%s", table.String())
}

func (b *box) configFile() string { return filepath.Join(b.state, "up.yaml") }

// upWith deploys an image, with changes to the sandbox's configuration. That file itself stays as it is: `up --config`
// would write to it.
func (b *box) upWith(image string, replace ...string) result {
	b.t.Helper()
	data, err := os.ReadFile(filepath.Join(b.project, "Pulumi.sandbox.yaml"))
	if err != nil {
		b.t.Fatal(err)
	}
	text := string(data)
	for pair := range slices.Chunk(append([]string{"plan-charge/backend:1.0.0", "plan-charge/backend:" + image}, replace...), 2) {
		if !strings.Contains(text, pair[0]) {
			b.t.Fatalf("Pulumi.sandbox.yaml has no %q", pair[0])
		}
		text = strings.Replace(text, pair[0], pair[1], 1)
	}
	if err := os.WriteFile(b.configFile(), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return b.pulumi("up", "--yes", "--skip-preview", "--config-file", b.configFile())
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

func (b *box) look(s statusReport) sight {
	b.t.Helper()
	ctx := context.Background()
	client := ecs.NewFromConfig(b.aws())
	cluster, service := s.output(b.t, "cluster"), s.output(b.t, "service")
	var now sight
	// A failed deployment stays visible for a few seconds.
	eventually(b.t, 30*time.Second, "a single deployment", func() bool {
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
	conn := b.connect()
	err = conn.QueryRow(ctx, `SELECT
		(SELECT version_num FROM alembic_version),
		(SELECT string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace),
		(SELECT string_agg(o::text, ' ' ORDER BY o.id) FROM organizations o)`).Scan(&now.revision, &now.tables, &now.organizations)
	if err != nil {
		b.t.Fatal(err)
	}
	return now
}

// wantMigratedFirst compares the end of the last migration with the first task that it had to come before.
func (b *box) wantMigratedFirst(s statusReport, definition string) {
	b.t.Helper()
	ctx := context.Background()
	client := ecs.NewFromConfig(b.aws())
	cluster := s.output(b.t, "cluster")
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
	for _, task := range tasks(ecs.ListTasksInput{ServiceName: aws.String(s.output(b.t, "service"))}) {
		if strings.HasSuffix(aws.ToString(task.TaskDefinitionArn), "/"+definition) && task.CreatedAt.Before(migrated) {
			b.t.Errorf("a task of %s was made at %s, before the migration had ended at %s", definition, task.CreatedAt, migrated)
		}
	}
}
