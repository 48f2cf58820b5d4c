package drift

import (
	"slices"
	"strings"
)

// sections are all the changes, by what they are made to.
var sections = []struct {
	title   string
	changes []change
}{
	{"Rows", rowChanges},
	{"Revision", revisionChanges},
	{"Schema", schemaChanges},
	{"Roles and rights", roleChanges},
	{"Service", serviceChanges},
	{"Secrets", secretChanges},
	{"CDN", cdnChanges},
	{"Load balancer", balancerChanges},
	{"Network", networkChanges},
	{"IAM", iamChanges},
	{"Logs and alarms", alarmChanges},
	{"Database instance", databaseChanges},
}

const (
	ndaPartners = `'00000000-0000-0000-0000-000000000001'`
	defaultOrg  = `'00000000-0000-0000-0000-000000000002'`
)

var allOrganizations = rows(`SELECT concat_ws(' ', id, name, deleted_at) FROM organizations ORDER BY id`)

var rowChanges = []change{
	{
		what: "an organization has another name",
		hand: sql(`UPDATE organizations SET name = 'x' WHERE id = ` + ndaPartners), look: allOrganizations,
		says: []string{"organizations-rows", "NDA Partners"},
	},
	{
		what: "an organization is marked as deleted", alone: true,
		hand: sql(`UPDATE organizations SET deleted_at = now() WHERE id = ` + ndaPartners), look: allOrganizations,
		says: []string{"organizations-rows", "deleted_at"},
	},
	{
		what: "an organization's row is deleted",
		hand: sql(`DELETE FROM organizations WHERE id = ` + defaultOrg), look: allOrganizations,
		says: []string{"organizations-rows", "Default Organization"},
	},
	{
		what:  "an organization's name is NULL",
		hand:  sql(`ALTER TABLE organizations ALTER name DROP NOT NULL`, `UPDATE organizations SET name = NULL WHERE id = `+ndaPartners),
		look:  rows(`SELECT concat_ws(' ', o.name, is_nullable) FROM organizations o, information_schema.columns WHERE id = ` + ndaPartners + ` AND table_name = 'organizations' AND column_name = 'name'`),
		says:  []string{"organizations-rows", "NDA Partners"},
		fails: []string{"changed column public.organizations.name"},
		undo:  sql(`UPDATE organizations SET name = 'NDA Partners' WHERE id = `+ndaPartners, `ALTER TABLE organizations ALTER name SET NOT NULL`),
	},
	{
		what: "somebody adds an organization",
		hand: sql(`INSERT INTO organizations (id, name) VALUES ('00000000-0000-0000-0000-0000000000ff', 'Somebody else')`), look: allOrganizations,
		harmless: true, undo: sql(`DELETE FROM organizations WHERE name = 'Somebody else'`),
	},
}

const revision = `SELECT string_agg(version_num, ' ') FROM alembic_version`

var revisionChanges = []change{
	{
		what: "the schema is a revision back", alone: true,
		hand: sql(`DROP INDEX users_organization_id; ALTER TABLE users DROP COLUMN last_login_at; UPDATE alembic_version SET version_num = '0002'`),
		look: rows(`SELECT (` + revision + `) || to_regclass('users_organization_id')`),
		says: []string{"migration-revision", "at 0002, the last migration left 0003"}, outage: true,
	},
	{
		what: "the version table is empty", alone: true,
		hand: sql(`DELETE FROM alembic_version`), look: rows(revision),
		says:  []string{"migration-revision", "at none, the last migration left 0003; the schema looks like it"},
		fails: []string{"holds no revision, but the schema looks like 0003", "alembic stamp 0003"}, undo: sql(`INSERT INTO alembic_version VALUES ('0003')`),
	},
	{
		what: "the version table names a revision that the image does not know",
		hand: sql(`UPDATE alembic_version SET version_num = 'ffff'`), look: rows(revision),
		says:  []string{"migration-revision", "at ffff, the last migration left 0003"},
		fails: []string{"the image does not know ffff"}, undo: sql(`UPDATE alembic_version SET version_num = '0003'`),
	},
}

// inSchema is a change of the schema in statements, what it shows in, and how it is undone. No migration mends it.
func inSchema(what, statement, seenIn, named, undo string) change {
	return change{
		what: what, hand: sql(statement), look: rows(seenIn), undo: sql(undo),
		says: []string{"migration-revision", named}, fails: []string{named, "migrating did not mend it"},
	}
}

func (c change) takesTheSiteDown() change { c.outage, c.alone = true, true; return c }

const makeUsers = `CREATE TABLE users (
	id uuid PRIMARY KEY DEFAULT gen_random_uuid(), organization_id uuid NOT NULL REFERENCES organizations, email text NOT NULL UNIQUE, name text NOT NULL,
	created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(), deleted_at timestamptz, last_login_at timestamptz);
	CREATE INDEX users_organization_id ON users (organization_id)`

