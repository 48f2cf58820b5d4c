package verify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	cftypes "github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"plan-charge/internal/testkit"
)

const (
	oldDefinition = "arn:aws:ecs:eu-west-3:123456789012:task-definition/backend:1"
	newDefinition = "arn:aws:ecs:eu-west-3:123456789012:task-definition/backend:2"
)

// account is an AWS account with one service. states are the service's, one a look; the last one stays.
type account struct {
	mu       sync.Mutex
	states   []types.Service
	errs     []error // given before the states
	looks    int
	tasks    []types.Task
	tasksErr error
	log      map[string][]string
	secret   string

	config       *cftypes.DistributionConfig
	invalidation []string // statuses, one a look
	references   []string
}

func (a *account) clients() Clients { return Clients{ECS: a, Logs: a, Secrets: a, CloudFront: a} }

func (a *account) DescribeServices(ctx context.Context, _ *ecs.DescribeServicesInput, _ ...func(*ecs.Options)) (*ecs.DescribeServicesOutput, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	a.looks++
	if len(a.errs) > 0 {
		err := a.errs[0]
		a.errs = a.errs[1:]
		return nil, err
	}
	if len(a.states) == 0 {
		return &ecs.DescribeServicesOutput{Failures: []types.Failure{{Reason: aws.String("MISSING")}}}, nil
	}
	state := a.states[0]
	if len(a.states) > 1 {
		a.states = a.states[1:]
	}
	return &ecs.DescribeServicesOutput{Services: []types.Service{state}}, nil
}

func (a *account) ListTasks(_ context.Context, in *ecs.ListTasksInput, _ ...func(*ecs.Options)) (*ecs.ListTasksOutput, error) {
	out := &ecs.ListTasksOutput{}
	for _, t := range a.tasks {
		if t.DesiredStatus != nil && *t.DesiredStatus != string(in.DesiredStatus) {
			continue
		}
		out.TaskArns = append(out.TaskArns, *t.TaskArn)
	}
	return out, a.tasksErr
}

func (a *account) DescribeTasks(_ context.Context, in *ecs.DescribeTasksInput, _ ...func(*ecs.Options)) (*ecs.DescribeTasksOutput, error) {
	out := &ecs.DescribeTasksOutput{}
	for _, t := range a.tasks {
		if slices.Contains(in.Tasks, *t.TaskArn) {
			out.Tasks = append(out.Tasks, t)
		}
	}
	return out, nil
}

func (a *account) DescribeTaskDefinition(context.Context, *ecs.DescribeTaskDefinitionInput, ...func(*ecs.Options)) (*ecs.DescribeTaskDefinitionOutput, error) {
	return &ecs.DescribeTaskDefinitionOutput{TaskDefinition: &types.TaskDefinition{ContainerDefinitions: []types.ContainerDefinition{{
		Name:    aws.String("backend"),
		Image:   aws.String("backend:1.0.0"),
		Secrets: []types.Secret{{Name: aws.String("DATABASE_URL"), ValueFrom: aws.String("arn:aws:secretsmanager:eu-west-3:123456789012:secret:x")}},
		LogConfiguration: &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{
			"awslogs-group": "/backend", "awslogs-stream-prefix": "svc",
		}},
	}}}}, nil
}

func (a *account) GetLogEvents(_ context.Context, in *cloudwatchlogs.GetLogEventsInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetLogEventsOutput, error) {
	lines, ok := a.log[*in.LogStreamName]
	if !ok {
		return nil, &logtypes.ResourceNotFoundException{}
	}
	out := &cloudwatchlogs.GetLogEventsOutput{}
	for _, line := range lines {
		out.Events = append(out.Events, logtypes.OutputLogEvent{Message: aws.String(line)})
	}
	return out, nil
}

func (a *account) GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	return &secretsmanager.GetSecretValueOutput{SecretString: &a.secret}, nil
}

func (a *account) GetDistributionConfig(context.Context, *cloudfront.GetDistributionConfigInput, ...func(*cloudfront.Options)) (*cloudfront.GetDistributionConfigOutput, error) {
	return &cloudfront.GetDistributionConfigOutput{DistributionConfig: a.config}, nil
}

func (a *account) ListDistributions(_ context.Context, in *cloudfront.ListDistributionsInput, _ ...func(*cloudfront.Options)) (*cloudfront.ListDistributionsOutput, error) {
	list := &cftypes.DistributionList{}
	if in.Marker == nil {
		list.NextMarker, list.Items = aws.String("more"), []cftypes.DistributionSummary{{Comment: aws.String("other"), DomainName: aws.String("other.example")}}
	} else {
		list.Items = []cftypes.DistributionSummary{{Comment: aws.String("prod-site"), DomainName: aws.String("site.example")}}
	}
	return &cloudfront.ListDistributionsOutput{DistributionList: list}, nil
}

