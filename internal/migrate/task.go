package migrate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/progress"
	"plan-charge/internal/tasklog"
	"plan-charge/internal/wait"
)

// logTail is how many of the log's last lines an error repeats.
const logTail = 20

const stopped = "STOPPED"

// waitForOthers waits for tasks of the same family that a run left behind which was killed before it could stop them.
// We hold the lock, so no living deployer waits for them.
func (m *migration) waitForOthers(ctx context.Context) error {
	var arns []string
	// A task that was told to stop is listed as STOPPED long before it has stopped.
	for _, status := range []types.DesiredStatus{types.DesiredStatusRunning, types.DesiredStatusStopped} {
		page := ecs.NewListTasksPaginator(m.ECS, &ecs.ListTasksInput{Cluster: &m.Cluster, Family: aws.String(m.Family()), DesiredStatus: status})
		for page.HasMorePages() {
			list, err := page.NextPage(ctx)
			if err != nil {
				return fmt.Errorf("look for migration tasks that still run: %w", wait.Cause(ctx, err))
			}
			arns = append(arns, list.TaskArns...)
		}
	}
	for len(arns) > 0 {
		batch := arns[:min(100, len(arns))]
		arns = arns[len(batch):]
		found, err := m.ECS.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &m.Cluster, Tasks: batch})
		if err != nil {
			return fmt.Errorf("look at migration tasks that still run: %w", wait.Cause(ctx, err))
		}
		for _, task := range found.Tasks {
			if aws.ToString(task.LastStatus) == stopped {
				continue
			}
			arn := aws.ToString(task.TaskArn)
			fmt.Fprintf(m.out, "migration task %s of an earlier run is still %s; waiting for it to end\n", id(arn), aws.ToString(task.LastStatus))
			end, err := m.follow(ctx, arn, "earlier migration task "+id(arn))
			if err != nil {
				return fmt.Errorf("wait for an earlier migration task: %w", err)
			}
			// How it ended is for information only: ours runs anyway, and skips what is done.
			fmt.Fprintf(m.out, "the earlier task ended: %s\n", firstLine(judge(m.Settings, end)))
		}
	}
	return nil
}

// runTask starts the task, follows it to its end and returns nil only for a success.
func (m *migration) runTask(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	arn, err := m.start(ctx)
	if err != nil {
		return err
	}
	end, err := m.follow(ctx, arn, "migration task "+id(arn))
	if err != nil {
		return err
	}
	if failure := judge(m.Settings, end); failure != nil {
		return failure
	}
	return nil
}

// start runs the task once, whatever happens to the connection.
func (m *migration) start(ctx context.Context) (string, error) {
	token := rand.Text()
	startedBy := "migrate-" + token
	input := &ecs.RunTaskInput{
		Cluster:        &m.Cluster,
		TaskDefinition: &m.TaskDefinition,
		Count:          aws.Int32(1),
		LaunchType:     types.LaunchTypeFargate,
		StartedBy:      &startedBy,
		ClientToken:    &token, // a repeated call after a lost answer starts no second task
		PropagateTags:  types.PropagateTagsTaskDefinition,
		NetworkConfiguration: &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{
			Subnets: m.Subnets, SecurityGroups: m.SecurityGroups, AssignPublicIp: types.AssignPublicIpDisabled,
		}},
	}
	if len(m.Command) > 0 {
		input.Overrides = &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{{Name: &m.Container, Command: m.Command}}}
	}
	step := progress.Start(m.out, "start a migration task of "+m.TaskDefinition[strings.LastIndexByte(m.TaskDefinition, '/')+1:], 0)
	deadline := time.Now().Add(m.pace.patience)
	for {
		// A call that is cut off may have started a task all the same, so it is never cut off.
		call, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.pace.patience)
		out, err := m.ECS.RunTask(call, input)
		cancel()
		if err == nil && len(out.Tasks) == 1 {
			arn := aws.ToString(out.Tasks[0].TaskArn)
			m.stopStrays(ctx, startedBy, arn)
			step.Done(nil)
			return arn, nil
		}
		if err != nil {
			m.stopStrays(ctx, startedBy, "")
			step.Done(err)
			return "", fmt.Errorf("start the migration task: %w", err)
		}
		failure := explainFailures(out.Failures)
		if !failure.passing || time.Now().After(deadline) {
			step.Done(failure)
			return "", failure
		}
		step.Note(failure.Error() + "; trying again")
		if err := wait.For(ctx, 5*m.pace.task); err != nil {
			step.Done(err)
			return "", fmt.Errorf("start the migration task: %w: %w", err, failure)
		}
		// The same token would be answered with the same failure.
		token = rand.Text()
	}
}

// stopStrays stops what a lost answer to RunTask may have left behind: tasks with our mark that we do not follow.
func (m *migration) stopStrays(ctx context.Context, startedBy, ours string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	list, err := m.ECS.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &m.Cluster, StartedBy: &startedBy})
	if err != nil {
		return // the next run waits for whatever is there
	}
	for _, arn := range list.TaskArns {
		if arn == ours {
			continue
		}
		fmt.Fprintf(m.out, "stopping task %s, started twice because an answer was lost\n", id(arn))
		_, _ = m.ECS.StopTask(ctx, &ecs.StopTaskInput{Cluster: &m.Cluster, Task: &arn, Reason: aws.String("started twice")})
	}
}

// end is how a task ended, with the end of its log.
type end struct {
	task types.Task
	log  []string
	// logErr says why the log could not be read to its end.
	logErr error
	// lockNote says which of its statements was cancelled for waiting too long, or is empty.
	lockNote string
}

