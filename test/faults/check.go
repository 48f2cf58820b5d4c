package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/jackc/pgx/v5"

	"plan-charge/test/testbed"
)

const (
	changedOrg   = "00000000-0000-0000-0000-000000000003"
	strangerOrg  = "00000000-0000-0000-0000-0000000000ff"
	family       = "plan-charge-sandbox-migration"
	accessFamily = "plan-charge-sandbox-access"
)

// row is an organization as text, all its columns.
type row struct{ ID, All string }

// prepareRows inserts an organization that the program does not know, and remembers those that no change may touch.
func (b *box) prepareRows(ctx context.Context) error {
	conn, err := b.connect(ctx)
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `INSERT INTO organizations (id, name, created_at, updated_at) VALUES ($1, 'Somebody else', now(), now()) ON CONFLICT DO NOTHING`, strangerOrg); err != nil {
		return err
	}
	b.stable, _, err = organizations(ctx, conn)
	return err
}

// organizations returns the rows that no change touches, and the names of the others.
func organizations(ctx context.Context, conn *pgx.Conn) (stable []row, changed []string, err error) {
	rows, err := conn.Query(ctx, `SELECT id::text, o::text, name || CASE WHEN deleted_at IS NULL THEN '' ELSE ' (deleted)' END FROM organizations o ORDER BY id`)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		var name string
		if err := rows.Scan(&r.ID, &r.All, &name); err != nil {
			return nil, nil, err
		}
		if r.ID == changedOrg {
			changed = append(changed, name)
		} else {
			stable = append(stable, r)
		}
	}
	return stable, changed, rows.Err()
}

// check looks whether the change is there, whole, once and nothing else; it returns what is not so.
func (b *box) check(ctx context.Context, outputs ...string) (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }

	look := []string{"preview", "--expect-no-changes", "--diff", "--non-interactive", "--stack", "sandbox", "--config-file", b.settings}
	preview, err := b.pulumi(ctx, look...)
	if err != nil && strings.Contains(preview, unread) {
		preview, err = b.pulumi(ctx, look...)
	}
	if err != nil {
		say("not converged, a preview wants changes (%v): %s", err, complaint(preview))
	}
	outputs = append(outputs, preview)

	conn, err := b.connect(ctx)
	if err != nil {
		return append(problems, "connect to the database: "+err.Error())
	}
	defer conn.Close(ctx)
	stable, changed, err := organizations(ctx, conn)
	switch {
	case err != nil:
		say("organizations: %v", err)
	case fmt.Sprint(stable) != fmt.Sprint(b.stable):
		say("organizations that no change touches: %v, want %v", stable, b.stable)
	case len(changed) != 1 || changed[0] != b.organization():
		say("the changed organization: %q, want %q", changed, b.organization())
	}
	var revision string
	if err := conn.QueryRow(ctx, `SELECT string_agg(version_num, ' ') FROM alembic_version`).Scan(&revision); err != nil || revision != "0004" {
		say("revision %q, want 0004 (%v)", revision, err)
	}
	if left := await(ctx, 30*time.Second, func() string { return cmp.Or(b.leftBehind(ctx, conn), b.strayTasks(ctx)) }); left != "" {
		say("%s", left)
	}
	if status, version, err := b.health(ctx); err != nil || status != http.StatusOK || version != "backend/"+b.version() {
		say("the site answers %d as %s, want 200 as backend/%s (%v)", status, version, b.version(), err)
	}
	for _, what := range b.secrets.In(strings.Join(outputs, "\n")) {
		say("%s stands in the output", what)
	}
	return problems
}

// await asks until nothing is wrong any more, or the time is over; it returns what was still wrong.
func await(ctx context.Context, patience time.Duration, wrong func() string) string {
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		if left := wrong(); left == "" || time.Now().After(deadline) || ctx.Err() != nil {
			return left
		}
	}
}

