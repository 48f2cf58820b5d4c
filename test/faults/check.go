package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/jackc/pgx/v5"
)

const (
	changedOrg  = "00000000-0000-0000-0000-000000000003"
	strangerOrg = "00000000-0000-0000-0000-0000000000ff"
	family      = "plan-charge-sandbox-migration"
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

	preview, err := b.output(ctx, "pulumi", "preview", "--refresh", "--expect-no-changes", "--diff", "--non-interactive", "--color=never",
		"--stack", "sandbox", "--config-file", b.config())
	if err != nil {
		say("not converged, a preview with refresh wants changes (%v): %s", err, lastLines(preview, 25))
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
	if left := b.leftBehind(ctx, conn, 5*time.Second); left != "" {
		say("%s", left)
	}
	if status, version, err := b.health(ctx); err != nil || status != http.StatusOK || version != "backend/"+b.version() {
		say("the site answers %d as %s, want 200 as backend/%s (%v)", status, version, b.version(), err)
	}
	return append(problems, b.shown(outputs...)...)
}

// leftBehind waits until no migration task runs and nobody holds the lock, and says what is still there.
func (b *box) leftBehind(ctx context.Context, conn *pgx.Conn, patience time.Duration) string {
	for deadline := time.Now().Add(patience); ; {
		left := ""
		tasks, err := b.tasks(ctx)
		if err != nil {
			left = "list the migration tasks: " + err.Error()
		} else if tasks > 0 {
			left = fmt.Sprintf("%d migration tasks run", tasks)
		}
		var locks int
		if err := conn.QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'`).Scan(&locks); err != nil {
			left = "look at the locks: " + err.Error()
		} else if locks > 0 && left == "" {
			left = fmt.Sprintf("%d advisory locks are held", locks)
		}
		if left == "" || time.Now().After(deadline) || ctx.Err() != nil {
			return left
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// tasks counts the migration tasks that run.
func (b *box) tasks(ctx context.Context) (int, error) {
	cfg, err := awsconfig.LoadDefaultConfig(ctx)
	if err != nil {
		return 0, err
	}
	list, err := ecs.NewFromConfig(cfg).ListTasks(ctx, &ecs.ListTasksInput{
		Cluster: aws.String(b.outputs["cluster"]), Family: aws.String(family), DesiredStatus: types.DesiredStatusRunning,
	})
	if err != nil {
		return 0, err
	}
	return len(list.TaskArns), nil
}

// health asks as a user does.
func (b *box) health(ctx context.Context) (status int, version string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.edge+"/health", nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = b.host
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, resp.Header.Get("X-Served-By"), err
}

// readSecrets learns what must not stand in any output.
func (b *box) readSecrets(ctx context.Context) error {
	b.secrets = map[string]string{}
	u, err := url.Parse(b.database)
	if err != nil {
		return errors.New("the owner's URL cannot be parsed")
	}
	b.secrets["the owner's password"], _ = u.User.Password()
	cmd := exec.CommandContext(ctx, "pulumi", "stack", "export", "--show-secrets", "--stack", "sandbox")
	cmd.Dir, cmd.Env = b.project, b.env
	state, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("stack export: %w", err)
	}
	values := map[string]bool{b.secrets["the owner's password"]: true}
	for i, m := range regexp.MustCompile(`"plaintext": ?"\\"([A-Za-z0-9]{16,})\\""`).FindAllSubmatch(state, -1) {
		b.secrets[fmt.Sprintf("generated value %d", i+1)] = string(m[1])
		values[string(m[1])] = true
	}
	if len(values) < 3 {
		return fmt.Errorf("found %d secrets in the state, want the owner's, the app's and the origin header's", len(values))
	}
	return nil
}

// shown names the secrets that stand in outputs.
func (b *box) shown(outputs ...string) (problems []string) {
	for what, value := range b.secrets {
		for _, out := range outputs {
			if strings.Contains(out, value) || strings.Contains(out, url.QueryEscape(value)) {
				problems = append(problems, what+" stands in the output")
				break
			}
		}
	}
	return problems
}

// helperEnvironment is what the migration's helper was last started with, for a second deployer's point of view.
func (b *box) helperEnvironment(ctx context.Context) ([]string, error) {
	text, err := b.output(ctx, "pulumi", "stack", "export", "--stack", "sandbox")
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
		if strings.HasSuffix(r.URN, "::migration-run") {
			var variables map[string]string
			if err := json.Unmarshal(r.Inputs.Environment, &variables); err != nil {
				return nil, fmt.Errorf("the environment of %s: %w", r.URN, err)
			}
			env := b.env
			for name, value := range variables {
				env = append(env[:len(env):len(env)], name+"="+value)
			}
			return env, nil
		}
	}
	return nil, errors.New("the state has no migration-run")
}
