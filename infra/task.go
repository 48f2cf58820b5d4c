package infra

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ecs"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/secretsmanager"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/internal/order"
)

// Container is the name of the container in every task.
const Container = "backend"

// logStream is what log streams start with: <logStream>/<container>/<task id>.
const logStream = "ecs"

// task is what the service's and the migration's tasks have in common: the
// image, a log group, DATABASE_URL as a secret, and the right to start.
type task struct {
	cfg           *Config
	cluster       *Cluster
	thing         string // backend or migration
	secretName    string
	secretWhat    string
	url           pulumi.StringOutput
	cpu, memory   int
	taskRole      *iam.Role
	secrets       map[string]string       // further ones: variable to ARN
	container     map[string]any          // what only this kind of container has
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
}

func (t *task) declare(ctx *pulumi.Context) (*madeTask, error) {
	cfg, parent, name := t.cfg, pulumi.Parent(t.parent), t.componentName
	family := cfg.Name(t.thing)

	logs, err := cloudwatch.NewLogGroup(ctx, name+"-logs", &cloudwatch.LogGroupArgs{
		Name:            pulumi.String("/" + cfg.Path(t.thing)),
		RetentionInDays: pulumi.Int(cfg.Service.LogDays),
	}, parent)
	if err != nil {
		return nil, err
	}
	secret, err := secretsmanager.NewSecret(ctx, name+"-url", &secretsmanager.SecretArgs{
		Name:                 pulumi.String(cfg.Path(t.secretName)),
		Description:          pulumi.String(t.secretWhat),
		RecoveryWindowInDays: pulumi.Int(cfg.Database.RecoveryDays),
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
	for _, variable := range sortedKeys(t.secrets) {
		readable = append(readable, pulumi.String(t.secrets[variable]))
	}
	execution, rights, err := newExecutionRole(ctx, name+"-execution", cfg.Name(t.thing+"-execution"), cfg.Image, t.cluster.ARN, logs.Arn, readable, parent)
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
		Family:                  pulumi.String(family),
		RequiresCompatibilities: pulumi.ToStringArray([]string{"FARGATE"}),
		NetworkMode:             pulumi.String("awsvpc"),
		Cpu:                     pulumi.String(strconv.Itoa(t.cpu)),
		Memory:                  pulumi.String(strconv.Itoa(t.memory)),
		ExecutionRoleArn:        execution.Arn,
		RuntimePlatform: &ecs.TaskDefinitionRuntimePlatformArgs{
			OperatingSystemFamily: pulumi.String("LINUX"),
			CpuArchitecture:       pulumi.String(cfg.Service.Architecture),
		},
		ContainerDefinitions: containers,
	}
	if t.taskRole != nil {
		definition.TaskRoleArn = t.taskRole.Arn
	}
	made, err := ecs.NewTaskDefinition(ctx, name+"-task", definition, parent)
	if err != nil {
		return nil, err
	}
	return &madeTask{made, secret.Arn, logs.Name, rights}, nil
}

// containers is the task's container list as ECS wants it.
func (t *task) containers(urlReference, logGroup string) (string, error) {
	secrets := []variable{{Name: "DATABASE_URL", ValueFrom: urlReference}}
	for _, name := range sortedKeys(t.secrets) {
		secrets = append(secrets, variable{Name: name, ValueFrom: t.secrets[name]})
	}
	environment := []variable{
		{Name: "PORT", Value: strconv.Itoa(t.cfg.Service.Port)},
		{Name: "SERVICE_VERSION", Value: t.cfg.Version()},
	}
	for _, name := range sortedKeys(t.cfg.Service.Environment) {
		environment = append(environment, variable{Name: name, Value: t.cfg.Service.Environment[name]})
	}
	byName := func(a, b variable) int { return strings.Compare(a.Name, b.Name) }
	slices.SortFunc(secrets, byName)
	slices.SortFunc(environment, byName)

	container := map[string]any{
		"name":        Container,
		"image":       t.cfg.Image,
		"essential":   true,
		"environment": environment,
		"secrets":     secrets,
		// A first process that passes signals on and reaps what ECS Exec leaves.
		"linuxParameters": map[string]any{"initProcessEnabled": true},
		"logConfiguration": map[string]any{
			"logDriver": "awslogs",
			"options": map[string]string{
				"awslogs-group":         logGroup,
				"awslogs-region":        t.cfg.Region,
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

// Version is what tells the image from other ones: its digest or its tag.
func (c *Config) Version() string {
	name, digest, ok := strings.Cut(c.Image, "@")
	if ok {
		return digest
	}
	return name[strings.LastIndex(name, ":")+1:]
}
