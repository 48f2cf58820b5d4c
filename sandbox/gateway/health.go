package gateway

import (
	"context"
	"sync"
	"time"
)

// healthCheck runs the health checks of one task's containers.
type healthCheck struct {
	cancel context.CancelFunc
	any    bool

	mu    sync.Mutex
	known bool
	by    map[string]string // container to HEALTHY, UNHEALTHY or UNKNOWN
}

// definition is a container's healthCheck in its task definition, with the defaults that ECS documents.
type definition struct {
	Command     []string
	Interval    *int
	Timeout     *int
	Retries     *int
	StartPeriod int
}

func or(value *int, otherwise int) int {
	if value == nil || *value == 0 {
		return otherwise
	}
	return *value
}

// exists tells whether the task has any health check. As long as its definition is not known it counts as having one.
func (h *healthCheck) exists() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.known || h.any
}

// state is HEALTHY when every checked container is, UNHEALTHY when one is.
func (h *healthCheck) state() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.known || !h.any {
		return "UNKNOWN"
	}
	result := "HEALTHY"
	for _, state := range h.by {
		switch state {
		case "UNHEALTHY":
			return state
		case "UNKNOWN":
			result = state
		}
	}
	return result
}

// watch returns the task's health check, and starts it at the first call. s.mu is held.
func (s *scheduler) watch(svc *service, d *deployment, t *task) *healthCheck {
	if h := s.checks[t.ARN]; h != nil {
		return h
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &healthCheck{cancel: cancel, by: map[string]string{}}
	s.checks[t.ARN] = h
	go s.runChecks(ctx, h, t.ARN, d.TaskDefinition)
	return h
}

// forget ends a stopped task's health check. s.mu is held.
func (s *scheduler) forget(t *task) {
	if h := s.checks[t.ARN]; h != nil {
		h.cancel()
		delete(s.checks, t.ARN)
	}
}

// setHealth remembers a task's health for DescribeTasks. s.mu is held.
func (s *scheduler) setHealth(arn, health string) {
	o := s.outcomes[arn]
	if o.Health != health {
		o.Health, o.At = health, time.Now()
		s.outcomes[arn] = o
	}
}

func (s *scheduler) runChecks(ctx context.Context, h *healthCheck, arn, taskDefinition string) {
	var out struct {
		TaskDefinition struct {
			ContainerDefinitions []struct {
				Name        string
				HealthCheck *definition
			}
		}
	}
	for {
		err := s.api.ecs(ctx, "DescribeTaskDefinition", map[string]string{"taskDefinition": taskDefinition}, &out)
		if err == nil {
			break
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(500 * time.Millisecond):
		}
	}
	h.mu.Lock()
	h.known = true
	for _, c := range out.TaskDefinition.ContainerDefinitions {
		if c.HealthCheck != nil && len(c.HealthCheck.Command) > 0 && c.HealthCheck.Command[0] != "NONE" {
			h.any = true
			h.by[c.Name] = "UNKNOWN"
			go s.runCheck(ctx, h, arn, c.Name, *c.HealthCheck)
		}
	}
	h.mu.Unlock()
	s.nudge()
}

// runCheck asks one container again and again. A container that was never healthy is asked more often than its interval
// says, but only becomes unhealthy after the time that the definition gives it.
func (s *scheduler) runCheck(ctx context.Context, h *healthCheck, arn, container string, d definition) {
	argv := d.Command
	switch argv[0] {
	case "CMD-SHELL":
		argv = append([]string{"/bin/sh", "-c"}, argv[1:]...)
	case "CMD":
		argv = argv[1:]
	}
	interval := time.Duration(or(d.Interval, 30)) * time.Second
	timeout := time.Duration(or(d.Timeout, 5)) * time.Second
	retries := or(d.Retries, 3)
	started := time.Now()
	failures := 0
	ever := false
	for {
		check, cancel := context.WithTimeout(ctx, timeout)
		code, err := s.docker.exec(check, arn, container, argv)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil && code == 0 {
			failures, ever = 0, true
			h.set(container, "HEALTHY")
			s.nudge()
		} else {
			failures++
			limit := time.Duration(d.StartPeriod)*time.Second + time.Duration(retries)*interval
			if ever && failures >= retries || !ever && time.Since(started) >= limit {
				h.set(container, "UNHEALTHY")
				s.nudge()
			}
		}
		wait := interval
		if !ever && wait > 2*eagerProbe {
			wait = 2 * eagerProbe
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (h *healthCheck) set(container, state string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.by[container] = state
}
