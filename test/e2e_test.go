package test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/rds"

	"plan-charge/test/testbed"
)

const (
	ndaPartners = "00000000-0000-0000-0000-000000000001"
	defaultOrg  = "00000000-0000-0000-0000-000000000002"
	strangerOrg = "00000000-0000-0000-0000-0000000000ff"
)

// TestDeployment is the life of a deployment from an empty account to its end, with a second stack beside it.
func TestDeployment(t *testing.T) {
	t.Parallel() // it mostly waits
	b := newBox(t)
	t.Cleanup(func() { os.Remove(b.secondConfig()) })
	b.must(b.pulumi("version"))
	looked := make(chan struct{}) // the second stack needs the first one no more
	t.Run("SideBySide", func(t *testing.T) {
		t.Run("First", func(t *testing.T) {
			t.Parallel()
			b.steps(t, // each day builds on the one before
				day{"FirstUpServesALogin", firstUp},
				day{"SecondUpChangesNothing", secondUp},
				day{"SecretsStandNowhereInClear", secrets},
				day{"RefreshSeesRowsAndUpHealsThem", rows},
				day{"RefreshSeesADowngradeAndUpMigratesAgain", downgrade},
				day{"ErrorsAreNotCached", errorCaching},
				day{"PreviewWorksWithoutTheDatabase", previewWithoutDatabase},
				day{"Destroy", func(t *testing.T, b *box) { <-looked; destroy(b, "sandbox") }},
			)
		})
		t.Run("Second", func(t *testing.T) {
			t.Parallel()
			b.steps(t,
				day{"ComesGoesAndComesAgain", func(t *testing.T, b *box) { defer close(looked); comeAndGo(t, b) }},
				day{"Destroy", func(t *testing.T, b *box) { destroy(b, secondStack) }},
			)
		})
	})
	if t.Failed() {
		return
	}
	b.step(t, "NothingIsLeftButTheSnapshots", func(t *testing.T, b *box) { b.wantEmptyAccount() })
}

type day struct {
	name string
	run  func(*testing.T, *box)
}

func (b *box) steps(t *testing.T, days ...day) {
	for _, d := range days {
		if !b.step(t, d.name, d.run) {
			return
		}
	}
}

func (b *box) step(t *testing.T, name string, f func(*testing.T, *box)) bool {
	return t.Run(name, func(t *testing.T) { here := *b; here.t = t; f(t, &here) })
}

func destroy(b *box, stack string, flags ...string) {
	b.t.Helper()
	b.must(b.pulumi(append([]string{"destroy", "--yes", "--skip-preview", "--stack", stack}, flags...)...))
}

func firstUp(t *testing.T, b *box) {
	r := b.must(b.run(25*time.Minute, "up"))
	for _, line := range []string{
		`✓ login, basic token +4xx +4\d\d`,
		`✓ login, cache-busting query +4xx +4\d\d`,
		`✓ login, structured +400 +400`,
		`✓ login, valid token +200 +200`,
		`✓ tables .*organizations.*users`,
		`✓ organizations .*NDA Partners, Default Organization`,
		`✓ organization of that user +NDA Partners +NDA Partners`,
		`resources +\d+ \(aws \d+, command \d+, pgrows \d+, postgresql \d+, random \d+\)`,
		`tools +aws (official|bridged), command (official|stand-in), postgresql (official|bridged), pulumi (official|built), `,
		`time: pulumi up`,
	} {
		if !regexp.MustCompile(line).MatchString(r.out) {
			t.Errorf("the closing table has no line like %q", line)
		}
	}
	s := b.status()
	for _, name := range []string{"siteUrl", "distributionId", "cluster", "service", "databaseAddress", "revision", "execCommand"} {
		s.output(t, name)
	}
	if want := "plan-charge-sandbox-cluster"; s.output(t, "cluster") != want {
		t.Errorf("cluster: got %s, want %s", s.output(t, "cluster"), want)
	}
	if u, err := url.Parse(s.Database); err != nil || u.Host == "" {
		t.Errorf("database: got %q", s.Database)
	} else if _, has := u.User.Password(); has {
		t.Error("status shows the database password without being asked to")
	}
}

