package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/google/uuid"
)

// autoscaling is Application Auto Scaling, which the emulator lacks: targets and policies are kept and told back. Nothing
// measures load in the sandbox, so that the only scaling is to a target's bounds.
type autoscaling struct {
	file string
	ecs  *scheduler

	mu    sync.Mutex
	state autoscalingState
}

type autoscalingState struct {
	Targets  []*scalableTarget `json:"targets"`
	Policies []*scalingPolicy  `json:"policies"`
}

// scalingKey is what both targets and policies are about.
type scalingKey struct{ ServiceNamespace, ResourceId, ScalableDimension string }

type scalableTarget struct {
	scalingKey
	MinCapacity, MaxCapacity   int
	RoleARN, ScalableTargetARN string
	CreationTime               float64
	SuspendedState             struct{ DynamicScalingInSuspended, DynamicScalingOutSuspended, ScheduledScalingSuspended bool }
	Tags                       map[string]string `json:",omitempty"`
}

type scalingPolicy struct {
	scalingKey
	PolicyName, PolicyType, PolicyARN        string
	TargetTrackingScalingPolicyConfiguration json.RawMessage
	Alarms                                   []struct{} // AWS makes some of its own
	CreationTime                             float64
}

func newAutoscaling(file string, ecs *scheduler) (*autoscaling, error) {
	a := &autoscaling{file: file, ecs: ecs, state: autoscalingState{Targets: []*scalableTarget{}, Policies: []*scalingPolicy{}}}
	return a, readState(file, &a.state)
}

