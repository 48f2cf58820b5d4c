package served

import (
	"errors"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/served/internal/contract"
)

var (
	_ pulumi.CustomResource = (*Rollout)(nil)
	_ pulumi.Input          = RolloutArgs{}
)

// Rollout follows the deployment of a task definition to a service until ECS has completed it or taken it back.
type Rollout struct {
	pulumi.CustomResourceState

	// Deployed is "ok", or what the service runs instead.
	Deployed pulumi.StringOutput `pulumi:"deployed"`
}

// RolloutArgs say what has to be deployed. All but Region, Profile and Role are required.
type RolloutArgs struct {
	// Cluster and Service are the names of what is followed.
	Cluster pulumi.StringInput
	Service pulumi.StringInput
	// TaskDefinition is the ARN of the one that the service has to run.
	TaskDefinition pulumi.StringInput
	// TargetGroup is the ARN of the load balancer's group that the tasks are in, Container and Port what requests go to.
	TargetGroup pulumi.StringInput
	Container   pulumi.StringInput
	Port        pulumi.IntInput
	// Settings is a text that changes whenever the service's other settings do.
	Settings pulumi.StringInput
	// Site is the site's address, or the comment of the distribution that serves it.
	Site pulumi.StringInput
	// HealthPath is the path of the site that answers when it is well.
	HealthPath pulumi.StringInput
	// Timeout is for the whole rollout, a duration such as "20m".
	Timeout pulumi.StringInput
	// TimeoutKey is the configuration key that sets Timeout.
	TimeoutKey pulumi.StringInput
	// Region, Profile and Role say how AWS is reached; what is not given is as the environment says.
	Region  pulumi.StringPtrInput
	Profile pulumi.StringPtrInput
	Role    pulumi.StringPtrInput
}

type rolloutArgs struct {
	Cluster        string  `pulumi:"cluster"`
	Service        string  `pulumi:"service"`
	TaskDefinition string  `pulumi:"taskDefinition"`
	TargetGroup    string  `pulumi:"targetGroup"`
	Container      string  `pulumi:"container"`
	Port           int     `pulumi:"port"`
	Settings       string  `pulumi:"settings"`
	Site           string  `pulumi:"site"`
	HealthPath     string  `pulumi:"healthPath"`
	Timeout        string  `pulumi:"timeout"`
	TimeoutKey     string  `pulumi:"timeoutKey"`
	Region         *string `pulumi:"region"`
	Profile        *string `pulumi:"profile"`
	Role           *string `pulumi:"role"`
}

// ElementType gives Pulumi the inputs' keys and types.
func (RolloutArgs) ElementType() reflect.Type { return reflect.TypeFor[rolloutArgs]() }

// NewRollout registers the rollout.
func NewRollout(ctx *pulumi.Context, name string, args *RolloutArgs, opts ...pulumi.ResourceOption) (*Rollout, error) {
	if args == nil || args.Port == nil || missing(args.Cluster, args.Service, args.TaskDefinition, args.TargetGroup, args.Container, args.Settings, args.Site, args.HealthPath, args.Timeout, args.TimeoutKey) {
		return nil, errors.New("served.NewRollout: all inputs but Region, Profile and Role are required")
	}
	var r Rollout
	if err := ctx.RegisterResource(contract.Rollout, name, *args, &r, withVersion(opts)...); err != nil {
		return nil, err
	}
	return &r, nil
}