func secondUp(t *testing.T, b *box) {
	r := b.must(b.run(10*time.Minute, "up"))
	if !regexp.MustCompile(`Resources:\s+\d+ unchanged\s`).MatchString(r.out) {
		t.Errorf("the second up changed something:\n%s", testbed.LastLines(r.out, 60))
	}
	b.wantNoDrift()
}

// wantNoDrift asks as a scheduled drift check would.
func (b *box) wantNoDrift() {
	b.t.Helper()
	if r := b.pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff"); r.code != 0 {
		b.t.Fatalf("refresh reports drift (exit code %d):\n%s", r.code, testbed.LastLines(r.out, 80))
	}
}

func rows(t *testing.T, b *box) {
	ctx := context.Background()
	conn := b.connect()
	exec := func(sql string, args ...any) {
		t.Helper()
		if _, err := conn.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
	type org struct {
		name             string
		created, updated time.Time
		deleted          *time.Time
	}
	read := func(id string) (o org) {
		t.Helper()
		err := conn.QueryRow(ctx, `SELECT name, created_at, updated_at, deleted_at FROM organizations WHERE id = $1`, id).
			Scan(&o.name, &o.created, &o.updated, &o.deleted)
		if err != nil {
			t.Fatalf("organization %s: %v", id, err)
		}
		return o
	}
	exec(`INSERT INTO organizations (id, name, created_at, updated_at) VALUES ($1, 'Somebody else', now(), now())`, strangerOrg)
	stranger := read(strangerOrg)

	for _, c := range []struct {
		what, sql    string
		id           string
		says         []string
		keepsCreated bool
	}{
		{"a changed name", `UPDATE organizations SET name = 'x' WHERE id = $1`, ndaPartners, []string{ndaPartners, "name", "NDA Partners"}, true},
		{"a set deleted_at", `UPDATE organizations SET deleted_at = now() WHERE id = $1`, defaultOrg, []string{defaultOrg, "deleted_at"}, true},
		{"a deleted row", `DELETE FROM organizations WHERE id = $1`, defaultOrg, []string{defaultOrg}, false},
	} {
		before, other := read(c.id), read(map[string]string{ndaPartners: defaultOrg, defaultOrg: ndaPartners}[c.id])
		if c.what == "a deleted row" {
			exec(`UPDATE users SET organization_id = $1 WHERE organization_id = $2`, ndaPartners, c.id)
		}
		exec(c.sql, c.id)
		if r := b.pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff"); r.code != 7 {
			t.Errorf("%s: refresh --expect-no-changes ended with %d, want 7", c.what, r.code)
		} else {
			wantIn(t, r.out, c.says...)
		}
		r := b.must(b.pulumi("refresh", "--yes", "--skip-preview", "--diff"))
		wantIn(t, r.out, c.says...)
		b.must(b.pulumi("up", "--yes", "--skip-preview"))
		after, otherAfter := read(c.id), read(map[string]string{ndaPartners: defaultOrg, defaultOrg: ndaPartners}[c.id])
		if after.name != before.name || after.deleted != nil {
			t.Errorf("%s: up did not heal it: %+v", c.what, after)
		}
		if c.keepsCreated && !after.created.Equal(before.created) {
			t.Errorf("%s: created_at moved from %s to %s", c.what, before.created, after.created)
		}
		if !after.updated.After(before.updated) {
			t.Errorf("%s: updated_at did not move", c.what)
		}
		if otherAfter != other {
			t.Errorf("%s: the other row changed from %+v to %+v", c.what, other, otherAfter)
		}
	}
	if now := read(strangerOrg); now != stranger {
		t.Errorf("somebody else's organization changed from %+v to %+v", stranger, now)
	}
	b.wantNoDrift()
}

