package schema_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/internal/migrate"
	"plan-charge/internal/probe"
	"plan-charge/internal/verify"
	"plan-charge/schema"
)

// engine records what a program registers.
type engine struct {
	mu   sync.Mutex
	made map[string]pulumi.MockResourceArgs
}

func (e *engine) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.made[args.Name] = args
	out := args.Inputs.Copy()
	switch args.TypeToken {
	case "pgrows:index:Revision":
		out["generation"], out["revision"], out["drift"] = resource.NewNumberProperty(4), resource.NewStringProperty("0002"), resource.NewStringProperty("")
	case "pgrows:index:Rows":
		out["rowCount"] = resource.NewNumberProperty(float64(len(args.Inputs["rows"].ArrayValue())))
	case "command:local:Command":
		out["stdout"], out["stderr"] = resource.NewStringProperty("0002\n"), resource.NewStringProperty("")
	}
	return args.Name + "-id", out, nil
}

func (e *engine) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) {
	return nil, fmt.Errorf("no function is called")
}

// inputs are a resource's inputs as plain values; secrets are marked.
func (e *engine) inputs(t *testing.T, name string) map[string]any {
	t.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	args, ok := e.made[name]
	if !ok {
		t.Fatalf("no resource %s was made, but %q", name, slices.Sorted(maps.Keys(e.made)))
	}
	return plain(resource.NewObjectProperty(args.Inputs)).(map[string]any)
}

func plain(v resource.PropertyValue) any {
	switch {
	case v.IsSecret():
		return fmt.Sprintf("secret(%v)", plain(v.SecretValue().Element))
	case v.IsOutput():
		return plain(v.OutputValue().Element)
	case v.IsObject():
		m := map[string]any{}
		for k, e := range v.ObjectValue() {
			m[string(k)] = plain(e)
		}
		return m
	case v.IsArray():
		l := []any{}
		for _, e := range v.ArrayValue() {
			l = append(l, plain(e))
		}
		return l
	}
	return v.V
}

func program(t *testing.T, body func(*pulumi.Context) error) (*engine, error) {
	t.Helper()
	e := &engine{made: map[string]pulumi.MockResourceArgs{}}
	return e, pulumi.RunErr(body, pulumi.WithMocks("plan-charge", "test", e))
}

func connection() schema.Connection {
	return schema.Connection{
		Host: pulumi.String("db.example"), Port: pulumi.Int(5433), Database: "plan_charge", Owner: "plan_charge_owner",
		Password: pulumi.String("owner-password"), SSLMode: "require", Version: "16", Identity: pulumi.String("db-ABC"),
	}
}

