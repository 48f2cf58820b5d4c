package served

import (
	"errors"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/served/internal/contract"
)

var (
	_ pulumi.CustomResource = (*Capacity)(nil)
	_ pulumi.Input          = CapacityArgs{}
)

// Capacity sees to it that a service wants its minimum of tasks, and that some run. How many there are above the minimum
// is autoscaling's to say.
type Capacity struct {
	pulumi.CustomResourceState

	// Desired is "ok", or what the service lacks.
	Desired pulumi.StringOutput `pulumi:"desired"`
}

// CapacityArgs say how many tasks a service has to have. All but Region, Profile and Role are required.
type CapacityArgs struct {
	// Cluster and Service are the names of what is looked at.
	Cluster pulumi.StringInput
	Service pulumi.StringInput
	// TaskDefinition is the service's; another one is a reason to look again.
	TaskDefinition pulumi.StringInput
	// Minimum of tasks.
	Minimum pulumi.IntInput
	// Timeout is for tasks to come up, a duration such as "20m".
	Timeout pulumi.StringInput
	// TimeoutKey is the configuration key that sets Timeout.
	TimeoutKey pulumi.StringInput
	// Region, Profile and Role say how AWS is reached; what is not given is as the environment says.
	Region  pulumi.StringPtrInput
	Profile pulumi.StringPtrInput
	Role    pulumi.StringPtrInput
}

type capacityArgs struct {
	Cluster        string  `pulumi:"cluster"`
	Service        string  `pulumi:"service"`
	TaskDefinition string  `pulumi:"taskDefinition"`
	Minimum        int     `pulumi:"minimum"`
	Timeout        string  `pulumi:"timeout"`
	TimeoutKey     string  `pulumi:"timeoutKey"`
	Region         *string `pulumi:"region"`
	Profile        *string `pulumi:"profile"`
	Role           *string `pulumi:"role"`
}

// ElementType gives Pulumi the inputs' keys and types.
func (CapacityArgs) ElementType() reflect.Type { return reflect.TypeFor[capacityArgs]() }

// NewCapacity registers the capacity.
func NewCapacity(ctx *pulumi.Context, name string, args *CapacityArgs, opts ...pulumi.ResourceOption) (*Capacity, error) {
	if args == nil || args.Minimum == nil || missing(args.Cluster, args.Service, args.TaskDefinition, args.Timeout, args.TimeoutKey) {
		return nil, errors.New("served.NewCapacity: all inputs but Region, Profile and Role are required")
	}
	var c Capacity
	if err := ctx.RegisterResource(contract.Capacity, name, *args, &c, withVersion(opts)...); err != nil {
		return nil, err
	}
	return &c, nil
}