// column is what the catalog says of a column.
func column(table, name string) string {
	return `SELECT concat_ws(' ', data_type, is_nullable, column_default) FROM information_schema.columns WHERE table_name = '` + table + `' AND column_name = '` + name + `'`
}

var schemaChanges = []change{
	inSchema("a table is dropped", `DROP TABLE users`, `SELECT to_regclass('users')::text`, "dropped table public.users", makeUsers).takesTheSiteDown(),
	inSchema("a table is renamed", `ALTER TABLE users RENAME TO users_old`, `SELECT to_regclass('users')::text`, "dropped table public.users; added table public.users_old", `ALTER TABLE users_old RENAME TO users`).takesTheSiteDown(),
	inSchema("a table is added", `CREATE TABLE notes (id int)`, `SELECT to_regclass('notes')::text`, "added table public.notes", `DROP TABLE notes`),
	inSchema("a column is added", `ALTER TABLE users ADD nickname text`, column("users", "nickname"), "added column public.users.nickname", `ALTER TABLE users DROP nickname`),
	inSchema("a column is dropped", `ALTER TABLE users DROP last_login_at`, column("users", "last_login_at"), "dropped column public.users.last_login_at", `ALTER TABLE users ADD last_login_at timestamptz`).takesTheSiteDown(),
	inSchema("a column has another type", `ALTER TABLE users ALTER name TYPE varchar(50)`, column("users", "name"), "changed column public.users.name", `ALTER TABLE users ALTER name TYPE text`),
	inSchema("a column lost its default", `ALTER TABLE users ALTER created_at DROP DEFAULT`, column("users", "created_at"), "changed column public.users.created_at", `ALTER TABLE users ALTER created_at SET DEFAULT now()`),
	inSchema("an index is dropped", `DROP INDEX users_organization_id`, `SELECT to_regclass('users_organization_id')::text`, "dropped index public.users.users_organization_id", `CREATE INDEX users_organization_id ON users (organization_id)`),
	inSchema("an index is added", `CREATE INDEX by_name ON users (name)`, `SELECT to_regclass('by_name')::text`, "added index public.users.by_name", `DROP INDEX by_name`),
	inSchema("a constraint is dropped", `ALTER TABLE users DROP CONSTRAINT users_email_key`, `SELECT conname::text FROM pg_constraint WHERE conname = 'users_email_key'`, "dropped constraint public.users.users_email_key", `ALTER TABLE users ADD CONSTRAINT users_email_key UNIQUE (email)`),
	inSchema("a view is added", `CREATE VIEW everybody AS SELECT email FROM users`, `SELECT to_regclass('everybody')::text`, "added view public.everybody", `DROP VIEW everybody`),
	inSchema("a function is added", `CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'`, `SELECT proname::text FROM pg_proc WHERE proname = 'touch'`, "added function public.touch()", `DROP FUNCTION touch`),
	inSchema("a trigger is added", `CREATE TRIGGER touch_twice BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`, `SELECT tgname::text FROM pg_trigger WHERE tgname = 'touch_twice'`, "added trigger public.users.touch_twice", `DROP TRIGGER touch_twice ON users`),
	inSchema("row level security is switched on", `ALTER TABLE users ENABLE ROW LEVEL SECURITY`, `SELECT relrowsecurity::text FROM pg_class WHERE relname = 'users'`, "changed table public.users", `ALTER TABLE users DISABLE ROW LEVEL SECURITY`),
}

var (
	appRole   = rows(`SELECT concat_ws(' ', rolcanlogin, rolcreatedb, rolcreaterole, rolinherit, rolconnlimit, rolvaliduntil, rolconfig) FROM pg_roles WHERE rolname = 'plan_charge_app'`)
	onUsers   = rows(`SELECT a::text FROM pg_class, unnest(relacl) a WHERE relname = 'users' ORDER BY 1`)
	onTables  = rows(`SELECT a::text FROM pg_default_acl, unnest(defaclacl) a WHERE defaclobjtype = 'r' ORDER BY 1`)
	mayLogIn  = rows(`SELECT has_database_privilege('plan_charge_app', 'plan_charge', 'CONNECT')::text`)
	isMember  = rows(`SELECT pg_has_role('plan_charge_app', 'plan_charge_owner', 'MEMBER')::text`)
	mayCreate = rows(`SELECT has_schema_privilege('plan_charge_app', 'public', 'CREATE')::text`)
)