// follow reports a task's status and log until it has stopped. When ctx ends first, or ECS cannot be asked any more,
// it stops the task and returns an error.
func (m *migration) follow(ctx context.Context, arn, what string) (end, error) {
	stream := &tasklog.Stream{API: m.Logs, Group: m.LogGroup, Name: tasklog.StreamName(m.LogStreamPrefix, m.Container, arn)}
	started := time.Now()
	step := progress.Start(m.out, what, 0)
	var (
		result     end
		status     string
		lastAnswer = time.Now()
		locks      = lockWatch{limit: m.LockTimeout}
	)
	fail := func(err error) (end, error) {
		step.Done(err)
		return result, m.abandon(ctx, arn, stream, &result, err)
	}
	for {
		task, err := m.describe(ctx, arn)
		switch {
		case err == nil:
			lastAnswer = time.Now()
			result.task = task
			if now := aws.ToString(task.LastStatus); now != status {
				fmt.Fprintf(m.out, "%s: %s (after %s)\n", what, now, time.Since(started).Round(time.Second))
				status = now
				step.Note(now)
			}
		case ctx.Err() != nil:
			return fail(context.Cause(ctx))
		case awsclient.Permanent(err) || time.Since(lastAnswer) > m.pace.patience:
			return fail(fmt.Errorf("%s cannot be followed any more: %w", what, err))
		default:
			step.Note(status + ", ECS does not answer: " + firstLine(err))
		}
		if aws.ToString(result.task.LastStatus) == stopped {
			m.drain(ctx, stream, &result)
			result.lockNote = locks.note
			step.Done(judge(m.Settings, result))
			return result, nil
		}
		m.pull(ctx, stream, &result)
		if waiting := locks.look(ctx, m.db); waiting != "" {
			step.Note(waiting)
		}
		if err := wait.For(ctx, m.pace.task); err != nil {
			return fail(err)
		}
	}
}

// errMissing says that ECS does not know a task, as happens for a moment after it was started.
var errMissing = errors.New("ECS does not know the task")

func (m *migration) describe(ctx context.Context, arn string) (types.Task, error) {
	out, err := m.ECS.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &m.Cluster, Tasks: []string{arn}})
	if err != nil {
		return types.Task{}, err
	}
	if len(out.Tasks) == 0 {
		return types.Task{}, errMissing
	}
	return out.Tasks[0], nil
}

// pull passes on what the log has gained.
func (m *migration) pull(ctx context.Context, stream *tasklog.Stream, result *end) (gained bool) {
	lines, err := stream.Pull(ctx)
	for _, line := range lines {
		fmt.Fprintln(m.out, "  | "+line)
	}
	result.log = tasklog.Last(append(result.log, lines...), logTail)
	result.logErr = err
	return len(lines) > 0
}

// drain reads the rest of a stopped task's log, which arrives a little later than the task's end.
func (m *migration) drain(ctx context.Context, stream *tasklog.Stream, result *end) {
	if result.task.StartedAt == nil && !stream.Seen() {
		// No container ran, so there is no log to wait for.
		m.pull(ctx, stream, result)
		return
	}
	began, last := time.Now(), time.Now()
	for {
		if m.pull(ctx, stream, result) {
			last = time.Now()
		}
		limit := m.pace.quiet
		if result.logErr != nil {
			limit = m.pace.noStream
			last = began
			if stream.Seen() && errors.Is(result.logErr, tasklog.ErrNoStream) || awsclient.Permanent(result.logErr) && !errors.Is(result.logErr, tasklog.ErrNoStream) {
				return // it was there and is gone, or may not be read: waiting brings nothing
			}
		}
		if time.Since(last) >= limit || wait.For(ctx, min(m.pace.task, limit/4)) != nil {
			return
		}
	}
}

// abandon stops a task that is not followed any longer, and says so in the error.
func (m *migration) abandon(ctx context.Context, arn string, stream *tasklog.Stream, result *end, why error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.pace.stop)
	defer cancel()
	m.pull(ctx, stream, result)
	failure := &TaskError{TaskARN: arn, Cause: why, Log: result.log, LogErr: result.logErr}
	reason := []rune("plan-charge: " + m.hide.String(firstLine(why)))
	_, err := m.ECS.StopTask(ctx, &ecs.StopTaskInput{
		Cluster: &m.Cluster, Task: &arn, Reason: aws.String(string(reason[:min(len(reason), 200)])),
	})
	if err != nil {
		failure.After = fmt.Sprintf("it could not be stopped (%v) and may still be running; the next run will wait for it", err)
		fmt.Fprintf(m.out, "migration task %s could not be stopped: %v\n", id(arn), err)
		return failure
	}
	fmt.Fprintf(m.out, "stopping migration task %s: %s\n", id(arn), firstLine(why))
	// The lock is held until it has really stopped, lest the next deployer's task meets it.
	step := progress.Start(m.out, "wait for migration task "+id(arn)+" to stop", 30*time.Second)
	for {
		task, err := m.describe(ctx, arn)
		if err == nil && aws.ToString(task.LastStatus) == stopped {
			step.Done(nil)
			result.task = task
			failure.After = "it was stopped"
			m.drain(ctx, stream, result)
			failure.Log, failure.LogErr = result.log, result.logErr
			return failure
		}
		if wait.For(ctx, m.pace.task) != nil {
			step.Done(errors.New("still there"))
			failure.After = "it was told to stop and has not yet; the next run will wait for it"
			return failure
		}
	}
}

func id(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

func firstLine(err error) string {
	if err == nil {
		return "success"
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
