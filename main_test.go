package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"plan-charge/internal/authority"
	"plan-charge/internal/probe"
	"plan-charge/internal/session"
	"plan-charge/internal/testkit"
)

var update = flag.Bool("update", false, "accept what is declared as the new golden")

func declare(t *testing.T, name string) testkit.Program {
	t.Helper()
	p, err := testkit.Run(testkit.ReadStack(t, ".", name), deploy)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// No step can serve users before the step it needs has worked.
func TestOrder(t *testing.T) {
	p := declare(t, "prod")
	for _, pair := range [][2]string{
		{"roles-app", "database-instance"},
		{"roles-app", "database-from-tasks"},
		{"roles-app", "roles-login"},
		{"roles-app", "roles-rights"},
		{"roles-default-table", "roles-app"},
		{"grants-database", "roles-rights"},
		{"migration-run", "roles-default-table"},
		{"migration-run", "roles-default-sequence"},
		{"migration-run", "migration-task-task"},
		{"migration-run", "migration-task-url-value"},
		{"migration-run", "migration-task-execution-rights"},
		{"migration-run", "network-private-routes-1-out"},
		{"migration-run", "migration-revision"},
		{"grants-table", "migration-run"},
		{"grants-sequence", "migration-run"},
		{"organizations-rows", "migration-run"},
		{"service-url-value", "organizations-rows"},
		{"service-url-value", "grants-table"},
		{"service-service", "migration-run"},
		{"service-service", "organizations-rows"},
		{"service-service", "grants-table"},
		{"service-service", "grants-sequence"},
		{"service-service", "balancer-from-distribution"},
		{"service-rollout", "service-service"},
		{"service-capacity", "service-rollout"},
		{"service-capacity", "service-bounds"},
		{"verification-checks", "service-rollout"},
		{"verification-checks", "service-capacity"},
		{"verification-checks", "cdn-distribution"},
		{"verification-checks", "dns-A"},
		{"verification-invalidation", "service-rollout"},
		{"verification-checks", "verification-invalidation"},
	} {
		for _, name := range pair {
			if p[name] == nil {
				t.Fatalf("%s is not declared", name)
			}
		}
		if !p.Needs(pair[0], pair[1]) {
			t.Errorf("%s does not wait for %s", pair[0], pair[1])
		}
		if p.Needs(pair[1], pair[0]) {
			t.Errorf("%s waits for %s, the wrong way round", pair[1], pair[0])
		}
	}
	for _, name := range []string{"database-instance", "service-service", "migration-run", "cluster-cluster"} {
		if p.Needs("cdn-distribution", name) {
			t.Errorf("the distribution waits for %s instead of being made beside it", name)
		}
	}
}

// The migration runs the new image as the owner, and the service as the app.
func TestMigrationRunsWhatIsDeployed(t *testing.T) {
	p := declare(t, "prod")
	run := p["migration-run"]
	for key, want := range map[string]string{
		"MIGRATE_CLUSTER":         "plan-charge-prod-cluster",
		"MIGRATE_TASK_DEFINITION": "arn:aws:ecs:eu-west-3:123456789012:migration-task-task:1",
		"MIGRATE_SECRET_ARN":      "arn:aws:secretsmanager:eu-west-3:123456789012:migration-task-url",
		"MIGRATE_COMMAND":         `["alembic","upgrade","head"]`,
		"MIGRATE_CONTAINER":       "backend",
		"MIGRATE_LOG_GROUP":       "/plan-charge-prod/migration",
		"MIGRATE_SUBNETS":         "network-private-1-id,network-private-2-id,network-private-3-id",
		"MIGRATE_SECURITY_GROUPS": "network-tasks-id",
		"MIGRATE_TIMEOUT":         "30m0s",
		"MIGRATE_LOCK_TIMEOUT":    "10s",
	} {
		if got := run.Get("environment", key); got != want {
			t.Errorf("%s is %v, want %s", key, got, want)
		}
	}
	image := testkit.ReadStack(t, ".", "prod").Config["plan-charge:image"]
	for _, task := range []string{"migration-task-task", "service-task"} {
		if text := p[task].Get("containerDefinitions").(string); !strings.Contains(text, fmt.Sprintf(`"image":%q`, image)) {
			t.Errorf("%s runs another image: %s", task, text)
		}
	}
	if got := run.Get("triggers", 0); got != image {
		t.Errorf("a new image does not migrate: the trigger is %v", got)
	}
}

// A downgrade is a migration by another command and, if need be, by another image than the one that is rolled out.
func TestDowngradeIsAskedForByName(t *testing.T) {
	if got := declare(t, "prod")["migration-run"].Get("environment", "MIGRATE_DOWNGRADE_TO"); got != nil {
		t.Errorf("unasked: %v", got)
	}
	stack := testkit.ReadStack(t, ".", "prod")
	image := stack.Config["plan-charge:image"]
	stack.Config["plan-charge:migration"] = `{"downgradeTo":"0003","image":"app:1.1.0"}`
	p, err := testkit.Run(stack, deploy)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"MIGRATE_DOWNGRADE_TO": "0003", "MIGRATE_SNAPSHOT_OF": "plan-charge-prod-db", "MIGRATE_COMMAND": `["alembic","downgrade","0003"]`, "MIGRATE_IMAGE": "app:1.1.0",
	} {
		if got := p["migration-run"].Get("environment", key); got != want {
			t.Errorf("%s is %v, want %s", key, got, want)
		}
	}
	for task, want := range map[string]string{"migration-task-task": "app:1.1.0", "service-task": image} {
		if text := p[task].Get("containerDefinitions").(string); !strings.Contains(text, fmt.Sprintf(`"image":%q`, want)) {
			t.Errorf("%s runs another image than %s: %s", task, want, text)
		}
	}
}

