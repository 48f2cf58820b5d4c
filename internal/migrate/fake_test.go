package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	logtypes "github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs/types"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	smtypes "github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"plan-charge/internal/authority"
	"plan-charge/internal/versiontable"
)

// cloud is an account with one cluster, as far as a migration sees it.
type cloud struct {
	t *testing.T

	mu    sync.Mutex
	tasks map[string]*fakeTask
	order []string
	logs  map[string][]string // stream -> lines
	calls []string
	run   []*ecs.RunTaskInput
	stops []*ecs.StopTaskInput

	ownerURL string
	// script says what a new task does; it runs in its own goroutine.
	script func(*fakeTask)
	// fail, when set, is asked before each call.
	fail func(action string, n int) error
	// failures is what RunTask answers instead of a task, one list a call.
	failures [][]types.Failure
}

type fakeTask struct {
	c         *cloud
	arn       string
	family    string
	startedBy string
	task      types.Task
	stop      chan struct{}
}

func newCloud(t *testing.T, ownerURL string) *cloud {
	return &cloud{t: t, ownerURL: ownerURL, tasks: map[string]*fakeTask{}, logs: map[string][]string{}}
}

func (c *cloud) clients() Clients { return Clients{ECS: c, Logs: c, Secrets: c} }

func (c *cloud) call(action string) error {
	c.mu.Lock()
	c.calls = append(c.calls, action)
	n := 0
	for _, a := range c.calls {
		if a == action {
			n++
		}
	}
	fail := c.fail
	c.mu.Unlock()
	if fail != nil {
		return fail(action, n)
	}
	return nil
}

// add starts a task that is not ours to start.
func (c *cloud) add(family, startedBy string, script func(*fakeTask)) *fakeTask {
	c.mu.Lock()
	defer c.mu.Unlock()
	arn := fmt.Sprintf("arn:aws:ecs:eu-west-3:123456789012:task/cluster/task%d", len(c.tasks)+1)
	f := &fakeTask{c: c, arn: arn, family: family, startedBy: startedBy, stop: make(chan struct{})}
	f.task = types.Task{
		TaskArn: &arn, LastStatus: aws.String("PROVISIONING"), DesiredStatus: aws.String("RUNNING"),
		Containers: []types.Container{{Name: aws.String("backend")}},
	}
	c.tasks[arn] = f
	c.order = append(c.order, arn)
	go script(f)
	return f
}

func (f *fakeTask) status(s string) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.task.LastStatus = aws.String(s)
	if s == "RUNNING" {
		f.task.StartedAt = aws.Time(time.Now())
		if _, ok := f.c.logs[f.stream()]; !ok {
			f.c.logs[f.stream()] = nil
		}
	}
}

func (f *fakeTask) stream() string { return "migration/backend/" + id(f.arn) }

func (f *fakeTask) print(lines ...string) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.c.logs[f.stream()] = append(f.c.logs[f.stream()], lines...)
}

func (f *fakeTask) exit(code int32) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.task.LastStatus, f.task.DesiredStatus = aws.String(stopped), aws.String(stopped)
	f.task.StopCode, f.task.StoppedReason = types.TaskStopCodeEssentialContainerExited, aws.String("Essential container in task exited")
	f.task.Containers[0].ExitCode = &code
}

func (f *fakeTask) die(code types.TaskStopCode, reason, containerReason string) {
	f.c.mu.Lock()
	defer f.c.mu.Unlock()
	f.task.LastStatus, f.task.DesiredStatus = aws.String(stopped), aws.String(stopped)
	f.task.StopCode, f.task.StoppedReason = code, &reason
	f.task.Containers[0].Reason = &containerReason
}

