package infra_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
	"plan-charge/infra"
	"plan-charge/internal/awsclient"
	"plan-charge/internal/testkit"
)

// declare runs every component of this package with a stack's configuration.
func declare(t *testing.T, values map[string]string, secrets ...string) (testkit.Program, error) {
	t.Helper()
	full := map[string]string{"plan-charge:image": "plan-charge/backend:1.0.0"}
	for key, value := range values {
		full["plan-charge:"+key] = value
	}
	for i := range secrets {
		secrets[i] = "plan-charge:" + secrets[i]
	}
	return testkit.Run(testkit.Stack{Project: "plan-charge", Name: "prod", Config: full, Secrets: secrets}, func(ctx *pulumi.Context) error {
		cfg, err := config.Load(ctx)
		if err != nil {
			return err
		}
		settings := infra.TaskSettings{
			Names: cfg.Names, Region: cfg.Region, Image: cfg.Image, Version: cfg.Version(), Architecture: cfg.Service.Architecture, Port: cfg.Service.Port,
			Environment: cfg.Service.Environment, Secrets: cfg.Service.Secrets, LogDays: cfg.Service.LogDays, RecoveryDays: cfg.Database.RecoveryDays,
		}
		provider, err := infra.NewCloud(ctx, &infra.CloudArgs{
			Names: cfg.Names, AWS: awsclient.Settings{Region: cfg.Region, Profile: cfg.Profile, Role: cfg.Role}, Account: cfg.Account, Tags: cfg.Tags,
		})
		if err != nil {
			return err
		}
		in := pulumi.Providers(provider)
		network, err := infra.NewNetwork(ctx, "network", &infra.NetworkArgs{Names: cfg.Names, Settings: cfg.Network}, in)
		if err != nil {
			return err
		}
		database, err := infra.NewDatabase(ctx, "database", &infra.DatabaseArgs{
			Names: cfg.Names, Settings: cfg.Database, OwnerPassword: cfg.OwnerPassword, AppPassword: cfg.AppPassword, LogDays: cfg.Service.LogDays, Network: network,
		}, in)
		if err != nil {
			return err
		}
		balancer, err := infra.NewBalancer(ctx, "balancer", &infra.BalancerArgs{
			Names: cfg.Names, Service: cfg.Service, CertificateARN: cfg.CDN.OriginCertificateARN, Network: network,
		}, in)
		if err != nil {
			return err
		}
		cdn, err := infra.NewCDN(ctx, "cdn", &infra.CDNArgs{Names: cfg.Names, Settings: cfg.CDN, Balancer: balancer}, in)
		if err != nil {
			return err
		}
		if _, err := infra.NewDNS(ctx, "dns", &infra.DNSArgs{Settings: cfg.CDN, CDN: cdn}, in); err != nil {
			return err
		}
		alarms, err := infra.NewAlarms(ctx, "alarms", &infra.AlarmsArgs{Names: cfg.Names, Settings: cfg.Alarms, Balancer: balancer, Database: database}, in)
		if err != nil {
			return err
		}
		cluster, err := infra.NewCluster(ctx, "cluster", &infra.ClusterArgs{Names: cfg.Names, LogDays: cfg.Service.LogDays}, in)
		if err != nil {
			return err
		}
		task, err := infra.NewMigrationTask(ctx, "migration-task", &infra.MigrationTaskArgs{
			Settings: settings, Migration: cfg.Migration, Network: network, Cluster: cluster, Database: database,
		}, in)
		if err != nil {
			return err
		}
		service, err := infra.NewService(ctx, "service", &infra.ServiceArgs{Settings: settings, Service: cfg.Service, Network: network, Cluster: cluster, Balancer: balancer, Database: database, Alarms: alarms, Site: infra.Site(cfg.Names, cfg.CDN)}, in)
		if err != nil {
			return err
		}
		access, err := infra.NewAccess(ctx, "access", &infra.AccessArgs{Settings: settings, Image: cfg.Database.SessionImage, Cluster: cluster}, in)
		if err != nil {
			return err
		}
		ctx.Export("exec", service.ExecCommand)
		_, err = infra.NewStrangers(ctx, "strangers", &infra.StrangersArgs{
			Allow: cfg.Strangers.Allow, Owned: []*infra.Owned{&network.Owned, &database.Owned, &balancer.Owned, &access.Owned, &task.Owned, &service.Owned},
		}, in)
		if err != nil {
			return err
		}
		return nil
	})
}

func TestWrongAccountStopsEverything(t *testing.T) {
	p, err := declare(t, map[string]string{"account": "210987654321"})
	testkit.Contains(t, "error", fmt.Sprint(err), "plan-charge:account: found 210987654321 in the configuration and 123456789012 in the credentials",
		"user/somebody", "nothing was changed")
	if len(p) != 1 || p["aws"] == nil {
		t.Errorf("declared all the same: %q", slices.Sorted(maps.Keys(p)))
	}
	program(t, map[string]string{"account": "123456789012"})
}