// handle answers the service's calls.
func (a *autoscaling) handle(c *call) *response {
	if c.service != "application-autoscaling" {
		return nil
	}
	var in struct {
		scalingKey
		MinCapacity, MaxCapacity                 *int
		PolicyName, PolicyType, ResourceARN      string
		ResourceIds, PolicyNames, TagKeys        []string
		TargetTrackingScalingPolicyConfiguration json.RawMessage
		Tags                                     map[string]string
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return c.failure(http.StatusBadRequest, invalidScaling, err.Error())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	matches := func(k scalingKey) bool {
		return k.ServiceNamespace == in.ServiceNamespace && (in.ResourceId == "" || k.ResourceId == in.ResourceId) &&
			(len(in.ResourceIds) == 0 || slices.Contains(in.ResourceIds, k.ResourceId)) &&
			(in.ScalableDimension == "" || k.ScalableDimension == in.ScalableDimension)
	}
	at := slices.IndexFunc(a.state.Targets, func(t *scalableTarget) bool {
		return t.scalingKey == in.scalingKey || in.ResourceARN != "" && t.ScalableTargetARN == in.ResourceARN
	})
	isPolicy := func(p *scalingPolicy) bool { return p.scalingKey == in.scalingKey && p.PolicyName == in.PolicyName }
	if at < 0 && slices.Contains([]string{"DeregisterScalableTarget", "PutScalingPolicy", "ListTagsForResource", "TagResource", "UntagResource"}, c.action) {
		return c.failure(http.StatusBadRequest, "ObjectNotFoundException", fmt.Sprintf("No scalable target registered for service namespace: %s, resource ID: %s, scalable dimension: %s%s",
			in.ServiceNamespace, in.ResourceId, in.ScalableDimension, in.ResourceARN))
	}
	var answer any = map[string]any{}
	switch c.action {
	case "RegisterScalableTarget":
		if at < 0 {
			if in.MinCapacity == nil || in.MaxCapacity == nil {
				return c.failure(http.StatusBadRequest, invalidScaling, "MinCapacity and MaxCapacity are needed for a new scalable target")
			}
			at = len(a.state.Targets)
			a.state.Targets = append(a.state.Targets, &scalableTarget{
				scalingKey: in.scalingKey, CreationTime: epoch(time.Now()), Tags: in.Tags,
				RoleARN:           a.arn("iam", "role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService"),
				ScalableTargetARN: a.arn("application-autoscaling", "scalable-target/"+strings.ReplaceAll(uuid.NewString(), "-", "")),
			})
		}
		t := a.state.Targets[at]
		if in.MinCapacity != nil {
			t.MinCapacity = *in.MinCapacity
		}
		if in.MaxCapacity != nil {
			t.MaxCapacity = *in.MaxCapacity
		}
		a.ecs.bound(t.ResourceId, t.MinCapacity, t.MaxCapacity)
		answer = map[string]string{"ScalableTargetARN": t.ScalableTargetARN}
	case "DescribeScalableTargets":
		answer = map[string]any{"ScalableTargets": slices.DeleteFunc(slices.Clone(a.state.Targets), func(t *scalableTarget) bool { return !matches(t.scalingKey) })}
	case "DeregisterScalableTarget":
		a.state.Targets = slices.Delete(a.state.Targets, at, at+1)
		a.state.Policies = slices.DeleteFunc(a.state.Policies, func(p *scalingPolicy) bool { return p.scalingKey == in.scalingKey })
	case "PutScalingPolicy":
		if in.PolicyType != "TargetTrackingScaling" {
			return c.failure(http.StatusBadRequest, invalidScaling, fmt.Sprintf("policy type %q is not emulated by the sandbox: allowed is TargetTrackingScaling", in.PolicyType))
		}
		found := slices.IndexFunc(a.state.Policies, isPolicy)
		if found < 0 {
			found = len(a.state.Policies)
			a.state.Policies = append(a.state.Policies, &scalingPolicy{
				scalingKey: in.scalingKey, PolicyName: in.PolicyName, PolicyType: in.PolicyType, CreationTime: epoch(time.Now()), Alarms: []struct{}{},
				PolicyARN: a.arn("autoscaling", "scalingPolicy:"+uuid.NewString()+":resource/"+in.ServiceNamespace+"/"+in.ResourceId+":policyName/"+in.PolicyName),
			})
		}
		p := a.state.Policies[found]
		p.TargetTrackingScalingPolicyConfiguration = in.TargetTrackingScalingPolicyConfiguration
		answer = map[string]any{"PolicyARN": p.PolicyARN, "Alarms": p.Alarms}
	case "DescribeScalingPolicies":
		answer = map[string]any{"ScalingPolicies": slices.DeleteFunc(slices.Clone(a.state.Policies), func(p *scalingPolicy) bool {
			return !matches(p.scalingKey) || len(in.PolicyNames) > 0 && !slices.Contains(in.PolicyNames, p.PolicyName)
		})}
	case "DeleteScalingPolicy":
		if !slices.ContainsFunc(a.state.Policies, isPolicy) {
			return c.failure(http.StatusBadRequest, "ObjectNotFoundException", "No scaling policy found")
		}
		a.state.Policies = slices.DeleteFunc(a.state.Policies, isPolicy)
	case "ListTagsForResource", "TagResource", "UntagResource":
		t := a.state.Targets[at]
		if t.Tags == nil {
			t.Tags = map[string]string{}
		}
		maps.Copy(t.Tags, in.Tags)
		for _, key := range in.TagKeys {
			delete(t.Tags, key)
		}
		if c.action == "ListTagsForResource" {
			answer = map[string]any{"Tags": t.Tags}
		}
	default:
		return c.failure(http.StatusBadRequest, "UnknownOperationException", c.action+notEmulated)
	}
	if !c.reads() {
		if err := writeState(a.file, a.state); err != nil {
			return c.failure(http.StatusInternalServerError, "InternalServiceException", "keep the scaling state: "+err.Error())
		}
	}
	return c.ok(answer)
}

const invalidScaling = "ValidationException"

// arn names something of the emulated account.
func (a *autoscaling) arn(service, resource string) string {
	region := a.ecs.api.region
	if service == "iam" {
		region = ""
	}
	return arn.ARN{Partition: "aws", Service: service, Region: region, AccountID: account, Resource: resource}.String()
}
