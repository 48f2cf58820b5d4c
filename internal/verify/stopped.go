package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"plan-charge/internal/tasklog"
)

// RolloutError says that the service does not run what was deployed.
type RolloutError struct {
	Service string
	Wanted  string // task definition
	Running string // task definition, or "" when there is none
	Reason  string
	Events  []string      // the service's last events but for those that always come, newest first
	Tasks   []StoppedTask // of the wanted task definition
}

// StoppedTask is a task that did not stay up.
type StoppedTask struct {
	ID      string
	Reasons []string
	Log     []string // its last lines
}

func (e *RolloutError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "service %s does not run what was deployed: %s\n  wanted:  %s\n  running: %s", e.Service, e.Reason, Short(e.Wanted), orNone(Short(e.Running)))
	for _, group := range alike(e.Tasks) {
		first := group[0]
		if len(group) == 1 {
			fmt.Fprintf(&b, "\n  stopped task %s: %s", first.ID, strings.Join(first.Reasons, "; "))
		} else {
			fmt.Fprintf(&b, "\n  stopped task %s and %d more alike: %s", first.ID, len(group)-1, strings.Join(first.Reasons, "; "))
		}
		for _, line := range first.Log {
			b.WriteString("\n    | " + line)
		}
	}
	if len(e.Tasks) == 0 {
		b.WriteString("\n  no stopped task of the wanted task definition is known (any more)")
	}
	for _, event := range e.Events {
		b.WriteString("\n  event: " + event)
	}
	return b.String()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// alike puts tasks together that stopped for the same reasons with the same last lines.
func alike(tasks []StoppedTask) [][]StoppedTask {
	var groups [][]StoppedTask
	for _, task := range tasks {
		i := slices.IndexFunc(groups, func(g []StoppedTask) bool {
			return slices.Equal(g[0].Reasons, task.Reasons) && slices.Equal(g[0].Log, task.Log)
		})
		if i < 0 {
			groups = append(groups, nil)
			i = len(groups) - 1
		}
		groups[i] = append(groups[i], task)
	}
	return groups
}

// routine is what ECS tells of a service whether it is well or not.
var routine = regexp.MustCompile(`has started \d+ tasks|registered \d+ targets|has stopped \d+ running tasks|has begun draining|has reached a steady state`)

// rolledBack collects what there is to know about a rollout that failed.
func (v *verification) rolledBack(ctx context.Context, service types.Service, why string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	e := &RolloutError{Service: v.Service, Wanted: v.TaskDefinition, Running: deployed(service), Reason: why}
	for _, event := range service.Events {
		if message := aws.ToString(event.Message); len(e.Events) < shownEvents && !routine.MatchString(message) {
			e.Events = append(e.Events, message)
		}
	}
	e.Tasks = v.stoppedTasks(ctx)
	return e
}

const (
	shownTasks  = 3
	shownLines  = 20
	shownEvents = 5 // the events of the rollback come after those that say why
)

// stoppedTasks returns the latest tasks of the wanted task definition that did not stay up, as far as ECS still knows them.
func (v *verification) stoppedTasks(ctx context.Context) []StoppedTask {
	list, err := v.ECS.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &v.Cluster, ServiceName: &v.Service, DesiredStatus: types.DesiredStatusStopped})
	if err != nil || len(list.TaskArns) == 0 {
		return nil
	}
	found, err := v.ECS.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &v.Cluster, Tasks: list.TaskArns[:min(100, len(list.TaskArns))]})
	if err != nil {
		return nil
	}
	streams := v.logStreams(ctx)
	var tasks []StoppedTask
	// ECS names tasks in no useful order; what failed by itself tells more than what was stopped for it.
	for _, own := range []bool{true, false} {
		for _, t := range found.Tasks {
			if !Same(aws.ToString(t.TaskDefinitionArn), v.TaskDefinition) || len(tasks) == shownTasks {
				continue
			}
			byItself := t.StopCode == types.TaskStopCodeEssentialContainerExited || t.StopCode == types.TaskStopCodeTaskFailedToStart
			if byItself != own {
				continue
			}
			arn := aws.ToString(t.TaskArn)
			task := StoppedTask{ID: Short(arn), Reasons: reasons(t)}
			for container, s := range streams {
				lines, err := tasklog.Tail(ctx, v.Logs, s.group, tasklog.StreamName(s.prefix, container, arn), shownLines)
				if err != nil {
					lines = []string{"(" + err.Error() + ")"}
				}
				task.Log = append(task.Log, lines...)
			}
			tasks = append(tasks, task)
		}
	}
	return tasks
}

func reasons(t types.Task) []string {
	var all []string
	if t.StopCode != "" {
		all = append(all, string(t.StopCode))
	}
	if reason := aws.ToString(t.StoppedReason); reason != "" {
		all = append(all, reason)
	}
	for _, c := range t.Containers {
		switch {
		case c.ExitCode != nil && aws.ToString(c.Reason) != "":
			all = append(all, fmt.Sprintf("container %s exited with code %d: %s", aws.ToString(c.Name), *c.ExitCode, *c.Reason))
		case c.ExitCode != nil:
			all = append(all, fmt.Sprintf("container %s exited with code %d", aws.ToString(c.Name), *c.ExitCode))
		case aws.ToString(c.Reason) != "":
			all = append(all, fmt.Sprintf("container %s: %s", aws.ToString(c.Name), *c.Reason))
		}
		if c.HealthStatus == types.HealthStatusUnhealthy {
			all = append(all, fmt.Sprintf("container %s was unhealthy", aws.ToString(c.Name)))
		}
	}
	return all
}

type logStream struct{ group, prefix string }

// logStreams says, by container, where the wanted task definition logs to. Its secrets are kept out of what is shown.
func (v *verification) logStreams(ctx context.Context) map[string]logStream {
	out, err := v.ECS.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: &v.TaskDefinition})
	if err != nil || out.TaskDefinition == nil {
		return nil
	}
	streams := map[string]logStream{}
	for _, c := range out.TaskDefinition.ContainerDefinitions {
		v.hideSecrets(ctx, c.Secrets)
		if c.LogConfiguration == nil || c.LogConfiguration.LogDriver != types.LogDriverAwslogs {
			continue
		}
		o := c.LogConfiguration.Options
		if o["awslogs-group"] != "" && o["awslogs-stream-prefix"] != "" {
			streams[aws.ToString(c.Name)] = logStream{o["awslogs-group"], o["awslogs-stream-prefix"]}
		}
	}
	return streams
}

func (v *verification) hideSecrets(ctx context.Context, secrets []types.Secret) {
	for _, secret := range secrets {
		id := aws.ToString(secret.ValueFrom)
		// arn:aws:secretsmanager:region:account:secret:name[:key:stage:version]
		parts := strings.Split(id, ":")
		if len(parts) > 7 {
			id = strings.Join(parts[:7], ":")
		}
		if v.Secrets == nil || len(parts) < 7 || parts[2] != "secretsmanager" {
			continue
		}
		value, err := v.Secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &id})
		if err != nil {
			continue
		}
		text := aws.ToString(value.SecretString)
		v.hide.AddURL(text)
		var members map[string]string
		if json.Unmarshal([]byte(text), &members) == nil {
			for _, member := range members {
				if len(member) >= 4 { // hiding every "1" would hide the log itself
					v.hide.AddURL(member)
				}
			}
		}
	}
}