func (a *account) CreateInvalidation(_ context.Context, in *cloudfront.CreateInvalidationInput, _ ...func(*cloudfront.Options)) (*cloudfront.CreateInvalidationOutput, error) {
	a.references = append(a.references, *in.InvalidationBatch.CallerReference)
	return &cloudfront.CreateInvalidationOutput{Invalidation: &cftypes.Invalidation{Id: aws.String("I1"), Status: aws.String("InProgress")}}, nil
}

func (a *account) GetInvalidation(ctx context.Context, _ *cloudfront.GetInvalidationInput, _ ...func(*cloudfront.Options)) (*cloudfront.GetInvalidationOutput, error) {
	if len(a.errs) > 0 {
		err := a.errs[0]
		a.errs = a.errs[1:]
		return nil, err
	}
	status := a.invalidation[0]
	if len(a.invalidation) > 1 {
		a.invalidation = a.invalidation[1:]
	}
	return &cloudfront.GetInvalidationOutput{Invalidation: &cftypes.Invalidation{Id: aws.String("I1"), Status: &status}}, nil
}

func deployment(status, definition string, state types.DeploymentRolloutState, running, desired int32) types.Deployment {
	return types.Deployment{
		Status: &status, TaskDefinition: &definition, RolloutState: state, RunningCount: running, DesiredCount: desired,
		RolloutStateReason: aws.String("reason of " + Short(definition)),
	}
}

func service(deployments ...types.Deployment) types.Service {
	return types.Service{Status: aws.String("ACTIVE"), Deployments: deployments, Events: []types.ServiceEvent{{Message: aws.String("(service backend) rolled back")}}}
}

var (
	completed  = service(deployment("PRIMARY", newDefinition, "COMPLETED", 2, 2))
	inProgress = service(deployment("PRIMARY", newDefinition, "IN_PROGRESS", 1, 2), deployment("ACTIVE", oldDefinition, "COMPLETED", 2, 2))
	draining   = service(deployment("PRIMARY", newDefinition, "COMPLETED", 2, 2), deployment("ACTIVE", oldDefinition, "COMPLETED", 1, 0))
	// What a provider that only waits for a steady state takes for success.
	rolledBack  = service(deployment("PRIMARY", oldDefinition, "COMPLETED", 2, 2))
	rollingBack = service(deployment("PRIMARY", oldDefinition, "IN_PROGRESS", 2, 2), deployment("ACTIVE", newDefinition, "FAILED", 0, 0))
)

func rolloutSettings(c *cdn) Settings {
	s := c.settings()
	s.Cluster, s.Service, s.TaskDefinition = "cluster", "backend", newDefinition
	return s
}

