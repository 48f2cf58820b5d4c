// Package e2e deploys the whole program on sandboxes of its own: the real engine, the real AWS provider, PostgreSQL,
// Alembic and HTTP. The tests of one sandbox run in order, as the days of a deployment do.
package e2e

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

	"plan-charge/internal/lastlines"
	"plan-charge/sandbox/report"
	"plan-charge/test/testbed"
)

const (
	ndaPartners = "00000000-0000-0000-0000-000000000001"
	defaultOrg  = "00000000-0000-0000-0000-000000000002"
	strangerOrg = "00000000-0000-0000-0000-0000000000ff"
)

// box is a sandbox in a part of a test.
type box struct {
	*testbed.Box
	t *testing.T
}

// TestDeployment is the life of a deployment from an empty account to its end, with a second stack beside it.
func TestDeployment(t *testing.T) {
	t.Parallel() // it mostly waits
	b := &box{testbed.NewBox(t), t}
	t.Cleanup(func() { os.Remove(b.secondConfig()) })
	b.Must(b.Pulumi("version"))
	looked := make(chan struct{}) // the second stack needs the first one no more
	t.Run("SideBySide", func(t *testing.T) {
		t.Run("First", func(t *testing.T) {
			t.Parallel()
			b.steps(t,
				// Each builds on the one before.
				day{"FirstUpServesALogin", firstUp},
				day{"SecondUpChangesNothing", secondUp},
				day{"RefreshesAreSilent", silence},
				day{"AnUpCostsOneSession", oneSession},
				day{"APreviewOpensNoneUnlessItMay", previewWithoutSession},
				day{"AKilledCommandLeavesOnlyItsTask", killedCommand},
				day{"NobodyElseReachesTheDatabase", directFromOutside},
				day{"NobodyLogsInToAServerOfAnotherAuthority", anotherAuthority},
				day{"PeopleReachTheDatabase", peopleReachTheDatabase},
				day{"RefreshSeesAServiceWithoutTasksAndUpHealsIt", noTasks},
				day{"RefreshSeesALoginThatFails", lostTable},
				day{"ADroppedTableIsMadeAgainFromARevisionBefore", droppedTable},
				day{"ALostRevisionIsWrittenBack", lostRevision},
				day{"SecretsStandNowhereInClear", secrets},
				day{"RefreshSeesRowsAndUpHealsThem", rows},
				day{"RefreshSeesAnotherPasswordAndUpSetsItAgain", anotherPassword},
				day{"RefreshSeesADowngradeAndUpMigratesAgain", downgrade},
				day{"StrangersAreNamedAndRemoved", strangers},
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
	return t.Run(name, func(t *testing.T) { f(t, &box{b.With(t), t}) })
}

func destroy(b *box, stack string, flags ...string) {
	b.t.Helper()
	b.Must(b.Pulumi(append([]string{"destroy", "--yes", "--skip-preview", "--stack", stack}, flags...)...))
}

func firstUp(t *testing.T, b *box) {
	r := b.Must(b.Run(25*time.Minute, "up"))
	for _, line := range []string{
		`✓ login, basic token +4xx +4\d\d`,
		`✓ login, cache-busting query +4xx +4\d\d`,
		`✓ login, structured +400 +400`,
		`✓ login, valid token +200 +200`,
		`✓ tables .*organizations.*users`,
		`✓ organizations .*NDA Partners, Default Organization`,
		`✓ organization of that user +NDA Partners +NDA Partners`,
		`resources +\d+ \(aws \d+, command \d+, pgrows \d+, postgresql \d+, random \d+, served \d+\)`,
		`tools +aws (official|bridged), command (official|stand-in), postgresql (official|bridged), pulumi (official|built), `,
		`time: pulumi up`,
	} {
		if !regexp.MustCompile(line).MatchString(r.Out) {
			t.Errorf("the closing table has no line like %q", line)
		}
	}
	s := b.Site()
	for _, name := range []string{"siteUrl", "distributionId", "cluster", "service", "databaseAddress", "revision", "execCommand"} {
		s.Output(t, name)
	}
	if want := "plan-charge-sandbox-cluster"; s.Output(t, "cluster") != want {
		t.Errorf("cluster: got %s, want %s", s.Output(t, "cluster"), want)
	}
	var printed report.Status
	if out := b.Must(b.Run(time.Minute, "status", "--json")).Out; json.Unmarshal([]byte(out), &printed) != nil || printed.Database != s.Database || printed.Output("cluster") != s.Output(t, "cluster") {
		t.Errorf("status --json: got\n%s\nwant %+v", out, s.Status)
	}
	if u, err := url.Parse(s.Database); err != nil || u.Host == "" {
		t.Errorf("database: got %q", s.Database)
	} else if _, has := u.User.Password(); has {
		t.Error("status shows the database password without being asked to")
	}
}

func secondUp(t *testing.T, b *box) {
	r := b.Must(b.Run(10*time.Minute, "up"))
	if !regexp.MustCompile(`Resources:\s+\d+ unchanged\s`).MatchString(r.Out) {
		t.Errorf("the second up changed something:\n%s", lastlines.Of(r.Out, 60))
	}
	b.WantNoDrift()
}

func silence(t *testing.T, b *box) {
	for range 3 {
		b.WantNoDrift()
	}
}

// noTasks is `aws ecs update-service --desired-count 0`, which the AWS provider is told not to look at.
func noTasks(t *testing.T, b *box) {
	s := b.Site()
	cluster, service := s.Output(t, "cluster"), s.Output(t, "service")
	_, err := ecs.NewFromConfig(b.AWS()).UpdateService(context.Background(), &ecs.UpdateServiceInput{Cluster: &cluster, Service: &service, DesiredCount: aws.Int32(0)})
	if err != nil {
		t.Fatal(err)
	}
	answers := func(status int) func() bool {
		return func() bool { return s.Get(t, "/health").StatusCode == status }
	}
	testbed.Eventually(t, time.Minute, "the site to be without tasks", answers(503))
	b.wantDrift("0 tasks are wanted, the minimum is ", `"200" => "503"`, "no task runs")
	r := b.Must(b.Pulumi("up", "--yes", "--skip-preview"))
	testbed.WantIn(t, r.Out, "2 updated", "all 5 checks passed") // the CLI leaves out the outputs now and then
	testbed.WantIn(t, b.Site().Output(t, "verification"), "5 checks passed at ")
	testbed.Eventually(t, 15*time.Second, "the site to answer again", answers(200))
	b.WantNoDrift()
}

// lostTable is the incident: a table that the login needs is not there.
func lostTable(t *testing.T, b *box) {
	ctx, conn := context.Background(), b.Connect()
	rename := func(from, to string) {
		if _, err := conn.Exec(ctx, fmt.Sprintf(`ALTER TABLE %s RENAME TO %s`, from, to)); err != nil {
			t.Fatal(err)
		}
	}
	rename("users", "users_away")
	b.wantDrift("dropped table public.users; added table public.users_away", "login, structured", `"400" => "500"`)
	b.wantFailure("the schema is not what the migration to "+b.Site().Output(t, "revision")+" left, and migrating did not mend it",
		"dropped table public.users", "added table public.users_away", "write a new migration", "from a snapshot", `migration.accept: ["table public.users", "table public.users_away"]`)
	rename("users_away", "users")
	b.Must(b.Pulumi("up", "--yes", "--skip-preview")) // its refresh may see already that the site serves again
	testbed.WantIn(t, b.Site().Output(t, "verification"), "5 checks passed at ")
	b.WantNoDrift()
}

// droppedTable is one that no migration of this version makes again, as long as the revision says that it did.
func droppedTable(t *testing.T, b *box) {
	if _, err := b.Connect().Exec(context.Background(), `DROP TABLE users`); err != nil {
		t.Fatal(err)
	}
	b.wantDrift("dropped table public.users", `"400" => "500"`)
	b.wantFailure("dropped table public.users", `migration.accept: ["table public.users"]`)
	if code := b.runTask("alembic", "stamp", "0001"); code != 0 { // before there were users
		t.Fatalf("alembic stamp ended with %d", code)
	}
	b.Must(b.Pulumi("up", "--yes", "--skip-preview"))
	b.WantNoDrift()
}

func lostRevision(t *testing.T, b *box) {
	head := b.Site().Output(t, "revision")
	if _, err := b.Connect().Exec(context.Background(), `DELETE FROM alembic_version`); err != nil {
		t.Fatal(err)
	}
	b.wantDrift("at none, the last migration left " + head + "; the schema looks like it")
	b.wantFailure("public.alembic_version holds no revision, but the schema looks like "+head, "alembic stamp "+head)
	if code := b.runTask("alembic", "stamp", head); code != 0 {
		t.Fatalf("alembic stamp ended with %d", code)
	}
	b.Must(b.Pulumi("up", "--yes", "--skip-preview"))
	b.WantNoDrift()
}

// wantFailure wants an up that refreshes to fail in these words.
func (b *box) wantFailure(says ...string) {
	b.t.Helper()
	r := b.Pulumi("up", "--yes", "--skip-preview")
	if r.Code == 0 {
		b.t.Error("up is a success")
	}
	testbed.WantIn(b.t, r.Out, says...)
}

// wantDrift wants a refresh to report drift in these words.
func (b *box) wantDrift(says ...string) {
	b.t.Helper()
	r := b.Pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff")
	if r.Code != 7 {
		b.t.Errorf("refresh ended with %d, want 7", r.Code)
	}
	testbed.WantIn(b.t, r.Out, says...)
}

func rows(t *testing.T, b *box) {
	ctx := context.Background()
	conn := b.Connect()
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
		if r := b.Pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff"); r.Code != 7 {
			t.Errorf("%s: refresh --expect-no-changes ended with %d, want 7", c.what, r.Code)
		} else {
			testbed.WantIn(t, r.Out, c.says...)
		}
		r := b.Must(b.Pulumi("up", "--yes", "--skip-preview", "--diff")) // a plain one sees what a refresh sees
		testbed.WantIn(t, r.Out, c.says...)
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
	b.WantNoDrift()
}

func anotherPassword(t *testing.T, b *box) {
	ctx := context.Background()
	s, conn := b.Site(), b.Connect()
	awaitLogin := func(want int) {
		t.Helper()
		testbed.Eventually(t, 20*time.Second, fmt.Sprintf("a login to be answered by %d", want), func() bool {
			code, _ := s.Login(ctx, "", report.StructuredLogin)
			return code == want
		})
	}
	awaitLogin(400)
	for _, sql := range []string{
		`ALTER ROLE plan_charge_app PASSWORD 'x'`,
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'plan_charge_app'`,
	} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	awaitLogin(500)
	if r := b.Pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff"); r.Code != 7 {
		t.Errorf("refresh ended with %d, want 7", r.Code)
	} else {
		testbed.WantIn(t, r.Out, "cannot log in as plan_charge_app: the password is another one", "2 to update")
	}
	r := b.Must(b.Pulumi("up", "--yes", "--skip-preview"))
	testbed.WantIn(t, r.Out, "roles-login updated", "roles-app updated", "verification-checks updated", "3 updated")
	awaitLogin(400)
	b.WantNoDrift()
}

func downgrade(t *testing.T, b *box) {
	ctx := context.Background()
	s := b.Site()
	head := s.Output(t, "revision")
	task := b.runTask("alembic", "downgrade", "-1")
	if task != 0 {
		t.Fatalf("alembic downgrade ended with %d", task)
	}
	conn := b.Connect()
	var at string
	if err := conn.QueryRow(ctx, `SELECT version_num FROM alembic_version`).Scan(&at); err != nil || at == head {
		t.Fatalf("the downgrade did nothing: at %s, %v", at, err)
	}
	if r := b.Pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff"); r.Code != 7 {
		t.Errorf("refresh ended with %d, want 7", r.Code)
	} else {
		testbed.WantIn(t, r.Out, at, head)
	}
	r := b.Must(b.Pulumi("up", "--yes", "--skip-preview"))
	testbed.WantIn(t, r.Out, "migration")
	if err := conn.QueryRow(ctx, `SELECT version_num FROM alembic_version`).Scan(&at); err != nil || at != head {
		t.Errorf("up did not migrate again: at %s, want %s (%v)", at, head, err)
	}
	b.WantNoDrift()
}

// runTask runs a command by hand with the migration's task definition, and returns its exit code.
func (b *box) runTask(command ...string) int {
	b.t.Helper()
	ctx := context.Background()
	s := b.Site()
	client := ecs.NewFromConfig(b.AWS())
	services, err := client.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: aws.String(s.Output(b.t, "cluster")), Services: []string{s.Output(b.t, "service")}})
	if err != nil || len(services.Services) != 1 {
		b.t.Fatalf("describe the service: %v", err)
	}
	out, err := client.RunTask(ctx, runTaskInput(s.Output(b.t, "cluster"), "plan-charge-sandbox-migration", command, services.Services[0].NetworkConfiguration))
	if err != nil || len(out.Tasks) != 1 {
		b.t.Fatalf("run task: %v %+v", err, out)
	}
	waiter := ecs.NewTasksStoppedWaiter(client, func(o *ecs.TasksStoppedWaiterOptions) { o.MinDelay = time.Second; o.MaxDelay = time.Second })
	stopped, err := waiter.WaitForOutput(ctx, &ecs.DescribeTasksInput{Cluster: aws.String(s.Output(b.t, "cluster")), Tasks: []string{aws.ToString(out.Tasks[0].TaskArn)}}, 2*time.Minute)
	if err != nil {
		b.t.Fatal(err)
	}
	code := stopped.Tasks[0].Containers[0].ExitCode
	if code == nil {
		b.t.Fatalf("the task never started: %s", aws.ToString(stopped.Tasks[0].StoppedReason))
	}
	return int(*code)
}

// cacheableCodes are the error codes that CloudFront lets a distribution set a caching time for.
var cacheableCodes = []int32{400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504}

func errorCaching(t *testing.T, b *box) {
	ctx := context.Background()
	s := b.Site()
	client := cloudfront.NewFromConfig(b.AWS())
	id := s.Output(t, "distributionId")
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
	first, second := s.Get(t, failing), s.Get(t, failing)
	if first.StatusCode != 404 || fromCache(second) {
		t.Errorf("a repeated failing GET: %s, then %s with Age %q", first.Status, second.Status, second.Header.Get("Age"))
	}

	removed := *config.DistributionConfig
	removed.CustomErrorResponses = &cftypes.CustomErrorResponses{Quantity: aws.Int32(0)}
	if _, err := client.UpdateDistribution(ctx, &cloudfront.UpdateDistributionInput{Id: &id, IfMatch: config.ETag, DistributionConfig: &removed}); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, 15*time.Second, "the edge to cache errors by default", func() bool {
		s.Get(t, failing)
		return fromCache(s.Get(t, failing))
	})
	// A fresh error is served from the cache for 10 s, CloudFront's default.
	path := fmt.Sprintf("%s-%d", failing, time.Now().UnixNano()) // the query is no part of the key when caching is disabled
	s.Get(t, path)
	began := time.Now()
	if !fromCache(s.Get(t, path)) {
		t.Error("the repeated GET was answered by the origin")
	}
	testbed.Eventually(t, 15*time.Second, "the cached error to expire", func() bool { return !fromCache(s.Get(t, path)) })
	if took := time.Since(began); took < 8*time.Second || took > 12*time.Second {
		t.Errorf("the error was cached for %s, want about 10 s", took.Round(100*time.Millisecond))
	}
	if r := b.Pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff"); r.Code != 7 {
		t.Errorf("refresh ended with %d, want 7", r.Code)
	} else {
		testbed.WantIn(t, r.Out, "customErrorResponses")
	}
	b.Must(b.Pulumi("up", "--yes", "--skip-preview"))
	testbed.Eventually(t, 15*time.Second, "the edge to ask the origin again", func() bool {
		s.Get(t, failing)
		return !fromCache(s.Get(t, failing))
	})
	b.WantNoDrift()
}

// fromCache tells what only an answer from the edge's cache carries.
func fromCache(r *http.Response) bool { return r.Header.Get("Age") != "" }

func previewWithoutDatabase(t *testing.T, b *box) {
	database := b.Database()
	b.Do("stop", database)
	defer b.Do("start", database)
	changed := b.Changed("name: NDA Partners", "name: NDA Partners SAS")
	if r := b.Pulumi("preview", "--diff", "--config-file", changed); r.Code == 0 {
		t.Error("a preview that could not look is green")
	} else {
		testbed.WantIn(t, r.Out, "no connection to ", "add --refresh=false")
	}
	r := b.Pulumi("preview", "--refresh=false", "--diff", "--config-file", changed)
	if r.Code != 0 {
		t.Fatalf("preview ended with %d:\n%s", r.Code, lastlines.Of(r.Out, 60))
	}
	testbed.WantIn(t, r.Out, "id="+ndaPartners, `name: "NDA Partners" => "NDA Partners SAS"`, "1 to update", "could not")
}

func secrets(t *testing.T, b *box) {
	known, err := b.Secrets(context.Background())
	if err != nil {
		t.Fatal(err)
	}

	preview := b.Must(b.Pulumi("preview", "--diff", "--show-replacement-steps"))
	places := map[string]string{"preview": preview.Out, "state": b.Must(b.Pulumi("stack", "export")).Out, "outputs": b.Must(b.Pulumi("stack", "output")).Out}
	err = filepath.Walk(b.Dir, func(path string, info os.FileInfo, err error) error {
		if err != nil || !info.Mode().IsRegular() || info.Size() > 64<<20 {
			return nil
		}
		rel, _ := filepath.Rel(b.Dir, path)
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

	client := ecs.NewFromConfig(b.AWS())
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
		if !strings.Contains(arn, "-access:") && !named {
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
	b.Must(b.Pulumi("stack", "init", secondStack, "--no-select"))
	b.Must(b.Pulumi("up", "--yes", "--skip-preview", "--stack", secondStack))
	b.bothServe()
	b.Must(b.Pulumi("destroy", "--yes", "--skip-preview", "--stack", secondStack))
	first := b.Site()
	if r := first.Get(t, "/health"); r.StatusCode != 200 {
		t.Errorf("destroying the second stack took the first one down: %s", r.Status)
	}
	b.Must(b.Pulumi("up", "--yes", "--skip-preview", "--stack", secondStack))
	b.bothServe()
}

func (b *box) bothServe() {
	b.t.Helper()
	outputs := b.Must(b.Pulumi("stack", "output", "--json", "--stack", secondStack))
	second := testbed.Site{Status: &report.Status{}}
	second.Edge = b.Site().Edge
	if err := json.Unmarshal([]byte(outputs.Out), &second.Outputs); err != nil {
		b.t.Fatalf("outputs of the second stack: %v\n%s", err, outputs.Out)
	}
	if got := second.Output(b.t, "cluster"); got != "plan-charge-second-cluster" {
		b.t.Errorf("the second stack's cluster is %s", got)
	}
	if r := second.Get(b.t, "/health"); r.StatusCode != 200 {
		b.t.Errorf("the second stack: %s", r.Status)
	}
	first := b.Site()
	if first.Status.Output("siteUrl") == "" { // still on its way
		return
	}
	if first.Output(b.t, "siteUrl") == second.Output(b.t, "siteUrl") {
		b.t.Error("the two stacks share a site")
	}
	if r := first.Get(b.t, "/health"); r.StatusCode != 200 {
		b.t.Errorf("the first stack: %s", r.Status)
	}
}

// wantEmptyAccount looks for what a destroyed stack must not leave, and for the final snapshot that it must.
func (b *box) wantEmptyAccount() {
	b.t.Helper()
	ctx := context.Background()
	cfg := b.AWS()
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
