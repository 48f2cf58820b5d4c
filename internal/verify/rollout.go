package verify

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/progress"
	"plan-charge/internal/wait"
)

// ECS is the part of the ECS client that is used.
type ECS interface {
	DescribeServices(context.Context, *ecs.DescribeServicesInput, ...func(*ecs.Options)) (*ecs.DescribeServicesOutput, error)
	DescribeTasks(context.Context, *ecs.DescribeTasksInput, ...func(*ecs.Options)) (*ecs.DescribeTasksOutput, error)
	DescribeTaskDefinition(context.Context, *ecs.DescribeTaskDefinitionInput, ...func(*ecs.Options)) (*ecs.DescribeTaskDefinitionOutput, error)
	ListTasks(context.Context, *ecs.ListTasksInput, ...func(*ecs.Options)) (*ecs.ListTasksOutput, error)
}

// Secrets is the part of the Secrets Manager client that is used, to keep the values out of the logs that are shown.
type Secrets interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// Short is a task definition's family:revision.
func Short(arn string) string { return arn[strings.LastIndexByte(arn, '/')+1:] }

// rollout follows the deployment of the wanted task definition until ECS has decided.
func (v *verification) rollout(ctx context.Context) error {
	step := progress.Start(v.out, "service "+v.Service+" runs "+Short(v.TaskDefinition), 0)
	err := (&follower{verification: v, step: step, told: map[string]bool{}}).follow(ctx)
	step.Done(err)
	return err
}

// follower looks at one deployment until it has come to its end.
type follower struct {
	*verification
	step   *progress.Step
	id     string          // of the deployment, once it was seen
	others int             // how often in a row another deployment was primary
	told   map[string]bool // stopped tasks that were spoken of
}

func (f *follower) follow(ctx context.Context) error {
	var (
		last       types.Service
		lastAnswer = time.Now()
	)
	for {
		service, err := f.service(ctx)
		switch {
		case err == nil:
			last, lastAnswer = service, time.Now()
			if done, err := f.judge(ctx, service); done {
				return err
			}
		case ctx.Err() != nil:
		case awsclient.Permanent(err) || time.Since(lastAnswer) > f.pace.aws:
			return fmt.Errorf("look at service %s: %w", f.Service, err)
		default:
			f.step.Tell("ECS does not answer: " + err.Error())
		}
		if err := wait.For(ctx, f.pace.service); err != nil {
			_, why := look(last, f.TaskDefinition, f.id)
			return f.rolledBack(context.WithoutCancel(ctx), last, why+"; "+err.Error())
		}
	}
}

// judge says whether ECS has decided, and how.
func (f *follower) judge(ctx context.Context, service types.Service) (done bool, err error) {
	verdict, why := look(service, f.TaskDefinition, f.id)
	switch verdict {
	case good:
		return true, nil
	case bad:
		return true, f.rolledBack(ctx, service, why)
	case other:
		// Right after an update ECS may still show the state before it.
		if f.others++; f.others >= f.pace.patience {
			return true, f.rolledBack(ctx, service, why)
		}
	default:
		f.others = 0
		if p := primaryOf(service); p != nil {
			f.id = aws.ToString(p.Id)
		}
		why = f.tell(ctx, service, why)
	}
	f.step.Tell(why)
	return false, nil
}

// tell says which tasks have stopped since the last look, and returns where the others are: otherwise where they cannot
// be seen.
func (f *follower) tell(ctx context.Context, service types.Service, otherwise string) string {
	primary := primaryOf(service)
	tasks, err := f.tasks(ctx)
	if err != nil || primary == nil {
		return otherwise
	}
	began := aws.ToTime(primary.CreatedAt)
	for _, t := range tasks {
		arn := aws.ToString(t.TaskArn)
		if !stoppedOf(t, f.TaskDefinition) || f.told[arn] || aws.ToTime(t.CreatedAt).Before(began) {
			continue
		}
		f.told[arn] = true
		fmt.Fprintf(f.out, "✗ task %s of %s stopped: %s\n", Short(arn), Short(f.TaskDefinition), strings.Join(reasons(t), "; "))
	}
	return picture(primary, tasks, f.TaskDefinition)
}

// stoppedOf reports whether a task of the wanted task definition has stopped.
func stoppedOf(t types.Task, wanted string) bool {
	return aws.ToString(t.LastStatus) == "STOPPED" && Same(aws.ToString(t.TaskDefinitionArn), wanted)
}

