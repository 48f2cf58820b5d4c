package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"plan-charge/internal/authority"
	"plan-charge/internal/testkit"
)

const goodImage = "plan-charge/backend:1.0.0"

// from makes a source of raw values, as the engine hands them over.
func from(stack string, values map[string]string, secrets ...string) source {
	var keys []string
	for key := range values {
		keys = append(keys, "plan-charge:"+key)
	}
	return source{
		project: "plan-charge",
		stack:   stack,
		get:     func(key string) (string, bool) { v, ok := values[key]; return v, ok },
		secret: func(key string) bool {
			for _, s := range secrets {
				if s == key {
					return true
				}
			}
			return false
		},
		keys: keys,
	}
}

// The certificates of some regions are not kept: what to do is said before anything is made there.
func TestARegionWithoutKeptCertificates(t *testing.T) {
	values := map[string]string{"image": goodImage, "region": "il-central-1"}
	_, err := load(from("prod", values))
	testkit.Contains(t, "error", fmt.Sprint(err), `plan-charge:database.authority: found "rds"; allowed: environment for il-central-1`, "PGSSLROOTCERT")
	values["database"] = `{"authority":"environment"}`
	t.Setenv("PGSSLROOTCERT", filepath.Join("..", authority.File))
	if _, err := load(from("prod", values)); err != nil {
		t.Error(err)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	cert := "arn:aws:acm:us-east-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"
	parisCert := strings.Replace(cert, "us-east-1", "eu-west-3", 1)
	id := "00000000-0000-0000-0000-000000000001"
	for name, test := range map[string]struct {
		key, value string
		want       string // key: found …; the message must have it
		secret     bool
	}{
		"wrong type":                        {"network", `{"zones":"two"}`, `network.zones: found "two"; allowed: a whole number: 2 to 6; example: 2`, false},
		"wrong type of a section":           {"network", `10.0.0.0/16`, `network: found "10.0.0.0/16"; allowed: an object; example: {cidr`, false},
		"fraction":                          {"network", `{"zones":2.5}`, `network.zones: found 2.5; allowed: a whole number`, false},
		"number for text":                   {"database", `{"version":16}`, `database.version: found 16; allowed: text: a PostgreSQL version`, false},
		"text for true":                     {"database", `{"multiAz":"yes"}`, `database.multiAz: found "yes"; allowed: true or false;`, false},
		"a pattern without a kind":          {"migration", `{"ignoreObjects":["* public.x","cache_*"]}`, `migration.ignoreObjects[1]: found "cache_*"; allowed: as many as wanted of: a kind of object or *`, false},
		"an accepted pattern":               {"migration", `{"accept":["table public.users","table public.*"]}`, `migration.accept[1]: found "table public.*"; allowed: names of objects exactly as they were printed`, false},
		"text for a list":                   {"migration", `{"command":"alembic upgrade head"}`, `migration.command: found "alembic upgrade head"; allowed: a list`, false},
		"number in environment":             {"service", `{"environment":{"WORKERS":3}}`, `service.environment[WORKERS]: found 3; allowed: text (write numbers`, false},
		"unknown top key":                   {"netwrok", `{}`, `netwrok: found a key that does not exist; allowed: account, alarms, appPassword,`, false},
		"unknown top key, near one":         {"imgae", `x`, `example: image (did you mean that?)`, false},
		"unknown key":                       {"database", `{"multiaz":true}`, `database.multiaz: found a key that does not exist`, false},
		"unknown key, near one":             {"database", `{"multiaz":true}`, `example: database.multiAz (did you mean that?)`, false},
		"unknown key in a row":              {"organizations", `{"rows":[{"id":"` + id + `","name":"A","slug":"a"}]}`, `organizations.rows[0].slug: found a key that does not exist; allowed: organizations.rows[0].id`, false},
		"cidr that is none":                 {"network", `{"cidr":"10.0.0.0"}`, `network.cidr: found "10.0.0.0"; allowed: a private IPv4 block`, false},
		"cidr with host bits":               {"network", `{"cidr":"10.0.0.1/16"}`, `network.cidr: found "10.0.0.1/16"`, false},
		"cidr too small":                    {"network", `{"cidr":"10.0.0.0/24"}`, `network.cidr: found "10.0.0.0/24"`, false},
		"cidr too large":                    {"network", `{"cidr":"10.0.0.0/8"}`, `network.cidr: found "10.0.0.0/8"`, false},
		"cidr that is public":               {"network", `{"cidr":"8.8.0.0/16"}`, `network.cidr: found "8.8.0.0/16"`, false},
		"cidr of version 6":                 {"network", `{"cidr":"fd00::/16"}`, `network.cidr: found "fd00::/16"`, false},
		"subnet that does not fit":          {"network", `{"publicCidrs":["10.21.0.0/20","10.20.16.0/20"]}`, `network.publicCidrs[0]: found "10.21.0.0/20"; allowed: a block inside network.cidr 10.20.0.0/16`, false},
		"subnet larger than the VPC":        {"network", `{"publicCidrs":["10.0.0.0/8","10.20.16.0/20"]}`, `network.publicCidrs[0]: found "10.0.0.0/8"; allowed: a block inside`, false},
		"subnets that overlap":              {"network", `{"publicCidrs":["10.20.0.0/20","10.20.8.0/21"]}`, `network.publicCidrs[1]: found "10.20.8.0/21", which overlaps network.publicCidrs[0] 10.20.0.0/20`, false},
		"subnets that overlap across kinds": {"network", `{"privateCidrs":["10.20.0.0/20","10.20.144.0/20"]}`, `network.privateCidrs[0]: found "10.20.0.0/20", which overlaps network.publicCidrs[0]`, false},
		"subnets that are too few":          {"network", `{"publicCidrs":["10.20.0.0/20"]}`, `network.publicCidrs: found 1 block; allowed: 2 blocks`, false},
		"subnet too small":                  {"network", `{"publicCidrs":["10.20.0.0/28","10.20.16.0/20"]}`, `network.publicCidrs[0]: found "10.20.0.0/28"`, false},
		"one zone":                          {"network", `{"zones":1}`, `network.zones: found 1; allowed: 2 to 6`, false},
		"nat":                               {"network", `{"nat":"two"}`, `network.nat: found "two"; allowed: one (`, false},
		"vpc and cidr":                      {"network", `{"vpcId":"vpc-0a","publicSubnetIds":["subnet-0a","subnet-0b"],"privateSubnetIds":["subnet-0c","subnet-0d"],"cidr":"10.0.0.0/16"}`, `network.cidr: found a value beside network.vpcId`, false},
		"vpc with one subnet":               {"network", `{"vpcId":"vpc-0a","publicSubnetIds":["subnet-0a"],"privateSubnetIds":["subnet-0c","subnet-0d"]}`, `network.publicSubnetIds: found ["subnet-0a"]; allowed: two or more`, false},
		"vpc with a subnet twice":           {"network", `{"vpcId":"vpc-0a","publicSubnetIds":["subnet-0a","subnet-0a"],"privateSubnetIds":["subnet-0c","subnet-0d"]}`, `network.publicSubnetIds[1]: found "subnet-0a"`, false},
		"subnets without vpc":               {"network", `{"publicSubnetIds":["subnet-0a","subnet-0b"]}`, `network.publicSubnetIds: found ["subnet-0a","subnet-0b"]; allowed: nothing, unless network.vpcId`, false},
		"database port 0":                   {"database", `{"port":0}`, `database.port: found 0; allowed: 1150 to 65535`, false},
		"service port too large":            {"service", `{"port":65536}`, `service.port: found 65536; allowed: 1 to 65535`, false},
		"service port negative":             {"service", `{"port":-1}`, `service.port: found -1`, false},
		"authority that is none":            {"database", `{"authority":"/etc/ssl/rds.pem"}`, `database.authority: found "/etc/ssl/rds.pem"; allowed: rds (Amazon RDS) or environment`, false},
		"authority of no file":              {"database", `{"authority":"environment"}`, `database.authority: found "environment"; allowed: rds, or environment with a file of certificates (PGSSLROOTCERT is not set`, false},
		"access that is none":               {"database", `{"access":"vpn"}`, `database.access: found "vpn"; allowed: session (through a one-off task, from anywhere) or direct`, false},
		"access port too low":               {"database", `{"access":"session","accessPort":80}`, `database.accessPort: found 80; allowed: 0 (one that follows`, false},
		"access port without a session":     {"database", `{"access":"direct","accessPort":15432}`, `database.accessPort: found 15432; allowed: 0, unless database.access is session`, false},
		"previews without a session":        {"database", `{"access":"direct","previewReads":true}`, `database.previewReads: found true; allowed: false, unless database.access is session`, false},
		"let in beside a session":           {"database", `{"access":"session","inbound":["10.8.0.0/16"]}`, `database.inbound: found ["10.8.0.0/16"]; allowed: nothing, unless database.access is direct`, false},
		"let in with host bits":             {"database", `{"access":"direct","inbound":["sg-0a1","10.8.0.1/16"]}`, `database.inbound[1]: found "10.8.0.1/16"; allowed: IPv4 blocks`, false},
		"let in twice":                      {"database", `{"access":"direct","inbound":["sg-0a1","sg-0a1"]}`, `database.inbound[1]: found "sg-0a1"`, false},
		"open to everybody":                 {"database", `{"access":"direct","inbound":["0.0.0.0/0"]}`, `database.inbound[0]: found "0.0.0.0/0"`, false},
		"session image without tag":         {"database", `{"sessionImage":"busybox"}`, `database.sessionImage: found "busybox"; allowed: an image with a tag or a sha256 digest, or nothing`, false},
		"image without tag":                 {"image", `plan-charge/backend`, `image: found "plan-charge/backend"; allowed: an image with a tag or a sha256 digest`, false},
		"image without tag, port":           {"image", `localhost:5000/backend`, `image: found "localhost:5000/backend"`, false},
		"image with a short digest":         {"image", `backend@sha256:abc`, `image: found "backend@sha256:abc"`, false},
		"no image":                          {"image", ``, `image: found nothing`, false},
		"duplicate organization":            {"organizations", `{"rows":[{"id":"` + id + `","name":"A"},{"id":"` + id + `","name":"B"}]}`, `organizations.rows[1].id: found "` + id + `", which organizations.rows[0] has too`, false},
		"duplicate in capitals":             {"organizations", `{"rows":[{"id":"aaaaaaaa-0000-0000-0000-000000000001","name":"A"},{"id":"AAAAAAAA-0000-0000-0000-000000000001","name":"B"}]}`, `organizations.rows[1].id: found "AAAAAAAA`, false},
		"id that is no uuid":                {"organizations", `{"rows":[{"id":"1","name":"A"}]}`, `organizations.rows[0].id: found "1"; allowed: a uuid`, false},
		"id missing":                        {"organizations", `{"rows":[{"name":"A"}]}`, `organizations.rows[0].id: found ""; allowed: a uuid`, false},
		"empty name":                        {"organizations", `{"rows":[{"id":"` + id + `","name":""}]}`, `organizations.rows[0].name: found ""; allowed: 1 to 255`, false},
		"name of spaces":                    {"organizations", `{"rows":[{"id":"` + id + `","name":"  "}]}`, `organizations.rows[0].name: found "  "`, false},
		"over-long name":                    {"organizations", `{"rows":[{"id":"` + id + `","name":"` + strings.Repeat("é", 256) + `"}]}`, `organizations.rows[0].name: found a name of 256 characters`, false},
		"name with a control character":     {"organizations", `{"rows":[{"id":"` + id + `","name":"A\u0000"}]}`, `organizations.rows[0].name: found "A\u0000"`, false},
		"removal policy":                    {"organizations", `{"onRemove":"drop"}`, `organizations.onRemove: found "drop"; allowed: retain, softDelete or delete`, false},
		"certificate of another region":     {"cdn", `{"alias":"a.example.com","certificateArn":"` + parisCert + `"}`, `cdn.certificateArn: found "` + parisCert[:60], false},
		"origin certificate elsewhere":      {"cdn", `{"alias":"a.example.com","certificateArn":"` + cert + `","originCertificateArn":"` + cert + `"}`, `cdn.originCertificateArn: found "arn`, false},
		"alias without certificate":         {"cdn", `{"alias":"a.example.com"}`, `cdn.certificateArn: found nothing; allowed: the ARN of an ACM certificate in us-east-1 for cdn.alias "a.example.com"`, false},
		"certificate without alias":         {"cdn", `{"certificateArn":"` + cert + `"}`, `allowed: nothing without cdn.alias`, false},
		"zone without alias":                {"cdn", `{"zoneId":"Z1"}`, `cdn.zoneId: found "Z1"; allowed: nothing without cdn.alias`, false},
		"alias that is a URL":               {"cdn", `{"alias":"https://a.example.com","certificateArn":"` + cert + `"}`, `cdn.alias: found "https://a.example.com"`, false},
		"price class":                       {"cdn", `{"priceClass":"cheap"}`, `cdn.priceClass: found "cheap"`, false},
		"cpu":                               {"service", `{"cpu":300}`, `service.cpu: found 300; allowed: 256, 512`, false},
		"memory for cpu 256":                {"service", `{"cpu":256,"memory":4096}`, `service.memory: found 4096; allowed: 512, 1024 or 2048 (MiB) with service.cpu 256`, false},
		"memory off the step":               {"service", `{"cpu":1024,"memory":2500}`, `service.memory: found 2500; allowed: 2048 to 8192 in steps of 1024`, false},
		"memory of the migration":           {"migration", `{"memory":100}`, `migration.memory: found 100`, false},
		"bounds":                            {"service", `{"min":5,"max":2}`, `service.max: found 2; allowed: 5 (service.min) to 200`, false},
		"no task":                           {"service", `{"min":0}`, `service.min: found 0; allowed: 1 to 200`, false},
		"log days":                          {"service", `{"logDays":31}`, `service.logDays: found 31; allowed: a retention`, false},
		"health path":                       {"service", `{"healthPath":"/a' b"}`, `service.healthPath: found "/a' b"`, false},
		"health command":                    {"service", `{"healthCommand":["curl"]}`, `service.healthCommand: found ["curl"]`, false},
		"our own variable":                  {"service", `{"environment":{"DATABASE_URL":"postgresql://x"}}`, `service.environment[DATABASE_URL]: found a value for it`, false},
		"secret in the environment":         {"service", `{"environment":{"JWT_SECRET":"hush"}}`, `service.environment[JWT_SECRET]: found what looks like a secret, in clear`, false},
		"URL with a password":               {"service", `{"environment":{"BROKER":"amqp://u:hush@h"}}`, `service.environment[BROKER]: found what looks like a secret, in clear`, false},
		"secret that is no ARN":             {"service", `{"secrets":{"JWT_KEY":"hush"}}`, `service.secrets[JWT_KEY]: found what is not the ARN of a secret`, false},
		"secret section":                    {"service", `{"environment":{"A":"hush"}}`, `service: found a secret; allowed: no secret, because`, true},
		"password in clear":                 {"ownerPassword", `hush-hush-hush`, `ownerPassword: found a value in clear; allowed: a secret`, false},
		"short password":                    {"ownerPassword", `hush`, `ownerPassword: found a secret of 4 characters that does not fit`, true},
		"password RDS refuses":              {"ownerPassword", `hush/hush@hush`, `ownerPassword: found a secret of 14 characters that does not fit`, true},
		"password that is not ASCII":        {"appPassword", `hush-hush-é`, `appPassword: found a secret of 11 characters that does not fit`, true},
		"a revision with spaces":            {"migration", `{"downgradeTo":"0003 --sql"}`, `migration.downgradeTo: found "0003 --sql"`, false},
		"downgrade without a command":       {"migration", `{"downgradeTo":"0003","downgrade":[]}`, `migration.downgrade: found []`, false},
		"another image forward":             {"migration", `{"image":"app:1.1.0"}`, `migration.image: found "app:1.1.0"; allowed: nothing without migration.downgradeTo`, false},
		"protected and deleted":             {"database", `{"protect":true,"onDestroy":"delete"}`, `database.onDestroy: found "delete"; allowed: snapshot or retain while database.protect`, false},
		"another one replaced":              {"database", `{"protect":false,"replace":"other-db"}`, `database.replace: found "other-db"; allowed: nothing, or plan-charge-`, false},
		"protected and replaced":            {"database", `{"protect":true,"replace":"plan-charge-prod-db"}`, `database.replace: found "plan-charge-prod-db"; allowed: nothing while database.protect`, false},
		"retained in our own VPC":           {"database", `{"onDestroy":"retain"}`, `database.onDestroy: found "retain"; allowed: snapshot or delete, unless network.vpcId`, false},
		"owner is the app":                  {"database", `{"app":"plan_charge_owner"}`, `database.app: found "plan_charge_owner"; allowed: a name that is not the owner's`, false},
		"reserved role":                     {"database", `{"owner":"rdsadmin"}`, `database.owner: found "rdsadmin"`, false},
		"name that needs quotes":            {"database", `{"name":"Plan-Charge"}`, `database.name: found "Plan-Charge"`, false},
		"version":                           {"database", `{"version":"12"}`, `database.version: found "12"`, false},
		"storage":                           {"database", `{"storage":5}`, `database.storage: found 5; allowed: 20 to 65536`, false},
		"max storage":                       {"database", `{"storage":100,"maxStorage":105}`, `database.maxStorage: found 105`, false},
		"backups off":                       {"database", `{"backupDays":0}`, `database.backupDays: found 0; allowed: 1 to 35`, false},
		"recovery":                          {"database", `{"recoveryDays":3}`, `database.recoveryDays: found 3`, false},
		"class":                             {"database", `{"class":"t4g.small"}`, `database.class: found "t4g.small"`, false},
		"command":                           {"migration", `{"command":[]}`, `migration.command: found []`, false},
		"directory":                         {"migration", `{"directory":"app"}`, `migration.directory: found "app"`, false},
		"timeout":                           {"migration", `{"timeout":"30"}`, `migration.timeout: found "30"; allowed: a duration from 10s to 24h`, false},
		"version table":                     {"migration", `{"versionTable":"a b"}`, `migration.versionTable: found "a b"`, false},
		"version column":                    {"migration", `{"versionColumn":"a.b"}`, `migration.versionColumn: found "a.b"; allowed: a column name`, false},
		"check path":                        {"verification", `{"checks":[{"method":"GET","path":"x","status":200}]}`, `verification.checks[0].path: found "x"`, false},
		"check status":                      {"verification", `{"checks":[{"method":"GET","path":"/x","status":99}]}`, `verification.checks[0].status: found "99"; allowed: 100 to 599, 1xx`, false},
		"check method":                      {"verification", `{"checks":[{"method":"get","path":"/x","status":200}]}`, `verification.checks[0].method: found "get"`, false},
		"check repeat":                      {"verification", `{"checks":[{"method":"POST","path":"/x","status":"4xx","repeat":true}]}`, `verification.checks[0].repeat: found true`, false},
		"check safe":                        {"verification", `{"checks":[{"method":"POST","path":"/x","status":200,"safe":"yes"}]}`, `verification.checks[0].safe: found "yes"; allowed: true`, false},
		"check header":                      {"verification", `{"checks":[{"path":"/x","status":200,"headers":{"Authorization":"Bearer hush"}}]}`, `verification.checks[0].headers[Authorization]: found what looks like a secret`, false},
		"login path":                        {"verification", `{"loginPath":"login"}`, `verification.loginPath: found "login"`, false},
		"check body":                        {"verification", `{"checks":[{"method":"GET","path":"/x","status":200,"body":"x"}]}`, `verification.checks[0].body: found "x"`, false},
		"email":                             {"alarms", `{"emails":["ops"]}`, `alarms.emails[0]: found "ops"`, false},
		"stranger":                          {"strangers", `{"allow":["0.0.0.0/0"]}`, `strangers.allow[0]: found "0.0.0.0/0"; allowed: what may stay`, false},
		"stranger twice":                    {"strangers", `{"allow":["role a: inline policy b","role a: inline policy b"]}`, `strangers.allow[1]: found "role a`, false},
		"threshold":                         {"alarms", `{"cpuPercent":101}`, `alarms.cpuPercent: found 101`, false},
		"storage threshold":                 {"alarms", `{"freeStorageGiB":20}`, `alarms.freeStorageGiB: found 20; allowed: 1 or more, less than database.storage`, false},
		"region":                            {"region", `Paris`, `region: found "Paris"`, false},
		"account":                           {"account", `1234`, `account: found "1234"; allowed: the 12 digits`, false},
		"profile":                           {"profile", `a b`, `profile: found "a b"; allowed: the name of an AWS profile`, false},
		"role":                              {"role", `deployer`, `role: found "deployer"; allowed: the ARN of an IAM role`, false},
		"tags":                              {"tags", `{"aws:x":"y"}`, `tags[aws:x]: found "y"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			values := map[string]string{"image": goodImage}
			values[test.key] = test.value
			var secrets []string
			if test.secret {
				secrets = []string{test.key}
			}
			cfg, err := load(from("prod", values, secrets...))
			if err == nil {
				t.Fatalf("accepted: %+v", cfg)
			}
			if !strings.Contains(err.Error(), "  plan-charge:"+test.key) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("message lacks %s\n%v", test.want, err)
			}
			if n := strings.Count(err.Error(), "\n"); n != 1 {
				t.Errorf("%d mistakes named for one:\n%v", n, err)
			}
			if strings.Contains(err.Error(), "hush") {
				t.Errorf("the message shows a secret:\n%v", err)
			}
		})
	}
}

// Even a rule that hands over the secret itself does not get it printed.
func TestSecretsAreNeverShown(t *testing.T) {
	c := newChecker("plan-charge")
	c.reject("ownerPassword", "hush")
	if text := c.mistakes[0].Error(); strings.Contains(text, "hush") {
		t.Error(text)
	}
}

func TestEveryMistakeAtOnce(t *testing.T) {
	_, err := load(from("prod", map[string]string{
		"image":         "backend",
		"network":       `{"zones":1,"cidr":"nonsense","colour":"red"}`,
		"database":      `{"port":"high","storage":1}`,
		"service":       `{"cpu":300,"port":0}`,
		"cdn":           `{"alias":"a.example.com"}`,
		"organizations": `{"rows":[{"id":"x","name":""},{"id":"y","name":"B"}]}`,
		"appPassword":   "hush-hush-hush",
		"whatever":      "1",
	}))
	if err == nil {
		t.Fatal("accepted")
	}
	for _, key := range []string{"image", "network.zones", "network.cidr", "network.colour", "database.port", "database.storage", "service.cpu", "service.port", "cdn.certificateArn", "organizations.rows[0].id", "organizations.rows[0].name", "organizations.rows[1].id", "appPassword", "whatever"} {
		if !strings.Contains(err.Error(), "\n  plan-charge:"+key+": found ") {
			t.Errorf("%s is not named", key)
		}
	}
	if !strings.Contains(err.Error(), `the configuration of stack "prod" has 14 mistakes; nothing was changed:`) {
		t.Errorf("count:\n%v", err)
	}
	var mistake *Mistake
	if !errors.As(err, &mistake) || mistake.Allowed == "" || mistake.Example == "" {
		t.Errorf("not a Mistake with all its parts: %+v", mistake)
	}
}

func TestRoleOfAnotherAccount(t *testing.T) {
	values := map[string]string{"image": goodImage, "account": "123456789012", "role": "arn:aws:iam::210987654321:role/deployer"}
	_, err := load(from("prod", values))
	if err == nil || !strings.Contains(err.Error(), `plan-charge:role: found "arn:aws:iam::210987654321:role/deployer"; allowed: a role of plan-charge:account 123456789012`) {
		t.Error(err)
	}
}

func TestStackName(t *testing.T) {
	for _, name := range []string{"prod", "sandbox", "review-123", "a"} {
		if _, err := load(from(name, map[string]string{"image": goodImage})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"Prod", "1st", "a_b", "a--b", "a-", "a-name-too-long"} {
		if _, err := load(from(name, map[string]string{"image": goodImage})); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestImages(t *testing.T) {
	digest := "@sha256:" + strings.Repeat("0a", 32)
	for image, version := range map[string]string{
		goodImage: "1.0.0",
		"123456789012.dkr.ecr.eu-west-3.amazonaws.com/plan-charge/backend:1.4.2": "1.4.2",
		"localhost:5000/backend:1":    "1",
		"ghcr.io/a/b" + digest:        digest[1:],
		"ghcr.io/a/b:1.0" + digest:    digest[1:],
		"backend:latest":              "latest",
		"a.example.com/a__b/c-d:v1_2": "v1_2",
	} {
		cfg, err := load(from("prod", map[string]string{"image": image}))
		if err != nil {
			t.Error(err)
		} else if cfg.Version() != version {
			t.Errorf("%s: version %s", image, cfg.Version())
		}
	}
}

func TestDefaultsAreThoseOfPulumiYAML(t *testing.T) {
	var project struct {
		Config map[string]struct {
			Type        string
			Description string
			Secret      bool
			Default     any
		}
	}
	testkit.ReadYAML(t, "../Pulumi.yaml", &project)
	values := map[string]string{}
	for key, entry := range project.Config {
		if entry.Description == "" || entry.Default == nil {
			t.Errorf("%s has no description or no default", key)
		}
		if entry.Type != "" {
			t.Errorf("%s has a type: the CLI would report its mistakes one by one", key)
		}
		values[key] = testkit.Raw(t, entry.Default)
	}
	shown := defaults()
	c := newChecker("plan-charge")
	c.decode(from("prod", values), &shown)
	if len(c.mistakes) > 0 {
		t.Fatal(errors.Join(c.mistakes...))
	}
	if want := defaults(); !reflect.DeepEqual(shown, want) {
		t.Errorf("Pulumi.yaml and the defaults differ:\n%+v\n%+v", shown, want)
	}
	for _, f := range keys(reflect.TypeFor[Config]()) {
		entry, ok := project.Config[keyOf(f)]
		if !ok {
			t.Errorf("Pulumi.yaml lacks %s", keyOf(f))
		}
		if entry.Secret != (f.Tag.Get("secret") == "true") {
			t.Errorf("%s: secret in one place only", keyOf(f))
		}
	}
}

// Every rule must be worded, or its message says nothing.
func TestEveryKeyHasRuleAndExample(t *testing.T) {
	for key, rule := range newChecker("plan-charge").rules {
		if rule.allowed == "" || rule.example == "" {
			t.Errorf("%s: allowed %q, example %q", key, rule.allowed, rule.example)
		}
	}
}

func TestStackFiles(t *testing.T) {
	for _, stack := range []string{"prod", "sandbox"} {
		cfg := stackConfig(t, stack)
		if len(cfg.Organizations.Rows) != 2 || cfg.Organizations.Rows[0].Name != "NDA Partners" || cfg.Organizations.Rows[1].Name != "Default Organization" {
			t.Errorf("%s: organizations %+v", stack, cfg.Organizations)
		}
		if prod := stack == "prod"; cfg.Database.Protect != prod || cfg.Database.OnDestroy != "snapshot" || cfg.Database.MultiAZ != prod {
			t.Errorf("%s: database %+v", stack, cfg.Database)
		}
	}
}

// stackConfig loads a stack file of the project.
func stackConfig(t *testing.T, stack string) *Config {
	t.Helper()
	cfg, err := load(from(stack, stackValues(t, stack)))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func stackValues(t *testing.T, stack string) map[string]string {
	t.Helper()
	values := map[string]string{}
	for key, value := range testkit.ReadStack(t, "..", stack).Config {
		values[strings.TrimPrefix(key, "plan-charge:")] = value
	}
	return values
}

func TestNames(t *testing.T) {
	cfg := stackConfig(t, "prod")
	for thing, want := range map[string]string{"cluster": "plan-charge-prod-cluster", "backend": "plan-charge-prod-backend", "db": "plan-charge-prod-db"} {
		if got := cfg.Names.Name(thing); got != want {
			t.Errorf("%s: %s", thing, got)
		}
	}
	if got := cfg.Names.Path("database-url"); got != "plan-charge-prod/database-url" {
		t.Error(got)
	}
}

// Adding a zone must not move the subnets of the others.
func TestSubnetBlocksStay(t *testing.T) {
	two, _ := Network{CIDR: "10.20.0.0/16", Zones: 2}.Blocks()
	public, private := Network{CIDR: "10.20.0.0/16", Zones: 6}.Blocks()
	if !reflect.DeepEqual(two, public[:2]) || public[0] != "10.20.0.0/20" || private[0] != "10.20.128.0/20" || private[5] != "10.20.208.0/20" {
		t.Errorf("%v %v %v", two, public, private)
	}
	for bits := 16; bits <= 23; bits++ {
		for zones := 2; zones <= 6; zones++ {
			network := fmt.Sprintf(`{"cidr":"172.16.0.0/%d","zones":%d}`, bits, zones)
			if _, err := load(from("prod", map[string]string{"image": goodImage, "network": network})); err != nil {
				t.Errorf("%s: %v", network, err)
			}
		}
	}
}

// Whatever the configuration holds, reading it ends in a result or in
// mistakes, and never shows a secret.
func FuzzLoad(f *testing.F) {
	f.Add("image", goodImage, "prod")
	f.Add("network", `{"cidr":"10.0.0.0/16","zones":3,"publicCidrs":["a"]}`, "prod")
	f.Add("organizations", `{"rows":[{"id":null,"name":[]},3]}`, "x")
	f.Add("service", `{"environment":{"A":{"B":1}}}`, "x")
	f.Add("tags", `[1,2`, "x")
	f.Fuzz(func(t *testing.T, key, value, stack string) {
		const hush = "hush-hush-9f3b/"
		values := map[string]string{"image": goodImage, key: value, "ownerPassword": hush}
		_, err := load(from(stack, values, "ownerPassword"))
		if err == nil {
			t.Fatal("a password with a slash was accepted")
		}
		if strings.Contains(err.Error(), hush) {
			t.Fatalf("the message shows the password: %v", err)
		}
	})
}
