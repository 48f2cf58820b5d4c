package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/progress"
	"plan-charge/internal/wait"
)

// task is the one-off task whose agent is used.
type task struct {
	arn     string
	runtime string // id of its container
	found   bool   // it ran already
}

// target is what Systems Manager calls the task.
func (t *task) target(cluster string) string {
	return "ecs:" + lastPart(cluster) + "_" + lastPart(t.arn) + "_" + t.runtime
}

func lastPart(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// startedBy marks the stack's tasks.
func (s Settings) startedBy() string { return "session-" + s.Stack }

// runs says whether a task definition's ARN is the one that is to run.
func (s Settings) runs(definition string) bool {
	family, _, _ := strings.Cut(lastPart(definition), ":")
	return definition == s.TaskDefinition || family == s.TaskDefinition
}

// task returns a task whose agent runs: one of the stack that is there, if reuse says so, or a new one.
func (s *Session) task(ctx context.Context, reuse bool) (*task, error) {
	if reuse {
		arn, err := s.running(ctx)
		if err != nil {
			return nil, err
		}
		if arn != "" {
			t := &task{arn: arn, found: true}
			if err := s.await(ctx, t, "use task "+lastPart(arn)+", which runs already"); err == nil {
				return t, nil
			} else if ctx.Err() != nil {
				return nil, err
			}
		}
	}
	arn, err := s.start(ctx)
	if err != nil {
		return nil, err
	}
	t := &task{arn: arn}
	if err := s.await(ctx, t, "start task "+lastPart(arn)+", the way to "+s.settings.Host); err != nil {
		s.release(ctx, t, "")
		return nil, err
	}
	return t, nil
}

// running is a task of the stack that is there or coming; "" for none.
func (s *Session) running(ctx context.Context) (string, error) {
	list, err := s.ecs.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &s.settings.Cluster, StartedBy: aws.String(s.settings.startedBy())})
	if err != nil {
		return "", explain("look for a task that runs already", err, "ecs:ListTasks on the cluster")
	}
	if len(list.TaskArns) == 0 {
		return "", nil
	}
	found, err := s.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &s.settings.Cluster, Tasks: list.TaskArns})
	if err != nil {
		return "", explain("look at a task that runs already", err, "ecs:DescribeTasks on the cluster's tasks")
	}
	for _, t := range found.Tasks {
		// Of another release it may have other rights or another network.
		if s.settings.runs(aws.ToString(t.TaskDefinitionArn)) && t.EnableExecuteCommand &&
			slices.Contains([]string{"PROVISIONING", "PENDING", "ACTIVATING", "RUNNING"}, aws.ToString(t.LastStatus)) {
			return aws.ToString(t.TaskArn), nil
		}
	}
	return "", nil
}

// start runs a new task.
func (s *Session) start(ctx context.Context) (string, error) {
	token := rand.Text()
	out, err := s.ecs.RunTask(context.WithoutCancel(ctx), &ecs.RunTaskInput{ // one that is cut off may leave a task behind
		Cluster:              &s.settings.Cluster,
		TaskDefinition:       &s.settings.TaskDefinition,
		Count:                aws.Int32(1),
		LaunchType:           types.LaunchTypeFargate,
		PlatformVersion:      aws.String("1.4.0"), // the first with ECS Exec
		EnableExecuteCommand: true,
		StartedBy:            aws.String(s.settings.startedBy()),
		ClientToken:          &token, // a repeated call after a lost answer starts no second task
		PropagateTags:        types.PropagateTagsTaskDefinition,
		Overrides: &types.TaskOverride{ContainerOverrides: []types.ContainerOverride{
			{Name: &s.settings.Container, Command: keeperCommand(s.settings.Idle)},
		}},
		NetworkConfiguration: &types.NetworkConfiguration{AwsvpcConfiguration: &types.AwsVpcConfiguration{
			Subnets: s.settings.Subnets, SecurityGroups: s.settings.SecurityGroups, AssignPublicIp: types.AssignPublicIpDisabled,
		}},
	})
	if err != nil {
		return "", explain("start the task", err, "ecs:RunTask on "+s.settings.TaskDefinition+" and iam:PassRole on its two roles")
	}
	if len(out.Tasks) == 0 {
		reasons := []string{}
		for _, f := range out.Failures {
			reasons = append(reasons, strings.TrimSpace(aws.ToString(f.Reason)+" "+aws.ToString(f.Detail)))
		}
		return "", fmt.Errorf("start the task: ECS started none: %s", strings.Join(reasons, "; "))
	}
	return aws.ToString(out.Tasks[0].TaskArn), nil
}

