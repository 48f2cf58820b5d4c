package verify

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"

	"plan-charge/internal/probe"
	"plan-charge/internal/testkit"
)

// running is a service with tasks, as ECS counts them.
func running(definition string, desired, running int32) types.Service {
	s := service(deployment("PRIMARY", definition, "COMPLETED", running, desired))
	s.DesiredCount, s.RunningCount = desired, running
	return s
}

func quick() lookPace {
	return lookPace{whole: 2 * time.Second, attempt: 200 * time.Millisecond, pause: time.Millisecond}
}

var asVerified = Results{
	ServiceResult: "backend:2 serves", "health": "200", "login, basic token": "401", "login, cache-busting query": "400", "login, structured": "400",
	"errors are not cached": "404, twice from the origin",
}

func TestRunSaysWhatCame(t *testing.T) {
	c := newCDN(t)
	results, err := verified(context.Background(), rolloutSettings(c), (&account{states: []types.Service{completed}}).clients(), &testkit.Buffer{}, fast())
	want := maps.Clone(asVerified)
	want["login, basic token"] = "400"
	if err != nil || !maps.Equal(results, want) {
		t.Errorf("got %v, %v, want %v", results, err, want)
	}
}

func TestLook(t *testing.T) {
	reset := &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no right", Fault: smithy.FaultClient}
	for name, tc := range map[string]struct {
		set  func(*cdn, *Settings, *account)
		want Results // besides what is as verified
	}{
		"as verified, though another allowed status comes": {func(*cdn, *Settings, *account) {}, nil},
		"the login fails": {func(c *cdn, _ *Settings, _ *account) { c.login = func(int32) int { return 500 } }, Results{"login, structured": "500"}},
		"the login fails once": {func(c *cdn, _ *Settings, _ *account) {
			c.login = func(n int32) int {
				if n == 1 {
					return 502
				}
				return 400
			}
		}, nil},
		"another version answers": {func(c *cdn, _ *Settings, _ *account) { c.version = "0.9.0" }, Results{"health": `200, expected version "1.0.0", came "0.9.0"`}},
		"errors are cached":       {func(c *cdn, _ *Settings, _ *account) { c.keeps = true }, Results{"errors are not cached": "404, expected the second answer from the origin as well, came one from a cache (Age: 3)"}},
		"nobody there": {func(_ *cdn, s *Settings, _ *account) { s.ConnectTo = "http://127.0.0.1:1" }, Results{
			"health": "no answer: connection refused", "login, basic token": "no answer: connection refused", "login, cache-busting query": "no answer: connection refused",
			"login, structured": "no answer: connection refused", "errors are not cached": "no answer: connection refused",
		}},
		"no task":            {func(_ *cdn, _ *Settings, a *account) { a.states = []types.Service{running(newDefinition, 0, 0)} }, Results{ServiceResult: "no task runs"}},
		"rolled back":        {func(_ *cdn, _ *Settings, a *account) { a.states = []types.Service{running(oldDefinition, 2, 2)} }, Results{ServiceResult: "backend:1 is deployed"}},
		"scaled out":         {func(_ *cdn, _ *Settings, a *account) { a.states = []types.Service{running(newDefinition, 6, 3)} }, nil},
		"deleted":            {func(_ *cdn, _ *Settings, a *account) { a.states = []types.Service{{Status: aws.String("INACTIVE")}} }, Results{ServiceResult: "the service is INACTIVE"}},
		"no service":         {func(_ *cdn, _ *Settings, a *account) { a.states = nil }, Results{ServiceResult: "not seen: ECS has no service backend (MISSING)"}},
		"no right to see it": {func(_ *cdn, _ *Settings, a *account) { a.errs = []error{reset} }, Results{ServiceResult: "not seen: AccessDeniedException: no right"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, a := newCDN(t), &account{states: []types.Service{running(newDefinition, 2, 2)}}
			s := rolloutSettings(c)
			tc.set(c, &s, a)
			got := lookOnce(context.Background(), s, a.clients(), asVerified, quick())
			want := maps.Clone(asVerified)
			maps.Copy(want, tc.want)
			if !maps.Equal(got, want) {
				t.Errorf("got  %v\nwant %v", got, want)
			}
		})
	}
}

