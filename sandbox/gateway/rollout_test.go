package gateway_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// site is a service behind a load balancer that only forwards requests with a secret header.
type site struct {
	*cloud
	name, dns, group, balancer string
}

func (c *cloud) site(t *testing.T, name, version string, extra map[string]any) *site {
	t.Helper()
	s := &site{cloud: c, name: name}
	c.json(t, "ecs", "CreateCluster", map[string]any{"clusterName": name}, nil)
	var lb struct {
		ARN string `xml:"CreateLoadBalancerResult>LoadBalancers>member>LoadBalancerArn"`
		DNS string `xml:"CreateLoadBalancerResult>LoadBalancers>member>DNSName"`
	}
	c.elb(t, "CreateLoadBalancer", map[string]string{"Name": name, "Subnets.member.1": "subnet-1"}, &lb)
	var group struct {
		ARN string `xml:"CreateTargetGroupResult>TargetGroups>member>TargetGroupArn"`
	}
	c.elb(t, "CreateTargetGroup", map[string]string{
		"Name": name, "Protocol": "HTTP", "Port": "8000", "VpcId": "vpc-1", "TargetType": "ip", "HealthCheckPath": "/health",
		"HealthCheckIntervalSeconds": "5", "HealthCheckTimeoutSeconds": "2", "HealthyThresholdCount": "2", "UnhealthyThresholdCount": "2", "Matcher.HttpCode": "200",
	}, &group)
	var listener struct {
		ARN string `xml:"CreateListenerResult>Listeners>member>ListenerArn"`
	}
	c.elb(t, "CreateListener", map[string]string{
		"LoadBalancerArn": lb.ARN, "Protocol": "HTTP", "Port": "80", "DefaultActions.member.1.Type": "fixed-response",
		"DefaultActions.member.1.FixedResponseConfig.StatusCode": "403", "DefaultActions.member.1.FixedResponseConfig.ContentType": "text/plain",
		"DefaultActions.member.1.FixedResponseConfig.MessageBody": "only through the distribution",
	}, &listener)
	c.elb(t, "CreateRule", map[string]string{
		"ListenerArn": listener.ARN, "Priority": "10", "Conditions.member.1.Field": "http-header",
		"Conditions.member.1.HttpHeaderConfig.HttpHeaderName": "X-Origin-Secret", "Conditions.member.1.HttpHeaderConfig.Values.member.1": "let-me-in",
		"Actions.member.1.Type": "forward", "Actions.member.1.TargetGroupArn": group.ARN,
	}, nil)
	s.dns, s.group, s.balancer = lb.DNS, group.ARN, lb.ARN
	in := map[string]any{
		"cluster": name, "serviceName": name, "taskDefinition": s.version(t, version), "desiredCount": 2, "launchType": "FARGATE",
		"networkConfiguration": map[string]any{"awsvpcConfiguration": map[string]any{"subnets": []string{"subnet-1"}}},
		"loadBalancers":        []any{map[string]any{"targetGroupArn": group.ARN, "containerName": "backend", "containerPort": 8000}},
		"deploymentConfiguration": map[string]any{
			"deploymentCircuitBreaker": map[string]bool{"enable": true, "rollback": true}, "maximumPercent": 200, "minimumHealthyPercent": 100,
		},
	}
	for k, v := range extra {
		in[k] = v
	}
	c.json(t, "ecs", "CreateService", in, nil)
	return s
}

func (s *site) version(t *testing.T, version string) string {
	t.Helper()
	container := map[string]any{"image": "test:" + version, "portMappings": []any{map[string]any{"containerPort": 8000}}}
	if version == "hidden-sick" { // fine for the load balancer, not for its own health check
		container["healthCheck"] = map[string]any{"command": []string{"CMD-SHELL", "exit 1"}, "interval": 5, "retries": 1}
	} else {
		container["healthCheck"] = map[string]any{
			"command":  []string{"CMD-SHELL", `python3 -c "import urllib.request; urllib.request.urlopen('http://localhost:8000/any')" || exit 1`},
			"interval": 5, "retries": 3,
		}
		if strings.HasPrefix(version, "sick") || strings.HasPrefix(version, "broken") || version == "elsewhere" {
			delete(container, "healthCheck")
		}
	}
	return s.register(t, s.name, container)
}