// await follows a task until its agent runs, and notes its container.
func (s *Session) await(ctx context.Context, t *task, what string) (err error) {
	step := progress.Start(s.out, what, 0)
	defer func() { step.Done(err) }()
	began, runs := time.Now(), time.Time{}
	for {
		status, agent, err := s.look(ctx, t)
		switch {
		case err != nil:
			return err
		case agent == "RUNNING":
			return nil
		case status == "RUNNING" && runs.IsZero():
			runs = time.Now()
		}
		step.Note("task " + status + ", its agent " + agent)
		switch {
		case runs.IsZero() && time.Since(began) > s.pace.task:
			return fmt.Errorf("the task does not run after %s, it is %s: look at %s in the cluster's console", s.pace.task, status, lastPart(t.arn))
		case !runs.IsZero() && time.Since(runs) > s.pace.agent:
			return fmt.Errorf("the task runs, but its exec agent has not come up for %s: %s", s.pace.agent, s.noAgent())
		}
		if err := wait.For(ctx, s.pace.poll); err != nil {
			return err
		}
	}
}

// noAgent says what keeps an agent from coming up.
func (s *Session) noAgent() string {
	return "give the subnets (" + strings.Join(s.settings.Subnets, ", ") + ") a way to the service, by a NAT gateway or a VPC endpoint com.amazonaws." +
		s.cfg.Region + ".ssmmessages, and let the security groups (" + strings.Join(s.settings.SecurityGroups, ", ") + ") reach it on port 443"
}

// look asks for the task's and its agent's status. An error says that it will never run.
func (s *Session) look(ctx context.Context, t *task) (status, agent string, err error) {
	out, err := s.ecs.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &s.settings.Cluster, Tasks: []string{t.arn}})
	switch {
	case err != nil && (awsclient.Permanent(err) || ctx.Err() != nil):
		return "", "", explain("look at the task", wait.Cause(ctx, err), "ecs:DescribeTasks on the cluster's tasks")
	case err != nil || len(out.Tasks) == 0: // it passes, or is not known yet
		return "UNKNOWN", "UNKNOWN", nil
	}
	one := out.Tasks[0]
	status, agent = aws.ToString(one.LastStatus), "PENDING"
	for _, c := range one.Containers {
		if aws.ToString(c.Name) != s.settings.Container {
			continue
		}
		t.runtime = aws.ToString(c.RuntimeId)
		for _, a := range c.ManagedAgents {
			if a.Name == types.ManagedAgentNameExecuteCommandAgent {
				agent = aws.ToString(a.LastStatus)
				if agent == "STOPPED" && status == "RUNNING" {
					return status, agent, fmt.Errorf("the task's exec agent has stopped (%s): the task role needs the four ssmmessages actions (pulumi up sets them again), and %s",
						aws.ToString(a.Reason), s.noAgent())
				}
			}
		}
		if status == "STOPPED" {
			return status, agent, s.ended(aws.ToString(one.StoppedReason), aws.ToString(c.Reason))
		}
	}
	if status == "STOPPED" || aws.ToString(one.DesiredStatus) == "STOPPED" {
		return status, agent, s.ended(aws.ToString(one.StoppedReason), "")
	}
	return status, agent, nil
}

// ended says why a task has ended before it could be used, and what mends it.
func (s *Session) ended(reason, detail string) error {
	text := strings.TrimSpace(reason + " " + detail)
	hint := ""
	has := func(parts ...string) bool {
		return slices.ContainsFunc(parts, func(part string) bool { return strings.Contains(text, part) })
	}
	switch {
	case has("executable file not found", "no such file or directory"):
		hint = ": the image has no shell, which the task waits with; name one that has in database.sessionImage, such as public.ecr.aws/docker/library/busybox:stable"
	case has("i/o timeout", "context deadline exceeded", "connection refused", "no route to host"):
		hint = ": give the subnets (" + strings.Join(s.settings.Subnets, ", ") + ") a NAT gateway, or VPC endpoints for ecr.api, ecr.dkr, s3 and ssmmessages"
	case has("CannotPullContainer", "pull image"):
		hint = ": does the image exist, and may the execution role pull it?"
	}
	return fmt.Errorf("the task has ended before it could be used: %s%s", text, hint)
}

// release stops a task where nobody else has a session through it. What cannot be asked or stopped ends by itself.
func (s *Session) release(ctx context.Context, t *task, ours string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if t.found || ours != "" {
		out, err := s.ssm.DescribeSessions(ctx, &ssm.DescribeSessionsInput{
			State:   ssmtypes.SessionStateActive,
			Filters: []ssmtypes.SessionFilter{{Key: ssmtypes.SessionFilterKeyTargetId, Value: aws.String(t.target(s.settings.Cluster))}},
		})
		if err != nil {
			fmt.Fprintf(s.out, "whether others use task %s is not known, so it is left to end by itself: %v\n", lastPart(t.arn), err)
			return
		}
		for _, other := range out.Sessions {
			if aws.ToString(other.SessionId) != ours && other.Status != ssmtypes.SessionStatusTerminated && other.Status != ssmtypes.SessionStatusTerminating {
				return
			}
		}
	}
	_, err := s.ecs.StopTask(ctx, &ecs.StopTaskInput{Cluster: &s.settings.Cluster, Task: &t.arn, Reason: aws.String("nobody uses it any more")})
	var gone *types.InvalidParameterException
	if err != nil && !errors.As(err, &gone) {
		fmt.Fprintf(s.out, "task %s could not be stopped, so it is left to end by itself: %v\n", lastPart(t.arn), err)
	}
}