var roleChanges = []change{
	{
		what: "the app's role has another password", alone: true, outage: true,
		hand: sql(`ALTER ROLE plan_charge_app PASSWORD 'x'`, cut), look: serves,
		says: []string{"roles-login", "cannot log in as plan_charge_app: the password is another one"},
	},
	{
		what: "the app's role may not log in", alone: true, outage: true,
		hand: sql(`ALTER ROLE plan_charge_app NOLOGIN`, cut), look: appRole,
		says: []string{"roles-app", "login", "cannot log in as plan_charge_app"},
	},
	{
		what: "the app's password has expired", alone: true, outage: true,
		hand: sql(`ALTER ROLE plan_charge_app VALID UNTIL '2020-01-01'`, cut), look: appRole,
		says: []string{"roles-app", "validUntil", "cannot log in as plan_charge_app"},
	},
	{
		what: "the app's role may have no connection", outage: true,
		hand: sql(`ALTER ROLE plan_charge_app CONNECTION LIMIT 0`, cut), look: appRole,
		says: []string{"roles-app", "connectionLimit", "cannot log in as plan_charge_app"},
	},
	{
		what: "nobody may connect to the database", alone: true, outage: true,
		hand: sql(`REVOKE CONNECT ON DATABASE plan_charge FROM plan_charge_app, PUBLIC`, cut), look: mayLogIn,
		says: []string{"grants-database", "CONNECT", "cannot log in as plan_charge_app"},
	},
	{
		what: "the app's role looks for tables elsewhere", outage: true,
		hand: sql(`ALTER ROLE plan_charge_app SET search_path = elsewhere`, cut), look: appRole,
		says: []string{"roles-app", "searchPaths"},
	},
	{
		what: "the app's role only reads",
		hand: sql(`ALTER ROLE plan_charge_app SET default_transaction_read_only = on`, cut), look: appRole,
		says: []string{"roles-login", "read-only"}, undo: sql(`ALTER ROLE plan_charge_app RESET default_transaction_read_only`),
	},
	{
		what: "the app's role may make databases",
		hand: sql(`ALTER ROLE plan_charge_app CREATEDB`), look: appRole,
		says: []string{"roles-app", "createDatabase"},
	},
	{
		what: "the app's role is a member of the owner's",
		hand: sql(`GRANT plan_charge_owner TO plan_charge_app`), look: isMember,
		says: []string{"roles-app", "roles"},
	},
	{
		what: "a right on a table is revoked",
		hand: sql(`REVOKE INSERT ON users FROM plan_charge_app`), look: onUsers,
		says: []string{"grants-table", "INSERT"},
	},
	{
		what: "all rights on the tables are revoked", alone: true, outage: true,
		hand: sql(`REVOKE ALL ON ALL TABLES IN SCHEMA public FROM plan_charge_app`), look: onUsers,
		says: []string{"grants-table", "SELECT"},
	},
	{
		what: "a right too many on a table is granted",
		hand: sql(`GRANT TRUNCATE ON users TO plan_charge_app`), look: onUsers,
		says: []string{"roles-rights", "plan_charge_app: TRUNCATE on table public.users"},
	},
	{
		what: "rights on tables to come are revoked",
		hand: sql(`ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE SELECT ON TABLES FROM plan_charge_app`), look: onTables,
		says: []string{"roles-default-table", "SELECT"},
	},
	{
		what: "everybody may read a table",
		hand: sql(`GRANT SELECT ON users TO PUBLIC`), look: onUsers, undo: sql(`REVOKE SELECT ON users FROM PUBLIC`),
		says: []string{"roles-rights", "PUBLIC: SELECT on table public.users"},
	},
	{
		what: "the app's role may make tables",
		hand: sql(`GRANT CREATE ON SCHEMA public TO plan_charge_app`), look: mayCreate, undo: sql(`REVOKE CREATE ON SCHEMA public FROM plan_charge_app`),
		says: []string{"roles-rights", "plan_charge_app: CREATE on schema public"},
	},
}

const (
	cluster = `"cluster":"plan-charge-sandbox-cluster"`
	service = cluster + `,"service":"plan-charge-sandbox-backend"`
	scaled  = `"ServiceNamespace":"ecs","ScalableDimension":"ecs:service:DesiredCount","ResourceId":"service/plan-charge-sandbox-cluster/plan-charge-sandbox-backend"`
)

// ofService is what ECS tells of the service.
func ofService(pattern string) look {
	return told(pattern, "ecs", "DescribeServices", `{`+cluster+`,"services":["plan-charge-sandbox-backend"]}`)
}

// scale is what autoscaling does, or somebody by hand.
func scale(tasks int) hand {
	return func(b *box) {
		aws("ecs", "UpdateService", `{`+service+`,"desiredCount":`+string(rune('0'+tasks))+`}`)(b)
	}
}

