package migrate

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plan-charge/internal/tasklog"
)

// TaskError says why a migration task is no success. Its text ends with the last lines of the task's log.
type TaskError struct {
	TaskARN         string
	ExitCode        *int32 // nil: the container did not report one
	StopCode        string // such as EssentialContainerExited or TaskFailedToStart
	StoppedReason   string
	ContainerReason string
	Cause           error    // why the task was given up before it ended, or nil
	After           string   // what became of a task that was given up
	Hint            string   // what to look at, or ""
	Log             []string // the last lines, at most 20
	LogErr          error    // why the log is incomplete, or nil
}

func (e *TaskError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "migration task %s ", id(e.TaskARN))
	switch {
	case e.Cause != nil:
		fmt.Fprintf(&b, "was given up: %v; %s", e.Cause, e.After)
	case e.ExitCode == nil:
		b.WriteString("ended without an exit code")
	case *e.ExitCode == 0 && e.LogErr != nil:
		b.WriteString("exited with code 0, but its log was lost, so what it did cannot be told; running it again is safe")
	default:
		fmt.Fprintf(&b, "exited with code %d", *e.ExitCode)
	}
	for _, detail := range []struct{ name, text string }{
		{"stop code", e.StopCode}, {"stopped reason", e.StoppedReason}, {"container reason", e.ContainerReason}, {"hint", e.Hint},
	} {
		if detail.text != "" {
			fmt.Fprintf(&b, "\n  %s: %s", detail.name, detail.text)
		}
	}
	if e.LogErr != nil {
		fmt.Fprintf(&b, "\n  log: %v", e.LogErr)
	}
	if len(e.Log) > 0 {
		fmt.Fprintf(&b, "\n  last %d log lines:", len(e.Log))
		for _, line := range e.Log {
			b.WriteString("\n  | " + line)
		}
	} else if e.LogErr == nil {
		b.WriteString("\n  log: the task wrote none")
	}
	return b.String()
}

func (e *TaskError) Unwrap() error {
	if e.Cause != nil {
		return e.Cause
	}
	return e.LogErr
}

// judge returns nil for a task that exited with code 0 and whose log could be read, and a *TaskError otherwise.
func judge(s Settings, result end) error {
	task := result.task
	failure := &TaskError{
		TaskARN: aws.ToString(task.TaskArn), StopCode: string(task.StopCode), StoppedReason: aws.ToString(task.StoppedReason),
		Log: result.log, LogErr: result.logErr,
	}
	found := false
	for _, c := range task.Containers {
		if aws.ToString(c.Name) == s.Container {
			found = true
			failure.ExitCode = c.ExitCode
			failure.ContainerReason = aws.ToString(c.Reason)
		}
	}
	if failure.ExitCode != nil && *failure.ExitCode == 0 && result.logErr == nil {
		return nil
	}
	if failure.ExitCode == nil && task.StartedAt == nil && errors.Is(failure.LogErr, tasklog.ErrNoStream) {
		failure.LogErr = nil // nothing ran that could have written one
	}
	failure.Hint = cmp.Or(result.lockNote, hint(failure, s))
	if !found {
		failure.Hint = fmt.Sprintf("the task has no container %q", s.Container)
	}
	return failure
}

// hint says what to look at, for the reasons that come up most.
func hint(e *TaskError, s Settings) string {
	text := e.StoppedReason + " " + e.ContainerReason
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(strings.ToLower(text), strings.ToLower(part)) {
				return true
			}
		}
		return false
	}
	switch {
	case has("executable file not found", "no such file or directory"):
		return "the image has no such program: look at the migration's command"
	case has("OutOfMemory"):
		return "the container ran out of memory; give the migration's task definition more"
	case has("CannotPullContainer", "pull image", "No such image", "image not found"):
		return "the image cannot be pulled: does its tag exist, may the execution role pull it, and do the subnets have a route to the registry?"
	case has("secretsmanager", "secrets manager", "unable to pull secrets", "secret"):
		return "the task's secret cannot be read: does it exist, may the execution role read it, and do the subnets have a route to Secrets Manager?"
	case has("log group", "awslogs", "CreateLogStream", "logger"):
		return fmt.Sprintf("does log group %s exist, and may the execution role write to it?", s.LogGroup)
	case has("ResourceInitializationError"):
		return "the task could not be set up: look at the execution role's rights and the subnets' routes"
	case e.ExitCode != nil && *e.ExitCode == 137:
		return "code 137 means killed: out of memory, or stopped from outside"
	case e.ExitCode != nil && *e.ExitCode == 143:
		return "code 143 means that the task was told to stop"
	}
	return ""
}

// startError is RunTask's list of failures.
type startError struct {
	text    string
	passing bool // true when the same call may succeed in a while
}

func (e *startError) Error() string { return e.text }

func explainFailures(failures []types.Failure) *startError {
	if len(failures) == 0 {
		return &startError{text: "RunTask started no task and gave no reason"}
	}
	e := &startError{passing: true}
	var parts []string
	for _, f := range failures {
		reason := aws.ToString(f.Reason)
		text := reason
		if detail := aws.ToString(f.Detail); detail != "" {
			text += " (" + detail + ")"
		}
		switch {
		case strings.Contains(reason, "Capacity is unavailable"), reason == "RESOURCE:FARGATE":
			text += ": AWS has no Fargate capacity in these subnets' zones at the moment"
		case strings.HasPrefix(reason, "RESOURCE:"):
			text += ": the cluster lacks this resource; with Fargate, look at the account's quota and free addresses in the subnets"
		case reason == "AGENT", reason == "EMPTY CAPACITY PROVIDER":
			text += ": the cluster has no capacity for the launch type"
			e.passing = false
		case reason == "MISSING":
			text += ": the cluster or task definition does not exist (any more)"
			e.passing = false
		case reason == "INACTIVE":
			text += ": the task definition or cluster was deleted"
			e.passing = false
		default:
			e.passing = false
		}
		parts = append(parts, text)
	}
	e.text = "RunTask started no task: " + strings.Join(parts, "; ")
	return e
}
