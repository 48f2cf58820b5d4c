package schema_test

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/internal/migrate"
	"plan-charge/internal/testkit"
	"plan-charge/schema"
)

func program(t *testing.T, body func(*pulumi.Context) error) (testkit.Program, error) {
	t.Helper()
	return testkit.Run(testkit.Stack{Project: "plan-charge", Name: "test"}, body)
}

func connection() schema.Connection {
	return schema.Connection{
		Host: pulumi.String("db.example"), Port: pulumi.Int(5433), Database: "plan_charge", Owner: "plan_charge_owner",
		Password: pulumi.String("owner-password"), Authority: "rds", Version: "16", Identity: pulumi.String("db-ABC"),
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
	provider := e["roles-postgres"].Inputs
	for key, want := range map[string]any{
		"host": "db.example", "sslmode": "verify-full", "sslrootcert": "internal/authority/rds.pem", "username": "plan_charge_owner", "password": "owner-password", "expectedVersion": "16",
	} {
		if fmt.Sprint(provider[key]) != fmt.Sprint(want) {
			t.Errorf("provider: %s is %v, want %v", key, provider[key], want)
		}
	}
	if !e["roles-postgres"].IsSecret("password") {
		t.Error("the provider's password is in clear")
	}
	if fmt.Sprint(provider["port"]) != "5433" || fmt.Sprint(provider["superuser"]) != "false" {
		t.Errorf("provider: %v", provider)
	}

	app := e["roles-app"].Inputs
	if app["login"] != true || app["superuser"] != false || app["createRole"] != false || app["createDatabase"] != false || app["replication"] != false {
		t.Errorf("app role: %v", app)
	}
	password := fmt.Sprint(app["password"])
	if !e["roles-app"].IsSecret("password") || !strings.HasPrefix(password, "SCRAM-SHA-256$4096:") || strings.Contains(password, "app-password") {
		t.Errorf("the app's password is given as %s", password)
	}

	// The salt follows from how often the password was set, 4 times here.
	salt := sha256.Sum256([]byte("plan-charge role\x00db.example\x00plan_charge\x00plan_charge_app\x004"))
	if want := ":" + base64.StdEncoding.EncodeToString(salt[:16]) + "$"; !strings.Contains(password, want) {
		t.Errorf("the app's password is set as %s, without the generation of its login: want %s in it", password, want)
	}
	login := e["roles-login"]
	if login.Inputs["username"] != "plan_charge_app" || login.Inputs["password"] != "app-password" || !login.IsSecret("password") || fmt.Sprint(login.Inputs["triggers"]) != "[db-ABC]" {
		t.Errorf("login: %v, secret: %v", login.Inputs, login.Secret)
	}
	if !e.Needs("roles-app", "roles-login") || e.Needs("roles-login", "roles-app") {
		t.Error("the login is not looked at before the role is set")
	}

	for name, want := range map[string]string{
		"roles-default-table": "[SELECT INSERT UPDATE DELETE]", "roles-default-sequence": "[USAGE SELECT]",
		"grants-database": "[CONNECT]", "grants-table": "[SELECT INSERT UPDATE DELETE]", "grants-sequence": "[USAGE SELECT]",
	} {
		in := e[name].Inputs
		if fmt.Sprint(in["privileges"]) != want || in["role"] != "plan_charge_app" || in["database"] != "plan_charge" {
			t.Errorf("%s: %v, want privileges %s", name, in, want)
		}
	}
	if e["roles-default-table"].Inputs["owner"] != "plan_charge_owner" {
		t.Error("default privileges are not those of what the owner makes")
	}
	if _, ok := e["grants-database"].Inputs["schema"]; ok {
		t.Error("a right on a database has no schema")
	}
}

func migrationArgs() *schema.MigrationArgs {
	return &schema.MigrationArgs{
		Connection: connection(), Cluster: pulumi.String("cluster"), TaskDefinition: pulumi.String("arn:aws:ecs:eu-west-3:1:task-definition/migration:3"),
		Container: "backend", Image: pulumi.String("backend:1"), Command: []string{"alembic", "upgrade", "head"},
		SubnetIDs: pulumi.ToStringArray([]string{"subnet-1", "subnet-2"}), SecurityGroupIDs: pulumi.ToStringArray([]string{"sg-1"}),
		LogGroup: pulumi.String("/migration"), LogStreamPrefix: "ecs", OwnerURLSecretARN: pulumi.String("arn:secret"), VersionTable: "alembic_version", VersionColumn: "version",
		IgnoreObjects: []string{"table public.cache_*"}, Accept: []string{"table public.users"},
		Timeout: 30 * time.Minute, LockTimeout: 10 * time.Second, Environment: map[string]string{"AWS_REGION": "eu-west-3"},
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
	if got := <-revisions; got != "0003" {
		t.Errorf("revision %q", got)
	}
	run := e["migration-run"].Inputs
	if fmt.Sprint(run["triggers"]) != `[backend:1 ["alembic","upgrade","head"] 4]` {
		t.Errorf("triggers: %v", run["triggers"])
	}
	if run["create"] != "go run ./cmd/plan-charge migrate" || run["update"] != "go run ./cmd/plan-charge migrate --unless-done" || run["dir"] != "." {
		t.Errorf("command: %v", run)
	}
	// What the component sets must be what the program understands.
	s, err := migrate.FromEnv(e["migration-run"].Variables())
	if err != nil {
		t.Fatal(err)
	}
	if s.Family() != "migration" || len(s.Subnets) != 2 || s.Timeout != 30*time.Minute || s.LockTimeout != 10*time.Second || len(s.Command) != 3 || s.VersionTable.Name != "alembic_version" || s.VersionTable.Column != "version" ||
		s.Key != `backend:1 ["alembic","upgrade","head"] 4` || s.LogStreamPrefix != "ecs" || s.SecretARN != "arn:secret" ||
		fmt.Sprint(s.IgnoreObjects) != "[table public.cache_*]" || fmt.Sprint(s.Accept) != "[table public.users]" {
		t.Errorf("settings: %+v", s)
	}
	if s.Image != "backend:1" {
		t.Errorf("the release is noted as one of %q", s.Image)
	}
	if region, _ := e["migration-run"].Variables()("AWS_REGION"); region != "eu-west-3" {
		t.Errorf("the command asks the region %q", region)
	}
	if text := fmt.Sprint(run); strings.Contains(text, "owner-password") {
		t.Errorf("the password is in the command's inputs: %s", text)
	}
	if p := e["migration-postgres"].Inputs; p["password"] != "owner-password" || !e["migration-postgres"].IsSecret("password") || p["host"] != "db.example" || p["sslMode"] != "verify-full" || p["sslRootCert"] != "rds" {
		t.Errorf("provider: %v", p)
	}
	if r := e["migration-revision"].Inputs; r["table"] != "alembic_version" || r["column"] != "version" || r["schema"] != "public" || fmt.Sprint(r["triggers"]) != "[db-ABC]" || fmt.Sprint(r["ignoreObjects"]) != "[table public.cache_*]" {
		t.Errorf("revision: %v", r)
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
	rows := e["organizations-rows"].Inputs
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
	if err != nil || e["none-rows"] != nil {
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