func downgrade(t *testing.T, b *box) {
	ctx := context.Background()
	s := b.status()
	head := s.output(t, "revision")
	task := b.runTask(`["alembic","downgrade","-1"]`)
	if task != 0 {
		t.Fatalf("alembic downgrade ended with %d", task)
	}
	conn := b.connect()
	var at string
	if err := conn.QueryRow(ctx, `SELECT version_num FROM alembic_version`).Scan(&at); err != nil || at == head {
		t.Fatalf("the downgrade did nothing: at %s, %v", at, err)
	}
	if r := b.pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff"); r.code != 7 {
		t.Errorf("refresh ended with %d, want 7", r.code)
	} else {
		wantIn(t, r.out, at, head)
	}
	b.must(b.pulumi("refresh", "--yes", "--skip-preview"))
	r := b.must(b.pulumi("up", "--yes", "--skip-preview"))
	wantIn(t, r.out, "migration")
	if err := conn.QueryRow(ctx, `SELECT version_num FROM alembic_version`).Scan(&at); err != nil || at != head {
		t.Errorf("up did not migrate again: at %s, want %s (%v)", at, head, err)
	}
	b.wantNoDrift()
}

// runTask runs a command by hand with the migration's task definition, and returns its exit code.
func (b *box) runTask(command string) int {
	b.t.Helper()
	ctx := context.Background()
	s := b.status()
	client := ecs.NewFromConfig(b.aws())
	var argv []string
	if err := json.Unmarshal([]byte(command), &argv); err != nil {
		b.t.Fatal(err)
	}
	services, err := client.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String(s.output(b.t, "cluster")), Services: []string{s.output(b.t, "service")}})
	if err != nil || len(services.Services) != 1 {
		b.t.Fatalf("describe the service: %v", err)
	}
	out, err := client.RunTask(ctx, runTaskInput(s.output(b.t, "cluster"), "plan-charge-sandbox-migration", argv, services.Services[0].NetworkConfiguration))
	if err != nil || len(out.Tasks) != 1 {
		b.t.Fatalf("run task: %v %+v", err, out)
	}
	waiter := ecs.NewTasksStoppedWaiter(client, func(o *ecs.TasksStoppedWaiterOptions) { o.MinDelay = time.Second; o.MaxDelay = time.Second })
	stopped, err := waiter.WaitForOutput(ctx, &ecs.DescribeTasksInput{Cluster: aws.String(s.output(b.t, "cluster")), Tasks: []string{aws.ToString(out.Tasks[0].TaskArn)}}, 2*time.Minute)
	if err != nil {
		b.t.Fatal(err)
	}
	code := stopped.Tasks[0].Containers[0].ExitCode
	if code == nil {
		b.t.Fatalf("the task never started: %s", aws.ToString(stopped.Tasks[0].StoppedReason))
	}
	return int(*code)
}

