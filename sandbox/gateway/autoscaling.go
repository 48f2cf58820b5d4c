package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
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
	MinCapacity, MaxCapacity *int
	RoleARN                  string
	ScalableTargetARN        string
	SuspendedState           json.RawMessage `json:",omitempty"`
	CreationTime             float64
	Tags                     map[string]string `json:",omitempty"`
}

type scalingPolicy struct {
	scalingKey
	PolicyName, PolicyType, PolicyARN        string
	TargetTrackingScalingPolicyConfiguration json.RawMessage `json:",omitempty"`
	StepScalingPolicyConfiguration           json.RawMessage `json:",omitempty"`
	Alarms                                   []struct{ AlarmName, AlarmARN string }
	CreationTime                             float64
}

func newAutoscaling(file string, ecs *scheduler) (*autoscaling, error) {
	a := &autoscaling{file: file, ecs: ecs}
	data, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return a, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &a.state); err != nil {
		return nil, fmt.Errorf("%s is damaged, delete it: %w", file, err)
	}
	return a, nil
}

func (a *autoscaling) save() error {
	data, err := json.Marshal(a.state)
	if err != nil {
		return err
	}
	if err := os.WriteFile(a.file+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(a.file+".new", a.file)
}

// handle answers the service's calls.
func (a *autoscaling) handle(_ context.Context, c *call) *response {
	if c.service != "application-autoscaling" {
		return nil
	}
	var in struct {
		scalingKey
		MinCapacity, MaxCapacity                 *int
		RoleARN, PolicyName, PolicyType          string
		ResourceARN                              string
		ResourceIds, PolicyNames, TagKeys        []string
		SuspendedState                           json.RawMessage
		TargetTrackingScalingPolicyConfiguration json.RawMessage
		StepScalingPolicyConfiguration           json.RawMessage
		Tags                                     map[string]string
	}
	if err := json.Unmarshal(c.body, &in); err != nil {
		return c.failure(http.StatusBadRequest, "ValidationException", err.Error())
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	target := func() *scalableTarget {
		for _, t := range a.state.Targets {
			if t.scalingKey == in.scalingKey {
				return t
			}
		}
		return nil
	}()
	tagged := func() *scalableTarget {
		for _, t := range a.state.Targets {
			if t.ScalableTargetARN == in.ResourceARN {
				return t
			}
		}
		return nil
	}
	matches := func(k scalingKey) bool {
		return k.ServiceNamespace == in.ServiceNamespace && (in.ResourceId == "" || k.ResourceId == in.ResourceId) &&
			(len(in.ResourceIds) == 0 || slices.Contains(in.ResourceIds, k.ResourceId)) && (in.ScalableDimension == "" || k.ScalableDimension == in.ScalableDimension)
	}
	missing := c.failure(http.StatusBadRequest, "ObjectNotFoundException", "No scalable target registered for service namespace: "+in.ServiceNamespace+", resource ID: "+in.ResourceId+", scalable dimension: "+in.ScalableDimension)
	var answer any = map[string]any{}
	switch c.action {
	case "RegisterScalableTarget":
		if target == nil {
			if in.MinCapacity == nil || in.MaxCapacity == nil {
				return c.failure(http.StatusBadRequest, "ValidationException", "MinCapacity and MaxCapacity are needed for a new scalable target")
			}
			target = &scalableTarget{
				scalingKey: in.scalingKey, CreationTime: epoch(time.Now()), Tags: in.Tags,
				RoleARN:           "arn:aws:iam::000000000000:role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService",
				ScalableTargetARN: "arn:aws:application-autoscaling:" + a.ecs.api.region + ":000000000000:scalable-target/" + strings.ReplaceAll(uuid(), "-", ""),
			}
			a.state.Targets = append(a.state.Targets, target)
		}
		if in.MinCapacity != nil {
			target.MinCapacity = in.MinCapacity
		}
		if in.MaxCapacity != nil {
			target.MaxCapacity = in.MaxCapacity
		}
		if in.RoleARN != "" {
			target.RoleARN = in.RoleARN
		}
		if len(in.SuspendedState) > 0 {
			target.SuspendedState = in.SuspendedState
		}
		a.ecs.bound(target.ResourceId, *target.MinCapacity, *target.MaxCapacity)
		answer = map[string]string{"ScalableTargetARN": target.ScalableTargetARN}
	case "DescribeScalableTargets":
		list := []map[string]any{}
		for _, t := range a.state.Targets {
			if !matches(t.scalingKey) {
				continue
			}
			one := map[string]any{
				"ServiceNamespace": t.ServiceNamespace, "ResourceId": t.ResourceId, "ScalableDimension": t.ScalableDimension, "MinCapacity": t.MinCapacity,
				"MaxCapacity": t.MaxCapacity, "RoleARN": t.RoleARN, "CreationTime": t.CreationTime, "ScalableTargetARN": t.ScalableTargetARN,
				"SuspendedState": map[string]bool{"DynamicScalingInSuspended": false, "DynamicScalingOutSuspended": false, "ScheduledScalingSuspended": false},
			}
			if len(t.SuspendedState) > 0 {
				one["SuspendedState"] = t.SuspendedState
			}
			list = append(list, one)
		}
		answer = map[string]any{"ScalableTargets": list}
	case "DeregisterScalableTarget":
		if target == nil {
			return missing
		}
		a.state.Targets = slices.DeleteFunc(a.state.Targets, func(t *scalableTarget) bool { return t == target })
		a.state.Policies = slices.DeleteFunc(a.state.Policies, func(p *scalingPolicy) bool { return p.scalingKey == in.scalingKey })
	case "PutScalingPolicy":
		if target == nil {
			return missing
		}
		at := slices.IndexFunc(a.state.Policies, func(p *scalingPolicy) bool { return p.scalingKey == in.scalingKey && p.PolicyName == in.PolicyName })
		if at < 0 {
			a.state.Policies = append(a.state.Policies, &scalingPolicy{
				scalingKey: in.scalingKey, PolicyName: in.PolicyName, CreationTime: epoch(time.Now()), Alarms: []struct{ AlarmName, AlarmARN string }{},
				PolicyARN: "arn:aws:autoscaling:" + a.ecs.api.region + ":000000000000:scalingPolicy:" + uuid() + ":resource/" + in.ServiceNamespace + "/" + in.ResourceId + ":policyName/" + in.PolicyName,
			})
			at = len(a.state.Policies) - 1
		}
		p := a.state.Policies[at]
		p.PolicyType = in.PolicyType
		if p.PolicyType == "" {
			p.PolicyType = "StepScaling"
		}
		p.TargetTrackingScalingPolicyConfiguration, p.StepScalingPolicyConfiguration = in.TargetTrackingScalingPolicyConfiguration, in.StepScalingPolicyConfiguration
		answer = map[string]any{"PolicyARN": p.PolicyARN, "Alarms": p.Alarms}
	case "DescribeScalingPolicies":
		list := []*scalingPolicy{}
		for _, p := range a.state.Policies {
			if matches(p.scalingKey) && (len(in.PolicyNames) == 0 || slices.Contains(in.PolicyNames, p.PolicyName)) {
				list = append(list, p)
			}
		}
		answer = map[string]any{"ScalingPolicies": list}
	case "DeleteScalingPolicy":
		n := len(a.state.Policies)
		a.state.Policies = slices.DeleteFunc(a.state.Policies, func(p *scalingPolicy) bool { return p.scalingKey == in.scalingKey && p.PolicyName == in.PolicyName })
		if n == len(a.state.Policies) {
			return c.failure(http.StatusBadRequest, "ObjectNotFoundException", "No scaling policy found")
		}
	case "DescribeScalingActivities":
		answer = map[string]any{"ScalingActivities": []any{}}
	case "DescribeScheduledActions":
		answer = map[string]any{"ScheduledActions": []any{}}
	case "ListTagsForResource", "TagResource", "UntagResource":
		t := tagged()
		if t == nil {
			return c.failure(http.StatusBadRequest, "ResourceNotFoundException", "The resource "+in.ResourceARN+" does not exist")
		}
		if t.Tags == nil {
			t.Tags = map[string]string{}
		}
		for key, value := range in.Tags {
			t.Tags[key] = value
		}
		for _, key := range in.TagKeys {
			delete(t.Tags, key)
		}
		if c.action == "ListTagsForResource" {
			answer = map[string]any{"Tags": t.Tags}
		}
	default:
		return c.failure(http.StatusBadRequest, "UnknownOperationException", c.action+" is not emulated by the sandbox")
	}
	if !c.reads() {
		if err := a.save(); err != nil {
			return c.failure(http.StatusInternalServerError, "InternalServiceException", "keep the scaling state: "+err.Error())
		}
	}
	return c.ok(answer)
}