type serviceView struct {
	TaskDefinition, Status     string
	DesiredCount, RunningCount int
	Deployments                []struct {
		ID, Status, TaskDefinition, RolloutState, RolloutStateReason string
		RunningCount, FailedTasks                                    int
	}
	Events []struct{ Message string }
}

func (s *site) service(t *testing.T) serviceView {
	t.Helper()
	var out struct{ Services []serviceView }
	s.json(t, "ecs", "DescribeServices", map[string]any{"cluster": s.name, "services": []string{s.name}}, &out)
	if len(out.Services) != 1 {
		t.Fatalf("service %s: found %d", s.name, len(out.Services))
	}
	return out.Services[0]
}

func (v serviceView) steady() bool {
	return len(v.Deployments) == 1 && v.Deployments[0].RolloutState == "COMPLETED" && v.RunningCount == v.DesiredCount
}

func (s *site) awaitSteady(t *testing.T) {
	t.Helper()
	eventually(t, 60*time.Second, "the service is steady", func() (bool, string) {
		v := s.service(t)
		shown, _ := json.Marshal(v)
		return v.steady(), string(shown)
	})
}

// ask makes a request as the CDN would.
// Why the load balancer itself failed stands in the text.
func (s *site) ask(ctx context.Context, path, secret string) (int, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+path, nil)
	if err != nil {
		return 0, "", err
	}
	req.Host = "site.example"
	req.Header.Set("X-Sandbox-Load-Balancer", s.dns+":80")
	req.Header.Set("X-Origin-Secret", secret)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header.Get("X-Sandbox-Error") + string(body), err
}

// client asks ten times a second until stopped.
type client struct {
	requests, bad int
	wrong         []string // each bad answer's text
	longest       time.Duration
	statuses      map[int]int
	versions      map[string]int
	stop          func()
}

func (s *site) client(path string) *client {
	ctx, cancel := context.WithCancel(context.Background())
	c := &client{statuses: map[int]int{}, versions: map[string]int{}}
	done := make(chan struct{})
	c.stop = func() { cancel(); <-done }
	go func() {
		defer close(done)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		last := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			status, body, err := s.ask(context.Background(), path, "let-me-in")
			c.requests++
			c.statuses[status]++
			c.versions[strings.Fields(body + " -")[0]]++
			if err != nil || status >= 500 || status == 0 {
				c.bad++
				c.wrong = append(c.wrong, fmt.Sprint(status, " ", body, err))
			} else {
				c.longest = max(c.longest, time.Since(last))
				last = time.Now()
			}
		}
	}()
	return c
}

