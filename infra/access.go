package infra

import (
	"encoding/json"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ecs"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
)

// AccessArgs are the inputs of an Access.
type AccessArgs struct {
	Settings TaskSettings
	Image    string // with a shell; empty: the release's
	Cluster  *Cluster
}

// Access is the way to the database from outside its network: the task definition of a one-off task that does nothing but
// carry an exec agent, through which AWS lets a session in. Nothing of it runs or costs while nobody is connected.
type Access struct {
	pulumi.ResourceState

	TaskDefinitionARN pulumi.StringOutput
	Owned             Owned

	ready []pulumi.CustomResource
}

// Ready is the task definition and what its tasks need to start and to let a session in.
func (a *Access) Ready() []pulumi.CustomResource { return a.ready }

// AccessFamily is the task definition's name without its revision.
func AccessFamily(names config.Names) string { return names.Name("access") }

// NewAccess declares the task definition and its roles.
func NewAccess(ctx *pulumi.Context, name string, args *AccessArgs, opts ...pulumi.ResourceOption) (*Access, error) {
	a := &Access{}
	if err := ctx.RegisterComponentResource("plan-charge:infra:Access", name, a, opts...); err != nil {
		return nil, err
	}
	names, parent, image := args.Settings.Names, pulumi.Parent(a), args.Image
	if image == "" {
		image = args.Settings.Image
	}
	role, err := newTaskRole(ctx, name+"-role", names.Name("access-task"), args.Cluster.ARN, parent)
	if err != nil {
		return nil, err
	}
	shell, err := newExecRights(ctx, name+"-shell", role, parent)
	if err != nil {
		return nil, err
	}
	a.Owned.right(role, shell)
	execution, err := newTaskRole(ctx, name+"-execution", names.Name("access-execution"), args.Cluster.ARN, parent)
	if err != nil {
		return nil, err
	}
	a.ready = append(a.ready, shell)
	if pull := pullRights(image); len(pull) > 0 {
		rights, err := iam.NewRolePolicy(ctx, name+"-execution-rights", &iam.RolePolicyArgs{
			Name: pulumi.String("start-tasks"), Role: execution.ID(), Policy: pulumi.String(policy(pull...)),
		}, parent)
		if err != nil {
			return nil, err
		}
		a.Owned.right(execution, rights)
		a.ready = append(a.ready, rights)
	} else {
		a.Owned.role(execution)
	}
	container, err := json.Marshal([]any{map[string]any{
		"name":      Container,
		"image":     image,
		"essential": true,
		// Who starts it says what it waits for; on its own it ends at once.
		"command":         []string{"sh", "-c", "exit 0"},
		"linuxParameters": map[string]any{"initProcessEnabled": true},
	}})
	if err != nil {
		return nil, err
	}
	definition, err := ecs.NewTaskDefinition(ctx, name+"-task", &ecs.TaskDefinitionArgs{
		Family:                  pulumi.String(AccessFamily(names)),
		RequiresCompatibilities: pulumi.ToStringArray([]string{"FARGATE"}),
		NetworkMode:             pulumi.String("awsvpc"),
		Cpu:                     pulumi.String("256"), // the smallest that Fargate has
		Memory:                  pulumi.String("512"),
		TaskRoleArn:             role.Arn,
		ExecutionRoleArn:        execution.Arn,
		RuntimePlatform: &ecs.TaskDefinitionRuntimePlatformArgs{
			OperatingSystemFamily: pulumi.String("LINUX"),
			CpuArchitecture:       pulumi.String(args.Settings.Architecture),
		},
		ContainerDefinitions: pulumi.String(container),
	}, parent)
	if err != nil {
		return nil, err
	}
	a.TaskDefinitionARN, a.ready = definition.Arn, append(a.ready, definition)
	return a, ctx.RegisterResourceOutputs(a, pulumi.Map{"taskDefinition": a.TaskDefinitionARN})
}
