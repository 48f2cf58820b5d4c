package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"

	"plan-charge/internal/probe"
	"plan-charge/internal/redact"
	"plan-charge/internal/wait"
)

// Results say in a few words what came, by the title of the check; what ECS runs is the ServiceResult.
type Results map[string]string

// ServiceResult is the title of what ECS runs.
const ServiceResult = "service"

// titles are the keys of the checks' results: their titles, numbered where one is taken already.
func titles(checks []probe.Check) []string {
	taken := map[string]bool{ServiceResult: true}
	all := make([]string, len(checks))
	for i, check := range checks {
		title := check.Title()
		for n := 2; taken[title]; n++ {
			title = fmt.Sprintf("%s (%d)", check.Title(), n)
		}
		taken[title], all[i] = true, title
	}
	return all
}

// NotAsked are the titles of the checks that Look leaves out, because asking might change something.
func NotAsked(checks []probe.Check) []string {
	var all []string
	for i, title := range titles(checks) {
		if !checks[i].Harmless() {
			all = append(all, title)
		}
	}
	return all
}

// lookPace bounds a Look.
type lookPace struct {
	whole   time.Duration
	attempt time.Duration // of two, each with one check
	pause   time.Duration // between the two
}

// Look asks once, and once more what was not as it has to be. It asks nothing that might change something, and takes
// ten seconds at most. What is as it has to be keeps the words in which it is known, so that nothing differs where one
// allowed status has taken another's place.
func Look(ctx context.Context, s Settings, c Clients, known Results) Results {
	return lookOnce(ctx, s, c, known, lookPace{whole: 10 * time.Second, attempt: 4500 * time.Millisecond, pause: 500 * time.Millisecond})
}

func lookOnce(ctx context.Context, s Settings, c Clients, known Results, p lookPace) Results {
	ctx, cancel := context.WithTimeoutCause(ctx, p.whole, fmt.Errorf("nothing within %s", p.whole))
	defer cancel()
	hide := redact.New()
	v := &verification{Settings: s, Clients: c, out: io.Discard, hide: hide}
	titles := titles(s.Checks)
	came := make([]string, len(s.Checks))
	var service string
	var asking sync.WaitGroup
	asking.Go(func() { service = v.serving(ctx) })
	for i, check := range s.Checks {
		asking.Go(func() { came[i] = v.glance(ctx, check, known[titles[i]], p) })
	}
	asking.Wait()
	results := Results{ServiceResult: hide.String(service)}
	for i, title := range titles {
		results[title] = hide.String(came[i])
	}
	return results
}

// glance makes one check, and once more where it fails.
func (v *verification) glance(ctx context.Context, check probe.Check, known string, p lookPace) string {
	if !check.Harmless() {
		return known
	}
	once := func() (string, error) {
		ctx, cancel := context.WithTimeoutCause(ctx, p.attempt, fmt.Errorf("nothing within %s", p.attempt))
		defer cancel()
		client, base := v.client()
		return v.check(ctx, client, base, check)
	}
	came, err := once()
	if err != nil && wait.For(ctx, p.pause) == nil {
		came, err = once()
	}
	if err == nil && known != "" {
		return known
	}
	return came
}

// serving says which task definition serves, or why the wanted one does not.
func (v *verification) serving(ctx context.Context) string {
	service, err := v.service(ctx)
	if err != nil {
		return "not seen: " + Plain(wait.Cause(ctx, err))
	}
	if status := aws.ToString(service.Status); status != "ACTIVE" {
		return "the service is " + orNone(status)
	}
	running := deployed(service)
	switch {
	case !Same(running, v.TaskDefinition):
		return orNone(Short(running)) + " is deployed"
	case service.RunningCount == 0:
		return "no task runs"
	}
	return serves(v.TaskDefinition)
}

func serves(taskDefinition string) string { return Short(taskDefinition) + " serves" }

// Deployed is what a service runs or is about to.
type Deployed struct {
	TaskDefinition string // "" when there is none
	Targets        []types.LoadBalancer
	Failed         bool // ECS has given it up, and had nothing to go back to
}

// LookAtDeployed looks once.
func LookAtDeployed(ctx context.Context, s Settings, c Clients) (Deployed, error) {
	service, err := (&verification{Settings: s, Clients: c}).service(ctx)
	if err != nil {
		return Deployed{}, fmt.Errorf("look at service %s: %w", s.Service, wait.Cause(ctx, err))
	}
	p := primaryOf(service)
	return Deployed{deployed(service), service.LoadBalancers, p != nil && p.RolloutState == types.DeploymentRolloutStateFailed}, nil
}

// deployed is the task definition that a service runs or is about to, "" when there is none.
func deployed(s types.Service) string {
	if p := primaryOf(s); p != nil {
		return aws.ToString(p.TaskDefinition)
	}
	return ""
}

// Plain is an error without what differs each time, such as ports and the ids of requests.
func Plain(err error) string {
	var (
		api    smithy.APIError
		number syscall.Errno
		name   *net.DNSError
	)
	switch {
	case errors.As(err, &api):
		return api.ErrorCode() + ": " + api.ErrorMessage()
	case errors.As(err, &number):
		return number.Error()
	case errors.As(err, &name):
		return name.Err + ": " + name.Name
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "nothing in time"
	}
	return brief(err)
}
