package session

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
)

// answers are what AWS says, by action; a list is told one after the other, the last one for ever.
type answers map[string][]string

const (
	arn    = "arn:aws:ecs:eu-west-3:000000000000:task/here/t1"
	denied = `!{"__type":"AccessDeniedException","message":"User: arn:aws:iam::000000000000:user/me is not authorized to perform this"}`
	none   = `{"taskArns":[]}`
	ran    = `{"tasks":[{"taskArn":"` + arn + `"}]}`
)

func told(last, reason, agent, agentReason string) string {
	return `{"tasks":[{"taskArn":"` + arn + `","lastStatus":"` + last + `","desiredStatus":"RUNNING","stoppedReason":"` + reason + `",
		"containers":[{"name":"way","runtimeId":"r1","managedAgents":[{"name":"ExecuteCommandAgent","lastStatus":"` + agent + `","reason":"` + agentReason + `"}]}]}]}`
}

// world is a session's view of an account that says these things. Stopped tells how many tasks were stopped.
func world(t *testing.T, said answers) (s *Session, stopped func() int) {
	t.Helper()
	var mu sync.Mutex
	calls := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		target := r.Header.Get("X-Amz-Target")
		action := target[strings.LastIndexByte(target, '.')+1:]
		mu.Lock()
		defer mu.Unlock()
		list := said[action]
		text := "{}"
		if n := calls[action]; len(list) > 0 {
			text = list[min(n, len(list)-1)]
		}
		calls[action]++
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		if strings.HasPrefix(text, "!") {
			w.WriteHeader(http.StatusBadRequest)
			text = text[1:]
		}
		if !json.Valid([]byte(text)) {
			t.Errorf("%s is answered by what is no JSON: %s", action, text)
		}
		io.WriteString(w, text)
	}))
	t.Cleanup(server.Close)
	cfg := aws.Config{Region: "eu-west-3", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
	s = &Session{
		settings: Settings{
			Stack: "plan-charge-test", Cluster: "here", TaskDefinition: "way:1", Container: "way", Subnets: []string{"subnet-1"},
			SecurityGroups: []string{"sg-1"}, Host: "db", Port: 5432, Idle: Idle,
		},
		cfg: cfg, ecs: ecs.NewFromConfig(cfg), ssm: ssm.NewFromConfig(cfg), out: t.Output(),
		pace: pace{poll: time.Millisecond, task: 50 * time.Millisecond, agent: 50 * time.Millisecond, late: 20 * time.Millisecond},
	}
	return s, func() int { mu.Lock(); defer mu.Unlock(); return calls["StopTask"] }
}