// tasks are those of the service, at most 100 of what has to run and 100 of what has to stop.
func (v *verification) tasks(ctx context.Context) ([]types.Task, error) {
	var all []types.Task
	for _, status := range []types.DesiredStatus{types.DesiredStatusRunning, types.DesiredStatusStopped} {
		list, err := v.ECS.ListTasks(ctx, &ecs.ListTasksInput{Cluster: &v.Cluster, ServiceName: &v.Service, DesiredStatus: status})
		if err != nil {
			return nil, err
		}
		if len(list.TaskArns) == 0 {
			continue
		}
		found, err := v.ECS.DescribeTasks(ctx, &ecs.DescribeTasksInput{Cluster: &v.Cluster, Tasks: list.TaskArns})
		if err != nil {
			return nil, err
		}
		all = append(all, found.Tasks...)
	}
	return all, nil
}

// crowd counts tasks by how far they have come.
type crowd struct{ starting, running, healthy, draining int }

func (c *crowd) add(t types.Task) {
	switch {
	case aws.ToString(t.LastStatus) == "STOPPED":
	case aws.ToString(t.DesiredStatus) == "STOPPED":
		c.draining++
	case aws.ToString(t.LastStatus) != "RUNNING":
		c.starting++
	case t.HealthStatus == types.HealthStatusHealthy:
		c.healthy++
	default:
		c.running++
	}
}

func (c crowd) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		what string
	}{{c.starting, "starting"}, {c.running, "running"}, {c.healthy, "healthy"}, {c.draining, "draining"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

// picture is where the tasks of a rollout are, in one line.
func picture(p *types.Deployment, tasks []types.Task, wanted string) string {
	var ours, others crowd
	for _, t := range tasks {
		if Same(aws.ToString(t.TaskDefinitionArn), wanted) {
			ours.add(t)
		} else {
			others.add(t)
		}
	}
	text := fmt.Sprintf("%d wanted: %s", p.DesiredCount, ours)
	if p.FailedTasks > 0 {
		text += fmt.Sprintf(", %d failed", p.FailedTasks)
	}
	switch {
	case others != crowd{}:
		text += fmt.Sprintf("; others: %s", others)
	case ours.healthy >= int(p.DesiredCount) && ours.running == 0:
		text += "; ECS watches before it calls it complete"
	}
	return text
}

// errNoService is for a service that is not there.
type errNoService struct{ name, reason string }

func (e errNoService) Error() string {
	return fmt.Sprintf("ECS has no service %s (%s)", e.name, e.reason)
}

func (v *verification) service(ctx context.Context) (types.Service, error) {
	out, err := v.ECS.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &v.Cluster, Services: []string{v.Service}})
	if err != nil {
		return types.Service{}, err
	}
	if len(out.Services) == 0 {
		reason := "unknown"
		if len(out.Failures) > 0 {
			reason = aws.ToString(out.Failures[0].Reason)
		}
		return types.Service{}, errNoService{v.Service, reason}
	}
	return out.Services[0], nil
}

type verdict int

const (
	later verdict = iota
	good          // it runs what was wanted
	other         // something else is primary
	bad           // it failed for good
)

// look judges a service. That running equals desired says nothing: so it does after a rollback. Of several deployments
// of the wanted task definition the one with the id counts, and without an id the primary one.
func look(s types.Service, wanted, id string) (verdict, string) {
	if status := aws.ToString(s.Status); status != "ACTIVE" {
		return other, fmt.Sprintf("the service is %s", orNone(status))
	}
	primary := primaryOf(s)
	for _, d := range s.Deployments {
		before := id == "" && primary != nil && Same(aws.ToString(primary.TaskDefinition), wanted) && aws.ToString(d.Status) != "PRIMARY"
		ours := Same(aws.ToString(d.TaskDefinition), wanted) && (id == "" || aws.ToString(d.Id) == id) && !before
		if ours && d.RolloutState == types.DeploymentRolloutStateFailed {
			return bad, "its rollout failed: " + orNone(aws.ToString(d.RolloutStateReason))
		}
	}
	switch {
	case primary == nil:
		return later, "no primary deployment yet"
	case !Same(aws.ToString(primary.TaskDefinition), wanted):
		return other, "it was rolled back, or another deployment has replaced it"
	case id != "" && aws.ToString(primary.Id) != id:
		return other, "it was rolled back to what ran before, or deployed once more"
	case primary.RolloutState == types.DeploymentRolloutStateCompleted && primary.RunningCount >= primary.DesiredCount && len(s.Deployments) == 1:
		return good, "running"
	}
	return later, fmt.Sprintf("rollout is %s, %d of %d tasks run, %d failed", primary.RolloutState, primary.RunningCount, primary.DesiredCount, primary.FailedTasks)
}

// primaryOf is the deployment that a service runs or is about to, nil when there is none.
func primaryOf(s types.Service) *types.Deployment {
	for i, d := range s.Deployments {
		if aws.ToString(d.Status) == "PRIMARY" {
			return &s.Deployments[i]
		}
	}
	return nil
}

// Same compares task definitions, of which one may be given as family:revision.
func Same(a, b string) bool { return a == b || Short(a) == Short(b) }