var serviceChanges = []change{
	{
		what: "no task is wanted", alone: true, outage: true,
		hand: scale(0), look: ofService(`"desiredCount":\d+`),
		says: []string{"service-capacity", "0 tasks are wanted, the minimum is 1"},
	},
	{
		what: "the service runs another version", alone: true,
		hand: func(b *box) { b.DeployByHand(b.site, "1.0.2") }, look: ofService(`"taskDefinition":"[^"]*"`),
		says: []string{"service-rollout", "by-hand:", "is deployed"},
	},
	{
		what: "the task definition is deregistered", alone: true,
		hand: aws("ecs", "DeregisterTaskDefinition", `{"taskDefinition":"plan-charge-sandbox-backend"}`),
		look: told(`"status": ?"\w+"`, "ecs", "DescribeTaskDefinition", `{"taskDefinition":"plan-charge-sandbox-backend"}`),
		says: []string{"service-task", "taskDefinition"},
	},
	{
		what: "a failed rollout would not be taken back",
		hand: aws("ecs", "UpdateService", `{`+service+`,"deploymentConfiguration":{"deploymentCircuitBreaker":{"enable":false,"rollback":false}}}`),
		look: ofService(`"deploymentCircuitBreaker":{[^}]*}`),
		says: []string{"service-service", "deploymentCircuitBreaker", "rollback"},
	},
	{
		what: "autoscaling has other bounds",
		hand: aws("application-autoscaling", "RegisterScalableTarget", `{`+scaled+`,"MinCapacity":0,"MaxCapacity":9}`),
		look: told(`"M\w+Capacity":\d+`, "application-autoscaling", "DescribeScalableTargets", `{"ServiceNamespace":"ecs"}`),
		says: []string{"service-bounds", "maxCapacity: 2 => 9", "minCapacity: 1 => 0"},
	},
	{
		what: "nothing scales the service",
		hand: aws("application-autoscaling", "DeleteScalingPolicy", `{`+scaled+`,"PolicyName":"plan-charge-sandbox-backend-cpu"}`),
		look: told(`"PolicyName":"[^"]*"`, "application-autoscaling", "DescribeScalingPolicies", `{"ServiceNamespace":"ecs"}`),
		says: []string{"service-scaling", "plan-charge-sandbox-backend-cpu"},
	},
	{
		what: "the service is deleted", alone: true, outage: true,
		hand: aws("ecs", "DeleteService", `{`+service+`,"force":true}`), look: ofService(`"status":"\w+"`),
		says: []string{"service-service", "service/plan-charge-sandbox-cluster/plan-charge-sandbox-backend"},
	},
	{
		what: "Container Insights is off",
		hand: aws("ecs", "UpdateClusterSettings", `{`+cluster+`,"settings":[{"name":"containerInsights","value":"disabled"}]}`),
		look: told(`"value": ?"\w+abled"`, "ecs", "DescribeClusters", `{"clusters":["plan-charge-sandbox-cluster"],"include":["SETTINGS"]}`),
		says: []string{"cluster-cluster", "disabled"},
	},
}

// pinAgain makes the version that the task definition names the secret's current one.
func pinAgain(b *box) {
	secret, pinned, _ := strings.Cut(b.console.ID("service-url-value"), "|")
	answer, err := b.console.Call("secretsmanager", "GetSecretValue", `{"SecretId":"`+secret+`"}`)
	if err != nil {
		b.t.Fatal(err)
	}
	current := strings.Trim(strings.SplitAfterN(matches(`"VersionId": ?"[^"]+"`, answer), ":", 2)[1], ` "`)
	aws("secretsmanager", "UpdateSecretVersionStage", `{"SecretId":"`+secret+`","VersionStage":"AWSCURRENT","MoveToVersionId":"`+pinned+`","RemoveFromVersionId":"`+current+`"}`)(b)
}

var secretChanges = []change{
	{
		what: "the secret of DATABASE_URL has another value",
		hand: aws("secretsmanager", "PutSecretValue", `{"SecretId":"<service-url>","SecretString":"postgresql://elsewhere/db"}`),
		look: told(`"VersionId": ?"[^"]+"`, "secretsmanager", "GetSecretValue", `{"SecretId":"<service-url>"}`),
		says: []string{"plan-charge-sandbox/database-url: its current value is not the one that tasks are given"}, harmless: true, undo: pinAgain,
	},
	{
		what: "a secret is described in other words",
		hand: aws("secretsmanager", "UpdateSecret", `{"SecretId":"<service-url>","Description":"old"}`),
		look: told(`"Description": ?"[^"]*"`, "secretsmanager", "DescribeSecret", `{"SecretId":"<service-url>"}`),
		says: []string{"service-url", "description"},
	},
	{
		what:  "the secret of DATABASE_URL is to be deleted",
		hand:  aws("secretsmanager", "DeleteSecret", `{"SecretId":"<service-url>","RecoveryWindowInDays":7}`),
		look:  told(`"DeletedDate"`, "secretsmanager", "DescribeSecret", `{"SecretId":"<service-url>"}`),
		says:  []string{"service-url", "plan-charge-sandbox/database-url"},
		fails: []string{"scheduled for deletion"}, undo: aws("secretsmanager", "RestoreSecret", `{"SecretId":"plan-charge-sandbox/database-url"}`),
	},
}

