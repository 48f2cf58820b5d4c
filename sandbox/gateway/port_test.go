package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"
)

// A service's load balancer names a port that its task definition has, so that both change in one call or not at all.
func TestPortAndTaskDefinitionChangeTogether(t *testing.T) {
	c := start(t)
	s := c.site(t, "ports", "1", nil)
	defer c.json(t, "ecs", "DeleteService", map[string]any{"cluster": s.name, "service": s.name, "force": true}, nil)
	other := s.register(t, s.name, map[string]any{"image": "test:1", "portMappings": []any{map[string]any{"containerPort": 8001}}})
	to := func(container string, port int) []any {
		return []any{map[string]any{"targetGroupArn": s.group, "containerName": container, "containerPort": port}}
	}
	for _, tc := range []struct {
		with map[string]any
		want string
	}{
		{map[string]any{"loadBalancers": to("backend", 8001)}, "The container backend did not have a container port 8001 defined."},
		{map[string]any{"taskDefinition": other}, "The container backend did not have a container port 8000 defined."},
		{map[string]any{"loadBalancers": to("frontend", 8000)}, "The container frontend does not exist in the task definition."},
		{map[string]any{"taskDefinition": other, "loadBalancers": to("backend", 8001)}, ""},
	} {
		tc.with["cluster"], tc.with["service"] = s.name, s.name
		body, err := json.Marshal(tc.with)
		if err != nil {
			t.Fatal(err)
		}
		data, status := c.post(t, "ecs", "application/x-amz-json-1.1", targets["ecs"]+"UpdateService", body)
		if (status == 200) != (tc.want == "") || !strings.Contains(string(data), tc.want) {
			t.Errorf("%v: %d %s", tc.with, status, data)
		}
	}
}
