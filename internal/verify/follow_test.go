package verify

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plan-charge/internal/testkit"
)

// numbered is a deployment with an id.
func numbered(id string, d types.Deployment) types.Deployment {
	d.Id = &id
	return d
}

// follow follows the states, with an hour's time: what ends is what ECS has decided.
func follow(t *testing.T, a *account) (string, error) {
	t.Helper()
	s := Settings{Cluster: "cluster", Service: "backend", TaskDefinition: newDefinition, Timeout: time.Hour, TimeoutKey: "service.timeout"}
	var out testkit.Buffer
	err := run(context.Background(), s, a.clients(), &out, fast())
	return out.String(), err
}

func TestFollowsOneDeployment(t *testing.T) {
	deploys := func(id, status, definition string, state types.DeploymentRolloutState) types.Deployment {
		return numbered(id, deployment(status, definition, state, 2, 2))
	}
	for name, tc := range map[string]struct {
		states []types.Service
		want   string // in the error, "" for none
	}{
		"one before it failed, of the same task definition": {[]types.Service{
			service(deploys("3", "PRIMARY", newDefinition, "IN_PROGRESS"), deploys("2", "ACTIVE", newDefinition, "FAILED"), deploys("1", "ACTIVE", oldDefinition, "COMPLETED")),
			service(deploys("3", "PRIMARY", newDefinition, "COMPLETED")),
		}, ""},
		"taken back to the settings before, of the same task definition": {[]types.Service{
			service(deploys("2", "PRIMARY", newDefinition, "IN_PROGRESS"), deploys("1", "ACTIVE", newDefinition, "COMPLETED")),
			service(deploys("3", "PRIMARY", newDefinition, "IN_PROGRESS"), deploys("2", "ACTIVE", newDefinition, "FAILED")),
		}, "its rollout failed: reason of backend:2"},
		"taken back so quickly that nobody saw it": {[]types.Service{
			service(deploys("2", "PRIMARY", newDefinition, "IN_PROGRESS"), deploys("1", "ACTIVE", newDefinition, "COMPLETED")),
			service(deploys("3", "PRIMARY", newDefinition, "COMPLETED")),
		}, "rolled back to what ran before, or deployed once more"},
		"an alarm rings after all tasks run": {[]types.Service{
			service(deploys("2", "PRIMARY", newDefinition, "IN_PROGRESS")),
			service(deploys("3", "PRIMARY", oldDefinition, "IN_PROGRESS"), deploys("2", "ACTIVE", newDefinition, "FAILED")),
		}, "its rollout failed: reason of backend:2"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := follow(t, &account{states: tc.states})
			if tc.want == "" && err != nil {
				t.Fatal(err)
			}
			var failure *RolloutError
			if tc.want != "" && !errors.As(err, &failure) {
				t.Fatalf("got %v", err)
			}
			if tc.want != "" {
				testkit.Contains(t, "error", err.Error(), tc.want)
			}
		})
	}
}

func task(id, definition, desired, last string) types.Task {
	return types.Task{
		TaskArn: aws.String("arn:task/c/" + id), TaskDefinitionArn: &definition, DesiredStatus: &desired, LastStatus: &last, CreatedAt: aws.Time(time.Unix(200, 0)),
	}
}

func TestSaysWhereTheTasksAre(t *testing.T) {
	healthy, crashed, before := task("a", newDefinition, "RUNNING", "RUNNING"), task("b", newDefinition, "STOPPED", "STOPPED"), task("c", newDefinition, "STOPPED", "STOPPED")
	healthy.HealthStatus = types.HealthStatusHealthy
	crashed.StopCode, crashed.StoppedReason = types.TaskStopCodeEssentialContainerExited, aws.String("Essential container in task exited")
	crashed.Containers = []types.Container{{Name: aws.String("backend"), ExitCode: aws.Int32(3)}}
	before.CreatedAt, before.StoppedReason = aws.Time(time.Unix(50, 0)), aws.String("of an earlier deployment")
	a := &account{
		states: []types.Service{inProgress, inProgress, inProgress, completed},
		tasks: []types.Task{
			healthy, task("d", newDefinition, "RUNNING", "RUNNING"), task("e", newDefinition, "RUNNING", "PENDING"), crashed, before,
			task("f", oldDefinition, "RUNNING", "RUNNING"), task("g", oldDefinition, "STOPPED", "DEACTIVATING"),
		},
	}
	for i := range a.states {
		a.states[i].Deployments[0].CreatedAt = aws.Time(time.Unix(100, 0))
	}
	out, err := follow(t, a)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Contains(t, "report", out,
		"2 wanted: 1 starting, 1 running, 1 healthy; others: 1 running, 1 draining\n",
		"✗ task b of backend:2 stopped: EssentialContainerExited; Essential container in task exited; container backend exited with code 3\n")
	if n := strings.Count(out, "1 starting"); n != 1 {
		t.Errorf("it is said %d times although nothing changed:\n%s", n, out)
	}
	if n := strings.Count(out, "stopped:"); n != 1 {
		t.Errorf("%d stopped tasks are told of, want 1:\n%s", n, out)
	}
}

func TestPicture(t *testing.T) {
	d := deployment("PRIMARY", newDefinition, "IN_PROGRESS", 1, 1)
	d.FailedTasks = 2
	healthy := task("a", newDefinition, "RUNNING", "RUNNING")
	healthy.HealthStatus = types.HealthStatusHealthy
	for want, tasks := range map[string][]types.Task{
		"1 wanted: none, 2 failed; others: 1 running":                            {task("a", oldDefinition, "RUNNING", "RUNNING")},
		"1 wanted: 1 running, 2 failed":                                          {task("a", newDefinition, "RUNNING", "RUNNING")},
		"1 wanted: 1 healthy, 2 failed; ECS watches before it calls it complete": {healthy},
	} {
		if got := picture(&d, tasks, newDefinition); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// What cannot be seen of the tasks is no reason to give up, nor to be silent.
func TestFollowsWithoutTheRightToSeeTasks(t *testing.T) {
	a := &account{states: []types.Service{inProgress, completed}, tasksErr: errors.New("no right")}
	out, err := follow(t, a)
	if err != nil {
		t.Fatal(err)
	}
	testkit.Contains(t, "report", out, "rollout is IN_PROGRESS, 1 of 2 tasks run, 0 failed")
}

func TestStoppedTasksThatAreAlikeAreSaidOnce(t *testing.T) {
	stopped := func(id string, code int) StoppedTask {
		return StoppedTask{ID: id, Reasons: []string{fmt.Sprintf("exited with code %d", code)}, Log: []string{"no database"}}
	}
	e := &RolloutError{Service: "backend", Tasks: []StoppedTask{stopped("a", 3), stopped("b", 4), stopped("c", 3)}}
	testkit.Contains(t, "error", e.Error(), "stopped task a and 1 more alike: exited with code 3\n    | no database\n", "stopped task b: exited with code 4")
	if n := strings.Count(e.Error(), "no database"); n != 2 {
		t.Errorf("the log is shown %d times:\n%v", n, e)
	}
}