// leftBehind says whether a migration task runs or somebody holds the lock.
func (b *box) leftBehind(ctx context.Context, conn *pgx.Conn) string {
	if tasks, err := b.tasks(ctx, family); err != nil || tasks > 0 {
		return fmt.Sprintf("%d migration tasks run (%v)", tasks, err)
	}
	var locks int
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'`).Scan(&locks); err != nil || locks > 0 {
		return fmt.Sprintf("%d advisory locks are held (%v)", locks, err)
	}
	return ""
}

// strayTasks says whether the cluster runs anything but what its service asks for.
func (b *box) strayTasks(ctx context.Context) string {
	cfg, err := b.AWS(ctx)
	if err != nil {
		return err.Error()
	}
	out, err := ecs.NewFromConfig(cfg).DescribeServices(ctx, &ecs.DescribeServicesInput{
		Cluster: aws.String(b.site.Output("cluster")), Services: []string{b.site.Output("service")},
	})
	if err != nil || len(out.Services) != 1 {
		return fmt.Sprintf("describe the service: %v", err)
	}
	// A command leaves its way into the database to the one that follows; without one it ends by itself.
	ways, err := b.tasks(ctx, accessFamily)
	if err != nil || ways > 1 {
		return fmt.Sprintf("%d tasks for sessions run (%v)", ways, err)
	}
	if tasks, err := b.tasks(ctx, ""); err != nil || tasks-ways != int(out.Services[0].DesiredCount) || len(out.Services[0].Deployments) != 1 {
		return fmt.Sprintf("%d tasks in %d deployments, want %d in one (%v)", tasks, len(out.Services[0].Deployments), out.Services[0].DesiredCount, err)
	}
	return ""
}

// tasks counts those that run, of a family or, without one, all.
func (b *box) tasks(ctx context.Context, family string) (int, error) {
	cfg, err := b.AWS(ctx)
	if err != nil {
		return 0, err
	}
	in := ecs.ListTasksInput{Cluster: aws.String(b.site.Output("cluster")), DesiredStatus: types.DesiredStatusRunning}
	if family != "" {
		in.Family = aws.String(family)
	}
	list, err := ecs.NewFromConfig(cfg).ListTasks(ctx, &in)
	if err != nil {
		return 0, err
	}
	return len(list.TaskArns), nil
}

// health asks as a user does.
func (b *box) health(ctx context.Context) (status int, version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	resp, err := b.site.Get(ctx, "/health")
	if err != nil {
		return 0, "", err
	}
	return resp.StatusCode, resp.Header.Get("X-Served-By"), nil
}

// pulumi runs a command to its end and returns all that it wrote.
func (b *box) pulumi(ctx context.Context, args ...string) (string, error) {
	cmd, err := b.Pulumi(ctx, args...)
	if err != nil {
		return "", err
	}
	return testbed.Output(cmd)
}

// helper prepares the migration's helper as the last deployment started it, for a second deployer's point of view.
func (b *box) helper(ctx context.Context) (*exec.Cmd, error) {
	text, err := b.pulumi(ctx, "stack", "export", "--stack", "sandbox")
	if err != nil {
		return nil, err
	}
	var export struct {
		Deployment struct {
			Resources []struct {
				URN    string
				Inputs struct{ Environment json.RawMessage }
			}
		}
	}
	if err := json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &export); err != nil {
		return nil, err
	}
	for _, r := range export.Deployment.Resources {
		if !strings.HasSuffix(r.URN, "::migration-run") {
			continue
		}
		var variables map[string]string
		if err := json.Unmarshal(r.Inputs.Environment, &variables); err != nil {
			return nil, fmt.Errorf("the environment of %s: %w", r.URN, err)
		}
		cmd, err := b.Inside(ctx, "go", "run", "./cmd/plan-charge", "migrate")
		if err != nil {
			return nil, err
		}
		for name, value := range variables {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		return cmd, nil
	}
	return nil, errors.New("the state has no migration-run")
}