// Parts of the distribution's configuration.
const (
	errorTTLs = `<ErrorCachingMinTTL>\d+</ErrorCachingMinTTL><ErrorCode>\d+<`
	cached    = `<CachePolicyId>4135ea2d-6df8-44a3-9df3-4b5a84be39ad<`
)

var cdnChanges = []change{
	{
		what: "a 500 is cached",
		hand: distribution(`<ErrorCachingMinTTL>0(</ErrorCachingMinTTL><ErrorCode>500<)`, `<ErrorCachingMinTTL>300$1`), look: cdn(errorTTLs),
		says: []string{"cdn-distribution", "errorCachingMinTtl", "300"},
	},
	{
		what: "no error has a caching time", alone: true,
		hand: distribution(`<CustomErrorResponses>.*</CustomErrorResponses>`, `<CustomErrorResponses><Quantity>0</Quantity></CustomErrorResponses>`), look: cdn(errorTTLs),
		says: []string{"cdn-distribution", "customErrorResponses"},
	},
	{
		what: "answers are cached", alone: true, outage: true,
		hand: distribution(cached, `<CachePolicyId>658327ea-f89d-4fab-a63d-7e88639e58f6<`), look: cdn(`<CachePolicyId>[^<]*`),
		says: []string{"cdn-distribution", "cachePolicyId"},
	},
	{
		what: "the origin's secret header is another", alone: true, outage: true,
		hand: distribution(`<HeaderValue>[^<]*`, `<HeaderValue>x`), look: cdn(`<HeaderValue>[^<]*`),
		says: []string{"cdn-distribution", "origins"},
	},
	{
		what: "plain HTTP is served",
		hand: distribution(`<ViewerProtocolPolicy>[a-z-]*`, `<ViewerProtocolPolicy>allow-all`), look: cdn(`<ViewerProtocolPolicy>[^<]*`),
		says: []string{"cdn-distribution", "viewerProtocolPolicy", "allow-all"},
	},
	{
		what: "the distribution is disabled", alone: true, outage: true,
		hand: distribution(`(<DefaultRootObject />)?<Enabled>true</Enabled><HttpVersion>`, `$1<Enabled>false</Enabled><HttpVersion>`), look: cdn(`<Enabled>\w+</Enabled><HttpVersion>`),
		says: []string{"cdn-distribution", "enabled: true => false"},
	},
}

const lb = "elasticloadbalancing"

// ofTargets, ofRules and ofListeners are what the load balancer is told to do.
func ofTargets(pattern string) look {
	return told(pattern, lb, "DescribeTargetGroups", "TargetGroupArns.member.1=<balancer-targets>")
}

func ofRules(pattern string) look {
	return told(pattern, lb, "DescribeRules", "ListenerArn=<balancer-listener>")
}

func ofListeners(pattern string) look {
	return told(pattern, lb, "DescribeListeners", "LoadBalancerArn=<balancer-balancer>")
}

