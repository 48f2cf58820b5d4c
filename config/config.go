// Package config is what a stack may say: every key, its default and its rule,
// read and checked as a whole before the first resource is registered.
package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/internal/authority"
	"plan-charge/internal/probe"
	"plan-charge/provider/pgrows"
)

// Config is everything a stack can set, read and checked as a whole by
// Load before the first resource is registered.
//
// The tags are the reference: `json` is the key, `allowed` says what it
// takes, `example` is a value that works. They end up in the error messages,
// so that a rule is worded once.
type Config struct {
	Region string `json:"region" allowed:"an AWS region" example:"eu-west-3"`
	// Account stops an update of the wrong account before anything is touched; empty allows any.
	Account string `json:"account" allowed:"the 12 digits of the AWS account that the stack lives in" example:"\"123456789012\""`
	// Profile and role are what the environment says where they are empty.
	Profile string `json:"profile" allowed:"the name of an AWS profile" example:"plan-charge-prod"`
	Role    string `json:"role" allowed:"the ARN of an IAM role, which is assumed for everything" example:"arn:aws:iam::123456789012:role/deployer"`
	Image   string `json:"image" allowed:"an image with a tag or a sha256 digest" example:"123456789012.dkr.ecr.eu-west-3.amazonaws.com/plan-charge/backend:1.4.2"`

	// Empty passwords are generated.
	OwnerPassword string `json:"ownerPassword" secret:"true" allowed:"a secret of 8 to 128 printable ASCII characters other than / @ \" and space (RDS refuses those)" example:"pulumi config set --secret plan-charge:ownerPassword"`
	AppPassword   string `json:"appPassword" secret:"true" allowed:"a secret of 8 to 128 printable ASCII characters" example:"pulumi config set --secret plan-charge:appPassword"`

	Tags map[string]string `json:"tags" allowed:"names of 1 to 128 and values of up to 256 characters, no name starting with aws:" example:"{team: planning}"`

	Network       Network       `json:"network" allowed:"an object" example:"{cidr: 10.20.0.0/16, zones: 2}"`
	Database      Database      `json:"database" allowed:"an object" example:"{version: \"16\", multiAz: true}"`
	Migration     Migration     `json:"migration" allowed:"an object" example:"{command: [alembic, upgrade, head]}"`
	Organizations Organizations `json:"organizations" allowed:"an object" example:"{rows: [{id: 00000000-0000-0000-0000-000000000001, name: NDA Partners}]}"`
	Service       Service       `json:"service" allowed:"an object" example:"{cpu: 512, memory: 1024}"`
	CDN           CDN           `json:"cdn" allowed:"an object" example:"{alias: www.example.com}"`
	Verification  Verification  `json:"verification" allowed:"an object" example:"{timeout: 5m}"`
	Alarms        Alarms        `json:"alarms" allowed:"an object" example:"{emails: [ops@example.com]}"`
	Strangers     Strangers     `json:"strangers" allowed:"an object" example:"{allow: [\"reporting: SELECT on table public.organizations\"]}"`

	Names Names `json:"-"`
}

// Network makes a VPC of its own, or names an existing one.
type Network struct {
	CIDR  string `json:"cidr" allowed:"a private IPv4 block from /16 to /23, written with its first address" example:"10.20.0.0/16"`
	Zones int    `json:"zones" allowed:"2 to 6" example:"2"`
	// Empty lists are computed from CIDR: one block a zone.
	PublicCIDRs  []string `json:"publicCidrs" allowed:"one block a zone, each /27 or larger, inside network.cidr, overlapping no other" example:"[10.20.0.0/20, 10.20.16.0/20]"`
	PrivateCIDRs []string `json:"privateCidrs" allowed:"one block a zone, each /27 or larger, inside network.cidr, overlapping no other" example:"[10.20.128.0/20, 10.20.144.0/20]"`
	NAT          string   `json:"nat" allowed:"one (one gateway for all zones) or each (one a zone)" example:"each"`

	VPCID            string   `json:"vpcId" allowed:"the id of an existing VPC" example:"vpc-0123456789abcdef0"`
	PublicSubnetIDs  []string `json:"publicSubnetIds" allowed:"two or more different subnet ids, for the load balancer" example:"[subnet-0123456789abcdef0, subnet-0123456789abcdef1]"`
	PrivateSubnetIDs []string `json:"privateSubnetIds" allowed:"two or more different subnet ids, for tasks and database" example:"[subnet-0123456789abcdef2, subnet-0123456789abcdef3]"`
}