// With database.access session, nothing that Pulumi starts dials the database's address.
func TestSessionLeadsEverything(t *testing.T) {
	s := testkit.ReadStack(t, ".", "prod")
	s.Config["plan-charge:database"] = `{"access":"session"}`
	p, err := testkit.Run(s, deploy)
	if err != nil {
		t.Fatal(err)
	}
	port := session.LoopbackPort("db-ABC")
	if host, got := p["roles-postgres"].Get("host"), p["roles-postgres"].Get("port"); host != "127.0.0.1" || fmt.Sprint(got) != fmt.Sprint(port) {
		t.Errorf("the PostgreSQL provider dials %v:%v", host, got)
	}
	// By its certificate, as far as a client can see that dials this machine; no path of one machine is in the state.
	if mode, file := p["roles-postgres"].Get("sslmode"), p["roles-postgres"].Get("sslrootcert"); mode != "verify-ca" || file != authority.File {
		t.Errorf("the PostgreSQL provider verifies the server by %v, %v", mode, file)
	}
	routes := map[string]any{"migration-run": p["migration-run"].Get("environment", "MIGRATE_SESSION")}
	for _, name := range []string{"roles-logins", "migration-postgres", "organizations-postgres"} {
		routes[name] = p[name].Get("session")
		if mode, who := p[name].Get("sslMode"), p[name].Get("sslRootCert"); mode != "verify-full" || who != authority.RDS {
			t.Errorf("%s verifies the server by %v, %v", name, mode, who)
		}
		if p[name].Get("host") == "127.0.0.1" {
			t.Errorf("%s does not know the database's name, which TLS and the agent need", name)
		}
	}
	for name, text := range routes {
		route, err := session.ParseRoute(fmt.Sprint(text))
		if err != nil {
			t.Errorf("%s: %v: %v", name, text, err)
			continue
		}
		// With a revision in it, each release would change the providers.
		if route.Port != port || route.TaskDefinition != "plan-charge-prod-access" || route.PreviewReads {
			t.Errorf("%s goes by %+v", name, route)
		}
	}
	for _, name := range []string{"roles-postgres", "roles-logins"} {
		for _, need := range []string{"access-task", "access-shell", "network-private-routes-1-out", "network-tasks-out"} {
			if p[need] == nil {
				t.Errorf("%s is not declared", need)
			} else if !p.Needs(name, need) {
				t.Errorf("%s does not wait for %s, without which no session opens", name, need)
			}
		}
	}
}