var balancerChanges = []change{
	{
		what: "the health check asks for another path", alone: true, outage: true,
		hand: aws(lb, "ModifyTargetGroup", "TargetGroupArn=<balancer-targets>", "HealthCheckPath=/nowhere"), look: ofTargets(`<HealthCheckPath>[^<]*`),
		says: []string{"balancer-targets", `"/health" => "/nowhere"`},
	},
	{
		what: "targets are let go at once",
		hand: aws(lb, "ModifyTargetGroupAttributes", "TargetGroupArn=<balancer-targets>", "Attributes.member.1.Key=deregistration_delay.timeout_seconds", "Attributes.member.1.Value=0"),
		look: told(`<Key>deregistration_delay[^/]*</Key>\s*<Value>\d+`, lb, "DescribeTargetGroupAttributes", "TargetGroupArn=<balancer-targets>"),
		says: []string{"balancer-targets", "deregistrationDelay: 5 => 0"},
	},
	{
		what: "another rule forwards without the secret header",
		hand: aws(lb, "CreateRule", "ListenerArn=<balancer-listener>", "Priority=2", "Conditions.member.1.Field=http-header", "Conditions.member.1.HttpHeaderConfig.HttpHeaderName=X-Open",
			"Conditions.member.1.HttpHeaderConfig.Values.member.1=1", "Actions.member.1.Type=forward", "Actions.member.1.TargetGroupArn=<balancer-targets>"),
		look: ofRules(`<Priority>[^<]*`), says: []string{"strangers-watch", "rule 2 of listener HTTP 80 (http-header X-Open)"},
	},
	{
		what: "the rule wants another secret header", alone: true, outage: true,
		hand: aws(lb, "ModifyRule", "RuleArn=<balancer-from-distribution>", "Conditions.member.1.Field=http-header", "Conditions.member.1.HttpHeaderConfig.HttpHeaderName=X-Plan-Charge-Origin",
			"Conditions.member.1.HttpHeaderConfig.Values.member.1=x"),
		look: ofRules(`<HttpHeaderConfig>.*</HttpHeaderConfig>`), says: []string{"balancer-from-distribution", "conditions"},
	},
	{
		what: "the rule is deleted", alone: true, outage: true,
		hand: aws(lb, "DeleteRule", "RuleArn=<balancer-from-distribution>"), look: ofRules(`<Priority>[^<]*`),
		says: []string{"balancer-from-distribution", "listener-rule"},
	},
	{
		what: "the listener forwards everything",
		hand: aws(lb, "ModifyListener", "ListenerArn=<balancer-listener>", "DefaultActions.member.1.Type=forward", "DefaultActions.member.1.TargetGroupArn=<balancer-targets>"),
		look: ofListeners(`<Type>[^<]*`), says: []string{"balancer-listener", "defaultActions"},
	},
	{
		what: "another listener forwards everything",
		hand: aws(lb, "CreateListener", "LoadBalancerArn=<balancer-balancer>", "Port=8080", "Protocol=HTTP", "DefaultActions.member.1.Type=forward", "DefaultActions.member.1.TargetGroupArn=<balancer-targets>"),
		look: ofListeners(`<Port>\d+`), says: []string{"strangers-watch", "listener HTTP 8080"},
	},
	{
		what: "bad headers are let through",
		hand: aws(lb, "ModifyLoadBalancerAttributes", "LoadBalancerArn=<balancer-balancer>", "Attributes.member.1.Key=routing.http.drop_invalid_header_fields.enabled", "Attributes.member.1.Value=false"),
		look: told(`drop_invalid_header_fields.enabled</Key>\s*<Value>\w+`, lb, "DescribeLoadBalancerAttributes", "LoadBalancerArn=<balancer-balancer>"),
		says: []string{"balancer-balancer", "dropInvalidHeaderFields: true => false"},
	},
}

// ofGroup is what a security group lets through.
func ofGroup(name string) look {
	return told(`<cidrIp>[^<]*|<fromPort>\d+|<groupId>[^<]*|<prefixListId>[^<]*`, "ec2", "DescribeSecurityGroups", "GroupId.1=<"+name+">")
}

// postgres is the port that only fromTasks may reach. Without what that rule is described by the emulator does not find it.
var (
	postgres  = []string{"GroupId=<database-group>", "IpPermissions.1.IpProtocol=tcp", "IpPermissions.1.FromPort=5432", "IpPermissions.1.ToPort=5432"}
	fromTasks = append(slices.Clone(postgres), "IpPermissions.1.Groups.1.GroupId=<network-tasks>", "IpPermissions.1.Groups.1.UserId=000000000000",
		"IpPermissions.1.Groups.1.Description=PostgreSQL from the tasks alone")
)

var networkChanges = []change{
	{
		what: "the whole world reaches the database",
		hand: aws("ec2", "AuthorizeSecurityGroupIngress", append(slices.Clone(postgres), "IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0")...),
		look: ofGroup("database-group"), says: []string{"strangers-watch", "security group plan-charge-sandbox-database: ingress tcp 5432 from 0.0.0.0/0"},
		undo: aws("ec2", "RevokeSecurityGroupIngress", append(slices.Clone(postgres), "IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0")...),
	},
	{
		what: "the tasks do not reach the database",
		hand: aws("ec2", "RevokeSecurityGroupIngress", fromTasks...),
		look: ofGroup("database-group"), says: []string{"database-from-tasks", "PostgreSQL from the tasks alone"},
		undo: aws("ec2", "AuthorizeSecurityGroupIngress", fromTasks...),
	},
	{
		what: "tasks have no way out",
		hand: aws("ec2", "DeleteRoute", "RouteTableId=<network-private-routes-1>", "DestinationCidrBlock=0.0.0.0/0"),
		look: told(`<destinationCidrBlock>[^<]*`, "ec2", "DescribeRouteTables", "RouteTableId.1=<network-private-routes-1>"),
		says: []string{"network-private-routes-1-out", "0.0.0.0/0"},
	},
	{
		what: "a tag is changed",
		hand: aws("ec2", "CreateTags", "ResourceId.1=<network-vpc>", "Tag.1.Key=Project", "Tag.1.Value=other"),
		look: told(`<key>\w+</key>\s*<value>[^<]*`, "ec2", "DescribeVpcs", "VpcId.1=<network-vpc>"),
		says: []string{"network-vpc", `"plan-charge" => "other"`},
	},
	{
		what: "a tag is added", alone: true,
		hand: aws("ec2", "CreateTags", "ResourceId.1=<network-vpc>", "Tag.1.Key=Night", "Tag.1.Value=1"),
		look: told(`<key>\w+</key>\s*<value>[^<]*`, "ec2", "DescribeVpcs", "VpcId.1=<network-vpc>"),
		says: []string{"network-vpc", "Night"},
	},
}