func TestRolloutThatWorks(t *testing.T) {
	reset := errors.New("read: connection reset by peer")
	for name, a := range map[string]*account{
		"at once":            {states: []types.Service{completed}},
		"after a while":      {states: []types.Service{inProgress, inProgress, draining, completed}},
		"not seen yet":       {states: []types.Service{rolledBack, rolledBack, inProgress, rolledBack, completed}},
		"through throttling": {states: []types.Service{completed}, errs: []error{reset, &smithy.GenericAPIError{Code: "ThrottlingException", Fault: smithy.FaultClient}}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := run(context.Background(), rolloutSettings(newCDN(t)), a.clients(), &testkit.Buffer{}, fast()); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestRolloutThatFails(t *testing.T) {
	stopped := []types.Task{
		{TaskArn: aws.String("arn:task/c/old"), TaskDefinitionArn: aws.String(oldDefinition), StopCode: types.TaskStopCodeServiceSchedulerInitiated, StoppedReason: aws.String("replaced")},
		{
			TaskArn: aws.String("arn:task/c/new"), TaskDefinitionArn: aws.String(newDefinition), StopCode: types.TaskStopCodeEssentialContainerExited, StoppedReason: aws.String("Essential container in task exited"),
			Containers: []types.Container{{Name: aws.String("backend"), ExitCode: aws.Int32(3)}},
		},
	}
	log := map[string][]string{"svc/backend/new": {"starting", "Traceback: s3cr3t", "postgresql://app:s3cr3t@db/x"}}
	for name, tc := range map[string]struct {
		states []types.Service
		want   []string
	}{
		"rolled back":       {[]types.Service{rolledBack}, []string{"rolled back", "wanted:  backend:2", "running: backend:1"}},
		"rolling back":      {[]types.Service{inProgress, rollingBack}, []string{"its rollout failed: reason of backend:2", "wanted:  backend:2", "running: backend:1"}},
		"failed, no way":    {[]types.Service{service(deployment("PRIMARY", newDefinition, "FAILED", 0, 2))}, []string{"its rollout failed", "running: backend:2"}},
		"never gets there":  {[]types.Service{inProgress}, []string{"IN_PROGRESS, 1 of 2 tasks run", "verification.timeout"}},
		"is being deleted":  {[]types.Service{{Status: aws.String("DRAINING")}}, []string{"DRAINING", "running: none"}},
		"not yet complete":  {[]types.Service{service(deployment("PRIMARY", newDefinition, "IN_PROGRESS", 2, 2))}, []string{"IN_PROGRESS, 2 of 2 tasks run"}},
		"old one serves":    {[]types.Service{draining}, []string{"COMPLETED, 2 of 2 tasks run"}},
		"too few tasks run": {[]types.Service{service(deployment("PRIMARY", newDefinition, "COMPLETED", 1, 2))}, []string{"1 of 2 tasks run"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := &account{states: tc.states, tasks: stopped, log: log, secret: "postgresql://app:s3cr3t@db/x"}
			c := newCDN(t)
			var out testkit.Buffer
			err := run(context.Background(), rolloutSettings(c), a.clients(), &out, fast())
			var failure *RolloutError
			if !errors.As(err, &failure) {
				t.Fatalf("got %v", err)
			}
			testkit.Contains(t, "error", err.Error(), append(tc.want, "stopped task new", "EssentialContainerExited", "exited with code 3", "| starting", "Traceback: ***")...)
			if strings.Contains(err.Error()+out.String(), "s3cr3t") || strings.Contains(err.Error(), "stopped task old") {
				t.Errorf("the error says too much:\n%v", err)
			}
			if len(c.seen) > 0 {
				t.Error("the site was asked although the wrong version runs")
			}
		})
	}
}

func TestNoSuchService(t *testing.T) {
	a := &account{}
	p := fast()
	p.aws = 20 * time.Millisecond
	err := run(context.Background(), rolloutSettings(newCDN(t)), a.clients(), &testkit.Buffer{}, p)
	testkit.Contains(t, "error", fmt.Sprint(err), "no service backend", "MISSING")
	a = &account{errs: []error{&smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no right", Fault: smithy.FaultClient}}}
	err = run(context.Background(), rolloutSettings(newCDN(t)), a.clients(), &testkit.Buffer{}, p)
	testkit.Contains(t, "error", fmt.Sprint(err), "no right")
	if a.looks != 1 {
		t.Errorf("a refusal was asked for %d times", a.looks)
	}
}

func responses(ttl int64, codes ...int32) *cftypes.DistributionConfig {
	c := &cftypes.DistributionConfig{CustomErrorResponses: &cftypes.CustomErrorResponses{}}
	for _, code := range codes {
		c.CustomErrorResponses.Items = append(c.CustomErrorResponses.Items, cftypes.CustomErrorResponse{ErrorCode: &code, ErrorCachingMinTTL: &ttl})
	}
	return c
}

func TestDistribution(t *testing.T) {
	unset := responses(0, errorCodes...)
	unset.CustomErrorResponses.Items[3].ErrorCachingMinTTL = nil
	for name, tc := range map[string]struct {
		config *cftypes.DistributionConfig
		want   string
	}{
		"all at 0":    {responses(0, errorCodes...), ""},
		"one missing": {responses(0, errorCodes[:10]...), "504 has no setting"},
		"at 10":       {responses(10, errorCodes...), "500 is cached for 10 s"},
		"one unset":   {unset, "405 is cached for 10 s"},
		"none":        {&cftypes.DistributionConfig{}, "400 has no setting"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newCDN(t).settings()
			s.DistributionID = "E1"
			err := run(context.Background(), s, (&account{config: tc.config}).clients(), &testkit.Buffer{}, fast())
			if tc.want == "" && err != nil {
				t.Fatal(err)
			}
			if tc.want != "" {
				testkit.Contains(t, "error", fmt.Sprint(err), tc.want, "distribution E1")
			}
		})
	}
}

func TestInvalidate(t *testing.T) {
	ctx := context.Background()
	i := Invalidation{DistributionID: "E1", Key: "k1"}
	a := &account{invalidation: []string{"InProgress", "InProgress", "Completed"}, errs: []error{errors.New("reset")}}
	for range 2 {
		if err := invalidate(ctx, i, a, &testkit.Buffer{}, fast()); err != nil {
			t.Fatal(err)
		}
	}
	i.Key = "k2"
	if err := invalidate(ctx, i, a, &testkit.Buffer{}, fast()); err != nil {
		t.Fatal(err)
	}
	if a.references[0] != a.references[1] || a.references[0] == a.references[2] {
		t.Errorf("the same key must have the same reference: %q", a.references)
	}
	a.invalidation = []string{"InProgress"}
	short := fast()
	short.invalidation = 50 * time.Millisecond
	testkit.Contains(t, "error", fmt.Sprint(invalidate(ctx, i, a, &testkit.Buffer{}, short)), "still InProgress", "longer than 50ms")
}

func TestInvalidationFromEnv(t *testing.T) {
	env := map[string]string{"INVALIDATE_DISTRIBUTION_ID": "E1", "INVALIDATE_KEY": "k"}
	look := func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	i, err := InvalidationFromEnv(look)
	if err != nil || i != (Invalidation{"E1", "k"}) {
		t.Errorf("%+v, %v", i, err)
	}
	env = nil
	_, err = InvalidationFromEnv(look)
	testkit.Contains(t, "error", fmt.Sprint(err), "INVALIDATE_DISTRIBUTION_ID", "INVALIDATE_KEY")
}
