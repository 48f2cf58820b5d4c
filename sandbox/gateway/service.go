package gateway

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
)

// Rollout states of a deployment, as DescribeServices tells them.
const (
	inProgress = "IN_PROGRESS"
	completed  = "COMPLETED"
	failed     = "FAILED"
)

// service is an ECS service. Its JSON form is what is kept on disk.
type service struct {
	ARN        string                     `json:"arn"`
	Name       string                     `json:"name"`
	Cluster    string                     `json:"cluster"` // name
	ClusterARN string                     `json:"clusterArn"`
	Status     string                     `json:"status"` // ACTIVE, DRAINING, INACTIVE
	Desired    int                        `json:"desired"`
	Settings   map[string]json.RawMessage `json:"settings"` // what CreateService and UpdateService gave, by field
	Tags       []tag                      `json:"tags"`
	Created    time.Time                  `json:"created"`

	Deployments []*deployment `json:"deployments"` // newest first
	Events      []event       `json:"events"`      // newest first
	// Published are the addresses this service registered, by target group: it withdraws no others.
	Published map[string][]string `json:"published"`
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type event struct {
	ID      string    `json:"id"`
	Created time.Time `json:"created"`
	Message string    `json:"message"`
}

// deployment is one version of a service on its way in or out.
type deployment struct {
	ID             string    `json:"id"`
	Status         string    `json:"status"` // PRIMARY, ACTIVE
	TaskDefinition string    `json:"taskDefinition"`
	Desired        int       `json:"desired"`
	Failed         int       `json:"failed"` // tasks that failed, one after the other
	State          string    `json:"state"`
	Reason         string    `json:"reason"`
	Created        time.Time `json:"created"`
	Updated        time.Time `json:"updated"`
	// Once tells that it was completed before, so that a rollback may return to it.
	Once bool `json:"once"`
	// RolledBack is the deployment that this one was brought back for.
	RolledBack string  `json:"rolledBack,omitempty"`
	Tasks      []*task `json:"tasks"`

	settled  time.Time // when everything was healthy and the old tasks were gone
	next     time.Time // no task is started before
	failedAt time.Time // when it, or the one it was brought back for, failed
	quiet    bool      // its alarms were seen quiet: one that rings from the start says nothing about this deployment
}

// task is one task of a deployment that has not stopped.
type task struct {
	ARN      string    `json:"arn"`
	IP       string    `json:"ip"`
	Status   string    `json:"status"`
	Started  time.Time `json:"started"` // when it was seen running
	Stopping bool      `json:"stopping"`

	registered bool
	ready      bool
	withdrawn  bool // its stop is under way
}

// outcome is what is known of a task's end or health beyond what the emulator tells.
type outcome struct {
	StopCode string    `json:"stopCode,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Health   string    `json:"health,omitempty"`
	At       time.Time `json:"at"`
}

// keptEvents is how many of a service's events are told. AWS tells 100, which the AWS provider now and then fails to read
// to their end ("decomposing response: … use of closed network connection"): a short answer comes in one piece.
const keptEvents = 10

// ServiceStatus says how far a service is.
type ServiceStatus struct {
	Service string `json:"service"` // cluster/name
	Wanted  int    `json:"wanted"`  // tasks
	Ready   int    `json:"ready"`   // tasks that are healthy, of any deployment
}

// Services lists the services that are not being deleted.
func (g *Gateway) Services() []ServiceStatus {
	g.ecs.mu.Lock()
	defer g.ecs.mu.Unlock()
	all := []ServiceStatus{}
	for key, svc := range g.ecs.services {
		if svc.Status != "ACTIVE" {
			continue
		}
		status := ServiceStatus{Service: key, Wanted: svc.Desired}
		for _, d := range svc.Deployments {
			for _, t := range d.Tasks {
				if t.ready && !t.Stopping {
					status.Ready++
				}
			}
		}
		all = append(all, status)
	}
	return all
}

func (s *service) primary() *deployment {
	for _, d := range s.Deployments {
		if d.Status == "PRIMARY" {
			return d
		}
	}
	return nil
}

func (s *service) event(format string, args ...any) {
	message := fmt.Sprintf("(service %s) ", s.Name) + fmt.Sprintf(format, args...)
	if len(s.Events) > 0 && s.Events[0].Message == message {
		return
	}
	s.Events = append([]event{{ID: uuid.NewString(), Created: time.Now(), Message: message}}, s.Events...)
	s.Events = s.Events[:min(len(s.Events), keptEvents)]
}

// deploy makes a task definition the primary deployment.
func (s *service) deploy(taskDefinition string) {
	for _, d := range s.Deployments {
		d.Status = "ACTIVE"
		d.Desired = 0
		if d.State == inProgress { // overtaken by the new one
			d.State, d.Reason = failed, "ECS deployment was superseded by a newer one."
		}
	}
	now := time.Now()
	s.Deployments = append([]*deployment{{
		ID: newDeploymentID(), Status: "PRIMARY", TaskDefinition: taskDefinition, Desired: s.Desired, State: inProgress, Created: now, Updated: now,
	}}, s.Deployments...)
	s.Deployments[0].Reason = "ECS deployment " + s.Deployments[0].ID + " in progress."
}

func newDeploymentID() string { return fmt.Sprintf("ecs-svc/%019d", rand.Uint64N(1e19)) }

// rollout are the settings that decide how a deployment goes.
type rollout struct {
	MaximumPercent        *int
	MinimumHealthyPercent *int
	Breaker               struct {
		Enable, Rollback bool
	} `json:"deploymentCircuitBreaker"`
	Alarms struct {
		AlarmNames       []string
		Enable, Rollback bool
	}
}

func (s *service) rollout() rollout {
	var r rollout
	_ = json.Unmarshal(s.Settings["deploymentConfiguration"], &r) // absent: the zero value
	return r
}

func (r rollout) maximum(desired int) int {
	percent := 200
	if r.MaximumPercent != nil {
		percent = *r.MaximumPercent
	}
	return max(1, desired*percent/100)
}

func (r rollout) minimum(desired int) int {
	percent := 100
	if r.MinimumHealthyPercent != nil {
		percent = *r.MinimumHealthyPercent
	}
	return (desired*percent + 99) / 100
}

// threshold is the number of failed tasks that ends a deployment: half the desired count, 3 at least and 200 at most.
func threshold(desired int) int {
	return min(200, max(3, int(math.Ceil(float64(desired)/2))))
}

// attachment is one of a service's loadBalancers.
type attachment struct {
	TargetGroupArn string `json:"targetGroupArn"`
	ContainerName  string `json:"containerName"`
	ContainerPort  int    `json:"containerPort"`
}

func (s *service) attachments() []attachment {
	var list []attachment
	_ = json.Unmarshal(s.Settings["loadBalancers"], &list) // absent: none
	return list
}

func (s *service) grace() time.Duration {
	var seconds int
	_ = json.Unmarshal(s.Settings["healthCheckGracePeriodSeconds"], &seconds) // absent: none
	return time.Duration(seconds) * time.Second
}
