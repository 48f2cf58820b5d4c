package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	cloudfronttypes "github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	secretstypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/jackc/pgx/v5"

	"plan-charge/internal/progress"
	"plan-charge/sandbox/box"
	"plan-charge/sandbox/report"
)

// What the incident leaves behind that no program declares.
const (
	wrongDatabase = "plan_charge_old"
	wrongSecret   = "plan-charge-sandbox/database-url-by-hand"
)

// incident does to a deployment by hand, through the AWS API and SQL, what people once did to it.
type incident struct {
	ecs     *ecs.Client
	cdn     *cloudfront.Client
	secrets *secretsmanager.Client
	owner   *url.URL // of the right database
	connect func(ctx context.Context, url string) (*pgx.Conn, error)

	cluster, service, distribution string
	appSecret, migrationFamily     string
	definition                     string // the task definition registered by hand
}

func newIncident(ctx context.Context, b *box.Box, status *report.Status) (*incident, error) {
	cfg, err := b.AWS(ctx)
	if err != nil {
		return nil, err
	}
	owner, err := url.Parse(status.Database)
	if err != nil {
		return nil, errors.New("the owner's database URL cannot be parsed")
	}
	return &incident{
		ecs: ecs.NewFromConfig(cfg), cdn: cloudfront.NewFromConfig(cfg), secrets: secretsmanager.NewFromConfig(cfg), owner: owner, connect: b.Connect,
		cluster: status.Output("cluster"), service: status.Output("service"), distribution: status.Output("distributionId"), appSecret: status.Output("databaseUrlSecret"),
		migrationFamily: strings.TrimSuffix(status.Output("service"), "backend") + "migration",
	}, nil
}

// build makes the four faults. It can be called again after a build that did not get to its end.
func (i *incident) build(ctx context.Context, w io.Writer) error {
	for _, part := range []struct {
		what     string
		expected time.Duration
		do       func(context.Context) error
	}{
		{"DATABASE_URL names another database, which is empty: CREATE DATABASE, secret, task definition, UpdateService", 25 * time.Second, i.nameAnotherDatabase},
		{"no organizations: DELETE FROM organizations", time.Second, i.deleteRows},
		{"the schema is gone: alembic downgrade base in a task", 10 * time.Second, i.downgrade},
		{"errors are cached by CloudFront's default: UpdateDistribution without custom error responses", time.Second, i.cacheErrors},
	} {
		step := progress.Start(w, part.what, part.expected)
		err := part.do(ctx)
		step.Done(err)
		if err != nil {
			return fmt.Errorf("build the incident: %s: %w", part.what, err)
		}
	}
	return nil
}

func (i *incident) nameAnotherDatabase(ctx context.Context) error {
	if err := i.createWrongDatabase(ctx); err != nil {
		return err
	}
	secret, err := i.createWrongSecret(ctx)
	if err != nil {
		return err
	}
	service, err := i.describe(ctx)
	if err != nil {
		return err
	}
	out, err := i.ecs.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: service.TaskDefinition})
	if err != nil {
		return err
	}
	now := out.TaskDefinition
	for c := range now.ContainerDefinitions {
		for n, s := range now.ContainerDefinitions[c].Secrets {
			if aws.ToString(s.Name) == "DATABASE_URL" {
				now.ContainerDefinitions[c].Secrets[n].ValueFrom = &secret
			}
		}
	}
	made, err := i.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family: now.Family, ContainerDefinitions: now.ContainerDefinitions, Cpu: now.Cpu, Memory: now.Memory, NetworkMode: now.NetworkMode,
		ExecutionRoleArn: now.ExecutionRoleArn, TaskRoleArn: now.TaskRoleArn, RequiresCompatibilities: now.RequiresCompatibilities, RuntimePlatform: now.RuntimePlatform,
	})
	if err != nil {
		return err
	}
	i.definition = aws.ToString(made.TaskDefinition.TaskDefinitionArn)
	if _, err := i.ecs.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: &i.cluster, Service: &i.service, TaskDefinition: &i.definition}); err != nil {
		return err
	}
	return i.awaitRollout(ctx)
}

func (i *incident) createWrongDatabase(ctx context.Context) error {
	return i.sql(ctx, func(conn *pgx.Conn) error {
		var there bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, wrongDatabase).Scan(&there); err != nil || there {
			return err
		}
		_, err := conn.Exec(ctx, `CREATE DATABASE `+wrongDatabase)
		return err
	})
}

// createWrongSecret keeps the app's URL with another database in it, and returns the secret's ARN.
func (i *incident) createWrongSecret(ctx context.Context) (string, error) {
	right, err := i.secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &i.appSecret})
	if err != nil {
		return "", err
	}
	u, err := url.Parse(aws.ToString(right.SecretString))
	if err != nil {
		return "", errors.New("the app's database URL cannot be parsed")
	}
	u.Path = "/" + wrongDatabase
	made, err := i.secrets.CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String(wrongSecret), SecretString: aws.String(u.String())})
	if err == nil {
		return aws.ToString(made.ARN), nil
	}
	var exists *secretstypes.ResourceExistsException
	if !errors.As(err, &exists) {
		return "", err
	}
	put, err := i.secrets.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: aws.String(wrongSecret), SecretString: aws.String(u.String())})
	if err != nil {
		return "", err
	}
	return aws.ToString(put.ARN), nil
}