const (
	everything = `PolicyDocument={"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	admin      = "PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess"
)

var iamChanges = []change{
	{
		what: "a role's policy allows everything",
		hand: aws("iam", "PutRolePolicy", "RoleName=<service-role>", "PolicyName=ecs-exec", everything),
		look: told(`<PolicyDocument>[^<]*`, "iam", "GetRolePolicy", "RoleName=<service-role>", "PolicyName=ecs-exec"),
		says: []string{"service-shell", "policy"},
	},
	{
		what: "a role's policy is deleted",
		hand: aws("iam", "DeleteRolePolicy", "RoleName=<service-execution>", "PolicyName=start-tasks"),
		look: told(`<PolicyNames>.*</PolicyNames>`, "iam", "ListRolePolicies", "RoleName=<service-execution>"),
		says: []string{"service-execution-rights", "start-tasks"},
	},
	{
		what: "anybody may take a role on",
		hand: aws("iam", "UpdateAssumeRolePolicy", "RoleName=<service-role>", `PolicyDocument={"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`),
		look: told(`<AssumeRolePolicyDocument>[^<]*`, "iam", "GetRole", "RoleName=<service-role>"),
		says: []string{"service-role", "assumeRolePolicy"},
	},
	{
		what: "a role has another policy that allows everything",
		hand: aws("iam", "PutRolePolicy", "RoleName=<service-role>", "PolicyName=night", everything),
		look: told(`<PolicyNames>.*</PolicyNames>`, "iam", "ListRolePolicies", "RoleName=<service-role>"),
		says: []string{"strangers-watch", "role plan-charge-sandbox-backend-task: inline policy night"}, undo: aws("iam", "DeleteRolePolicy", "RoleName=<service-role>", "PolicyName=night"),
	},
	{
		what: "a role has AdministratorAccess",
		hand: aws("iam", "AttachRolePolicy", "RoleName=<service-role>", admin),
		look: told(`<PolicyArn>[^<]*`, "iam", "ListAttachedRolePolicies", "RoleName=<service-role>"),
		says: []string{"strangers-watch", "attached policy arn:aws:iam::aws:policy/AdministratorAccess"}, undo: aws("iam", "DetachRolePolicy", "RoleName=<service-role>", admin),
	},
}

// ofAlarm is what CloudWatch tells of an alarm.
func ofAlarm(pattern, name string) look {
	return told(pattern, "monitoring", "DescribeAlarms", "AlarmNames.member.1=plan-charge-sandbox-"+name)
}

var alarmChanges = []change{
	{
		what: "logs are kept for another time",
		hand: aws("logs", "PutRetentionPolicy", `{"logGroupName":"/plan-charge-sandbox/backend","retentionInDays":365}`),
		look: told(`"retentionInDays": ?\d+`, "logs", "DescribeLogGroups", `{"logGroupNamePrefix":"/plan-charge-sandbox/backend"}`),
		says: []string{"service-logs", "retentionInDays: 1 => 365"},
	},
	{
		what: "a log group is deleted", alone: true,
		hand: aws("logs", "DeleteLogGroup", `{"logGroupName":"/plan-charge-sandbox/backend"}`),
		look: told(`"retentionInDays": ?\d+`, "logs", "DescribeLogGroups", `{"logGroupNamePrefix":"/plan-charge-sandbox/backend"}`),
		says: []string{"service-logs", "/plan-charge-sandbox/backend"},
	},
	{
		what: "an alarm rings later",
		hand: aws("monitoring", "PutMetricAlarm", "AlarmName=plan-charge-sandbox-database-cpu", "Namespace=AWS/RDS", "MetricName=CPUUtilization", "Statistic=Average", "Period=60", "EvaluationPeriods=10",
			"ComparisonOperator=GreaterThanOrEqualToThreshold", "TreatMissingData=notBreaching", "Dimensions.member.1.Name=DBInstanceIdentifier", "Dimensions.member.1.Value=plan-charge-sandbox-db", "Threshold=99"),
		look: ofAlarm(`<Threshold>[^<]*`, "database-cpu"), says: []string{"alarms-database-cpu", "threshold: 80 => 99"},
	},
	{
		what: "an alarm tells nobody",
		hand: aws("monitoring", "DisableAlarmActions", "AlarmNames.member.1=plan-charge-sandbox-database-cpu"),
		look: ofAlarm(`<ActionsEnabled>[^<]*`, "database-cpu"), says: []string{"alarms-database-cpu", "actionsEnabled: true => false"},
	},
	{
		what: "an alarm is deleted",
		hand: aws("monitoring", "DeleteAlarms", "AlarmNames.member.1=plan-charge-sandbox-database-storage"),
		look: ofAlarm(`<AlarmName>[^<]*`, "database-storage"), says: []string{"alarms-database-storage", "plan-charge-sandbox-database-storage"},
	},
}