func TestRolesAndGrants(t *testing.T) {
	e, err := program(t, func(ctx *pulumi.Context) error {
		roles, err := schema.NewRoles(ctx, "roles", &schema.RolesArgs{Connection: connection(), AppName: "plan_charge_app", AppPassword: pulumi.String("app-password")})
		if err != nil {
			return err
		}
		_, err = schema.NewGrants(ctx, "grants", &schema.GrantsArgs{Roles: roles})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	provider := e.inputs(t, "roles-postgres")
	for key, want := range map[string]any{
		"host": "db.example", "sslmode": "require", "username": "plan_charge_owner", "password": "secret(owner-password)", "expectedVersion": "16",
	} {
		if fmt.Sprint(provider[key]) != fmt.Sprint(want) {
			t.Errorf("provider: %s is %v, want %v", key, provider[key], want)
		}
	}
	if fmt.Sprint(provider["port"]) != "5433" || fmt.Sprint(provider["superuser"]) != "false" {
		t.Errorf("provider: %v", provider)
	}

	app := e.inputs(t, "roles-app")
	if app["login"] != true || app["superuser"] != false || app["createRole"] != false || app["createDatabase"] != false || app["replication"] != false {
		t.Errorf("app role: %v", app)
	}
	password := fmt.Sprint(app["password"])
	if !strings.HasPrefix(password, "secret(SCRAM-SHA-256$4096:") || strings.Contains(password, "app-password") {
		t.Errorf("the app's password is given as %s", password)
	}

	for name, want := range map[string]string{
		"roles-default-table": "[SELECT INSERT UPDATE DELETE]", "roles-default-sequence": "[USAGE SELECT]",
		"grants-database": "[CONNECT]", "grants-table": "[SELECT INSERT UPDATE DELETE]", "grants-sequence": "[USAGE SELECT]",
	} {
		in := e.inputs(t, name)
		if fmt.Sprint(in["privileges"]) != want || in["role"] != "plan_charge_app" || in["database"] != "plan_charge" {
			t.Errorf("%s: %v, want privileges %s", name, in, want)
		}
	}
	if e.inputs(t, "roles-default-table")["owner"] != "plan_charge_owner" {
		t.Error("default privileges are not those of what the owner makes")
	}
	if _, ok := e.inputs(t, "grants-database")["schema"]; ok {
		t.Error("a right on a database has no schema")
	}
}

func migrationArgs() *schema.MigrationArgs {
	return &schema.MigrationArgs{
		Connection: connection(), Cluster: pulumi.String("cluster"), TaskDefinition: pulumi.String("arn:aws:ecs:eu-west-3:1:task-definition/migration:3"),
		Container: "backend", Image: pulumi.String("backend:1"), Command: []string{"alembic", "upgrade", "head"},
		SubnetIDs: pulumi.ToStringArray([]string{"subnet-1", "subnet-2"}), SecurityGroupIDs: pulumi.ToStringArray([]string{"sg-1"}),
		LogGroup: pulumi.String("/migration"), LogStreamPrefix: "ecs", OwnerURLSecretARN: pulumi.String("arn:secret"), VersionTable: "alembic_version", VersionColumn: "version",
		Timeout: 30 * time.Minute, LockTimeout: 10 * time.Second,
	}
}

func TestMigration(t *testing.T) {
	revisions := make(chan string, 1)
	e, err := program(t, func(ctx *pulumi.Context) error {
		m, err := schema.NewMigration(ctx, "migration", migrationArgs())
		if err != nil {
			return err
		}
		m.Revision.ApplyT(func(r string) string { revisions <- r; return r })
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-revisions; got != "0002" {
		t.Errorf("revision %q", got)
	}
	run := e.inputs(t, "migration-run")
	if fmt.Sprint(run["triggers"]) != `[backend:1 ["alembic","upgrade","head"] 4]` {
		t.Errorf("triggers: %v", run["triggers"])
	}
	if run["create"] != "go run ./cmd/migrate" || run["update"] != "go run ./cmd/migrate -unless-done" || run["dir"] != "." {
		t.Errorf("command: %v", run)
	}
	// What the component sets must be what the program understands.
	s, err := migrate.FromEnv(environment(run))
	if err != nil {
		t.Fatal(err)
	}
	if s.Family() != "migration" || len(s.Subnets) != 2 || s.Timeout != 30*time.Minute || s.LockTimeout != 10*time.Second || len(s.Command) != 3 || s.VersionTable != "alembic_version" || s.VersionColumn != "version" ||
		s.Key != `backend:1 ["alembic","upgrade","head"] 4` || s.LogStreamPrefix != "ecs" || s.SecretARN != "arn:secret" {
		t.Errorf("settings: %+v", s)
	}
	if text := fmt.Sprint(run); strings.Contains(text, "owner-password") {
		t.Errorf("the password is in the command's inputs: %s", text)
	}
	if p := e.inputs(t, "migration-postgres"); p["password"] != "secret(owner-password)" || p["host"] != "db.example" || p["sslMode"] != "require" {
		t.Errorf("provider: %v", p)
	}
	if r := e.inputs(t, "migration-revision"); r["table"] != "alembic_version" || r["column"] != "version" || r["schema"] != "public" || fmt.Sprint(r["triggers"]) != "[db-ABC]" {
		t.Errorf("revision: %v", r)
	}
}

func environment(command map[string]any) func(string) (string, bool) {
	env := command["environment"].(map[string]any)
	return func(key string) (string, bool) {
		v, ok := env[key].(string)
		return v, ok
	}
}

func TestMigrationRefusesBadArguments(t *testing.T) {
	for want, change := range map[string]func(*schema.MigrationArgs){
		"version table": func(a *schema.MigrationArgs) { a.VersionTable = "a.b.c" },
		"Timeout":       func(a *schema.MigrationArgs) { a.Timeout = 0 },
		"LockTimeout":   func(a *schema.MigrationArgs) { a.LockTimeout = 0 },
	} {
		args := migrationArgs()
		change(args)
		_, err := program(t, func(ctx *pulumi.Context) error {
			_, err := schema.NewMigration(ctx, "migration", args)
			return err
		})
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("got %v, want something about %s", err, want)
		}
	}
}

func TestOrganizations(t *testing.T) {
	args := &schema.OrganizationsArgs{Connection: connection(), OnRemove: "retain", Organizations: []schema.Organization{
		{ID: "00000000-0000-0000-0000-000000000001", Name: "NDA Partners"}, {ID: "00000000-0000-0000-0000-000000000002", Name: "Default Organization"},
	}}
	declare := func(ctx *pulumi.Context) error {
		_, err := schema.NewOrganizations(ctx, "organizations", args)
		return err
	}
	e, err := program(t, declare)
	if err != nil {
		t.Fatal(err)
	}
	rows := e.inputs(t, "organizations-rows")
	for key, want := range map[string]string{
		"table": "organizations", "schema": "public", "keyColumns": "[id]", "createdAtColumn": "created_at", "updatedAtColumn": "updated_at",
		"softDeleteColumn": "deleted_at", "onRemove": "retain",
		"rows": "[map[id:00000000-0000-0000-0000-000000000001 name:NDA Partners] map[id:00000000-0000-0000-0000-000000000002 name:Default Organization]]",
	} {
		if fmt.Sprint(rows[key]) != want {
			t.Errorf("%s is %v, want %s", key, rows[key], want)
		}
	}

	none := &schema.OrganizationsArgs{Connection: connection(), OnRemove: "retain"}
	e, err = program(t, func(ctx *pulumi.Context) error {
		o, err := schema.NewOrganizations(ctx, "none", none)
		if err == nil && len(o.Ready()) > 0 {
			t.Errorf("without rows others wait for %v", o.Ready())
		}
		return err
	})
	if _, made := e.made["none-rows"]; err != nil || made {
		t.Errorf("without rows there are rows all the same (%v)", err)
	}

	args.Organizations = append(args.Organizations, args.Organizations[0])
	if _, err := program(t, declare); !strings.Contains(fmt.Sprint(err), "listed twice") {
		t.Errorf("got %v", err)
	}
	args.Organizations, args.OnRemove = nil, "drop"
	if _, err := program(t, declare); !strings.Contains(fmt.Sprint(err), `"drop"`) {
		t.Errorf("got %v", err)
	}
}

func TestVerification(t *testing.T) {
	args := &schema.VerificationArgs{
		SiteURL: pulumi.String("https://site.example"), Cluster: pulumi.String("cluster"), Service: pulumi.String("service"),
		TaskDefinition: pulumi.String("arn:aws:ecs:eu-west-3:1:task-definition/backend:3"), DistributionID: pulumi.String("E1"),
		DistributionVersion: pulumi.String("etag-1"), HealthPath: "/health", LoginPath: "/api/login",
		Checks: []probe.Check{{Method: "GET", Path: "/api/v1/ping", Status: probe.Code(204)}}, Timeout: time.Minute,
	}
	declare := func(ctx *pulumi.Context) error {
		_, err := schema.NewVerification(ctx, "verification", args)
		return err
	}
	e, err := program(t, declare)
	if err != nil {
		t.Fatal(err)
	}
	checks := e.inputs(t, "verification-checks")
	s, err := verify.FromEnv(environment(checks))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Checks) != 6 || s.Checks[5].Path != "/api/v1/ping" || s.TaskDefinition == "" || s.DistributionID != "E1" || s.Timeout != time.Minute {
		t.Errorf("settings: %+v", s)
	}
	list := checks["environment"].(map[string]any)["VERIFY_CHECKS"]
	triggers := []any{"https://site.example", "service", "arn:aws:ecs:eu-west-3:1:task-definition/backend:3", "E1", "etag-1", list}
	if !reflect.DeepEqual(checks["triggers"], triggers) {
		t.Errorf("triggers: %v, want %v", checks["triggers"], triggers)
	}
	invalidation := e.inputs(t, "verification-invalidation")
	i, err := verify.InvalidationFromEnv(environment(invalidation))
	if err != nil || i.DistributionID != "E1" || i.Key != "etag-1" || fmt.Sprint(invalidation["triggers"]) != "[E1 etag-1]" {
		t.Errorf("invalidation: %+v, %v, %v", i, err, invalidation)
	}

	args.Checks[0].Path = "ping"
	if _, err := program(t, declare); !strings.Contains(fmt.Sprint(err), `path: found "ping"`) {
		t.Errorf("got %v", err)
	}
}