// The commands are looked at in TestVerification and TestMigration.
func TestCloudIsReachedAsConfigured(t *testing.T) {
	p := program(t, map[string]string{"region": "eu-central-1", "profile": "team", "role": "arn:aws:iam::123456789012:role/deployer"})
	is(t, p["aws"], "eu-central-1", "region")
	is(t, p["aws"], "team", "profile")
	is(t, p["aws"], "arn:aws:iam::123456789012:role/deployer", "assumeRole", "roleArn")
}

// Besides the tasks only who is listed may connect to the database, each by a rule that stays where another one goes.
func TestInbound(t *testing.T) {
	if p := program(t, nil); p["database-from-10.8.0.0-16"] != nil {
		t.Error("somebody is let in who is not listed")
	}
	p := program(t, map[string]string{"database": `{"access":"direct","inbound":["10.8.0.0/16","sg-0a1"]}`})
	is(t, p["database-from-10.8.0.0-16"], "10.8.0.0/16", "cidrBlocks", 0)
	is(t, p["database-from-sg-0a1"], "sg-0a1", "sourceSecurityGroupId")
	for _, name := range []string{"database-from-10.8.0.0-16", "database-from-sg-0a1"} {
		is(t, p[name], "ingress", "type")
		is(t, p[name], 5432.0, "fromPort")
		is(t, p[name], 5432.0, "toPort")
	}
}

// The task of a session can carry an agent and nothing else: neither a secret nor a right beyond.
func TestAccess(t *testing.T) {
	p := program(t, nil)
	is(t, p["access-task"], "plan-charge-prod-access", "family")
	is(t, p["access-task"], "256", "cpu")
	container := containersOf(t, p, "access")[0]
	if container.Image != "plan-charge/backend:1.0.0" || container.Secrets != nil || container.Environment != nil {
		t.Errorf("the container is %+v", container)
	}
	p = program(t, map[string]string{"database": `{"sessionImage":"busybox:1.37"}`})
	if container := containersOf(t, p, "access")[0]; container.Image != "busybox:1.37" {
		t.Errorf("database.sessionImage is not used: %v", container.Image)
	}
}

