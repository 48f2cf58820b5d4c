package resource

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"plan-charge/internal/verify"
)

var (
	_ infer.CustomResource[RolloutArgs, RolloutState] = (*Rollout)(nil)
	_ infer.CustomCheck[RolloutArgs]                  = (*Rollout)(nil)
	_ infer.CustomDiff[RolloutArgs, RolloutState]     = (*Rollout)(nil)
	_ infer.CustomRead[RolloutArgs, RolloutState]     = (*Rollout)(nil)
	_ infer.CustomUpdate[RolloutArgs, RolloutState]   = (*Rollout)(nil)
)

// done is what `deployed` says of a rollout that is complete.
const done = "ok"

// Check names every mistake at once.
func (r *Rollout) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[RolloutArgs], error) {
	args, failures, err := infer.DefaultCheck[RolloutArgs](ctx, req.NewInputs)
	if err != nil || len(failures) > 0 {
		return infer.CheckResponse[RolloutArgs]{Inputs: args, Failures: failures}, err
	}
	if _, err := timeoutOf(args.Timeout); !req.NewInputs.Get("timeout").HasComputed() && err != nil {
		failures = append(failures, refuse("timeout", "%v", err))
	}
	return infer.CheckResponse[RolloutArgs]{Inputs: args, Failures: failures}, nil
}

// open makes what following needs.
func (r *Rollout) open(ctx context.Context, args RolloutArgs) (verify.Settings, Clients, error) {
	timeout, err := timeoutOf(args.Timeout)
	if err != nil {
		return verify.Settings{}, Clients{}, err
	}
	clients, err := r.account.clients(ctx, settingsOf(args.Region, args.Profile, args.Role))
	return verify.Settings{
		Cluster: args.Cluster, Service: args.Service, TaskDefinition: args.TaskDefinition, Timeout: timeout, TimeoutKey: args.TimeoutKey,
	}, clients, err
}

// Create follows for the first time.
func (r *Rollout) Create(ctx context.Context, req infer.CreateRequest[RolloutArgs]) (infer.CreateResponse[RolloutState], error) {
	resp := infer.CreateResponse[RolloutState]{ID: req.Inputs.Cluster + "/" + req.Inputs.Service, Output: RolloutState{req.Inputs, done}}
	if req.DryRun {
		return resp, nil
	}
	var err error
	resp.Output, err = r.follow(ctx, req.Inputs, false)
	return resp, err
}

// Update follows once more.
func (r *Rollout) Update(ctx context.Context, req infer.UpdateRequest[RolloutArgs, RolloutState]) (infer.UpdateResponse[RolloutState], error) {
	resp := infer.UpdateResponse[RolloutState]{Output: RolloutState{req.Inputs, done}}
	if req.DryRun {
		return resp, nil
	}
	var err error
	again := req.State.Deployed != done && req.State.TaskDefinition == req.Inputs.TaskDefinition
	resp.Output, err = r.follow(ctx, req.Inputs, again)
	var failed infer.ResourceInitFailedError
	if errors.As(err, &failed) && r.isAsBefore(context.WithoutCancel(ctx), req.State, req.Inputs) {
		// Without a new state the engine keeps the old one, which tells the truth: a refresh has nothing to report.
		return infer.UpdateResponse[RolloutState]{}, errors.New(strings.Join(failed.Reasons, "\n"))
	}
	return resp, err
}

// isAsBefore reports whether the service runs what the last state says, after the rollout of something else has failed.
func (r *Rollout) isAsBefore(ctx context.Context, was RolloutState, is RolloutArgs) bool {
	if was.Deployed != done || was.Settings != is.Settings {
		return false
	}
	settings, clients, err := r.open(ctx, was.RolloutArgs)
	return err == nil && deployed(ctx, was.RolloutArgs, settings, clients) == done
}

// follow waits until ECS has decided. A rollout that fails is kept as one that failed, so that the next update follows
// again, whatever has become of the inputs until then; one that was killed leaves the state of the last one. What ECS has
// given up is tried once more only if that is the failure of an earlier update.
func (r *Rollout) follow(ctx context.Context, args RolloutArgs, again bool) (RolloutState, error) {
	state := RolloutState{args, done}
	settings, clients, err := r.open(ctx, args)
	if err == nil {
		if err = r.ask(ctx, args, settings, clients, again); err == nil {
			err = verify.Rollout(ctx, settings, clients.Clients, newProgressLog(ctx))
		}
	}
	if err == nil {
		return state, nil
	}
	state.Deployed = deployed(context.WithoutCancel(ctx), args, settings, clients)
	if state.Deployed == done {
		state.Deployed = "not completed"
	}
	err = verify.Aftermath{
		Failed: "the rollout of " + verify.Short(args.TaskDefinition), Cluster: args.Cluster, Service: args.Service,
		Site: args.Site, HealthPath: args.HealthPath, ConnectTo: r.account.connectTo,
		Next: "`pulumi config set image …` for a version that works, then `pulumi up`; the same one again: `pulumi up`",
	}.WithLastWords(ctx, clients.Clients, err)
	return state, infer.ResourceInitFailedError{Reasons: []string{err.Error()}}
}

