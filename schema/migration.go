package schema

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pulumi/pulumi-command/sdk/go/command/local"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/internal/announce"
	"plan-charge/internal/authority"
	"plan-charge/internal/order"
	"plan-charge/internal/versiontable"
	"plan-charge/provider/pgrows"
)

// MigrationArgs are the inputs of a Migration.
type MigrationArgs struct {
	Connection        Connection
	Cluster           pulumi.StringInput
	TaskDefinition    pulumi.StringInput // ARN; its container logs in as the owner
	Container         string
	Image             pulumi.StringInput // what the task definition runs
	Command           []string
	SubnetIDs         pulumi.StringArrayInput
	SecurityGroupIDs  pulumi.StringArrayInput
	LogGroup          pulumi.StringInput
	LogStreamPrefix   string
	OwnerURLSecretARN pulumi.StringInput
	VersionTable      string        // with its schema or without
	VersionColumn     string        // holds the revision
	Timeout           time.Duration // for the task and everything around it
	Service           string        // in the cluster; with Site and HealthPath a failed migration says what serves and answers
	Site              string        // its address, or the comment of the distribution that serves it
	HealthPath        string        // of the site
	LockTimeout       time.Duration // for a statement that keeps others from a table while it waits for it
	IgnoreObjects     []string      // patterns of the schema's objects that others make
	Accept            []string      // names of its objects that may differ from what the last migration left
	// DowngradeTo is the revision that Command goes back to, "" where it goes forward. A snapshot of Instance is taken first.
	DowngradeTo string
	Instance    string
	// Environment is what the command needs besides to reach AWS.
	Environment map[string]string
	// DependsOn is what must be there before the task can run.
	DependsOn []pulumi.CustomResource
}

// Migration brings the database's tables to the revision of an image. It runs when the image, the command or the
// database's revision changes, and not otherwise.
type Migration struct {
	pulumi.ResourceState

	// Revision is what the database is at, which an image that it has moved past does not change.
	Revision pulumi.StringOutput

	run *local.Command
}

// Ready is the command that migrates.
func (m *Migration) Ready() []pulumi.CustomResource { return []pulumi.CustomResource{m.run} }