// Existing says whether the stack uses a VPC it does not own.
func (n Network) Existing() bool { return n.VPCID != "" }

// Database describes the RDS instance and the two roles in it.
type Database struct {
	Version      string `json:"version" allowed:"a PostgreSQL version from 13 to 17, with or without its minor" example:"\"16\""`
	Class        string `json:"class" allowed:"an RDS instance class" example:"db.t4g.small"`
	Storage      int    `json:"storage" allowed:"20 to 65536 (GiB)" example:"20"`
	MaxStorage   int    `json:"maxStorage" allowed:"0 (no autoscaling), or at least a tenth more than database.storage, up to 65536 (GiB)" example:"200"`
	MultiAZ      bool   `json:"multiAz" allowed:"true or false" example:"true"`
	BackupDays   int    `json:"backupDays" allowed:"1 to 35" example:"14"`
	Protect      bool   `json:"protect" allowed:"true or false" example:"true"`
	OnDestroy    string `json:"onDestroy" allowed:"snapshot (deleted, a final snapshot stays), retain (left in the account) or delete (gone with its data)" example:"snapshot"`
	Replace      string `json:"replace" allowed:"nothing, or the name of the instance that is to be deleted with its data and made anew" example:"plan-charge-prod-db"`
	Insights     bool   `json:"insights" allowed:"true or false" example:"true"`
	Immediately  bool   `json:"immediately" allowed:"true or false" example:"false"`
	Certificate  string `json:"certificate" allowed:"the id of an RDS certificate authority" example:"rds-ca-rsa2048-g1"`
	Authority    string `json:"authority" allowed:"rds (Amazon RDS) or environment (whoever has a certificate in the file that PGSSLROOTCERT names)" example:"rds"`
	Name         string `json:"name" allowed:"a lower-case letter, then up to 62 letters, digits and underscores" example:"plan_charge"`
	Owner        string `json:"owner" allowed:"a lower-case letter, then up to 62 letters, digits and underscores; no reserved name" example:"plan_charge_owner"`
	App          string `json:"app" allowed:"a lower-case letter, then up to 62 letters, digits and underscores; not the owner's name" example:"plan_charge_app"`
	Port         int    `json:"port" allowed:"1150 to 65535" example:"5432"`
	RecoveryDays int    `json:"recoveryDays" allowed:"0 (secrets are deleted at once) or 7 to 30" example:"7"`
	// Access is how whatever runs Pulumi reaches the database: through a one-off task, or by itself.
	Access string `json:"access" allowed:"session (through a one-off task, from anywhere) or direct (from where the private network is reached)" example:"session"`
	// AccessPort is 0 for one that follows from the database; see LoopbackPort.
	AccessPort   int  `json:"accessPort" allowed:"0 (one that follows from the database), or 1024 to 65535" example:"15432"`
	PreviewReads bool `json:"previewReads" allowed:"true (previews open a session too, which takes its rights) or false" example:"false"`
	// Inbound is who may connect besides the tasks.
	Inbound []string `json:"inbound" allowed:"IPv4 blocks, each written with its first address, and ids of security groups, each once; no block that is open to everybody" example:"[10.8.0.0/16, sg-0123456789abcdef0]"`
	// SessionImage is what a session's task runs; it has to have a shell.
	SessionImage string `json:"sessionImage" allowed:"an image with a tag or a sha256 digest, or nothing for the release's" example:"public.ecr.aws/docker/library/busybox:1.37"`
}

// How the database is reached from where Pulumi runs.
const (
	// Session goes through a one-off task.
	Session = "session"
	// Direct dials the database's address.
	Direct = "direct"
)

