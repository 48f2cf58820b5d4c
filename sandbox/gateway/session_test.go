package gateway_test

import (
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

type execTask struct {
	LastStatus string
	Containers []struct {
		RuntimeID     string
		ManagedAgents []struct{ Name, LastStatus, Reason string }
	}
}

func (c *cloud) execTask(t *testing.T, cluster, arn string) (task execTask, agent string) {
	t.Helper()
	var out struct{ Tasks []execTask }
	c.json(t, "ecs", "DescribeTasks", map[string]any{"cluster": cluster, "tasks": []string{arn}}, &out)
	if len(out.Tasks) != 1 || len(out.Tasks[0].Containers) != 1 {
		t.Fatalf("task %s: %+v", arn, out)
	}
	task = out.Tasks[0]
	if agents := task.Containers[0].ManagedAgents; len(agents) > 0 {
		agent = strings.TrimSpace(agents[0].Name + " " + agents[0].LastStatus + " " + agents[0].Reason)
	}
	return task, agent
}

// role makes a role with the rights.
func (c *cloud) role(t *testing.T, name string, actions ...string) string {
	t.Helper()
	c.query(t, "iam", "2010-05-08", "CreateRole", map[string]string{"RoleName": name, "AssumeRolePolicyDocument": `{"Version":"2012-10-17","Statement":[]}`}, nil)
	document := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["%s"],"Resource":"*"}]}`, strings.Join(actions, `","`))
	c.query(t, "iam", "2010-05-08", "PutRolePolicy", map[string]string{"RoleName": name, "PolicyName": "exec", "PolicyDocument": document}, nil)
	return "arn:aws:iam::000000000000:role/" + name
}

func (c *cloud) runExec(t *testing.T, cluster, family, role string, exec bool) (arn, refused string) {
	t.Helper()
	definition := map[string]any{
		"family": family, "networkMode": "awsvpc", "requiresCompatibilities": []string{"FARGATE"}, "cpu": "256", "memory": "512",
		"containerDefinitions": []any{map[string]any{"name": "backend", "image": "test:1", "command": []string{"sh", "-c", "exec sleep 600"}}},
	}
	if role != "" {
		definition["taskRoleArn"] = role
	}
	c.json(t, "ecs", "RegisterTaskDefinition", definition, nil)
	in := map[string]any{
		"cluster": cluster, "taskDefinition": family, "launchType": "FARGATE", "enableExecuteCommand": exec,
		"networkConfiguration": map[string]any{"awsvpcConfiguration": map[string]any{"subnets": []string{"subnet-1"}}},
	}
	var out struct{ Tasks []taskView }
	if refused = c.attempt(t, "ecs", "RunTask", in, &out); refused != "" {
		return "", refused
	}
	arn = out.Tasks[0].TaskArn
	t.Cleanup(func() { c.json(t, "ecs", "StopTask", map[string]any{"cluster": cluster, "task": arn}, nil) })
	eventually(t, time.Minute, "the task runs", func() (bool, string) {
		status := c.task(t, cluster, arn).LastStatus
		return status == "RUNNING", status
	})
	return arn, ""
}

var agentRights = []string{"ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel"}

// A session into a task needs ECS Exec, a role with its rights, and patience until the agent is up. It ends with its task.
func TestSessionIntoTask(t *testing.T) {
	c := start(t)
	c.json(t, "ecs", "CreateCluster", map[string]any{"clusterName": "exec_here"}, nil)
	full := c.role(t, "exec-full", agentRights...)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	session := func(arn string) (id, refused string) {
		task, _ := c.execTask(t, "exec_here", arn)
		var out struct{ SessionID, StreamURL, TokenValue string }
		refused = c.attempt(t, "ssm", "StartSession", map[string]any{
			"Target":       "ecs:exec_here_" + arn[strings.LastIndexByte(arn, '/')+1:] + "_" + task.Containers[0].RuntimeID,
			"DocumentName": "AWS-StartPortForwardingSessionToRemoteHost", "Parameters": map[string][]string{"host": {"127.0.0.1"}, "portNumber": {port}},
		}, &out)
		if u, err := url.Parse(out.StreamURL); refused == "" && (err != nil || u.Scheme != "ws" || out.TokenValue == "") {
			t.Errorf("a session answers %+v", out)
		}
		return out.SessionID, refused
	}

	arn, refused := c.runExec(t, "exec_here", "exec", full, true)
	if refused != "" {
		t.Fatal(refused)
	}
	// The task is first seen to run here, so its agent is not up yet.
	if _, refused := session(arn); !strings.Contains(refused, "TargetNotConnected") {
		t.Errorf("a session before the agent is up: %q", refused)
	}
	if _, agent := c.execTask(t, "exec_here", arn); agent != "ExecuteCommandAgent PENDING" {
		t.Errorf("the agent is told as %q", agent)
	}
	eventually(t, 30*time.Second, "the agent is up", func() (bool, string) {
		_, agent := c.execTask(t, "exec_here", arn)
		return agent == "ExecuteCommandAgent RUNNING", agent
	})
	id, refused := session(arn)
	if refused != "" {
		t.Fatal(refused)
	}
	running := func() []string {
		var out struct{ Sessions []struct{ SessionID string } }
		c.json(t, "ssm", "DescribeSessions", map[string]any{"State": "Active"}, &out)
		var ids []string
		for _, s := range out.Sessions {
			ids = append(ids, s.SessionID)
		}
		return ids
	}
	if got := running(); len(got) != 1 || got[0] != id {
		t.Errorf("sessions %v, want %s", got, id)
	}
	c.json(t, "ecs", "StopTask", map[string]any{"cluster": "exec_here", "task": arn}, nil)
	eventually(t, 30*time.Second, "the session ends with its task", func() (bool, string) {
		return len(running()) == 0, fmt.Sprint(running())
	})

	plain, _ := c.runExec(t, "exec_here", "exec", full, false)
	if _, refused := session(plain); !strings.Contains(refused, "TargetNotConnected") {
		t.Errorf("a session into a task without ECS Exec: %q", refused)
	}
	if _, refused := c.runExec(t, "exec_here", "exec-none", "", true); !strings.Contains(refused, "taskRoleArn") {
		t.Errorf("ECS Exec without a role: %q", refused)
	}
	poor, _ := c.runExec(t, "exec_here", "exec-poor", c.role(t, "exec-poor", agentRights[:3]...), true)
	eventually(t, 30*time.Second, "the agent without rights stops", func() (bool, string) {
		_, agent := c.execTask(t, "exec_here", poor)
		return strings.HasPrefix(agent, "ExecuteCommandAgent STOPPED") && strings.Contains(agent, agentRights[3]), agent
	})
	if _, refused := session(poor); !strings.Contains(refused, "TargetNotConnected") {
		t.Errorf("a session without rights: %q", refused)
	}
}