func (i *incident) describe(ctx context.Context) (*ecstypes.Service, error) {
	out, err := i.ecs.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &i.cluster, Services: []string{i.service}})
	if err != nil {
		return nil, err
	}
	if len(out.Services) != 1 {
		return nil, fmt.Errorf("service %s does not exist in cluster %s", i.service, i.cluster)
	}
	return &out.Services[0], nil
}

// awaitRollout waits until only tasks of the definition made by hand are left.
func (i *incident) awaitRollout(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		service, err := i.describe(ctx)
		if err != nil {
			return err
		}
		for _, d := range service.Deployments {
			if aws.ToString(d.TaskDefinition) != i.definition {
				continue
			}
			switch {
			case d.RolloutState == ecstypes.DeploymentRolloutStateFailed:
				return fmt.Errorf("the rollout of %s failed: %s", i.definition, aws.ToString(d.RolloutStateReason))
			case d.RolloutState == ecstypes.DeploymentRolloutStateCompleted && len(service.Deployments) == 1:
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the rollout of %s did not complete: %w", i.definition, ctx.Err())
		}
	}
}

func (i *incident) deleteRows(ctx context.Context) error {
	return i.sql(ctx, func(conn *pgx.Conn) error {
		for _, table := range []string{"users", "organizations"} { // users refer to organizations
			var there bool
			if err := conn.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, "public."+table).Scan(&there); err != nil {
				return err
			}
			if !there {
				continue
			}
			if _, err := conn.Exec(ctx, `DELETE FROM public.`+table); err != nil {
				return err
			}
		}
		return nil
	})
}

// downgrade runs a task by hand with the migration's definition and another command.
func (i *incident) downgrade(ctx context.Context) error {
	service, err := i.describe(ctx)
	if err != nil {
		return err
	}
	out, err := i.ecs.RunTask(ctx, &ecs.RunTaskInput{
		Cluster: &i.cluster, TaskDefinition: &i.migrationFamily, LaunchType: ecstypes.LaunchTypeFargate, NetworkConfiguration: service.NetworkConfiguration,
		Overrides: &ecstypes.TaskOverride{ContainerOverrides: []ecstypes.ContainerOverride{{
			Name: aws.String("backend"), Command: []string{"alembic", "downgrade", "base"},
		}}},
	})
	if err != nil {
		return err
	}
	if len(out.Tasks) != 1 {
		return fmt.Errorf("no task was started: %v", out.Failures)
	}
	waiter := ecs.NewTasksStoppedWaiter(i.ecs, func(o *ecs.TasksStoppedWaiterOptions) { o.MinDelay, o.MaxDelay = time.Second, time.Second })
	stopped, err := waiter.WaitForOutput(ctx, &ecs.DescribeTasksInput{Cluster: &i.cluster, Tasks: []string{aws.ToString(out.Tasks[0].TaskArn)}}, 2*time.Minute)
	if err != nil {
		return err
	}
	switch code := stopped.Tasks[0].Containers[0].ExitCode; {
	case code == nil:
		return fmt.Errorf("the task never started: %s", aws.ToString(stopped.Tasks[0].StoppedReason))
	case *code != 0:
		return fmt.Errorf("the task ended with exit code %d", *code)
	}
	return nil
}

func (i *incident) cacheErrors(ctx context.Context) error {
	out, err := i.cdn.GetDistributionConfig(ctx, &cloudfront.GetDistributionConfigInput{Id: &i.distribution})
	if err != nil {
		return err
	}
	out.DistributionConfig.CustomErrorResponses = &cloudfronttypes.CustomErrorResponses{Quantity: aws.Int32(0)}
	_, err = i.cdn.UpdateDistribution(ctx, &cloudfront.UpdateDistributionInput{Id: &i.distribution, IfMatch: out.ETag, DistributionConfig: out.DistributionConfig})
	return err
}

// clean removes what was made by hand, once nothing uses it any more.
func (i *incident) clean(ctx context.Context) error {
	drop := func() error {
		return i.sql(ctx, func(conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, `DROP DATABASE IF EXISTS `+wrongDatabase)
			return err
		})
	}
	// The last task that used it may still be finishing its requests.
	deadline, tick := time.After(45*time.Second), time.NewTicker(500*time.Millisecond)
	defer tick.Stop()
	err := drop()
	for waiting := true; err != nil && waiting; {
		select {
		case <-tick.C:
			err = drop()
		case <-deadline:
			waiting = false
		case <-ctx.Done():
			waiting = false
		}
	}
	if err != nil {
		err = fmt.Errorf("drop database %s: %w", wrongDatabase, err)
	}
	_, secretErr := i.secrets.DeleteSecret(ctx, &secretsmanager.DeleteSecretInput{SecretId: aws.String(wrongSecret), ForceDeleteWithoutRecovery: aws.Bool(true)})
	_, definitionErr := i.ecs.DeregisterTaskDefinition(ctx, &ecs.DeregisterTaskDefinitionInput{TaskDefinition: &i.definition})
	return errors.Join(err, secretErr, definitionErr)
}

// sql works on the right database as its owner.
func (i *incident) sql(ctx context.Context, do func(*pgx.Conn) error) error {
	conn, err := i.connect(ctx, i.owner.String())
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return do(conn)
}