// Migration says how the schema is brought up to date.
type Migration struct {
	Command      []string `json:"command" allowed:"one or more words, the first not empty" example:"[alembic, upgrade, head]"`
	Directory    string   `json:"directory" allowed:"an absolute path in the image" example:"/app"`
	VersionTable string   `json:"versionTable" allowed:"a table name" example:"alembic_version"`
	// VersionColumn holds the revision, in one row for each head.
	VersionColumn string        `json:"versionColumn" allowed:"a column name" example:"version_num"`
	CPU           int           `json:"cpu" allowed:"a CPU/memory pair that Fargate has" example:"256"`
	Memory        int           `json:"memory" allowed:"a CPU/memory pair that Fargate has" example:"512"`
	Timeout       time.Duration `json:"timeout" allowed:"a duration from 10s to 24h" example:"30m"`
	// LockTimeout bounds how long a statement may wait for a table while everybody else waits behind it.
	LockTimeout time.Duration `json:"lockTimeout" allowed:"a duration from 10s to 24h" example:"10s"`
	// DowngradeTo is the revision to go back to, by Downgrade and it as last word, in a task of Image.
	DowngradeTo string   `json:"downgradeTo" allowed:"nothing, or the revision that the schema is to go back to" example:"\"0003\""`
	Downgrade   []string `json:"downgrade" allowed:"one or more words, the first not empty; the revision is added" example:"[alembic, downgrade]"`
	Image       string   `json:"image" allowed:"nothing, or an image with a tag or a sha256 digest that knows what migration.downgradeTo takes back" example:"123456789012.dkr.ecr.eu-west-3.amazonaws.com/backend:1.1.0"`
	// IgnoreObjects are what an application makes itself. Accept is what was changed by hand and may stay so.
	IgnoreObjects []string `json:"ignoreObjects" allowed:"as many as wanted of: a kind of object or *, a space, and a name with its schema, in which * stands for anything" example:"[\"table public.cache_*\"]"`
	Accept        []string `json:"accept" allowed:"names of objects exactly as they were printed, with their kind and schema" example:"[table public.users]"`
}

// Organizations lists the rows of the table organizations.
type Organizations struct {
	OnRemove string         `json:"onRemove" allowed:"retain, softDelete or delete" example:"retain"`
	Rows     []Organization `json:"rows" allowed:"a list of organizations" example:"[{id: 00000000-0000-0000-0000-000000000001, name: NDA Partners}]"`
}

// Organization is one organization.
type Organization struct {
	ID   string `json:"id" allowed:"a uuid that no other organization has" example:"00000000-0000-0000-0000-000000000001"`
	Name string `json:"name" allowed:"1 to 255 characters, none of them a control character, not only spaces" example:"NDA Partners"`
}

// Service describes the tasks that answer requests.
type Service struct {
	CPU           int               `json:"cpu" allowed:"a CPU/memory pair that Fargate has" example:"512"`
	Memory        int               `json:"memory" allowed:"a CPU/memory pair that Fargate has" example:"1024"`
	Architecture  string            `json:"architecture" allowed:"X86_64 or ARM64" example:"X86_64"`
	Port          int               `json:"port" allowed:"1 to 65535" example:"8000"`
	Min           int               `json:"min" allowed:"1 to 200" example:"2"`
	Max           int               `json:"max" allowed:"1 to 200, not less than service.min" example:"6"`
	CPUTarget     int               `json:"cpuTarget" allowed:"10 to 90 (percent)" example:"60"`
	HealthPath    string            `json:"healthPath" allowed:"a path that starts with /, of letters, digits and /_.~-" example:"/health"`
	HealthCommand []string          `json:"healthCommand" allowed:"CMD or CMD-SHELL and its words, [NONE], or nothing for a request to service.healthPath by python3" example:"[CMD-SHELL, \"curl -fsS http://127.0.0.1:8000/health\"]"`
	HealthSeconds int               `json:"healthSeconds" allowed:"5 to 300" example:"15"`
	GraceSeconds  int               `json:"graceSeconds" allowed:"0 to 3600" example:"60"`
	DrainSeconds  int               `json:"drainSeconds" allowed:"0 to 3600" example:"30"`
	Environment   map[string]string `json:"environment" allowed:"names of letters, digits and underscores, none that the program sets itself; nothing secret" example:"{LOG_LEVEL: info}"`
	Secrets       map[string]string `json:"secrets" allowed:"names as in service.environment, each with the ARN of a Secrets Manager secret" example:"{JWT_KEY: \"arn:aws:secretsmanager:eu-west-3:123456789012:secret:jwt-AbCdEf\"}"`
	LogDays       int               `json:"logDays" allowed:"a retention CloudWatch Logs has: 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288 or 3653 (days)" example:"30"`
	Timeout       time.Duration     `json:"timeout" allowed:"a duration from 10s to 24h" example:"20m"`
}

