package gateway_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestInactiveTaskDefinition deregisters what a service runs: the service goes on and scales, and nobody may deploy it.
func TestInactiveTaskDefinition(t *testing.T) {
	c := start(t)
	c.json(t, "ecs", "CreateCluster", map[string]any{"clusterName": "inactive"}, nil)
	old := c.register(t, "inactive", map[string]any{"image": "test:1"})
	network := map[string]any{"awsvpcConfiguration": map[string]any{"subnets": []string{"subnet-1"}}}
	service := func(name string) map[string]any {
		return map[string]any{"cluster": "inactive", "serviceName": name, "taskDefinition": old, "desiredCount": 1, "launchType": "FARGATE", "networkConfiguration": network}
	}
	running := func(want int) func() (bool, string) {
		return func() (bool, string) {
			var out struct{ Services []serviceView }
			c.json(t, "ecs", "DescribeServices", map[string]any{"cluster": "inactive", "services": []string{"one"}}, &out)
			return len(out.Services) == 1 && out.Services[0].RunningCount == want, fmt.Sprintf("%+v", out)
		}
	}
	c.json(t, "ecs", "CreateService", service("one"), nil)
	defer c.json(t, "ecs", "DeleteService", map[string]any{"cluster": "inactive", "service": "one", "force": true}, nil)
	eventually(t, 30*time.Second, "it runs", running(1))
	c.json(t, "ecs", "DeregisterTaskDefinition", map[string]any{"taskDefinition": old}, nil)

	for action, in := range map[string]map[string]any{
		"RunTask":       {"cluster": "inactive", "taskDefinition": old, "launchType": "FARGATE", "networkConfiguration": network},
		"CreateService": service("two"),
		"UpdateService": {"cluster": "inactive", "service": "one", "taskDefinition": old},
	} {
		body, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		data, status := c.post(t, "ecs", "application/x-amz-json-1.1", targets["ecs"]+action, body)
		if status != 400 || !strings.Contains(string(data), "ClientException") || !strings.Contains(string(data), "TaskDefinition is inactive") {
			t.Errorf("%s: %d %s", action, status, data)
		}
	}
	c.json(t, "ecs", "UpdateService", map[string]any{"cluster": "inactive", "service": "one", "desiredCount": 2}, nil)
	eventually(t, 30*time.Second, "it scales", running(2))
}
