package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/progress"
	"plan-charge/internal/redact"
	"plan-charge/internal/wait"
)

// Capacity is whether a service has tasks enough. How many it has above its minimum is autoscaling's to say.
type Capacity struct {
	Wanted int    // tasks, what ECS calls the desired count
	Lack   string // what the service lacks, in words, or "" when it lacks nothing
}

// LookAtCapacity looks once.
func LookAtCapacity(ctx context.Context, s Settings, c Clients, minimum int) (Capacity, error) {
	v := &verification{Settings: s, Clients: c}
	service, err := v.service(ctx)
	if err != nil {
		return Capacity{}, fmt.Errorf("look at service %s: %w", s.Service, wait.Cause(ctx, err))
	}
	return capacityOf(service, minimum), nil
}

func capacityOf(s types.Service, minimum int) Capacity {
	c := Capacity{Wanted: int(s.DesiredCount)}
	switch status := aws.ToString(s.Status); {
	case status != "ACTIVE":
		c.Lack = "the service is " + orNone(status)
	case c.Wanted == 1 && minimum > 1:
		c.Lack = fmt.Sprintf("1 task is wanted, the minimum is %d", minimum)
	case c.Wanted < minimum:
		c.Lack = fmt.Sprintf("%d tasks are wanted, the minimum is %d", c.Wanted, minimum)
	case c.Wanted > 0 && s.RunningCount == 0:
		c.Lack = "no task runs"
	}
	return c
}

// AwaitTasks waits until the minimum of tasks runs. The error says why they did not come up, as far as ECS knows.
func AwaitTasks(ctx context.Context, s Settings, c Clients, minimum int, out io.Writer) error {
	return awaitTasks(ctx, s, c, minimum, out, defaultPace())
}

func awaitTasks(ctx context.Context, s Settings, c Clients, minimum int, out io.Writer, p pace) (err error) {
	hide := redact.New()
	clean := redact.NewWriter(out, hide)
	defer clean.Flush()
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("the time allowed by %s, %s, has run out", s.TimeoutKey, s.Timeout))
	defer cancel()
	v := &verification{Settings: s, Clients: c, out: clean, hide: hide, pace: p}
	step := progress.Start(clean, fmt.Sprintf("service %s runs at least %d tasks", s.Service, minimum), 0)
	defer func() { step.Done(err) }()
	var last types.Service
	for lastAnswer := time.Now(); ; {
		service, err := v.service(ctx)
		switch {
		case err == nil:
			last, lastAnswer = service, time.Now()
			if int(service.RunningCount) >= minimum && capacityOf(service, minimum).Lack == "" {
				return nil
			}
			step.Tell(fmt.Sprintf("%d run, %d are starting", service.RunningCount, service.PendingCount))
		case ctx.Err() != nil:
		case awsclient.Permanent(err) || errors.As(err, new(errNoService)) || time.Since(lastAnswer) > p.aws:
			return fmt.Errorf("look at service %s: %w", s.Service, err)
		}
		if err := wait.For(ctx, p.service); err != nil {
			why := fmt.Sprintf("%d of at least %d tasks run", last.RunningCount, minimum)
			if lack := capacityOf(last, minimum).Lack; lack != "" {
				why += ", " + lack
			}
			return hide.Error(v.rolledBack(context.WithoutCancel(ctx), last, why+"; "+err.Error()))
		}
	}
}
