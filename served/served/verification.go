// Package served holds the resources of the provider of the same name: whether a site answers as it should, whether its
// service runs what was deployed, with tasks enough, and whether nobody added to what a program owns.
package served

import (
	"errors"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/served/internal/contract"
)

var (
	_ pulumi.CustomResource = (*Verification)(nil)
	_ pulumi.Input          = VerificationArgs{}
)

// Verification asks through the CDN whether what was deployed is what is served, and fails the update if not. A refresh
// asks again, as far as asking changes nothing, and shows what is not as it was verified.
type Verification struct {
	pulumi.CustomResourceState

	// Results say what came when it was looked at last, by the check's title.
	Results pulumi.StringMapOutput `pulumi:"results"`
	// Verified says what came when all was as it has to be.
	Verified pulumi.StringMapOutput `pulumi:"verified"`
	// Summary says in one line what was verified and when.
	Summary pulumi.StringOutput `pulumi:"summary"`
}

// VerificationArgs say what has to be served. All but AppVersion, Region, Profile and Role are
// required.
type VerificationArgs struct {
	// SiteURL is the site's address as its users reach it.
	SiteURL pulumi.StringInput
	// Cluster and Service are the names of what serves.
	Cluster pulumi.StringInput
	Service pulumi.StringInput
	// TaskDefinition is the ARN of the one that must be running.
	TaskDefinition pulumi.StringInput
	// DistributionID is the distribution that must cache no errors.
	DistributionID pulumi.StringInput
	// DistributionVersion changes whenever the distribution's configuration does, as its ETag.
	DistributionVersion pulumi.StringInput
	// Checks are requests and what their answers must be, a list as JSON.
	Checks pulumi.StringInput
	// AppVersion stands where the checks say {version}; may be nil.
	AppVersion pulumi.StringPtrInput
	// Timeout is for the whole verification, a duration such as "5m".
	Timeout pulumi.StringInput
	// TimeoutKey is the configuration key that sets Timeout.
	TimeoutKey pulumi.StringInput
	// Region, Profile and Role say how AWS is reached; what is not given is as the environment says.
	Region  pulumi.StringPtrInput
	Profile pulumi.StringPtrInput
	Role    pulumi.StringPtrInput
}

type verificationArgs struct {
	SiteURL             string  `pulumi:"siteUrl"`
	Cluster             string  `pulumi:"cluster"`
	Service             string  `pulumi:"service"`
	TaskDefinition      string  `pulumi:"taskDefinition"`
	DistributionID      string  `pulumi:"distributionId"`
	DistributionVersion string  `pulumi:"distributionVersion"`
	Checks              string  `pulumi:"checks"`
	AppVersion          *string `pulumi:"appVersion"`
	Timeout             string  `pulumi:"timeout"`
	TimeoutKey          string  `pulumi:"timeoutKey"`
	Region              *string `pulumi:"region"`
	Profile             *string `pulumi:"profile"`
	Role                *string `pulumi:"role"`
}

// ElementType gives Pulumi the inputs' keys and types.
func (VerificationArgs) ElementType() reflect.Type { return reflect.TypeFor[verificationArgs]() }

// NewVerification registers the verification.
func NewVerification(ctx *pulumi.Context, name string, args *VerificationArgs, opts ...pulumi.ResourceOption) (*Verification, error) {
	if args == nil || missing(args.SiteURL, args.Cluster, args.Service, args.TaskDefinition, args.DistributionID, args.DistributionVersion, args.Checks, args.Timeout, args.TimeoutKey) {
		return nil, errors.New("served.NewVerification: all inputs but AppVersion, Region, Profile and Role are required")
	}
	var v Verification
	if err := ctx.RegisterResource(contract.Verification, name, *args, &v, withVersion(opts)...); err != nil {
		return nil, err
	}
	return &v, nil
}

func missing(inputs ...pulumi.StringInput) bool {
	for _, input := range inputs {
		if input == nil {
			return true
		}
	}
	return false
}

func withVersion(opts []pulumi.ResourceOption) []pulumi.ResourceOption {
	return append([]pulumi.ResourceOption{pulumi.Version(contract.Version)}, opts...)
}
