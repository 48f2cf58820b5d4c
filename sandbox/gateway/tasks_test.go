package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

type taskView struct {
	TaskArn, LastStatus, StopCode, StoppedReason, HealthStatus, StartedBy string
	Containers                                                            []struct {
		Name     string
		ExitCode *int
	}
}

func (c *cloud) task(t *testing.T, cluster, arn string) taskView {
	t.Helper()
	var out struct{ Tasks []taskView }
	c.json(t, "ecs", "DescribeTasks", map[string]any{"cluster": cluster, "tasks": []string{arn}}, &out)
	if len(out.Tasks) != 1 {
		t.Fatalf("task %s: found %d", arn, len(out.Tasks))
	}
	return out.Tasks[0]
}

func (c *cloud) register(t *testing.T, family string, container map[string]any) string {
	t.Helper()
	container["name"] = "backend"
	var out struct {
		TaskDefinition struct{ TaskDefinitionArn string }
	}
	c.json(t, "ecs", "RegisterTaskDefinition", map[string]any{
		"family": family, "networkMode": "awsvpc", "requiresCompatibilities": []string{"FARGATE"}, "cpu": "256", "memory": "512",
		"containerDefinitions": []any{container},
	}, &out)
	return out.TaskDefinition.TaskDefinitionArn
}

func (c *cloud) runTask(t *testing.T, cluster, definition string, command []string) string {
	t.Helper()
	in := map[string]any{
		"cluster": cluster, "taskDefinition": definition, "launchType": "FARGATE",
		"networkConfiguration": map[string]any{"awsvpcConfiguration": map[string]any{"subnets": []string{"subnet-1"}}},
	}
	if command != nil {
		in["overrides"] = map[string]any{"containerOverrides": []any{map[string]any{"name": "backend", "command": command}}}
	}
	var out struct{ Tasks []taskView }
	c.json(t, "ecs", "RunTask", in, &out)
	return out.Tasks[0].TaskArn
}

// TestRunTask covers what the migration needs: real exit codes, secrets as environment, the log, and failures to start.
func TestRunTask(t *testing.T) {
	c := start(t)
	c.json(t, "ecs", "CreateCluster", map[string]any{"clusterName": "one-off"}, nil)
	var secret struct{ ARN string }
	c.json(t, "secretsmanager", "CreateSecret", map[string]any{"Name": "one-off/url", "SecretString": "s3cr3t-value"}, &secret)
	c.json(t, "logs", "CreateLogGroup", map[string]any{"logGroupName": "/one-off"}, nil)
	container := func(image string) map[string]any {
		return map[string]any{
			"image": image, "secrets": []any{map[string]string{"name": "SECRET", "valueFrom": secret.ARN}},
			"logConfiguration": map[string]any{"logDriver": "awslogs", "options": map[string]string{"awslogs-group": "/one-off", "awslogs-region": "eu-west-3", "awslogs-stream-prefix": "m"}},
		}
	}
	definition := c.register(t, "one-off", container("test:1"))
	missing := c.register(t, "missing", container("nowhere/backend:1"))
	unreadable := container("test:1")
	unreadable["secrets"] = []any{map[string]string{"name": "SECRET", "valueFrom": secret.ARN + "-none"}}
	locked := c.register(t, "locked", unreadable)

	for _, tc := range []struct {
		name, definition string
		command          []string
		code             int // -1: none
		stop, reason     string
	}{
		{"success", definition, []string{"sh", "-c", "cd /app && echo length ${#SECRET} && exit 0"}, 0, "EssentialContainerExited", "Essential container in task exited|Essential container exited"},
		{"failure", definition, []string{"sh", "-c", "echo told; exit 7"}, 7, "EssentialContainerExited", "Essential container"},
		{"killed", definition, []string{"sh", "-c", "kill -9 $$"}, 137, "EssentialContainerExited", "Essential container"},
		{"no such program", definition, []string{"no-such-program"}, -1, "TaskFailedToStart", "executable file not found"},
		{"image missing", missing, nil, -1, "TaskFailedToStart", "CannotPullContainerError"},
		{"secret unreadable", locked, nil, -1, "TaskFailedToStart", "unable to pull secrets"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			arn := c.runTask(t, "one-off", tc.definition, tc.command)
			last := c.awaitStopped(t, "one-off", arn)
			code := last.Containers[0].ExitCode
			if tc.code < 0 && code != nil || tc.code >= 0 && (code == nil || *code != tc.code) {
				shown, _ := json.Marshal(code)
				t.Errorf("exit code %s, want %d", shown, tc.code)
			}
			matched := false
			for want := range strings.SplitSeq(tc.reason, "|") {
				matched = matched || strings.Contains(last.StoppedReason, want)
			}
			if last.StopCode != tc.stop || !matched {
				t.Errorf("stopped as %s: %s; want %s: %s", last.StopCode, last.StoppedReason, tc.stop, tc.reason)
			}
			if tc.name != "success" {
				return
			}
			id := arn[strings.LastIndexByte(arn, '/')+1:]
			eventually(t, 10*time.Second, "the log arrives", func() (bool, string) {
				var out struct{ Events []struct{ Message string } }
				c.json(t, "logs", "GetLogEvents", map[string]any{"logGroupName": "/one-off", "logStreamName": "m/backend/" + id, "startFromHead": true}, &out)
				return len(out.Events) == 1 && out.Events[0].Message == "length 12", fmt.Sprint(out)
			})
		})
	}
}