// TestRollouts takes one service through good and bad versions while a client asks ten times a second.
func TestRollouts(t *testing.T) {
	c := start(t)
	s := c.site(t, "rollouts", "1", nil)
	if v := s.service(t); v.Deployments[0].RolloutState != "IN_PROGRESS" {
		t.Errorf("a new service is %s, want IN_PROGRESS", v.Deployments[0].RolloutState)
	}
	s.awaitSteady(t)
	if status, _, err := s.ask(t.Context(), "/any", "guessed"); err != nil || status != 403 {
		t.Errorf("without the secret: %d %v, want 403", status, err)
	}
	if status, body, err := s.ask(t.Context(), "/any", "let-me-in"); err != nil || status != 200 || strings.TrimSpace(body) != "1" {
		t.Errorf("with the secret: %d %q %v, want 200 and version 1", status, body, err)
	}
	current := s.service(t).TaskDefinition
	for _, tc := range []struct {
		version, reason, task string
		good                  bool
	}{
		{version: "2", good: true},
		{version: "crash", reason: "tasks failed to start", task: "ssential container"},
		{version: "sick", reason: "tasks failed to start", task: "Task failed ELB health checks in (target-group"},
		{version: "broken", reason: "tasks failed to start", task: "Task failed ELB health checks in (target-group"},
		{version: "hidden-sick", reason: "tasks failed to start", task: "Task failed container health checks"},
		{version: "elsewhere", reason: "tasks failed to start", task: ": nothing listens on port 8000, but on 127."},
		{version: "3", good: true},
	} {
		t.Run(tc.version, func(t *testing.T) {
			client := s.client("/any")
			defer client.stop()
			started := time.Now()
			wanted := s.version(t, tc.version)
			s.json(t, "ecs", "UpdateService", map[string]any{"cluster": s.name, "service": s.name, "taskDefinition": wanted}, nil)
			if v := s.service(t); v.steady() {
				t.Error("steady at once after an update")
			}
			sawFailed := false
			var stopped []string
			eventually(t, 90*time.Second, "the deployment ends", func() (bool, string) {
				v := s.service(t)
				for _, d := range v.Deployments {
					if d.TaskDefinition == wanted && d.RolloutState == "FAILED" {
						sawFailed = true
						if !strings.Contains(d.RolloutStateReason, tc.reason) {
							t.Errorf("reason %q, want %q", d.RolloutStateReason, tc.reason)
						}
					}
				}
				shown, _ := json.Marshal(v)
				return v.steady(), string(shown)
			})
			client.stop()
			t.Logf("%s: %s, %d requests, statuses %v, versions %v, longest gap %s", tc.version, time.Since(started).Round(time.Second), client.requests, client.statuses, client.versions, client.longest.Round(time.Millisecond))
			if client.bad > 0 {
				t.Errorf("the client saw %d bad answers of %d: %q", client.bad, client.requests, client.wrong)
			}
			v := s.service(t)
			if tc.good {
				if v.TaskDefinition != wanted || sawFailed {
					t.Errorf("runs %s, want %s; failed: %v", v.TaskDefinition, wanted, sawFailed)
				}
				current = wanted
				return
			}
			if v.TaskDefinition != current || !sawFailed {
				t.Errorf("runs %s, want the old %s; a failed deployment was seen: %v", v.TaskDefinition, current, sawFailed)
			}
			if tc.version != "hidden-sick" && client.versions[tc.version] > 0 { // that one looks healthy to the load balancer
				t.Errorf("%d answers came from the bad version", client.versions[tc.version])
			}
			var list struct{ TaskArns []string }
			s.json(t, "ecs", "ListTasks", map[string]any{"cluster": s.name, "serviceName": s.name, "desiredStatus": "STOPPED"}, &list)
			found := false
			for _, arn := range list.TaskArns {
				reason := s.task(t, s.name, arn).StoppedReason
				stopped = append(stopped, reason)
				found = found || strings.Contains(reason, tc.task)
			}
			if !found {
				t.Errorf("no stopped task tells %q: %q", tc.task, stopped)
			}
		})
	}
	t.Run("delete", func(t *testing.T) {
		s.json(t, "ecs", "UpdateService", map[string]any{"cluster": s.name, "service": s.name, "desiredCount": 0}, nil)
		eventually(t, 20*time.Second, "no task runs", func() (bool, string) {
			v := s.service(t)
			return v.RunningCount == 0, fmt.Sprint(v)
		})
		s.json(t, "ecs", "DeleteService", map[string]any{"cluster": s.name, "service": s.name}, nil)
		eventually(t, 20*time.Second, "the service is gone", func() (bool, string) {
			v := s.service(t)
			return v.Status == "INACTIVE", fmt.Sprint(v)
		})
		if status, _, err := s.ask(t.Context(), "/any", "let-me-in"); err != nil || status != 503 {
			t.Errorf("without targets: %d %v, want 503", status, err)
		}
	})
}
