package infra

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ecs"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/secretsmanager"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
	"plan-charge/internal/order"
)

// Container is the name of the container in every task.
const Container = "backend"

// logStream is what log streams start with: <logStream>/<container>/<task id>.
const logStream = "ecs"

// TaskSettings are what every task of the application gets: the service's and the migration's run the same image in the
// same surroundings.
type TaskSettings struct {
	Names        config.Names
	Region       string
	Image        string
	Version      string // what the application calls itself
	Architecture string
	Port         int // as the variable PORT
	Environment  map[string]string
	Secrets      map[string]string // variable to ARN
	LogDays      int
	RecoveryDays int // of deleted secrets
}

// task is what the service's and the migration's tasks have in common: the
// image, a log group, DATABASE_URL as a secret, and the right to start.
type task struct {
	settings      TaskSettings
	cluster       *Cluster
	thing         string // backend or migration
	secretName    string
	secretWhat    string
	url           pulumi.StringOutput
	cpu, memory   int
	taskRole      *iam.Role
	container     map[string]any          // what only this kind of container has
	kept          bool                    // earlier task definitions stay ACTIVE, so that ECS can go back to them
	after         []pulumi.CustomResource // what has to be there before the secret is written
	parent        pulumi.Resource
	componentName string
}

// madeTask is what a task definition needs others to know.
type madeTask struct {
	definition *ecs.TaskDefinition
	secretARN  pulumi.StringOutput
	logGroup   pulumi.StringOutput
	rights     pulumi.CustomResource
	owned      Owned
}

func (t *task) declare(ctx *pulumi.Context) (*madeTask, error) {
	settings, parent, name := t.settings, pulumi.Parent(t.parent), t.componentName
	names := settings.Names

	logs, err := cloudwatch.NewLogGroup(ctx, name+"-logs", &cloudwatch.LogGroupArgs{
		Name:            pulumi.String("/" + names.Path(t.thing)),
		RetentionInDays: pulumi.Int(settings.LogDays),
	}, parent)
	if err != nil {
		return nil, err
	}
	secret, err := secretsmanager.NewSecret(ctx, name+"-url", &secretsmanager.SecretArgs{
		Name:                 pulumi.String(names.Path(t.secretName)),
		Description:          pulumi.String(t.secretWhat),
		RecoveryWindowInDays: pulumi.Int(settings.RecoveryDays),
	}, parent)
	if err != nil {
		return nil, err
	}
	version, err := secretsmanager.NewSecretVersion(ctx, name+"-url-value", &secretsmanager.SecretVersionArgs{
		SecretId:     secret.ID(),
		SecretString: t.url,
	}, parent, order.After(t.after...))
	if err != nil {
		return nil, err
	}

	readable := pulumi.StringArray{secret.Arn}
	for _, variable := range slices.Sorted(maps.Keys(t.settings.Secrets)) {
		readable = append(readable, pulumi.String(t.settings.Secrets[variable]))
	}
	execution, rights, err := newExecutionRole(ctx, name+"-execution", names.Name(t.thing+"-execution"), settings.Image, t.cluster.ARN, logs.Arn, readable, parent)
	if err != nil {
		return nil, err
	}

	containers := pulumi.All(secret.Arn, version.VersionId, logs.Name).ApplyT(func(v []any) (string, error) {
		// With its version in the reference, a changed URL is a new task
		// definition, and so a rollout; a running version keeps the URL it has.
		url := fmt.Sprintf("%s:::%s", v[0], v[1])
		return t.containers(url, v[2].(string))
	}).(pulumi.StringOutput)
	definition := &ecs.TaskDefinitionArgs{
		Family:                  pulumi.String(names.Name(t.thing)),
		RequiresCompatibilities: pulumi.ToStringArray([]string{"FARGATE"}),
		NetworkMode:             pulumi.String("awsvpc"),
		Cpu:                     pulumi.String(strconv.Itoa(t.cpu)),
		Memory:                  pulumi.String(strconv.Itoa(t.memory)),
		ExecutionRoleArn:        execution.Arn,
		RuntimePlatform: &ecs.TaskDefinitionRuntimePlatformArgs{
			OperatingSystemFamily: pulumi.String("LINUX"),
			CpuArchitecture:       pulumi.String(settings.Architecture),
		},
		ContainerDefinitions: containers,
	}
	if t.taskRole != nil {
		definition.TaskRoleArn = t.taskRole.Arn
	}
	if t.kept {
		definition.SkipDestroy = pulumi.Bool(true)
	}
	made, err := ecs.NewTaskDefinition(ctx, name+"-task", definition, parent)
	if err != nil {
		return nil, err
	}
	task := &madeTask{definition: made, secretARN: secret.Arn, logGroup: logs.Name, rights: rights}
	task.owned.right(execution, rights)
	task.owned.secretVersions = pulumi.StringArray{pulumi.Sprintf("%s %s", secret.Arn, version.VersionId)}
	return task, nil
}

// containers is the task's container list as ECS wants it.
func (t *task) containers(urlReference, logGroup string) (string, error) {
	secrets := []variable{{Name: "DATABASE_URL", ValueFrom: urlReference}}
	for _, name := range slices.Sorted(maps.Keys(t.settings.Secrets)) {
		secrets = append(secrets, variable{Name: name, ValueFrom: t.settings.Secrets[name]})
	}
	environment := []variable{
		{Name: "PORT", Value: strconv.Itoa(t.settings.Port)},
		{Name: "SERVICE_VERSION", Value: t.settings.Version},
	}
	for _, name := range slices.Sorted(maps.Keys(t.settings.Environment)) {
		environment = append(environment, variable{Name: name, Value: t.settings.Environment[name]})
	}
	byName := func(a, b variable) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(secrets, byName)
	slices.SortFunc(environment, byName)

	container := map[string]any{
		"name":        Container,
		"image":       t.settings.Image,
		"essential":   true,
		"environment": environment,
		"secrets":     secrets,
		// A first process that passes signals on and reaps what ECS Exec leaves.
		"linuxParameters": map[string]any{"initProcessEnabled": true},
		"logConfiguration": map[string]any{
			"logDriver": "awslogs",
			"options": map[string]string{
				"awslogs-group":         logGroup,
				"awslogs-region":        t.settings.Region,
				"awslogs-stream-prefix": logStream,
			},
		},
	}
	for key, value := range t.container {
		container[key] = value
	}
	text, err := json.Marshal([]any{container})
	return string(text), err
}

// variable is an environment variable, by value or from a secret.
type variable struct {
	Name      string `json:"name"`
	Value     string `json:"value,omitempty"`
	ValueFrom string `json:"valueFrom,omitempty"`
}