// NewMigration declares the watch on the revision and the command that migrates.
func NewMigration(ctx *pulumi.Context, name string, args *MigrationArgs, opts ...pulumi.ResourceOption) (*Migration, error) {
	table, err := versiontable.Parse(args.VersionTable)
	if err != nil {
		return nil, err
	}
	command, err := json.Marshal(args.Command)
	if err != nil {
		return nil, err
	}
	ignore, accept, err := lists(args)
	if err != nil {
		return nil, err
	}
	if args.Timeout <= 0 || args.LockTimeout <= 0 {
		return nil, errors.New("NewMigration: Timeout and LockTimeout must be above zero")
	}
	m := &Migration{}
	if err := ctx.RegisterComponentResource("plan-charge:schema:Migration", name, m, opts...); err != nil {
		return nil, err
	}
	c := args.Connection
	provider, err := c.rows(ctx, name+"-postgres", pulumi.Parent(m), order.After(args.DependsOn...))
	if err != nil {
		return nil, err
	}
	current, err := pgrows.NewRevision(ctx, name+"-revision", &pgrows.RevisionArgs{
		Schema:   pulumi.String(table.Schema),
		Table:    pulumi.String(table.Name),
		Column:   pulumi.String(args.VersionColumn),
		Triggers: c.triggers(),

		IgnoreObjects: pulumi.ToStringArray(args.IgnoreObjects),
	}, c.inside(m, provider, args.DependsOn...)...)
	if err != nil {
		return nil, err
	}

	generation, said, err := m.announce(ctx, name, args, current)
	if err != nil {
		return nil, err
	}
	environment := pulumi.ToStringMap(args.Environment)
	maps.Copy(environment, pulumi.StringMap{
		"MIGRATE_CLUSTER":           args.Cluster,
		"MIGRATE_TASK_DEFINITION":   args.TaskDefinition,
		"MIGRATE_CONTAINER":         pulumi.String(args.Container),
		"MIGRATE_IMAGE":             args.Image,
		"MIGRATE_COMMAND":           pulumi.String(command),
		"MIGRATE_SUBNETS":           joined(args.SubnetIDs),
		"MIGRATE_SECURITY_GROUPS":   joined(args.SecurityGroupIDs),
		"MIGRATE_LOG_GROUP":         args.LogGroup,
		"MIGRATE_LOG_STREAM_PREFIX": pulumi.String(args.LogStreamPrefix),
		"MIGRATE_SECRET_ARN":        args.OwnerURLSecretARN,
		"MIGRATE_VERSION_TABLE":     pulumi.String(table.String()),
		"MIGRATE_VERSION_COLUMN":    pulumi.String(args.VersionColumn),
		"MIGRATE_IGNORE_OBJECTS":    pulumi.String(ignore),
		"MIGRATE_ACCEPT":            pulumi.String(accept),
		"MIGRATE_TIMEOUT":           pulumi.String(args.Timeout.String()),
		"MIGRATE_LOCK_TIMEOUT":      pulumi.String(args.LockTimeout.String()),
		"MIGRATE_SERVICE":           pulumi.String(args.Service),
		"MIGRATE_SITE":              pulumi.String(args.Site),
		"MIGRATE_HEALTH_PATH":       pulumi.String(args.HealthPath),
		"MIGRATE_KEY":               pulumi.Sprintf("%s %s %d", args.Image, string(command), generation),
	})
	if args.DowngradeTo != "" { // else the variables would be a change of every stack
		environment["MIGRATE_DOWNGRADE_TO"] = pulumi.String(args.DowngradeTo)
		environment["MIGRATE_SNAPSHOT_OF"] = pulumi.String(args.Instance)
	}
	if c.Authority != authority.RDS {
		environment["MIGRATE_AUTHORITY"] = pulumi.String(c.Authority)
	}
	if args.Connection.Way != nil {
		environment["MIGRATE_SESSION"] = args.Connection.Way.Route
	}
	run, err := local.NewCommand(ctx, name+"-run", &local.CommandArgs{
		Create: pulumi.String("go run ./cmd/plan-charge migrate"),
		// Any change of the environment, such as a new timeout, is an update, and no reason to migrate.
		Update: pulumi.String("go run ./cmd/plan-charge migrate --unless-done"),
		Dir:    pulumi.String("."),
		// A long log does not fit into a variable.
		AddPreviousOutputInEnv: pulumi.Bool(false),
		Environment:            environment,
		Triggers:               pulumi.Array{args.Image, pulumi.String(command), generation},
	}, pulumi.Parent(m), pulumi.ResourceHooks(&pulumi.ResourceHookBinding{BeforeCreate: said}), order.After(append([]pulumi.CustomResource{current}, args.DependsOn...)...))
	if err != nil {
		return nil, err
	}
	m.run = run
	m.Revision = run.Stdout.ApplyT(strings.TrimSpace).(pulumi.StringOutput)
	return m, ctx.RegisterResourceOutputs(m, pulumi.Map{"revision": m.Revision})
}

// lists are those of objects, as the command takes them.
func lists(args *MigrationArgs) (ignore, accept []byte, err error) {
	if ignore, err = json.Marshal(args.IgnoreObjects); err == nil {
		accept, err = json.Marshal(args.Accept)
	}
	return ignore, accept, err
}

// announce has a preview say that the image migrates, or that it is an older one, which will be rolled out and not
// migrated. The command says so itself when it runs, and waits for the generation: what there is to say is known by then.
func (m *Migration) announce(ctx *pulumi.Context, name string, args *MigrationArgs, current *pgrows.Revision) (generation pulumi.IntOutput, said []*pulumi.ResourceHook, err error) {
	if !ctx.DryRun() {
		return current.Generation, nil, nil
	}
	var text atomic.Value
	text.Store("")
	generation = pulumi.All(current.Generation, args.Image, current.NotMigrated).ApplyT(func(v []any) int {
		image := v[1].(string)
		text.Store(announce.Migration(image, args.Command, v[2].(map[string]string)[image]))
		return v[0].(int)
	}).(pulumi.IntOutput)
	said, err = announce.Hooks(ctx, name, m, func(announce.Change) string { return text.Load().(string) })
	return generation, said, err
}

// joined separates strings by commas, which neither ids nor names of AWS contain.
func joined(list pulumi.StringArrayInput) pulumi.StringOutput {
	return list.ToStringArrayOutput().ApplyT(func(l []string) string { return strings.Join(l, ",") }).(pulumi.StringOutput)
}
