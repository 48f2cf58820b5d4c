package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"plan-charge/sandbox/rights"
	"plan-charge/sandbox/ssm"
	"plan-charge/sandbox/vpc"
)

const (
	// agentDelay is how long after its task a container's exec agent runs: seconds, in AWS too.
	agentDelay = 3 * time.Second
	// lookAgain is how often is looked whether the tasks of sessions still run.
	lookAgain = time.Second
	// agentName is the managed agent of ECS Exec.
	agentName = "ExecuteCommandAgent"
	// workerName is how the agent's process for a session calls itself. People's programs find it by that name.
	workerName = "ssm-session-worker"
)

// agentRights are what a task's role needs for its agent to reach the service (ECS developer guide, "ECS Exec").
var agentRights = []string{
	"ssmmessages:CreateControlChannel", "ssmmessages:CreateDataChannel", "ssmmessages:OpenControlChannel", "ssmmessages:OpenDataChannel",
}

// sessions are those of Systems Manager into tasks, and the tasks' agents.
type sessions struct {
	api     *awsAPI
	docker  *docker
	network *vpc.Network
	log     *slog.Logger
	service *ssm.Service

	mu     sync.Mutex
	agents map[string]*execAgent // by task ARN
}

// execAgent is the agent of one task.
type execAgent struct {
	since   time.Time // its task was first seen to run
	refused string    // why it does not run; empty: it does
}

func newSessions(api *awsAPI, d *docker, n *vpc.Network, log *slog.Logger) *sessions {
	s := &sessions{api: api, docker: d, network: n, log: log, agents: map[string]*execAgent{}}
	s.service = ssm.New(ssm.Options{Find: s.find, Work: s.work, Log: log})
	return s
}

// run ends sessions whose task has ended, until ctx ends.
func (s *sessions) run(ctx context.Context) {
	defer s.service.Close()
	t := time.NewTicker(lookAgain)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		s.service.EndTarget(func(at ssm.Target) bool {
			task, err := s.task(ctx, at)
			return err == nil && (task == nil || task.LastStatus != "RUNNING")
		})
	}
}

// handle answers the calls of Systems Manager that are about sessions. Host is where the caller reached the gateway.
func (s *sessions) handle(ctx context.Context, c *call, host string) *response {
	if c.service == "ecs" && c.action == "RunTask" {
		return s.refuse(ctx, c)
	}
	if c.service != "ssm" || c.protocol != jsonProtocol {
		return nil
	}
	out, known, err := s.service.Call(ctx, c.action, c.body, "ws://"+host)
	var failed *ssm.Error
	switch {
	case !known:
		return nil
	case errors.As(err, &failed):
		return c.failure(http.StatusBadRequest, failed.Code, failed.Message)
	case err != nil:
		return c.failure(http.StatusInternalServerError, "InternalServerError", err.Error())
	}
	return c.ok(out)
}

// refuse refuses a task with ECS Exec that has no role: its agent would have no rights at all.
func (s *sessions) refuse(ctx context.Context, c *call) *response {
	if on, _ := c.in()["enableExecuteCommand"].(bool); !on {
		return nil
	}
	role, err := s.role(ctx, text(c, "taskDefinition"))
	if err != nil || role != "" {
		return nil // the emulator knows the error
	}
	return c.failure(http.StatusBadRequest, invalidParameter,
		"The task couldn't be started because a valid taskRoleArn is not being used. Specify a valid task role in your task definition and try again.")
}

func (s *sessions) role(ctx context.Context, definition string) (string, error) {
	var out struct{ TaskDefinition struct{ TaskRoleArn string } }
	err := s.api.ecs(ctx, "DescribeTaskDefinition", map[string]any{"taskDefinition": definition}, &out)
	return out.TaskDefinition.TaskRoleArn, err
}

// after adds the tasks' agents to what is told of tasks.
func (s *sessions) after(c *call, first func(context.Context, *call, *response)) func(context.Context, *call, *response) {
	if c.service != "ecs" || !slices.Contains([]string{"DescribeTasks", "RunTask", "StopTask"}, c.action) {
		return first
	}
	return func(ctx context.Context, c *call, r *response) {
		first(ctx, c, r)
		s.tellAgents(ctx, r)
	}
}

func (s *sessions) tellAgents(ctx context.Context, r *response) {
	var out map[string]any
	if r.status >= 300 || json.Unmarshal(r.body, &out) != nil {
		return
	}
	list, _ := out["tasks"].([]any)
	if one, ok := out["task"].(map[string]any); ok {
		list = append(list, one)
	}
	for _, item := range list {
		t, _ := item.(map[string]any)
		if on, _ := t["enableExecuteCommand"].(bool); !on {
			continue
		}
		arn, _ := t["taskArn"].(string)
		definition, _ := t["taskDefinitionArn"].(string)
		last, _ := t["lastStatus"].(string)
		status, reason := s.agent(ctx, arn, definition, last)
		told := map[string]any{"name": agentName, "lastStatus": status}
		if reason != "" {
			told["reason"] = reason
		}
		containers, _ := t["containers"].([]any)
		for _, item := range containers {
			if container, ok := item.(map[string]any); ok {
				container["managedAgents"] = []any{told}
			}
		}
	}
	if body, err := json.Marshal(out); err == nil {
		r.body = body
	}
}