// instance modifies the database's instance.
func instance(setting string) hand {
	return aws("rds", "ModifyDBInstance", "DBInstanceIdentifier=plan-charge-sandbox-db", "ApplyImmediately=true", setting)
}

// ofInstance is what RDS tells of it.
func ofInstance(pattern string) look {
	return told(pattern, "rds", "DescribeDBInstances", "DBInstanceIdentifier=plan-charge-sandbox-db")
}

var databaseChanges = []change{
	{
		what: "connections without TLS are allowed",
		hand: aws("rds", "ModifyDBParameterGroup", "DBParameterGroupName=<database-parameters>", "Parameters.member.1.ParameterName=rds.force_ssl", "Parameters.member.1.ParameterValue=0", "Parameters.member.1.ApplyMethod=immediate"),
		look: told(`rds.force_ssl</ParameterName>\s*<ParameterValue>[^<]*`, "rds", "DescribeDBParameters", "DBParameterGroupName=<database-parameters>", "Source=user"),
		says: []string{"database-parameters", "parameters"},
	},
	{
		what: "the instance has another class",
		hand: instance("DBInstanceClass=db.t4g.large"), look: ofInstance(`<DBInstanceClass>[^<]*`),
		says: []string{"database-instance", `instanceClass: "db.t4g.micro" => "db.t4g.large"`},
	},
	{
		what: "no backups are kept",
		hand: instance("BackupRetentionPeriod=0"), look: ofInstance(`<BackupRetentionPeriod>[^<]*`),
		says: []string{"database-instance", "backupRetentionPeriod: 1 => 0"},
	},
	{
		what: "the instance's protection is another",
		hand: instance("DeletionProtection=true"), look: ofInstance(`<DeletionProtection>[^<]*`),
		says: []string{"database-instance", "deletionProtection: false => true"},
	},
	{
		what: "the instance has a public address",
		hand: instance("PubliclyAccessible=true"), look: ofInstance(`<PubliclyAccessible>[^<]*`),
		says: []string{"database-instance", "publiclyAccessible: false => true"},
	},
	{
		what: "the database refuses connections", outage: true,
		hand: database("stop"), look: serves, undo: database("start"),
		says: []string{"roles-login", "not seen"}, fails: []string{"connect"},
	},
	{
		what: "the instance is stopped", outage: true,
		hand: aws("rds", "StopDBInstance", "DBInstanceIdentifier=plan-charge-sandbox-db"), look: ofInstance(`<DBInstanceStatus>[^<]*`),
		undo: aws("rds", "StartDBInstance", "DBInstanceIdentifier=plan-charge-sandbox-db"),
		says: []string{"roles-login", "not seen"}, fails: []string{"connect"},
	},
	{
		what: "the database only reads", alone: true,
		hand: sql(`ALTER DATABASE plan_charge SET default_transaction_read_only = on`, cut), look: rows(`SELECT setconfig::text FROM pg_db_role_setting`),
		says: []string{"roles-login", "read-only"}, fails: []string{"read-only"}, undo: sql(`SET default_transaction_read_only = off`, `ALTER DATABASE plan_charge RESET default_transaction_read_only`),
	},
	{
		what: "the owner may not read the organizations",
		hand: sql(`REVOKE SELECT ON organizations FROM plan_charge_owner`), look: rows(`SELECT has_table_privilege('organizations', 'SELECT')::text`),
		says: []string{"organizations-rows", "permission denied"}, fails: []string{"permission denied"}, undo: sql(`GRANT SELECT ON organizations TO plan_charge_owner`),
	},
}

// driftPage and silencePage stand above the tables in docs/drift.md.
const driftPage = `# What is changed by hand

Made by ` + "`make drift`" + `; it is written over by the next run. Each of these changes was made on the sandbox by the AWS API or in SQL,
one after the other. A refresh is ` + "`pulumi refresh --preview-only --diff --expect-no-changes`" + `: it names the resource and ended with 7.
` + "`up`" + ` is a plain one. Afterwards a look without the program saw the thing as it was declared, the site answered, and
a refresh was silent. Where ` + "`up`" + ` fails, that was so after the change had been undone by hand.

All the while a client outside asked through the CDN ten times a second, half of it GET /health, which wants 200, half logins with
a token that is no good, which want 400. Where it was told nothing else the change is one that users do not notice.
`

const silencePage = `
## Silence

Refreshes in a row that reported nothing, and what one took.

| after | silent | each |
|---|---|---|
`