// CDN describes the distribution.
type CDN struct {
	Alias          string `json:"alias" allowed:"a host name in lower case" example:"plan-de-charge.aws.nda-partners.com"`
	CertificateARN string `json:"certificateArn" allowed:"the ARN of an ACM certificate in us-east-1 (CloudFront takes no other region)" example:"arn:aws:acm:us-east-1:123456789012:certificate/11111111-2222-3333-4444-555555555555"`
	// With a certificate for the alias in the stack's region, the way from
	// CloudFront to the load balancer is encrypted too.
	OriginCertificateARN string `json:"originCertificateArn" allowed:"the ARN of an ACM certificate in the stack's region, for cdn.alias" example:"arn:aws:acm:eu-west-3:123456789012:certificate/11111111-2222-3333-4444-555555555555"`
	ZoneID               string `json:"zoneId" allowed:"the id of a Route 53 zone" example:"Z0123456789ABCDEFGHIJ"`
	PriceClass           string `json:"priceClass" allowed:"PriceClass_100, PriceClass_200 or PriceClass_All" example:"PriceClass_100"`
}

// Verification says what must be served before an update counts.
type Verification struct {
	LoginPath string        `json:"loginPath" allowed:"a path that starts with /, of letters, digits and /_.~-, or nothing for a service without a login" example:"/api/v1/auth/sso/token-exchange"`
	Timeout   time.Duration `json:"timeout" allowed:"a duration from 10s to 24h" example:"5m"`
	Version   bool          `json:"version" allowed:"true (the health answer is a JSON object whose version must be the image's) or false" example:"true"`
	Checks    []probe.Check `json:"checks" allowed:"a list of requests, made besides the built-in ones" example:"[{method: GET, path: /api/v1/ping, status: 200}]"`
}

// Alarms sets who is told and when.
type Alarms struct {
	Emails         []string `json:"emails" allowed:"e-mail addresses, each once" example:"[ops@example.com]"`
	Errors5xx      int      `json:"errors5xx" allowed:"1 or more (responses a minute)" example:"5"`
	CPUPercent     int      `json:"cpuPercent" allowed:"1 to 100" example:"80"`
	FreeStorageGiB int      `json:"freeStorageGiB" allowed:"1 or more, less than database.storage" example:"5"`
	Connections    int      `json:"connections" allowed:"1 or more" example:"80"`
}

// Strangers are rules, rights and listeners that somebody added by hand to what the stack owns.
type Strangers struct {
	Allow []string `json:"allow" allowed:"what may stay, each once and exactly as a refresh names it" example:"[\"role plan-charge-prod-backend-task: attached policy arn:aws:iam::aws:policy/ReadOnlyAccess\"]"`
}