// What is checked through the CDN is what this stack deploys and asks for.
func TestVerificationChecksWhatIsDeployed(t *testing.T) {
	s := testkit.ReadStack(t, ".", "prod")
	s.Config["plan-charge:verification"] = `{"version":true,"checks":[{"name":"ping","path":"/api/v1/ping","status":"204"}]}`
	p, err := testkit.Run(s, deploy)
	if err != nil {
		t.Fatal(err)
	}
	var checks []probe.Check
	if err := json.Unmarshal([]byte(p["verification-checks"].Get("checks").(string)), &checks); err != nil {
		t.Fatal(err)
	}
	if len(checks) != 6 || checks[5].Path != "/api/v1/ping" || checks[5].Status != "204" {
		t.Errorf("the stack's own check is not asked: %+v", checks)
	}
	if got := p["verification-checks"].Get("appVersion"); got != "1.0.0" || checks[0].Fields["version"] != probe.Version {
		t.Errorf("the version asked for is %q, want the image's", got)
	}
}

func TestOrganizationsAreDeclared(t *testing.T) {
	for _, name := range []string{"prod", "sandbox"} {
		rows := declare(t, name)["organizations-rows"]
		want := `[{"id":"00000000-0000-0000-0000-000000000001","name":"NDA Partners"},{"id":"00000000-0000-0000-0000-000000000002","name":"Default Organization"}]`
		got, err := json.Marshal(rows.Get("rows"))
		if err != nil || string(got) != want {
			t.Errorf("%s: rows %s, %v", name, got, err)
		}
	}
}

// Bad configuration declares nothing at all.
func TestBadConfigurationDeclaresNothing(t *testing.T) {
	s := testkit.ReadStack(t, ".", "prod")
	s.Config["plan-charge:image"] = "backend"
	s.Config["plan-charge:network"] = `{"zones":1}`
	p, err := testkit.Run(s, deploy)
	if err == nil || !strings.Contains(err.Error(), "plan-charge:image: found") || !strings.Contains(err.Error(), "plan-charge:network.zones: found 1") {
		t.Errorf("error: %v", err)
	}
	if len(p) > 0 {
		t.Errorf("%d resources were declared", len(p))
	}
}

// Two stacks in one account share no name.
func TestStacksDoNotCollide(t *testing.T) {
	names := func(stackName string) map[string]string {
		s := testkit.ReadStack(t, ".", "sandbox")
		s.Name = stackName
		p, err := testkit.Run(s, deploy)
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]string{}
		for _, r := range p {
			if r.Type == "aws:iam/rolePolicy:RolePolicy" || !strings.HasPrefix(r.Type, "aws:") {
				continue // its name is inside its role's
			}
			for _, key := range []string{"name", "identifier", "family", "finalSnapshotIdentifier"} {
				if r.Type == "aws:rds/parameterGroup:ParameterGroup" && key == "family" {
					continue
				}
				if v, ok := r.Get(key).(string); ok {
					found[r.Type+" "+v] = r.Name
				}
			}
		}
		return found
	}
	first, second := names("sandbox"), names("sandbox2")
	for name := range first {
		if _, ok := second[name]; ok {
			t.Errorf("both stacks have %s", name)
		}
	}
	if len(first) < 20 {
		t.Errorf("only %d names were compared", len(first))
	}
}

// The golden lists what a stack consists of, so that a change is looked at.
func TestDeclared(t *testing.T) {
	for _, name := range []string{"prod", "sandbox"} {
		var lines []string
		for _, r := range declare(t, name) {
			flags := ""
			if r.Options.GetProtect() {
				flags += " protected"
			}
			if r.Options.GetRetainOnDelete() {
				flags += " retained"
			}
			lines = append(lines, fmt.Sprintf("%s %s%s", r.Type, r.Name, flags))
		}
		slices.Sort(lines)
		got := strings.Join(lines, "\n") + "\n"
		path := "testdata/declared." + name + ".txt"
		if *update {
			if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("%s differs from %s; look at the difference, then run: go test . -update\n%s", name, path, got)
		}
	}
}