// ask tells a service that runs something else to run what is wanted. The program's own service does so only when it is
// made: what ECS takes back, or somebody deploys by hand, is no change of it.
func (r *Rollout) ask(ctx context.Context, args RolloutArgs, settings verify.Settings, clients Clients, again bool) error {
	found, err := verify.LookAtDeployed(ctx, settings, clients.Clients)
	if err != nil {
		return err
	}
	given, reached := verify.Same(found.TaskDefinition, settings.TaskDefinition), args.reached(found.Targets)
	if found.TaskDefinition == "" || given && reached && (!found.Failed || !again) {
		return nil // following says what there is to say
	}
	in := &ecs.UpdateServiceInput{
		Cluster: &settings.Cluster, Service: &settings.Service, TaskDefinition: &settings.TaskDefinition, ForceNewDeployment: given && reached,
	}
	if !reached {
		in.LoadBalancers = []types.LoadBalancer{{TargetGroupArn: &args.TargetGroup, ContainerName: &args.Container, ContainerPort: aws.Int32(int32(args.Port))}}
	}
	if _, err = clients.Scaler.UpdateService(ctx, in); err != nil {
		return fmt.Errorf("deploy %s to service %s: %w", settings.TaskDefinition, settings.Service, err)
	}
	return nil
}

// Diff follows when something else has to be deployed, and when what was seen last is not what has to be.
func (r *Rollout) Diff(_ context.Context, req infer.DiffRequest[RolloutArgs, RolloutState]) (infer.DiffResponse, error) {
	resp := infer.DiffResponse{DetailedDiff: map[string]p.PropertyDiff{}}
	was, is := req.State.RolloutArgs, req.Inputs
	for key, changed := range map[string]bool{
		"targetGroup": was.TargetGroup != is.TargetGroup, "container": was.Container != is.Container, "port": was.Port != is.Port,
		"cluster": was.Cluster != is.Cluster, "service": was.Service != is.Service,
		"taskDefinition": was.TaskDefinition != is.TaskDefinition, "settings": was.Settings != is.Settings,
	} {
		if changed {
			resp.DetailedDiff[key] = p.PropertyDiff{Kind: p.Update, InputDiff: true}
		}
	}
	if req.State.Deployed != done {
		resp.DetailedDiff["deployed"] = p.PropertyDiff{Kind: p.Update}
	}
	resp.HasChanges = len(resp.DetailedDiff) > 0
	return resp, nil
}

// Read says what the service runs instead. What cannot be seen is not ok.
func (r *Rollout) Read(ctx context.Context, req infer.ReadRequest[RolloutArgs, RolloutState]) (infer.ReadResponse[RolloutArgs, RolloutState], error) {
	resp := infer.ReadResponse[RolloutArgs, RolloutState](req)
	if req.State.Service == "" {
		return resp, errors.New("a rollout cannot be imported: leave it to the next `pulumi up`")
	}
	settings, clients, err := r.open(ctx, req.State.RolloutArgs)
	if err != nil {
		resp.State.Deployed = "not seen: " + verify.Plain(err)
	} else {
		resp.State.Deployed = deployed(ctx, req.State.RolloutArgs, settings, clients)
	}
	if resp.State.Deployed != done {
		p.GetLogger(ctx).Warning(fmt.Sprintf("service %s: %s", req.State.Service, resp.State.Deployed))
	}
	return resp, nil
}

// deployed is what there is to say of a service's deployment.
func deployed(ctx context.Context, args RolloutArgs, settings verify.Settings, clients Clients) string {
	if clients.ECS == nil {
		return "not seen: AWS cannot be reached"
	}
	ctx, cancel := context.WithTimeoutCause(ctx, glance, fmt.Errorf("nothing within %s", glance))
	defer cancel()
	found, err := verify.LookAtDeployed(ctx, settings, clients.Clients)
	switch {
	case err != nil:
		return "not seen: " + verify.Plain(err)
	case found.TaskDefinition == "":
		return "nothing is deployed"
	case !verify.Same(found.TaskDefinition, settings.TaskDefinition):
		return verify.Short(found.TaskDefinition) + " is deployed"
	case found.Failed:
		return "its rollout failed"
	case !args.reached(found.Targets):
		return "requests go to " + targets(found.Targets)
	}
	return done
}

// reached reports whether requests go where they have to. A state of before it was looked at does not say.
func (a *RolloutArgs) reached(found []types.LoadBalancer) bool {
	return a.TargetGroup == "" || len(found) == 1 && aws.ToString(found[0].TargetGroupArn) == a.TargetGroup &&
		aws.ToString(found[0].ContainerName) == a.Container && int(aws.ToInt32(found[0].ContainerPort)) == a.Port
}

func targets(found []types.LoadBalancer) string {
	if len(found) == 0 {
		return "no task"
	}
	var all []string
	for _, b := range found {
		group := aws.ToString(b.TargetGroupArn)
		all = append(all, fmt.Sprintf("port %d of %s, %s", aws.ToInt32(b.ContainerPort), aws.ToString(b.ContainerName), group[strings.LastIndexByte(group, ':')+1:]))
	}
	return strings.Join(all, "; ")
}