func program(t *testing.T, config map[string]string, secrets ...string) testkit.Program {
	t.Helper()
	p, err := declare(t, config, secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// is checks one input, given as path and value in turn.
func is(t *testing.T, r *testkit.Resource, want any, path ...any) {
	t.Helper()
	if r == nil {
		t.Fatal("not declared")
	}
	if got := r.Get(path...); !reflect.DeepEqual(got, want) {
		t.Errorf("%s: %v is %#v, want %#v", r.Name, path, got, want)
	}
}

func TestNetwork(t *testing.T) {
	p := program(t, map[string]string{"network": `{"zones":3,"nat":"each"}`})
	for i, zone := range []string{"eu-west-3a", "eu-west-3b", "eu-west-3c"} {
		n := i + 1
		is(t, p[fmt.Sprintf("network-public-%d", n)], zone, "availabilityZone")
		is(t, p[fmt.Sprintf("network-private-%d", n)], zone, "availabilityZone")
		is(t, p[fmt.Sprintf("network-public-%d", n)], fmt.Sprintf("10.20.%d.0/20", i*16), "cidrBlock")
		is(t, p[fmt.Sprintf("network-private-%d", n)], fmt.Sprintf("10.20.%d.0/20", 128+i*16), "cidrBlock")
		is(t, p[fmt.Sprintf("network-nat-%d", n)], fmt.Sprintf("network-public-%d-id", n), "subnetId")
		is(t, p[fmt.Sprintf("network-private-routes-%d-out", n)], fmt.Sprintf("network-nat-%d-id", n), "natGatewayId")
		is(t, p[fmt.Sprintf("network-private-routes-%d-1", n)], fmt.Sprintf("network-private-%d-id", n), "subnetId")
	}
	is(t, p["network-public-routes-out"], "network-internet-id", "gatewayId")

	one := program(t, nil)
	if got := one.Names("aws:ec2/natGateway:NatGateway"); len(got) != 1 {
		t.Errorf("NAT gateways: %v", got)
	}
	is(t, one["network-private-routes-1-2"], "network-private-2-id", "subnetId")
	if len(one.Names("aws:ec2/subnet:Subnet")) != 4 {
		t.Error("not two zones by default")
	}
}

func TestExistingNetwork(t *testing.T) {
	config := `{"vpcId":"vpc-0a","publicSubnetIds":["subnet-0afa","subnet-0afb"],"privateSubnetIds":["subnet-0afc","subnet-0afd"]}`
	p := program(t, map[string]string{"network": config, "database": `{"protect":true,"onDestroy":"retain"}`})
	for _, typ := range []string{"aws:ec2/vpc:Vpc", "aws:ec2/subnet:Subnet", "aws:ec2/natGateway:NatGateway", "aws:ec2/routeTable:RouteTable"} {
		if names := p.Names(typ); names != nil {
			t.Errorf("made in somebody else's network: %v", names)
		}
	}
	is(t, p["database-subnets"], []any{"subnet-0afc", "subnet-0afd"}, "subnetIds")
	is(t, p["balancer-balancer"], []any{"subnet-0afa", "subnet-0afb"}, "subnets")
	is(t, p["service-service"], []any{"subnet-0afc", "subnet-0afd"}, "networkConfiguration", "subnets")
	for _, name := range []string{"database-instance", "database-subnets", "database-parameters", "database-group"} {
		if !p[name].Options.GetRetainOnDelete() {
			t.Errorf("%s goes while the database is to stay", name)
		}
	}

	// Every mistake in both lists, in the same order each time; a subnet that cannot be looked up hides none of them.
	wrong := strings.NewReplacer("subnet-0afa", "subnet-0bfb", "subnet-0afc", "subnet-0ff404").Replace(config)
	wrong = strings.Replace(wrong, "subnet-0afd", "subnet-0cfb", 1)
	_, err := declare(t, map[string]string{"network": wrong})
	var want []string
	for _, part := range []string{
		"network.publicSubnetIds[0]: found subnet-0bfb of vpc-0b", "network.publicSubnetIds: found subnets of one zone",
		"network.privateSubnetIds[0]: looking up subnet subnet-0ff404", "network.privateSubnetIds[1]: found subnet-0cfb of vpc-0c",
	} {
		want = append(want, `[^\n]*plan-charge:`+regexp.QuoteMeta(part)+`[^\n]*`)
	}
	if !regexp.MustCompile(`(?s)` + strings.Join(want, `\n`)).MatchString(fmt.Sprint(err)) {
		t.Errorf("not all mistakes in order:\n%v", err)
	}
}

func TestTooManyZones(t *testing.T) {
	_, err := declare(t, map[string]string{"network": `{"zones":4}`})
	if err == nil || !strings.Contains(err.Error(), "network.zones: found 4; allowed: at most 3") {
		t.Error(err)
	}
}

// Who reaches what: every rule of every group is listed here, so that another
// one has to be looked at.
func TestSecurityGroups(t *testing.T) {
	p := program(t, nil)
	type rule struct{ way, group, from, ports string }
	var got []rule
	for _, name := range p.Names("aws:ec2/securityGroupRule:SecurityGroupRule") {
		r := p[name]
		var peers []string
		for _, key := range []string{"sourceSecurityGroupId", "cidrBlocks", "ipv6CidrBlocks", "prefixListIds", "self"} {
			if v := r.Get(key); v != nil {
				peers = append(peers, fmt.Sprint(v))
			}
		}
		got = append(got, rule{r.Get("type").(string), r.Get("securityGroupId").(string), strings.Join(peers, " "), fmt.Sprintf("%v-%v", r.Get("fromPort"), r.Get("toPort"))})
	}
	want := []rule{
		{"ingress", "balancer-group-id", "[pl-com.amazonaws.global.cloudfront.origin-facing]", "80-80"},
		{"ingress", "network-tasks-id", "balancer-group-id", "8000-8000"},
		{"egress", "balancer-group-id", "network-tasks-id", "8000-8000"},
		{"ingress", "database-group-id", "network-tasks-id", "5432-5432"},
		{"egress", "network-tasks-id", "[0.0.0.0/0]", "0-0"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("rules:\n%v\nwant:\n%v", got, want)
	}
	for _, name := range p.Names("aws:ec2/securityGroup:SecurityGroup") {
		if p[name].Get("ingress") != nil || p[name].Get("egress") != nil {
			t.Errorf("%s has rules of its own beside the listed ones", name)
		}
	}
	is(t, p["database-instance"], []any{"database-group-id"}, "vpcSecurityGroupIds")
	is(t, p["balancer-balancer"], []any{"balancer-group-id"}, "securityGroups")
	is(t, p["service-service"], []any{"network-tasks-id"}, "networkConfiguration", "securityGroups")
}

func TestDatabase(t *testing.T) {
	p := program(t, map[string]string{"database": `{"multiAz":true,"version":"16.3"}`})
	db := p["database-instance"]
	for key, want := range map[string]any{
		"identifier": "plan-charge-prod-db", "engine": "postgres", "engineVersion": "16.3", "dbName": "plan_charge", "username": "plan_charge_owner",
		"publiclyAccessible": false, "storageEncrypted": true, "multiAz": true, "deletionProtection": true, "skipFinalSnapshot": false,
		"finalSnapshotIdentifier": "plan-charge-prod-db-final-0a1b2c3d", "backupRetentionPeriod": 14.0, "copyTagsToSnapshot": true,
		"allocatedStorage": 20.0, "maxAllocatedStorage": 200.0, "performanceInsightsEnabled": true, "autoMinorVersionUpgrade": true,
		"parameterGroupName": "plan-charge-prod-postgres16", "dbSubnetGroupName": "plan-charge-prod-db",
	} {
		is(t, db, want, key)
	}
	is(t, db, []any{"postgresql", "upgrade"}, "enabledCloudwatchLogsExports")
	if !db.Options.GetProtect() || db.Options.GetRetainOnDelete() {
		t.Error("the instance is not protected, or retained")
	}
	if o := db.Options; o.GetDeleteBeforeReplace() || !o.GetDeleteBeforeReplaceDefined() {
		t.Error("the instance would be deleted for one that takes its place")
	}
	if !slices.Contains(db.Secret, "password") {
		t.Error("the master password is no secret")
	}
	is(t, p["database-parameters"], "postgres16", "family")
	is(t, p["database-parameters"], []any{map[string]any{"name": "rds.force_ssl", "value": "1", "applyMethod": "immediate"}}, "parameters")
	for _, export := range []string{"postgresql", "upgrade"} {
		is(t, p["database-logs-"+export], "/aws/rds/instance/plan-charge-prod-db/"+export, "name")
		if !p.Needs("database-instance", "database-logs-"+export) {
			t.Errorf("RDS may make the log group %s first", export)
		}
	}
	for _, name := range []string{"database-owner-password", "database-app-password", "balancer-origin-secret"} {
		is(t, p[name], false, "special")
		if n := p[name].Get("length").(float64); n < 32 {
			t.Errorf("%s has %v characters", name, n)
		}
	}
}

func TestDatabaseSwitches(t *testing.T) {
	p := program(t, map[string]string{"database": `{"protect":false,"onDestroy":"delete","replace":"plan-charge-prod-db","insights":false,"maxStorage":0,"port":5433,"certificate":"rds-ca-rsa2048-g1","recoveryDays":0}`})
	db := p["database-instance"]
	is(t, db, true, "skipFinalSnapshot")
	if !db.Options.GetDeleteBeforeReplace() {
		t.Error("a replacement that the configuration names is refused")
	}
	is(t, db, false, "deletionProtection")
	is(t, db, false, "performanceInsightsEnabled")
	is(t, db, nil, "performanceInsightsRetentionPeriod")
	is(t, db, 5433.0, "port")
	is(t, db, "rds-ca-rsa2048-g1", "caCertIdentifier")
	is(t, p["database-from-tasks"], 5433.0, "fromPort")
	is(t, p["service-url"], 0.0, "recoveryWindowInDays")
	if db.Options.GetProtect() {
		t.Error("protected")
	}
}

// DATABASE_URL comes from the instance, is a secret, and reaches tasks as one.
func TestDatabaseURLs(t *testing.T) {
	p := program(t, nil)
	for name, want := range map[string]string{
		"service-url-value":        "postgresql://plan_charge_app:Made0Up0For0database0app0password@db.example.com:5432/plan_charge?sslmode=require",
		"migration-task-url-value": "postgresql://plan_charge_owner:Made0Up0For0database0owner0password@db.example.com:5432/plan_charge?sslmode=require",
	} {
		is(t, p[name], want, "secretString")
		if !slices.Contains(p[name].Secret, "secretString") {
			t.Errorf("%s is no secret", name)
		}
	}
	is(t, p["service-url"], "plan-charge-prod/database-url", "name")
	is(t, p["migration-task-url"], "plan-charge-prod/migration-url", "name")

	for _, task := range []string{"service", "migration-task"} {
		containers := containersOf(t, p, task)
		want := "arn:aws:secretsmanager:eu-west-3:123456789012:" + task + "-url:::" + task + "-url-value-version"
		if got := containers[0].Secrets; len(got) != 1 || got[0] != (variable{Name: "DATABASE_URL", ValueFrom: want}) {
			t.Errorf("%s: secrets %v", task, got)
		}
		for _, v := range containers[0].Environment {
			if v.Name == "DATABASE_URL" {
				t.Errorf("%s has DATABASE_URL in clear", task)
			}
		}
	}
	noSecretIn(t, p)
}

// noSecretIn looks for every made-up password in every input that is not a secret.
func noSecretIn(t *testing.T, p testkit.Program, more ...string) {
	t.Helper()
	for _, r := range p {
		text := string(must(json.Marshal(strip(r.Inputs, "", r.Secret))))
		for _, secret := range append(more, "Made0Up0For0") {
			if strings.Contains(text, secret) {
				t.Errorf("%s (%s) holds a secret in clear: %s", r.Name, r.Type, text)
			}
		}
	}
}

// strip drops the values at secret paths.
func strip(v any, path string, secret []string) any {
	if slices.Contains(secret, path) {
		return nil
	}
	switch v := v.(type) {
	case map[string]any:
		m := map[string]any{}
		for key, value := range v {
			m[key] = strip(value, strings.TrimPrefix(path+"."+key, "."), secret)
		}
		return m
	case []any:
		list := []any{}
		for i, value := range v {
			list = append(list, strip(value, fmt.Sprintf("%s[%d]", path, i), secret))
		}
		return list
	}
	return v
}

func TestGivenPasswords(t *testing.T) {
	app, owner := `p%ss:w/rd?#[]@!$&'()*+,;="`, "owner-of-it-all%25"
	p := program(t, map[string]string{"appPassword": app, "ownerPassword": owner}, "appPassword", "ownerPassword")
	if names := p.Names("random:index/randomPassword:RandomPassword"); !slices.Equal(names, []string{"balancer-origin-secret"}) {
		t.Errorf("passwords are made beside the given ones: %v", names)
	}
	is(t, p["database-instance"], owner, "password")
	is(t, p["service-url-value"], infra.DatabaseURL("plan_charge_app", app, "db.example.com", 5432, "plan_charge"), "secretString")
	is(t, p["migration-task-url-value"], infra.DatabaseURL("plan_charge_owner", owner, "db.example.com", 5432, "plan_charge"), "secretString")
	noSecretIn(t, p, app, owner)
}

type variable struct{ Name, Value, ValueFrom string }

type container struct {
	Name, Image      string
	Command          []string
	WorkingDirectory string
	Environment      []variable
	Secrets          []variable
	PortMappings     []struct{ ContainerPort int }
	HealthCheck      *struct {
		Command                                 []string
		Interval, Timeout, Retries, StartPeriod int
	}
	LogConfiguration struct {
		LogDriver string
		Options   map[string]string
	}
}

func containersOf(t *testing.T, p testkit.Program, task string) []container {
	t.Helper()
	var containers []container
	if err := json.Unmarshal([]byte(p[task+"-task"].Get("containerDefinitions").(string)), &containers); err != nil {
		t.Fatal(err)
	}
	if len(containers) != 1 || containers[0].Name != "backend" {
		t.Fatalf("containers: %+v", containers)
	}
	return containers
}

func TestTasks(t *testing.T) {
	p := program(t, map[string]string{
		"service": `{"environment":{"LOG_LEVEL":"info"},"secrets":{"JWT_KEY":"arn:aws:secretsmanager:eu-west-3:123456789012:secret:jwt-AbCdEf"}}`,
	})
	service := containersOf(t, p, "service")[0]
	if service.Image != "plan-charge/backend:1.0.0" || len(service.PortMappings) != 1 || service.PortMappings[0].ContainerPort != 8000 {
		t.Errorf("service: %+v", service)
	}
	if h := service.HealthCheck; h == nil || h.Command[0] != "CMD-SHELL" || !strings.Contains(h.Command[1], "/health") {
		t.Errorf("health check: %+v", h)
	}
	if want := []variable{{Name: "LOG_LEVEL", Value: "info"}, {Name: "PORT", Value: "8000"}, {Name: "SERVICE_VERSION", Value: "1.0.0"}}; !reflect.DeepEqual(service.Environment, want) {
		t.Errorf("environment: %v", service.Environment)
	}
	if service.LogConfiguration.LogDriver != "awslogs" || service.LogConfiguration.Options["awslogs-group"] != "/plan-charge-prod/backend" {
		t.Errorf("logs: %+v", service.LogConfiguration)
	}
	if len(service.Secrets) != 2 || service.Secrets[1].Name != "JWT_KEY" {
		t.Errorf("secrets: %v", service.Secrets)
	}

	migration := containersOf(t, p, "migration-task")[0]
	if migration.Image != service.Image || !slices.Equal(migration.Command, []string{"alembic", "upgrade", "head"}) || migration.WorkingDirectory != "/app" || migration.HealthCheck != nil || migration.PortMappings != nil {
		t.Errorf("migration: %+v", migration)
	}
	is(t, p["migration-task-task"], "plan-charge-prod-migration", "family")
	is(t, p["service-task"], "plan-charge-prod-backend", "family")
	is(t, p["service-logs"], 30.0, "retentionInDays")
	is(t, p["migration-task-logs"], "/plan-charge-prod/migration", "name")
}

// Every right of every role is listed here.
func TestRights(t *testing.T) {
	image := "123456789012.dkr.ecr.eu-west-3.amazonaws.com/plan-charge/backend:1.4.2"
	p := program(t, map[string]string{"image": image, "service": `{"secrets":{"JWT_KEY":"arn:aws:secretsmanager:eu-west-3:123456789012:secret:jwt-AbCdEf"}}`})
	const arn, account = "arn:aws:secretsmanager:eu-west-3:123456789012:", "arn:aws:made:eu-west-3:123456789012:"
	pull := []string{
		"ecr:BatchCheckLayerAvailability,ecr:BatchGetImage,ecr:GetDownloadUrlForLayer on arn:aws:ecr:eu-west-3:123456789012:repository/plan-charge/backend",
		"ecr:GetAuthorizationToken on *",
	}
	for name, want := range map[string][]string{
		"service-execution-rights": append([]string{
			"secretsmanager:GetSecretValue on " + arn + "service-url," + arn + "secret:jwt-AbCdEf",
			"logs:CreateLogStream,logs:PutLogEvents on " + account + "service-logs:*",
		}, pull...),
		"migration-task-execution-rights": append([]string{
			"secretsmanager:GetSecretValue on " + arn + "migration-task-url," + arn + "secret:jwt-AbCdEf",
			"logs:CreateLogStream,logs:PutLogEvents on " + account + "migration-task-logs:*",
		}, pull...),
		"access-execution-rights": pull,
		"access-shell":            {"ssmmessages:CreateControlChannel,ssmmessages:CreateDataChannel,ssmmessages:OpenControlChannel,ssmmessages:OpenDataChannel on *"},
		"service-shell":           {"ssmmessages:CreateControlChannel,ssmmessages:CreateDataChannel,ssmmessages:OpenControlChannel,ssmmessages:OpenDataChannel on *"},
	} {
		if got := rights(t, p[name].Get("policy").(string)); !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant:\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	if got := len(p.Names("aws:iam/rolePolicy:RolePolicy")); got != 5 {
		t.Errorf("%d policies, of which 5 are listed", got)
	}
	if got := p.Names("aws:iam/rolePolicyAttachment:RolePolicyAttachment"); got != nil {
		t.Errorf("attached besides: %v", got)
	}
	for _, name := range p.Names("aws:iam/role:Role") {
		trust := p[name].Get("assumeRolePolicy").(string)
		if !strings.Contains(trust, `"Service":"ecs-tasks.amazonaws.com"`) || !strings.Contains(trust, `"aws:SourceAccount":"123456789012"`) {
			t.Errorf("%s trusts %s", name, trust)
		}
		if p[name].Get("managedPolicyArns") != nil || p[name].Get("inlinePolicies") != nil {
			t.Errorf("%s has further rights", name)
		}
	}
	is(t, p["migration-task-task"], nil, "taskRoleArn") // nobody opens a shell in a migration

	// An image from elsewhere needs no right to pull.
	if got := rights(t, program(t, nil)["service-execution-rights"].Get("policy").(string)); len(got) != 2 {
		t.Errorf("rights for an image outside ECR: %v", got)
	}
}

func rights(t *testing.T, policy string) []string {
	t.Helper()
	var document struct {
		Statement []struct {
			Effect           string
			Action, Resource []string
		}
	}
	if err := json.Unmarshal([]byte(policy), &document); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range document.Statement {
		if s.Effect != "Allow" {
			t.Errorf("effect %s", s.Effect)
		}
		out = append(out, strings.Join(s.Action, ",")+" on "+strings.Join(s.Resource, ","))
	}
	return out
}

func TestService(t *testing.T) {
	p := program(t, nil)
	s := p["service-service"]
	for key, want := range map[string]any{
		"name": "plan-charge-prod-backend", "launchType": "FARGATE", "platformVersion": "1.4.0", "waitForSteadyState": false,
		"enableExecuteCommand": true, "healthCheckGracePeriodSeconds": 60.0, "deploymentMinimumHealthyPercent": 100.0, "deploymentMaximumPercent": 200.0,
		"desiredCount": 2.0,
	} {
		is(t, s, want, key)
	}
	is(t, s, map[string]any{"enable": true, "rollback": true}, "deploymentCircuitBreaker")
	is(t, s, map[string]any{"enable": true, "rollback": true, "alarmNames": []any{"plan-charge-prod-target-5xx"}}, "alarms")
	is(t, s, false, "networkConfiguration", "assignPublicIp")
	is(t, s, "backend", "loadBalancers", 0, "containerName")
	if !slices.Equal(s.Options.GetIgnoreChanges(), []string{"desiredCount", "taskDefinition", "loadBalancers"}) {
		t.Errorf("ignored: %v", s.Options.GetIgnoreChanges())
	}
	rollout := p["service-rollout"]
	for key, want := range map[string]any{
		"cluster": "plan-charge-prod-cluster", "service": "plan-charge-prod-backend", "taskDefinition": "arn:aws:ecs:eu-west-3:123456789012:service-task:1",
		"site": p["cdn-distribution"].Get("comment"), "healthPath": "/health", "timeout": "20m0s", "timeoutKey": "service.timeout",
		"container": "backend", "port": 8000.0, "targetGroup": s.Get("loadBalancers", 0, "targetGroupArn"),
	} {
		is(t, rollout, want, key)
	}
	for _, name := range []string{"balancer-from-distribution", "balancer-into-tasks", "service-execution-rights", "service-shell", "service-url-value", "alarms-target-5xx", "network-private-routes-1-out"} {
		if !p.Needs("service-service", name) {
			t.Errorf("the service does not wait for %s", name)
		}
	}
	is(t, p["service-task"], true, "skipDestroy") // or ECS refuses to go back to it
	is(t, p["service-bounds"], 2.0, "minCapacity")
	is(t, p["service-capacity"], 2.0, "minimum")
	is(t, p["service-capacity"], "arn:aws:ecs:eu-west-3:123456789012:service-task:1", "taskDefinition")
	is(t, p["service-bounds"], 6.0, "maxCapacity")
	is(t, p["service-bounds"], "service/plan-charge-prod-cluster/plan-charge-prod-backend", "resourceId")
	is(t, p["service-scaling"], "ECSServiceAverageCPUUtilization", "targetTrackingScalingPolicyConfiguration", "predefinedMetricSpecification", "predefinedMetricType")
	is(t, p["cluster-cluster"], "plan-charge-prod-cluster", "name")
	is(t, p["cluster-cluster"], []any{map[string]any{"name": "containerInsights", "value": "enabled"}}, "settings")
}

// Whatever may start a deployment in ECS is a reason to follow it; what autoscaling sets is none.
func TestRolloutFollowsTheServicesSettings(t *testing.T) {
	settings := func(service string) any {
		return program(t, map[string]string{"service": service})["service-rollout"].Get("settings")
	}
	before := settings(`{}`)
	if more := settings(`{"min":3,"max":9,"cpuTarget":50}`); more != before {
		t.Errorf("another number of tasks is taken for another deployment: %v and %v", before, more)
	}
	if other := settings(`{"graceSeconds":61}`); other == before {
		t.Errorf("another setting of the service is not followed: %v", other)
	}
}

func TestBalancer(t *testing.T) {
	p := program(t, nil)
	is(t, p["balancer-listener"], "HTTP", "protocol")
	is(t, p["balancer-listener"], "fixed-response", "defaultActions", 0, "type")
	is(t, p["balancer-listener"], "403", "defaultActions", 0, "fixedResponse", "statusCode")
	if n := len(p["balancer-listener"].Get("defaultActions").([]any)); n != 1 {
		t.Errorf("%d default actions", n)
	}
	rules := p.Names("aws:lb/listenerRule:ListenerRule")
	if len(rules) != 1 {
		t.Fatalf("rules: %v", rules)
	}
	rule := p[rules[0]]
	is(t, rule, "forward", "actions", 0, "type")
	is(t, rule, infra.OriginHeader, "conditions", 0, "httpHeader", "httpHeaderName")
	is(t, rule, []any{"Made0Up0For0balancer0origin0secret"}, "conditions", 0, "httpHeader", "values")
	if !slices.Contains(rule.Options.GetAdditionalSecretOutputs(), "conditions") {
		t.Error("the rule's header would be read back in clear")
	}
	is(t, p["balancer-targets"], "/health", "healthCheck", "path")
	is(t, p["balancer-targets"], "ip", "targetType")
	is(t, p["balancer-targets"], "plan-charge-prod-8000", "name")
}

func TestCDN(t *testing.T) {
	p := program(t, nil)
	d := p["cdn-distribution"]
	codes := map[int]float64{}
	for _, v := range d.Get("customErrorResponses").([]any) {
		r := v.(map[string]any)
		codes[int(r["errorCode"].(float64))] = r["errorCachingMinTtl"].(float64)
		if r["responseCode"] != nil || r["responsePagePath"] != nil {
			t.Errorf("error %v is replaced", r["errorCode"])
		}
	}
	want := map[int]float64{400: 0, 403: 0, 404: 0, 405: 0, 414: 0, 416: 0, 500: 0, 501: 0, 502: 0, 503: 0, 504: 0}
	if !maps.Equal(codes, want) {
		t.Errorf("error caching: %v", codes)
	}
	for _, behavior := range [][]any{{"defaultCacheBehavior"}, {"orderedCacheBehaviors", 0}} {
		at := func(key string) []any { return append(slices.Clone(behavior), key) }
		is(t, d, "4135ea2d-6df8-44a3-9df3-4b5a84be39ad", at("cachePolicyId")...)
		is(t, d, "216adef6-5c7f-47e4-b989-5492eafa07d3", at("originRequestPolicyId")...)
		is(t, d, "cdn-headers-id", at("responseHeadersPolicyId")...)
		is(t, d, true, at("compress")...)
		is(t, d, []any{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"}, at("allowedMethods")...)
	}
	is(t, d, "/api/*", "orderedCacheBehaviors", 0, "pathPattern")
	is(t, d, "http2and3", "httpVersion")
	is(t, d, "alb.example.com", "origins", 0, "domainName")
	is(t, d, infra.OriginHeader, "origins", 0, "customHeaders", 0, "name")
	is(t, d, "Made0Up0For0balancer0origin0secret", "origins", 0, "customHeaders", 0, "value")
	is(t, d, "http-only", "origins", 0, "customOriginConfig", "originProtocolPolicy")
	if !slices.Contains(d.Options.GetAdditionalSecretOutputs(), "origins") {
		t.Error("the origin's header would be read back in clear")
	}
	is(t, d, true, "viewerCertificate", "cloudfrontDefaultCertificate")
	is(t, d, nil, "viewerCertificate", "minimumProtocolVersion")
	is(t, d, nil, "aliases")
	for key := range map[string]bool{"strictTransportSecurity": true, "contentTypeOptions": true, "frameOptions": true, "referrerPolicy": true} {
		is(t, p["cdn-headers"], true, "securityHeadersConfig", key, "override")
	}
	if names := p.Names("aws:route53/record:Record"); names != nil {
		t.Errorf("records without a zone: %v", names)
	}
}

// The distribution comes up beside the database, not after it.
func TestCDNNeedsOnlyTheBalancer(t *testing.T) {
	p := program(t, nil)
	if !p.Needs("cdn-distribution", "balancer-balancer") {
		t.Error("the distribution does not wait for its origin")
	}
	for _, name := range []string{"database-instance", "service-service", "service-task", "migration-task-task", "cluster-cluster"} {
		if p.Needs("cdn-distribution", name) {
			t.Errorf("the distribution waits for %s", name)
		}
	}
}

func TestAlias(t *testing.T) {
	cert := "arn:aws:acm:us-east-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
	origin := strings.Replace(cert, "us-east-1", "eu-west-3", 1)
	p := program(t, map[string]string{"cdn": `{"alias":"www.example.com","certificateArn":"` + cert + `","originCertificateArn":"` + origin + `","zoneId":"Z1"}`})
	d := p["cdn-distribution"]
	is(t, d, []any{"www.example.com"}, "aliases")
	is(t, d, map[string]any{"acmCertificateArn": cert, "minimumProtocolVersion": "TLSv1.2_2021", "sslSupportMethod": "sni-only"}, "viewerCertificate")
	is(t, d, "https-only", "origins", 0, "customOriginConfig", "originProtocolPolicy")
	is(t, p["balancer-listener"], "HTTPS", "protocol")
	is(t, p["balancer-listener"], origin, "certificateArn")
	is(t, p["balancer-from-cloudfront"], 443.0, "fromPort")
	for _, kind := range []string{"A", "AAAA"} {
		is(t, p["dns-"+kind], kind, "type")
		is(t, p["dns-"+kind], "d123.cloudfront.net", "aliases", 0, "name")
	}
}

func TestAlarms(t *testing.T) {
	p := program(t, map[string]string{"alarms": `{"emails":["a@example.com","b@example.com"],"cpuPercent":70}`})
	for thing, metric := range map[string]string{
		"target-5xx": "HTTPCode_Target_5XX_Count", "balancer-5xx": "HTTPCode_ELB_5XX_Count", "unhealthy-hosts": "UnHealthyHostCount",
		"database-cpu": "CPUUtilization", "database-storage": "FreeStorageSpace", "database-connections": "DatabaseConnections",
	} {
		is(t, p["alarms-"+thing], metric, "metricName")
		is(t, p["alarms-"+thing], "plan-charge-prod-"+thing, "name")
		is(t, p["alarms-"+thing], []any{"arn:aws:made:eu-west-3:123456789012:alarms-topic"}, "alarmActions")
	}
	is(t, p["alarms-database-cpu"], 70.0, "threshold")
	is(t, p["alarms-database-storage"], float64(5<<30), "threshold")
	is(t, p["alarms-database-storage"], "LessThanThreshold", "comparisonOperator")
	is(t, p["alarms-email-2"], "b@example.com", "endpoint")
}

// Everything uses the one provider with the tags, and nothing has a name that
// another stack's could collide with.
func TestTagsAndNames(t *testing.T) {
	p := program(t, map[string]string{"tags": `{"Team":"planning"}`})
	is(t, p["aws"], "planning", "defaultTags", "tags", "Team")
	is(t, p["aws"], "plan-charge", "defaultTags", "tags", "Project")
	is(t, p["aws"], "prod", "defaultTags", "tags", "Stack")
	is(t, p["aws"], "eu-west-3", "region")
	for _, r := range p {
		if !strings.HasPrefix(r.Type, "aws:") {
			continue
		}
		if !strings.Contains(r.Options.GetProvider(), "pulumi:providers:aws::aws::") {
			t.Errorf("%s uses provider %q", r.Name, r.Options.GetProvider())
		}
		for _, key := range []string{"name", "identifier", "family"} {
			name, ok := r.Get(key).(string)
			inRole := r.Type == "aws:iam/rolePolicy:RolePolicy"
			if key == "family" && r.Type == "aws:rds/parameterGroup:ParameterGroup" {
				continue
			}
			if ok && !inRole && !strings.Contains(name, "plan-charge-prod") {
				t.Errorf("%s: %s %q does not follow the rule", r.Name, key, name)
			}
		}
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}