// defaults are what a stack gets without saying anything. Pulumi.yaml shows
// the same values; a test compares the two.
func defaults() Config {
	return Config{
		Region:        "eu-west-3",
		Tags:          map[string]string{},
		Network:       Network{CIDR: "10.20.0.0/16", Zones: 2, NAT: "one"},
		Database:      Database{Version: "16", Class: "db.t4g.small", Storage: 20, MaxStorage: 200, BackupDays: 14, Protect: true, OnDestroy: "snapshot", Insights: true, Authority: authority.RDS, Name: "plan_charge", Owner: "plan_charge_owner", App: "plan_charge_app", Port: 5432, RecoveryDays: 7, Access: Session, Inbound: []string{}},
		Migration:     Migration{Command: []string{"alembic", "upgrade", "head"}, Downgrade: []string{"alembic", "downgrade"}, Directory: "/app", VersionTable: "alembic_version", VersionColumn: "version_num", CPU: 256, Memory: 512, Timeout: 30 * time.Minute, LockTimeout: 10 * time.Second, IgnoreObjects: []string{}, Accept: []string{}},
		Organizations: Organizations{OnRemove: pgrows.Retain, Rows: []Organization{}},
		Service:       Service{CPU: 512, Memory: 1024, Architecture: "X86_64", Port: 8000, Min: 2, Max: 6, CPUTarget: 60, HealthPath: "/health", HealthCommand: []string{}, HealthSeconds: 15, GraceSeconds: 60, DrainSeconds: 30, Environment: map[string]string{}, Secrets: map[string]string{}, LogDays: 30, Timeout: 20 * time.Minute},
		CDN:           CDN{PriceClass: "PriceClass_100"},
		Verification:  Verification{LoginPath: "/api/v1/auth/sso/token-exchange", Timeout: 5 * time.Minute, Checks: []probe.Check{}},
		Alarms:        Alarms{Emails: []string{}, Errors5xx: 5, CPUPercent: 80, FreeStorageGiB: 5, Connections: 80},
		Strangers:     Strangers{Allow: []string{}},
	}
}

// Load reads the stack's configuration and checks all of it. The error
// lists every mistake with its key, what was found, what is allowed and an
// example; it never contains a secret.
func Load(ctx *pulumi.Context) (*Config, error) {
	return load(source{
		project: ctx.Project(),
		stack:   ctx.Stack(),
		get:     func(key string) (string, bool) { return ctx.GetConfig(ctx.Project() + ":" + key) },
		secret:  func(key string) bool { return ctx.IsConfigSecret(ctx.Project() + ":" + key) },
		keys:    environmentKeys(),
	})
}

// source is where raw values come from: the engine, or a test.
type source struct {
	project, stack string
	get            func(key string) (string, bool)
	secret         func(key string) bool
	keys           []string
}

// environmentKeys lists the full keys the engine handed over. The SDK has no
// call for that, and without the list a misspelt key would go unnoticed.
func environmentKeys() []string {
	var values map[string]json.RawMessage
	if json.Unmarshal([]byte(os.Getenv(pulumi.EnvConfig)), &values) != nil {
		return nil
	}
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

func load(src source) (*Config, error) {
	cfg := defaults()
	cfg.Names = Names{Project: src.project, Stack: src.stack}
	c := newChecker(src.project)
	given := c.decode(src, &cfg)
	c.validate(&cfg, src.stack, given)
	if n := len(c.mistakes); n > 0 {
		sort.Slice(c.mistakes, func(i, j int) bool { return c.mistakes[i].Error() < c.mistakes[j].Error() })
		return nil, fmt.Errorf("the configuration of stack %q has %s; nothing was changed:\n%w",
			src.stack, count(n, "mistake"), errors.Join(c.mistakes...))
	}
	return &cfg, nil
}

// Version is what tells the image from other ones: its digest or its tag.
func (c *Config) Version() string {
	name, digest, ok := strings.Cut(c.Image, "@")
	if ok {
		return digest
	}
	return name[strings.LastIndex(name, ":")+1:]
}

// Words are those of the command that migrates: up, or down where that is asked for by name.
func (m Migration) Words() []string {
	if m.DowngradeTo == "" {
		return m.Command
	}
	return append(slices.Clone(m.Downgrade), m.DowngradeTo)
}

// MigrationImage is the one that migrates: the release's, unless it has to be one that knows what is taken back.
func (c *Config) MigrationImage() string { return cmp.Or(c.Migration.Image, c.Image) }

// Names gives things their names in the account.
type Names struct{ Project, Stack string }

// Name is the name of a thing: <project>-<stack>-<thing>.
func (n Names) Name(thing string) string { return n.Project + "-" + n.Stack + "-" + thing }

// Path is the name of a thing that lives in a folder: <project>-<stack>/<thing>.
func (n Names) Path(thing string) string { return n.Project + "-" + n.Stack + "/" + thing }

// Key is a configuration key as people write it: <project>:<path>.
func (n Names) Key(path string) string { return n.Project + ":" + path }

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