// agent is the status of a task's agent, and why it does not run.
func (s *sessions) agent(ctx context.Context, arn, definition, taskStatus string) (status, reason string) {
	switch taskStatus {
	case "RUNNING":
	case "STOPPED", "DEPROVISIONING", "STOPPING", "DEACTIVATING":
		return "STOPPED", ""
	default:
		return "PENDING", ""
	}
	s.mu.Lock()
	a := s.agents[arn]
	s.mu.Unlock()
	if a == nil {
		a = &execAgent{since: time.Now(), refused: s.missing(ctx, definition)}
		s.mu.Lock()
		if s.agents[arn] == nil {
			s.agents[arn] = a
		}
		a = s.agents[arn]
		s.mu.Unlock()
	}
	switch {
	case time.Since(a.since) < agentDelay:
		return "PENDING", ""
	case a.refused != "":
		return "STOPPED", a.refused
	}
	return "RUNNING", ""
}

// missing says which rights a task's role lacks for its agent.
func (s *sessions) missing(ctx context.Context, definition string) string {
	role, err := s.role(ctx, definition)
	if err != nil {
		return ""
	}
	documents, err := s.policies(ctx, path.Base(role))
	if err != nil {
		s.log.Warn("read what a task's role may do", "role", role, "error", err)
		return ""
	}
	var lacking []string
	for _, right := range agentRights { // they take no resource
		if rights.Decide(documents, rights.Request{Action: right, Resource: "*"}) != rights.Allowed {
			lacking = append(lacking, right)
		}
	}
	if len(lacking) == 0 {
		return ""
	}
	return "AccessDeniedException: the task role may not " + strings.Join(lacking, ", ")
}

// policies are a role's own.
func (s *sessions) policies(ctx context.Context, role string) ([]rights.Document, error) {
	const version = "2010-05-08"
	var names struct {
		Names []string `xml:"ListRolePoliciesResult>PolicyNames>member"`
	}
	if err := s.api.query(ctx, "iam", version, "ListRolePolicies", url.Values{"RoleName": {role}}, &names); err != nil {
		return nil, err
	}
	var documents []rights.Document
	for _, name := range names.Names {
		var one struct {
			Document string `xml:"GetRolePolicyResult>PolicyDocument"`
		}
		if err := s.api.query(ctx, "iam", version, "GetRolePolicy", url.Values{"RoleName": {role}, "PolicyName": {name}}, &one); err != nil {
			return nil, err
		}
		text, err := url.QueryUnescape(one.Document)
		if err != nil {
			return nil, err
		}
		document, err := rights.Parse([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		documents = append(documents, document)
	}
	return documents, nil
}

// ranTask is what sessions need to know of a task.
type ranTask struct {
	view
	TaskDefinitionArn    string
	EnableExecuteCommand bool
	Containers           []struct{ Name, RuntimeID string }
}

// task finds a target's task; nil where there is none.
func (s *sessions) task(ctx context.Context, at ssm.Target) (*ranTask, error) {
	var out struct{ Tasks []*ranTask }
	err := s.api.ecs(ctx, "DescribeTasks", map[string]any{"cluster": at.Cluster, "tasks": []string{at.Task}}, &out)
	if err != nil || len(out.Tasks) == 0 {
		return nil, err
	}
	return out.Tasks[0], nil
}

// find makes sure that a target's agent runs. What it returns dials with the task's address, as the agent does.
func (s *sessions) find(ctx context.Context, at ssm.Target) (func(context.Context, string) (net.Conn, error), error) {
	task, err := s.task(ctx, at)
	var refused *apiError
	if errors.As(err, &refused) || err == nil && task == nil {
		return nil, ssm.ErrNotConnected
	}
	if err != nil {
		return nil, err
	}
	if !task.EnableExecuteCommand || task.container(at.Runtime) == "" {
		return nil, ssm.ErrNotConnected
	}
	if status, _ := s.agent(ctx, task.TaskArn, task.TaskDefinitionArn, task.LastStatus); status != "RUNNING" {
		return nil, ssm.ErrNotConnected
	}
	if s.network != nil {
		source, err := netip.ParseAddr(task.ip())
		return func(ctx context.Context, address string) (net.Conn, error) {
			return s.network.DialFrom(ctx, source, address)
		}, err
	}
	var dialer net.Dialer
	if ip := net.ParseIP(task.ip()); ip != nil && ip.IsLoopback() {
		dialer.LocalAddr = &net.TCPAddr{IP: ip}
	}
	return func(ctx context.Context, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp4", address)
	}, nil
}

// container is the name of the one with a runtime id.
func (t *ranTask) container(runtime string) string {
	for _, c := range t.Containers {
		if c.RuntimeID == runtime {
			return c.Name
		}
	}
	return ""
}

// work keeps a process in the container as long as a session lasts, as the agent does.
func (s *sessions) work(ctx context.Context, at ssm.Target, session string) {
	task, err := s.task(ctx, at)
	if err != nil || task == nil {
		return
	}
	_, err = s.docker.exec(ctx, task.TaskArn, task.container(at.Runtime), []string{
		"sh", "-c", `printf "$0" > /proc/$$/comm; while :; do sleep 1; done`, workerName, session,
	})
	if err != nil && ctx.Err() == nil {
		s.log.Warn(fmt.Sprintf("the %s has ended", workerName), "session", session, "error", err)
	}
}
