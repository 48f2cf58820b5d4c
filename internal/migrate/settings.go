package migrate

import (
	"fmt"
	"strings"
	"time"

	"plan-charge/internal/authority"
	"plan-charge/internal/env"
	"plan-charge/internal/schemaobjects"
	"plan-charge/internal/session"
	"plan-charge/internal/versiontable"
)

// Settings says which task migrates which database.
type Settings struct {
	Cluster         string   // name or ARN
	TaskDefinition  string   // ARN, or family:revision
	Container       string   // the container whose exit code decides
	Command         []string // replaces the container's own command; empty: it stays
	Subnets         []string
	SecurityGroups  []string
	LogGroup        string
	LogStreamPrefix string
	SecretARN       string // the secret that holds the owner's database URL
	VersionTable    versiontable.Table
	Timeout         time.Duration  // for everything: waiting for others, the task, reading the revision
	LockTimeout     time.Duration  // for a statement that keeps others from a table while it waits for it
	Image           string         // that the task definition runs, as it was configured
	DowngradeTo     string         // the revision that Command goes back to; empty: it goes forward
	SnapshotOf      string         // the RDS instance that is copied before a downgrade
	Key             string         // what the migration depends on: image, command and generation; may be empty
	UnlessDone      bool           // do nothing when the last migration was one for this Key and what it left is still there
	IgnoreObjects   []string       // patterns of the schema's objects that are not compared with what the last migration left
	Accept          []string       // names of those that may differ from it, and become part of what this one leaves
	Route           *session.Route // of a session to the database; nil: its address is dialled
	Authority       string         // who vouches for the database server, as the package authority has it
}

// What bounds a migration, and its waits for tables, when nothing else is said.
const (
	DefaultTimeout     = time.Hour
	DefaultLockTimeout = 10 * time.Second
)

// FromEnv reads the settings from MIGRATE_… variables; the error names every mistake.
func FromEnv(lookup func(string) (string, bool)) (Settings, error) {
	r := env.New(lookup)
	s := Settings{
		Cluster:         r.Required("MIGRATE_CLUSTER", "an ECS cluster's name or ARN", "plan-charge-prod-cluster"),
		TaskDefinition:  r.Required("MIGRATE_TASK_DEFINITION", "a task definition's ARN", "arn:aws:ecs:eu-west-3:123456789012:task-definition/plan-charge-prod-migration:7"),
		Container:       r.Required("MIGRATE_CONTAINER", "a container's name in the task definition", "backend"),
		Subnets:         r.List("MIGRATE_SUBNETS", "one or more subnet ids, separated by commas", "subnet-0a1,subnet-0b2"),
		SecurityGroups:  r.List("MIGRATE_SECURITY_GROUPS", "one or more security group ids, separated by commas", "sg-0a1"),
		LogGroup:        r.Required("MIGRATE_LOG_GROUP", "a CloudWatch log group's name", "/plan-charge-prod/migration"),
		LogStreamPrefix: r.Required("MIGRATE_LOG_STREAM_PREFIX", "the awslogs-stream-prefix of the task definition", "migration"),
		SecretARN:       r.Required("MIGRATE_SECRET_ARN", "the ARN or name of the secret with the owner's database URL", "plan-charge-prod/migration-url"),
		Timeout:         r.Duration("MIGRATE_TIMEOUT", DefaultTimeout),
		LockTimeout:     r.Duration("MIGRATE_LOCK_TIMEOUT", DefaultLockTimeout),
		Image:           r.Required("MIGRATE_IMAGE", "the image that the task definition runs", "registry.example/plan-charge/backend:1.4.0"),
		Key:             r.Optional("MIGRATE_KEY", ""),
		Authority:       r.Optional("MIGRATE_AUTHORITY", authority.RDS),
	}
	r.JSON("MIGRATE_COMMAND", "a JSON array of strings", `["alembic","upgrade","head"]`, &s.Command)
	if s.DowngradeTo = r.Optional("MIGRATE_DOWNGRADE_TO", ""); s.DowngradeTo != "" {
		s.SnapshotOf = r.Required("MIGRATE_SNAPSHOT_OF", "an RDS instance's identifier", "plan-charge-prod-db")
	}
	if route := r.Optional("MIGRATE_SESSION", ""); route != "" {
		var err error
		if s.Route, err = session.ParseRoute(route); err != nil {
			r.Mistake("MIGRATE_SESSION", fmt.Sprintf("what %v", err), "the route of a session as JSON, or nothing", `{"stack": "plan-charge-prod", …}`)
		}
	}
	if _, err := authority.Roots(s.Authority); err != nil {
		r.Mistake("MIGRATE_AUTHORITY", fmt.Sprintf("%q, where %v", s.Authority, err), authority.RDS+", "+authority.Environment+" or a file of certificates (PEM)", authority.RDS)
	}
	objects(r, "MIGRATE_IGNORE_OBJECTS", schemaobjects.AllowedPattern, `["table public.cache_*"]`, &s.IgnoreObjects, schemaobjects.ValidPattern)
	objects(r, "MIGRATE_ACCEPT", schemaobjects.AllowedName, `["table public.users"]`, &s.Accept, schemaobjects.ValidName)

	var err error
	name := r.Optional("MIGRATE_VERSION_TABLE", "")
	if s.VersionTable, err = versiontable.Parse(name); err != nil {
		r.Mistake("MIGRATE_VERSION_TABLE", fmt.Sprintf("%q", name), versiontable.Allowed, versiontable.Example)
	}
	s.VersionTable.Column = r.Optional("MIGRATE_VERSION_COLUMN", s.VersionTable.Column)
	if s.TaskDefinition != "" && s.Family() == "" {
		r.Mistake("MIGRATE_TASK_DEFINITION", fmt.Sprintf("%q", s.TaskDefinition), "a task definition's ARN or family:revision", "plan-charge-prod-migration:7")
	}
	return s, r.Err()
}

// objects reads a list of names or patterns.
func objects(r *env.Reader, key, allowed, example string, list *[]string, valid func(string) bool) {
	r.JSON(key, "a JSON array of strings", example, list)
	for _, text := range *list {
		if !valid(text) {
			r.Mistake(key, fmt.Sprintf("%q", text), allowed, example)
		}
	}
}

// Family is the task definition's name without its revision.
func (s Settings) Family() string {
	name := s.TaskDefinition[strings.LastIndexByte(s.TaskDefinition, '/')+1:]
	family, _, _ := strings.Cut(name, ":")
	return family
}