func (b *box) aws() aws.Config {
	b.t.Helper()
	cfg, err := b.AWS(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	return cfg
}

// cacheableCodes are the error codes that CloudFront lets a distribution set a caching time for.
var cacheableCodes = []int32{400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504}

func errorCaching(t *testing.T, b *box) {
	ctx := context.Background()
	s := b.status()
	client := cloudfront.NewFromConfig(b.aws())
	id := s.output(t, "distributionId")
	config, err := client.GetDistributionConfig(ctx, &cloudfront.GetDistributionConfigInput{Id: &id})
	if err != nil {
		t.Fatal(err)
	}
	ttl := map[int32]int64{}
	for _, r := range config.DistributionConfig.CustomErrorResponses.Items {
		ttl[aws.ToInt32(r.ErrorCode)] = aws.ToInt64(r.ErrorCachingMinTTL)
	}
	for _, code := range cacheableCodes {
		if got, ok := ttl[code]; !ok || got != 0 {
			t.Errorf("error code %d: caching minimum TTL %d (set: %v), want 0", code, got, ok)
		}
	}
	if len(ttl) != len(cacheableCodes) {
		t.Errorf("%d codes are set, want %d", len(ttl), len(cacheableCodes))
	}

	const failing = "/api/v1/no-such-page"
	first, second := get(t, s, failing), get(t, s, failing)
	if first.StatusCode != 404 || fromCache(second) {
		t.Errorf("a repeated failing GET: %s, then %s with Age %q", first.Status, second.Status, second.Header.Get("Age"))
	}

	removed := *config.DistributionConfig
	removed.CustomErrorResponses = &cftypes.CustomErrorResponses{Quantity: aws.Int32(0)}
	if _, err := client.UpdateDistribution(ctx, &cloudfront.UpdateDistributionInput{Id: &id, IfMatch: config.ETag, DistributionConfig: &removed}); err != nil {
		t.Fatal(err)
	}
	eventually(t, 15*time.Second, "the edge to cache errors by default", func() bool {
		get(t, s, failing)
		return fromCache(get(t, s, failing))
	})
	// A fresh error is served from the cache for 10 s, CloudFront's default.
	path := fmt.Sprintf("%s-%d", failing, time.Now().UnixNano()) // the query is no part of the key when caching is disabled
	get(t, s, path)
	began := time.Now()
	if !fromCache(get(t, s, path)) {
		t.Error("the repeated GET was answered by the origin")
	}
	eventually(t, 15*time.Second, "the cached error to expire", func() bool { return !fromCache(get(t, s, path)) })
	if took := time.Since(began); took < 8*time.Second || took > 12*time.Second {
		t.Errorf("the error was cached for %s, want about 10 s", took.Round(100*time.Millisecond))
	}
	if r := b.pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff"); r.code != 7 {
		t.Errorf("refresh ended with %d, want 7", r.code)
	} else {
		wantIn(t, r.out, "customErrorResponses")
	}
	b.must(b.pulumi("refresh", "--yes", "--skip-preview"))
	b.must(b.pulumi("up", "--yes", "--skip-preview"))
	eventually(t, 15*time.Second, "the edge to ask the origin again", func() bool {
		get(t, s, failing)
		return !fromCache(get(t, s, failing))
	})
	b.wantNoDrift()
}

// fromCache tells what only an answer from the edge's cache carries.
func fromCache(r *http.Response) bool { return r.Header.Get("Age") != "" }

func previewWithoutDatabase(t *testing.T, b *box) {
	database := b.database()
	b.do("stop", database)
	defer b.do("start", database)
	r := b.pulumi("preview", "--diff", "--config-file", b.config("name: NDA Partners", "name: NDA Partners SAS"))
	if r.code != 0 {
		t.Fatalf("preview ended with %d:\n%s", r.code, testbed.LastLines(r.out, 60))
	}
	wantIn(t, r.out, "id="+ndaPartners, `name: "NDA Partners" => "NDA Partners SAS"`, "1 to update", "could not")
}

