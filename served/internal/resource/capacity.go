package resource

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"plan-charge/internal/verify"
)

var (
	_ infer.CustomResource[CapacityArgs, CapacityState] = (*Capacity)(nil)
	_ infer.CustomCheck[CapacityArgs]                   = (*Capacity)(nil)
	_ infer.CustomDiff[CapacityArgs, CapacityState]     = (*Capacity)(nil)
	_ infer.CustomRead[CapacityArgs, CapacityState]     = (*Capacity)(nil)
	_ infer.CustomUpdate[CapacityArgs, CapacityState]   = (*Capacity)(nil)
)

// enough is what `desired` says of a service that lacks nothing.
const enough = "ok"

// glance is how long a refresh waits for ECS.
const glance = 10 * time.Second

// Check names every mistake at once.
func (c *Capacity) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[CapacityArgs], error) {
	args, failures, err := infer.DefaultCheck[CapacityArgs](ctx, req.NewInputs)
	if err != nil || len(failures) > 0 {
		return infer.CheckResponse[CapacityArgs]{Inputs: args, Failures: failures}, err
	}
	known := func(key string) bool { return !req.NewInputs.Get(key).HasComputed() }
	if known("minimum") && args.Minimum < 1 {
		failures = append(failures, refuse("minimum", "found %d; allowed: 1 or more; for example 2", args.Minimum))
	}
	if _, err := timeoutOf(args.Timeout); known("timeout") && err != nil {
		failures = append(failures, refuse("timeout", "%v", err))
	}
	return infer.CheckResponse[CapacityArgs]{Inputs: args, Failures: failures}, nil
}

// open makes what a look needs.
func (c *Capacity) open(ctx context.Context, args CapacityArgs) (verify.Settings, Clients, error) {
	timeout, err := timeoutOf(args.Timeout)
	if err != nil {
		return verify.Settings{}, Clients{}, err
	}
	clients, err := c.account.clients(ctx, settingsOf(args.Region, args.Profile, args.Role))
	return verify.Settings{
		Cluster: args.Cluster, Service: args.Service, TaskDefinition: args.TaskDefinition, Timeout: timeout, TimeoutKey: args.TimeoutKey,
	}, clients, err
}

// Create looks for the first time.
func (c *Capacity) Create(ctx context.Context, req infer.CreateRequest[CapacityArgs]) (infer.CreateResponse[CapacityState], error) {
	resp := infer.CreateResponse[CapacityState]{ID: req.Inputs.Cluster + "/" + req.Inputs.Service, Output: CapacityState{req.Inputs, enough}}
	if req.DryRun {
		return resp, nil
	}
	return resp, c.mend(ctx, req.Inputs)
}

// Update gives the service what it lacks. An update that fails leaves the state as it was, so that the next one tries again.
func (c *Capacity) Update(ctx context.Context, req infer.UpdateRequest[CapacityArgs, CapacityState]) (infer.UpdateResponse[CapacityState], error) {
	resp := infer.UpdateResponse[CapacityState]{Output: CapacityState{req.Inputs, enough}}
	if req.DryRun {
		return resp, nil
	}
	return resp, c.mend(ctx, req.Inputs)
}

// mend raises the desired count to the minimum where it is below, and waits for the tasks of a service that lacks some.
func (c *Capacity) mend(ctx context.Context, args CapacityArgs) error {
	settings, clients, err := c.open(ctx, args)
	if err != nil {
		return err
	}
	found, err := verify.LookAtCapacity(ctx, settings, clients.Clients, args.Minimum)
	if err != nil || found.Lack == "" {
		return err
	}
	if found.Wanted < args.Minimum {
		_, err := clients.Scaler.UpdateService(ctx, &ecs.UpdateServiceInput{
			Cluster: &args.Cluster, Service: &args.Service, DesiredCount: aws.Int32(int32(args.Minimum)),
		})
		if err != nil {
			return fmt.Errorf("want %d tasks of service %s: %w", args.Minimum, args.Service, err)
		}
	}
	return verify.AwaitTasks(ctx, settings, clients.Clients, args.Minimum, newProgressLog(ctx))
}

// Diff looks again when another version or another number is wanted, and mends what a refresh has seen.
func (c *Capacity) Diff(_ context.Context, req infer.DiffRequest[CapacityArgs, CapacityState]) (infer.DiffResponse, error) {
	resp := infer.DiffResponse{DetailedDiff: map[string]p.PropertyDiff{}}
	was, is := req.State.CapacityArgs, req.Inputs
	for key, changed := range map[string]bool{
		"cluster": was.Cluster != is.Cluster, "service": was.Service != is.Service,
		"taskDefinition": was.TaskDefinition != is.TaskDefinition, "minimum": was.Minimum != is.Minimum,
	} {
		if changed {
			resp.DetailedDiff[key] = p.PropertyDiff{Kind: p.Update, InputDiff: true}
		}
	}
	if req.State.Desired != enough {
		resp.DetailedDiff["desired"] = p.PropertyDiff{Kind: p.Update}
	}
	resp.HasChanges = len(resp.DetailedDiff) > 0
	return resp, nil
}

// Read says what the service lacks. What cannot be seen is not ok.
func (c *Capacity) Read(ctx context.Context, req infer.ReadRequest[CapacityArgs, CapacityState]) (infer.ReadResponse[CapacityArgs, CapacityState], error) {
	resp := infer.ReadResponse[CapacityArgs, CapacityState](req)
	if req.State.Service == "" {
		return resp, errors.New("a capacity cannot be imported: leave it to the next `pulumi up`")
	}
	settings, clients, err := c.open(ctx, req.State.CapacityArgs)
	var found verify.Capacity
	if err == nil {
		ctx, cancel := context.WithTimeoutCause(ctx, glance, fmt.Errorf("nothing within %s", glance))
		defer cancel()
		found, err = verify.LookAtCapacity(ctx, settings, clients.Clients, req.State.Minimum)
	}
	resp.State.Desired = cmp.Or(found.Lack, enough)
	if err != nil {
		resp.State.Desired = "not seen: " + verify.Plain(err)
	}
	if resp.State.Desired != enough {
		p.GetLogger(ctx).Warning(fmt.Sprintf("service %s: %s", req.State.Service, resp.State.Desired))
	}
	return resp, nil
}