func (c *cloud) RunTask(ctx context.Context, in *ecs.RunTaskInput, _ ...func(*ecs.Options)) (*ecs.RunTaskOutput, error) {
	if err := c.call("RunTask"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	copied := *in
	copied.ClientToken = aws.String(aws.ToString(in.ClientToken))
	c.run = append(c.run, &copied)
	if len(c.failures) > 0 {
		failures := c.failures[0]
		c.failures = c.failures[1:]
		c.mu.Unlock()
		return &ecs.RunTaskOutput{Failures: failures}, nil
	}
	c.mu.Unlock()
	f := c.add("migration", aws.ToString(in.StartedBy), c.script)
	if err := ctx.Err(); err != nil { // a call that is cut off has its effect all the same
		return nil, err
	}
	return &ecs.RunTaskOutput{Tasks: []types.Task{{TaskArn: &f.arn}}}, nil
}

func (c *cloud) DescribeTasks(ctx context.Context, in *ecs.DescribeTasksInput, _ ...func(*ecs.Options)) (*ecs.DescribeTasksOutput, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := c.call("DescribeTasks"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	out := &ecs.DescribeTasksOutput{}
	for _, arn := range in.Tasks {
		if f := c.tasks[arn]; f != nil {
			task := f.task
			task.Containers = slices.Clone(task.Containers)
			out.Tasks = append(out.Tasks, task)
		}
	}
	return out, nil
}

func (c *cloud) ListTasks(_ context.Context, in *ecs.ListTasksInput, _ ...func(*ecs.Options)) (*ecs.ListTasksOutput, error) {
	if err := c.call("ListTasks"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := in.DesiredStatus
	if wanted == "" {
		wanted = types.DesiredStatusRunning
	}
	out := &ecs.ListTasksOutput{}
	for _, arn := range c.order {
		f := c.tasks[arn]
		if in.StartedBy != nil && f.startedBy != *in.StartedBy || in.Family != nil && f.family != *in.Family || aws.ToString(f.task.DesiredStatus) != string(wanted) {
			continue
		}
		out.TaskArns = append(out.TaskArns, arn)
	}
	return out, nil
}

func (c *cloud) StopTask(_ context.Context, in *ecs.StopTaskInput, _ ...func(*ecs.Options)) (*ecs.StopTaskOutput, error) {
	if err := c.call("StopTask"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stops = append(c.stops, in)
	f := c.tasks[*in.Task]
	if aws.ToString(f.task.DesiredStatus) != stopped {
		f.task.DesiredStatus = aws.String(stopped)
		close(f.stop)
		go func() {
			time.Sleep(10 * time.Millisecond)
			f.die(types.TaskStopCodeUserInitiated, *in.Reason, "")
		}()
	}
	return &ecs.StopTaskOutput{}, nil
}

func (c *cloud) GetLogEvents(_ context.Context, in *cloudwatchlogs.GetLogEventsInput, _ ...func(*cloudwatchlogs.Options)) (*cloudwatchlogs.GetLogEventsOutput, error) {
	if err := c.call("GetLogEvents"); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	lines, ok := c.logs[*in.LogStreamName]
	if !ok {
		return nil, &logtypes.ResourceNotFoundException{Message: aws.String("The specified log stream does not exist.")}
	}
	from := 0
	if in.NextToken != nil {
		fmt.Sscanf(*in.NextToken, "f/%d", &from)
	}
	until := min(from+3, len(lines)) // small pages
	out := &cloudwatchlogs.GetLogEventsOutput{NextForwardToken: aws.String(fmt.Sprintf("f/%d", until))}
	for _, line := range lines[from:until] {
		out.Events = append(out.Events, logtypes.OutputLogEvent{Message: aws.String(line)})
	}
	return out, nil
}

func (c *cloud) GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error) {
	if err := c.call("GetSecretValue"); err != nil {
		return nil, err
	}
	if c.ownerURL == "missing" {
		return nil, &smtypes.ResourceNotFoundException{Message: aws.String("Secrets Manager can't find the specified secret.")}
	}
	return &secretsmanager.GetSecretValueOutput{SecretString: &c.ownerURL}, nil
}

// count returns how often an action was called.
func (c *cloud) count(action string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, a := range c.calls {
		if a == action {
			n++
		}
	}
	return n
}

// await waits until an action has been called twice more: one call may have been on its way already.
func (c *cloud) await(action string) {
	want := c.count(action) + 2
	for deadline := time.Now().Add(10 * time.Second); c.count(action) < want && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
}

func denied(action string) error {
	return &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "not allowed to " + action, Fault: smithy.FaultClient}
}

var errReset = errors.New("read: connection reset by peer")

func fast() pace {
	return pace{
		task: 5 * time.Millisecond, database: 20 * time.Millisecond, lock: 20 * time.Millisecond, patience: 2 * time.Second,
		stop: 2 * time.Second, quiet: 40 * time.Millisecond, noStream: 200 * time.Millisecond,
	}
}

func testSettings() Settings {
	return Settings{
		Cluster: "cluster", TaskDefinition: "arn:aws:ecs:eu-west-3:123456789012:task-definition/migration:3", Container: "backend", Image: "app:1.0",
		Command: []string{"alembic", "upgrade", "head"}, Subnets: []string{"subnet-1", "subnet-2"}, SecurityGroups: []string{"sg-1"},
		LogGroup: "/plan-charge/migration", LogStreamPrefix: "migration", SecretARN: "plan-charge/migration-url",
		VersionTable: versiontable.New("", "", ""), Timeout: 20 * time.Second, LockTimeout: 10 * time.Second, Authority: authority.Environment,
	}
}
