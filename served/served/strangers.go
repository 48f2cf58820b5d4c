package served

import (
	"errors"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/served/internal/contract"
)

var (
	_ pulumi.CustomResource = (*Strangers)(nil)
	_ pulumi.Input          = StrangersArgs{}
)

// Strangers are what somebody added by hand to what the program owns in AWS. A refresh names them, and the next update
// removes those that were named.
type Strangers struct {
	pulumi.CustomResourceState

	// Found are the strangers that were seen last, by name.
	Found pulumi.StringArrayOutput `pulumi:"found"`
}

// StrangersArgs say what the program owns; package internal/strangers says how each is written. All but Allow, Region,
// Profile and Role are required.
type StrangersArgs struct {
	SecurityGroups pulumi.StringArrayInput
	Rules          pulumi.StringArrayInput
	Roles          pulumi.StringArrayInput
	Policies       pulumi.StringArrayInput
	LoadBalancers  pulumi.StringArrayInput
	Listeners      pulumi.StringArrayInput
	ListenerRules  pulumi.StringArrayInput
	// SecretVersions are those that tasks are given: a refresh warns where another one is current.
	SecretVersions pulumi.StringArrayInput
	// Allow names strangers that may stay.
	Allow pulumi.StringArrayInput
	// Region, Profile and Role say how AWS is reached; what is not given is as the environment says.
	Region  pulumi.StringPtrInput
	Profile pulumi.StringPtrInput
	Role    pulumi.StringPtrInput
}

type strangersArgs struct {
	SecurityGroups []string `pulumi:"securityGroups"`
	Rules          []string `pulumi:"rules"`
	Roles          []string `pulumi:"roles"`
	Policies       []string `pulumi:"policies"`
	LoadBalancers  []string `pulumi:"loadBalancers"`
	Listeners      []string `pulumi:"listeners"`
	ListenerRules  []string `pulumi:"listenerRules"`
	SecretVersions []string `pulumi:"secretVersions"`
	Allow          []string `pulumi:"allow"`
	Region         *string  `pulumi:"region"`
	Profile        *string  `pulumi:"profile"`
	Role           *string  `pulumi:"role"`
}

// ElementType gives Pulumi the inputs' keys and types.
func (StrangersArgs) ElementType() reflect.Type { return reflect.TypeFor[strangersArgs]() }

// NewStrangers registers the strangers.
func NewStrangers(ctx *pulumi.Context, name string, args *StrangersArgs, opts ...pulumi.ResourceOption) (*Strangers, error) {
	if args == nil {
		args = &StrangersArgs{}
	}
	for _, list := range []pulumi.StringArrayInput{
		args.SecurityGroups, args.Rules, args.Roles, args.Policies, args.LoadBalancers, args.Listeners, args.ListenerRules, args.SecretVersions,
	} {
		if list == nil {
			return nil, errors.New("served.NewStrangers: all inputs but Allow, Region, Profile and Role are required")
		}
	}
	var s Strangers
	if err := ctx.RegisterResource(contract.Strangers, name, *args, &s, withVersion(opts)...); err != nil {
		return nil, err
	}
	return &s, nil
}