// A site that hangs, and an AWS that hangs, hold up nobody.
func TestLookIsBounded(t *testing.T) {
	c := newCDN(t)
	c.mu.Lock() // nobody answers
	release := time.AfterFunc(5*time.Second, c.mu.Unlock)
	defer func() {
		if release.Stop() {
			c.mu.Unlock()
		}
	}()
	p := quick()
	p.whole, p.attempt = 150*time.Millisecond, 50*time.Millisecond
	began := time.Now()
	got := lookOnce(context.Background(), rolloutSettings(c), (&account{states: []types.Service{running(newDefinition, 2, 2)}}).clients(), asVerified, p)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
	if got["health"] != "no answer: nothing within 50ms" {
		t.Errorf("got %v", got)
	}
}

func TestLookAsksOnlyWhatIsHarmless(t *testing.T) {
	c := newCDN(t)
	s := rolloutSettings(c)
	s.Checks = []probe.Check{
		{Name: "writes", Method: "PUT", Path: "/thing", Status: "204"},
		{Name: "searches", Method: "POST", Path: "/search", Status: "400", Safe: true},
		{Name: "reads", Method: "HEAD", Path: "/health", Status: "200"},
	}
	got := lookOnce(context.Background(), s, (&account{states: []types.Service{running(newDefinition, 2, 2)}}).clients(), Results{"writes": "204"}, quick())
	if want := (Results{ServiceResult: "backend:2 serves", "writes": "204", "searches": "400", "reads": "200"}); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if text := strings.Join(c.seen, "\n"); len(c.seen) != 2 || strings.Contains(text, "PUT") {
		t.Errorf("asked: %q", c.seen)
	}
	if left := NotAsked(s.Checks); !slices.Equal(left, []string{"writes"}) {
		t.Errorf("not asked: %q", left)
	}
}

func TestTitlesAreDifferent(t *testing.T) {
	got := titles([]probe.Check{{Name: "ping"}, {Name: "ping"}, {Path: "/a"}, {Name: "service"}})
	if want := []string{"ping", "ping (2)", "GET /a", "service (2)"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCapacity(t *testing.T) {
	for name, tc := range map[string]struct {
		service types.Service
		want    Capacity
	}{
		"at the minimum":       {running(newDefinition, 2, 2), Capacity{2, ""}},
		"scaled out":           {running(newDefinition, 6, 3), Capacity{6, ""}},
		"one is replaced":      {running(newDefinition, 2, 1), Capacity{2, ""}},
		"none wanted":          {running(newDefinition, 0, 0), Capacity{0, "0 tasks are wanted, the minimum is 2"}},
		"below, but some left": {running(newDefinition, 1, 2), Capacity{1, "1 task is wanted, the minimum is 2"}},
		"none comes up":        {running(newDefinition, 2, 0), Capacity{2, "no task runs"}},
		"deleted":              {types.Service{Status: aws.String("INACTIVE")}, Capacity{0, "the service is INACTIVE"}},
	} {
		got, err := LookAtCapacity(context.Background(), Settings{Service: "backend"}, (&account{states: []types.Service{tc.service}}).clients(), 2)
		if err != nil || got != tc.want {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, tc.want)
		}
	}
	_, err := LookAtCapacity(context.Background(), Settings{Service: "backend"}, (&account{}).clients(), 2)
	testkit.Contains(t, "error", fmt.Sprint(err), "no service backend")
}

func TestTasksAreAwaited(t *testing.T) {
	s := Settings{Cluster: "cluster", Service: "backend", TaskDefinition: newDefinition, Timeout: time.Second, TimeoutKey: "service.timeout"}
	a := &account{states: []types.Service{running(newDefinition, 2, 0), running(newDefinition, 2, 1), running(newDefinition, 2, 2)}}
	if err := awaitTasks(context.Background(), s, a.clients(), 2, &testkit.Buffer{}, fast()); err != nil || a.looks != 3 {
		t.Errorf("%v after %d looks", err, a.looks)
	}

	s.Timeout = 50 * time.Millisecond
	a = &account{states: []types.Service{running(newDefinition, 2, 0)}, secret: "hush-hush", tasks: []types.Task{{
		TaskArn: aws.String("arn:task/c/new"), TaskDefinitionArn: aws.String(newDefinition), StopCode: types.TaskStopCodeEssentialContainerExited,
	}}}
	err := awaitTasks(context.Background(), s, a.clients(), 2, &testkit.Buffer{}, fast())
	testkit.Contains(t, "error", fmt.Sprint(err), "0 of at least 2 tasks run", "no task runs", "service.timeout, 50ms", "stopped task new", "EssentialContainerExited")

	a = &account{errs: []error{errors.New("reset")}}
	testkit.Contains(t, "error", fmt.Sprint(awaitTasks(context.Background(), s, a.clients(), 2, &testkit.Buffer{}, fast())), "no service backend")
}