func secrets(t *testing.T, b *box) {
	known, err := b.Secrets(context.Background())
	if err != nil {
		t.Fatal(err)
	}

	preview := b.must(b.pulumi("preview", "--diff", "--show-replacement-steps"))
	places := map[string]string{"preview": preview.out, "state": b.must(b.pulumi("stack", "export")).out, "outputs": b.must(b.pulumi("stack", "output")).out}
	err = filepath.Walk(b.State, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() || info.Size() > 64<<20 {
			return nil
		}
		rel, _ := filepath.Rel(b.State, path)
		// The emulator keeps its Secrets Manager and the database its files: those hold secrets by design, readable by their owner only.
		if strings.HasSuffix(rel, ".log") || strings.HasSuffix(rel, ".jsonl") || strings.HasPrefix(rel, "pulumi"+string(filepath.Separator)) {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			places[rel] = string(data)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	procs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var argv strings.Builder
	for _, p := range procs {
		data, _ := os.ReadFile(p)
		argv.Write(data)
	}
	places["process arguments"] = argv.String()

	client := ecs.NewFromConfig(b.aws())
	families, err := client.ListTaskDefinitions(context.Background(), &ecs.ListTaskDefinitionsInput{})
	if err != nil {
		t.Fatal(err)
	}
	for _, arn := range families.TaskDefinitionArns {
		td, err := client.DescribeTaskDefinition(context.Background(), &ecs.DescribeTaskDefinitionInput{TaskDefinition: &arn})
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(td.TaskDefinition)
		places["task definition "+arn] = string(text)
		named := false
		for _, c := range td.TaskDefinition.ContainerDefinitions {
			for _, s := range c.Secrets {
				named = named || aws.ToString(s.Name) == "DATABASE_URL"
			}
		}
		if !named {
			t.Errorf("%s has no secret DATABASE_URL", arn)
		}
	}
	for place, text := range places {
		for _, what := range known.In(text) {
			t.Errorf("%s stands in clear in %s", what, place)
		}
	}
	t.Logf("looked for %d secrets in %d places", len(known), len(places))
}

const secondStack = "second"

func (b *box) secondConfig() string { return filepath.Join(b.Project, "Pulumi."+secondStack+".yaml") }

// comeAndGo is the second stack: it comes, goes, and comes again, and the first one does not notice.
func comeAndGo(t *testing.T, b *box) {
	data, err := os.ReadFile(filepath.Join(b.Project, "Pulumi.sandbox.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.secondConfig(), data, 0o644); err != nil {
		t.Fatal(err)
	}
	b.must(b.pulumi("stack", "init", secondStack, "--no-select"))
	b.must(b.pulumi("up", "--yes", "--skip-preview", "--stack", secondStack))
	b.bothServe()
	b.must(b.pulumi("destroy", "--yes", "--skip-preview", "--stack", secondStack))
	first := b.status()
	if r := get(t, first, "/health"); r.StatusCode != 200 {
		t.Errorf("destroying the second stack took the first one down: %s", r.Status)
	}
	b.must(b.pulumi("up", "--yes", "--skip-preview", "--stack", secondStack))
	b.bothServe()
}

func (b *box) bothServe() {
	b.t.Helper()
	outputs := b.must(b.pulumi("stack", "output", "--json", "--stack", secondStack))
	var second status
	second.Edge = b.status().Edge
	if err := json.Unmarshal([]byte(outputs.out), &second.Outputs); err != nil {
		b.t.Fatalf("outputs of the second stack: %v\n%s", err, outputs.out)
	}
	if got := second.output(b.t, "cluster"); got != "plan-charge-second-cluster" {
		b.t.Errorf("the second stack's cluster is %s", got)
	}
	if r := get(b.t, second, "/health"); r.StatusCode != 200 {
		b.t.Errorf("the second stack: %s", r.Status)
	}
	first := b.status()
	if first.Output("siteUrl") == "" { // still on its way
		return
	}
	if first.output(b.t, "siteUrl") == second.output(b.t, "siteUrl") {
		b.t.Error("the two stacks share a site")
	}
	if r := get(b.t, first, "/health"); r.StatusCode != 200 {
		b.t.Errorf("the first stack: %s", r.Status)
	}
}

// wantEmptyAccount looks for what a destroyed stack must not leave, and for the final snapshot that it must.
func (b *box) wantEmptyAccount() {
	b.t.Helper()
	ctx := context.Background()
	cfg := b.aws()
	db := rds.NewFromConfig(cfg)
	instances, err := db.DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{})
	if err != nil {
		b.t.Fatal(err)
	}
	if n := len(instances.DBInstances); n != 0 {
		b.t.Errorf("%d database instances are left", n)
	}
	snapshots, err := db.DescribeDBSnapshots(ctx, &rds.DescribeDBSnapshotsInput{})
	if err != nil {
		b.t.Fatal(err)
	}
	if len(snapshots.DBSnapshots) == 0 {
		b.t.Error("no final snapshot was left")
	}
	for what, count := range leftovers(b.t, ctx, cfg) {
		if count != 0 {
			b.t.Errorf("%d %s are left", count, what)
		}
	}
	containers, err := b.Containers(ctx)
	if err != nil {
		b.t.Fatal(err)
	}
	if len(containers) != 0 {
		b.t.Errorf("processes are left: %v", containers)
	}
}