// Each thing that is missing is named, with what mends it, and no task stays.
func TestWhatIsMissingIsNamed(t *testing.T) {
	running := told("RUNNING", "", "RUNNING", "")
	for name, tc := range map[string]struct {
		said answers
		want []string
		left bool // there was no task to stop
	}{
		"may not look":            {answers{"ListTasks": {denied}}, []string{"ecs:ListTasks", "docs/database.md"}, true},
		"may not run":             {answers{"ListTasks": {none}, "RunTask": {denied}}, []string{"ecs:RunTask", "iam:PassRole"}, true},
		"nothing started":         {answers{"ListTasks": {none}, "RunTask": {`{"failures":[{"reason":"RESOURCE:ENI"}]}`}}, []string{"RESOURCE:ENI"}, true},
		"no shell":                {answers{"ListTasks": {none}, "RunTask": {ran}, "DescribeTasks": {told("STOPPED", `CannotStartContainerError: exec: \"sh\": executable file not found in $PATH`, "STOPPED", "")}}, []string{"no shell", "database.sessionImage"}, false},
		"no way to the registry":  {answers{"ListTasks": {none}, "RunTask": {ran}, "DescribeTasks": {told("STOPPED", "ResourceInitializationError: unable to pull: dial tcp: i/o timeout", "PENDING", "")}}, []string{"subnet-1", "NAT gateway", "VPC endpoints"}, false},
		"no image":                {answers{"ListTasks": {none}, "RunTask": {ran}, "DescribeTasks": {told("STOPPED", "CannotPullContainerError: not found", "PENDING", "")}}, []string{"does the image exist"}, false},
		"never runs":              {answers{"ListTasks": {none}, "RunTask": {ran}, "DescribeTasks": {told("PROVISIONING", "", "PENDING", "")}}, []string{"does not run", "PROVISIONING"}, false},
		"agent never up":          {answers{"ListTasks": {none}, "RunTask": {ran}, "DescribeTasks": {told("RUNNING", "", "PENDING", "")}}, []string{"agent has not come up", "com.amazonaws.eu-west-3.ssmmessages", "subnet-1", "sg-1"}, false},
		"agent without rights":    {answers{"ListTasks": {none}, "RunTask": {ran}, "DescribeTasks": {told("RUNNING", "", "STOPPED", "AccessDeniedException")}}, []string{"AccessDeniedException", "four ssmmessages actions"}, false},
		"may not start a session": {answers{"ListTasks": {none}, "RunTask": {ran}, "DescribeTasks": {running}, "StartSession": {denied}}, []string{"ssm:StartSession", "task/here/*", document}, false},
		"never connected":         {answers{"ListTasks": {none}, "RunTask": {ran}, "DescribeTasks": {running}, "StartSession": {`!{"__type":"TargetNotConnected","message":"ecs:here_t1_r1 is not connected."}`}}, []string{"not connected"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, stopped := world(t, tc.said)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := s.live(ctx)
			if err == nil {
				t.Fatal("a session was opened")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			if got := stopped(); (got > 0) == tc.left {
				t.Errorf("%d tasks were stopped", got)
			}
		})
	}
}

// A task that others use is left alone, as is one of which that is not known.
func TestReleaseStopsOnlyWhatNobodyUses(t *testing.T) {
	list := func(ids ...string) string {
		var all []string
		for _, id := range ids {
			all = append(all, `{"SessionId":"`+id+`","Status":"Connected"}`)
		}
		return `{"Sessions":[` + strings.Join(all, ",") + `]}`
	}
	for name, tc := range map[string]struct {
		sessions string
		stopped  int
	}{
		"ours alone": {list("ours"), 1}, "none": {list(), 1}, "another": {list("ours", "theirs"), 0}, "not known": {denied, 0},
	} {
		t.Run(name, func(t *testing.T) {
			s, stopped := world(t, answers{"DescribeSessions": {tc.sessions}})
			s.release(t.Context(), &task{arn: arn, runtime: "r1"}, "ours")
			if got := stopped(); got != tc.stopped {
				t.Errorf("%d tasks were stopped", got)
			}
		})
	}
}

// A task is found again only where it is of the same release and can take a session.
func TestRunningTaskIsFound(t *testing.T) {
	one := func(definition, last string, exec string) string {
		return `{"tasks":[{"taskArn":"` + arn + `","taskDefinitionArn":"` + definition + `","lastStatus":"` + last + `","enableExecuteCommand":` + exec + `}]}`
	}
	for name, tc := range map[string]struct {
		told string
		want string
	}{
		"running":         {one("way:1", "RUNNING", "true"), arn},
		"coming":          {one("way:1", "PROVISIONING", "true"), arn},
		"going":           {one("way:1", "DEACTIVATING", "true"), ""},
		"another release": {one("way:2", "RUNNING", "true"), ""},
		"without agent":   {one("way:1", "RUNNING", "false"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := world(t, answers{"ListTasks": {`{"taskArns":["` + arn + `"]}`}, "DescribeTasks": {tc.told}})
			if got, err := s.running(t.Context()); got != tc.want || err != nil {
				t.Errorf("found %q, %v", got, err)
			}
		})
	}
}
