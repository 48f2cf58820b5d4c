package infra

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
)

// MigrationTaskArgs are the inputs of a MigrationTask.
type MigrationTaskArgs struct {
	Settings  TaskSettings
	Migration config.Migration
	Network   *Network
	Cluster   *Cluster
	Database  *Database
}

// MigrationTask is the task definition that migrates: the service's image
// with the owner's URL. It has one of its own because a RunTask override can
// change a command but no secret.
type MigrationTask struct {
	pulumi.ResourceState

	TaskDefinitionARN pulumi.StringOutput
	SecretARN         pulumi.StringOutput // of the owner's URL
	LogGroup          pulumi.StringOutput
	LogStreamPrefix   string
	Owned             Owned

	ready []pulumi.CustomResource
}

// Ready is what has to be there before the task can start.
func (m *MigrationTask) Ready() []pulumi.CustomResource { return m.ready }

// NewMigrationTask declares the task definition and what it needs to start.
func NewMigrationTask(ctx *pulumi.Context, name string, args *MigrationTaskArgs, opts ...pulumi.ResourceOption) (*MigrationTask, error) {
	m := &MigrationTask{LogStreamPrefix: logStream}
	if err := ctx.RegisterComponentResource("plan-charge:infra:MigrationTask", name, m, opts...); err != nil {
		return nil, err
	}
	made, err := (&task{
		settings:   args.Settings,
		cluster:    args.Cluster,
		thing:      "migration",
		secretName: "migration-url",
		secretWhat: "Database URL of the owner, for migrations",
		url:        args.Database.URL(args.Database.Owner),
		cpu:        args.Migration.CPU,
		memory:     args.Migration.Memory,
		container: map[string]any{
			"command":          args.Migration.Words(),
			"workingDirectory": args.Migration.Directory,
		},
		parent:        m,
		componentName: name,
	}).declare(ctx)
	if err != nil {
		return nil, err
	}
	m.TaskDefinitionARN, m.SecretARN, m.LogGroup = made.definition.Arn, made.secretARN, made.logGroup
	m.Owned.add(&made.owned)
	m.ready = append([]pulumi.CustomResource{made.rights}, args.Network.Egress...)
	return m, ctx.RegisterResourceOutputs(m, pulumi.Map{"taskDefinition": m.TaskDefinitionARN})
}
