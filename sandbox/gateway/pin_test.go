package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestPinnedSecrets runs tasks whose definitions name a version of a secret that is no longer the newest.
func TestPinnedSecrets(t *testing.T) {
	c := start(t)
	c.json(t, "ecs", "CreateCluster", map[string]any{"clusterName": "pinned"}, nil)
	var first, second struct{ ARN, VersionId string }
	c.json(t, "secretsmanager", "CreateSecret", map[string]any{"Name": "pinned/url", "SecretString": `{"url": "first"}`}, &first)
	c.json(t, "secretsmanager", "PutSecretValue", map[string]any{"SecretId": first.ARN, "SecretString": `{"url": "second"}`}, &second)
	define := func(t *testing.T, reference string) string {
		return c.register(t, "pinned", map[string]any{
			"image": "test:1", "secrets": []any{map[string]string{"name": "SECRET", "valueFrom": first.ARN + reference}},
		})
	}
	const refused = "ResourceInitializationError: unable to pull secrets"
	for _, tc := range []struct{ name, reference, want, reason string }{
		{"version", ":::" + first.VersionId, `{"url": "first"}`, ""},
		{"key of a version", ":url::" + first.VersionId, "first", ""},
		{"newest version", ":url::" + second.VersionId, "second", ""},
		{"stage", ":url:AWSPREVIOUS:", "first", ""},
		{"nothing pinned", ":url::", "second", ""},
		{"no such version", ":::00000000-0000-0000-0000-000000000000", "", refused},
		{"no such stage", "::LATER:", "", refused},
		{"no such key", ":port::" + first.VersionId, "", refused},
	} {
		t.Run(tc.name, func(t *testing.T) {
			arn := c.runTask(t, "pinned", define(t, tc.reference), []string{"sh", "-c", `test "$SECRET" = '` + tc.want + `'`})
			last := c.awaitStopped(t, "pinned", arn)
			code := last.Containers[0].ExitCode
			if tc.reason == "" && (code == nil || *code != 0) {
				t.Errorf("the task got another value: %+v", last)
			}
			if tc.reason != "" && (code != nil || last.StopCode != "TaskFailedToStart" || !strings.HasPrefix(last.StoppedReason, tc.reason)) {
				t.Errorf("stopped as %s: %s; want TaskFailedToStart: %s", last.StopCode, last.StoppedReason, tc.reason)
			}
		})
	}
	pinned := define(t, ":url::"+first.VersionId)
	t.Run("an override holds, and no answer tells a secret", func(t *testing.T) {
		for variable, want := range map[string]string{"SECRET": "third", "OTHER": "first"} {
			in := map[string]any{
				"cluster": "pinned", "taskDefinition": pinned, "launchType": "FARGATE",
				"networkConfiguration": map[string]any{"awsvpcConfiguration": map[string]any{"subnets": []string{"subnet-1"}}},
				"overrides": map[string]any{"containerOverrides": []any{map[string]any{
					"name": "backend", "command": []string{"sh", "-c", `test "$SECRET" = ` + want},
					"environment": []any{map[string]string{"name": variable, "value": "third"}},
				}}},
			}
			var run, described struct{ Tasks []json.RawMessage }
			c.json(t, "ecs", "RunTask", in, &run)
			var ran taskView
			if err := json.Unmarshal(run.Tasks[0], &ran); err != nil {
				t.Fatal(err)
			}
			if last := c.awaitStopped(t, "pinned", ran.TaskArn); last.Containers[0].ExitCode == nil || *last.Containers[0].ExitCode != 0 {
				t.Errorf("with %s overridden the secret is not %s: %+v", variable, want, last)
			}
			c.json(t, "ecs", "DescribeTasks", map[string]any{"cluster": "pinned", "tasks": []string{ran.TaskArn}}, &described)
			for _, told := range append(run.Tasks, described.Tasks...) {
				if strings.Contains(string(told), `"first"`) || !strings.Contains(string(told), `"third"`) {
					t.Errorf("the task is told as %s", told)
				}
			}
		}
	})
	t.Run("service", func(t *testing.T) {
		c.json(t, "ecs", "CreateService", map[string]any{
			"cluster": "pinned", "serviceName": "pinned", "taskDefinition": pinned, "desiredCount": 1, "launchType": "FARGATE",
			"networkConfiguration": map[string]any{"awsvpcConfiguration": map[string]any{"subnets": []string{"subnet-1"}}},
		}, nil)
		eventually(t, 30*time.Second, "its task answers with the pinned value", func() (bool, string) {
			address := c.serviceAddress(t, "pinned", "pinned")
			resp, err := http.Get("http://" + address + ":8000/")
			if err != nil {
				return false, err.Error()
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			return string(body) == "1 first", fmt.Sprintf("%s %v", body, err)
		})
		c.json(t, "ecs", "DeleteService", map[string]any{"cluster": "pinned", "service": "pinned", "force": true}, nil)
	})
}

func (c *cloud) awaitStopped(t *testing.T, cluster, arn string) (last taskView) {
	t.Helper()
	eventually(t, 20*time.Second, "the task stops", func() (bool, string) {
		last = c.task(t, cluster, arn)
		return last.LastStatus == "STOPPED", fmt.Sprintf("%+v", last)
	})
	return last
}

// serviceAddress is the address of a service's first task, empty as long as there is none.
func (c *cloud) serviceAddress(t *testing.T, cluster, service string) string {
	t.Helper()
	var list struct{ TaskArns []string }
	c.json(t, "ecs", "ListTasks", map[string]any{"cluster": cluster, "serviceName": service}, &list)
	var out struct {
		Tasks []struct {
			Attachments []struct {
				Details []struct{ Name, Value string }
			}
		}
	}
	if len(list.TaskArns) > 0 {
		c.json(t, "ecs", "DescribeTasks", map[string]any{"cluster": cluster, "tasks": list.TaskArns}, &out)
	}
	for _, task := range out.Tasks {
		for _, a := range task.Attachments {
			for _, d := range a.Details {
				if d.Name == "privateIPv4Address" {
					return d.Value
				}
			}
		}
	}
	return ""
}
