package infra

import (
	"encoding/json"
	"errors"
	"maps"
	"time"

	"github.com/pulumi/pulumi-command/sdk/go/command/local"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/order"
	"plan-charge/internal/probe"
	"plan-charge/served/served"
)

// VerificationArgs are the inputs of a Verification.
type VerificationArgs struct {
	SiteURL        pulumi.StringInput
	Cluster        pulumi.StringInput
	Service        pulumi.StringInput
	TaskDefinition pulumi.StringInput // ARN of the one that must be running
	DistributionID pulumi.StringInput
	// DistributionVersion changes whenever the distribution's configuration does, as its ETag.
	DistributionVersion pulumi.StringInput
	HealthPath          string
	LoginPath           string        // where clients exchange their tokens
	Version             string        // what the health answer must call itself, or "" for anything
	Checks              []probe.Check // besides the standard ones
	Timeout             time.Duration
	AWS                 awsclient.Settings
	// DependsOn is what must be there before the site can answer.
	DependsOn []pulumi.CustomResource
}

// Verification asks through the CDN whether what was deployed is what is served, and fails the update if not. It is a
// resource and no hook, so that a failure is remembered and the next update asks again; and one of our own provider, so
// that a refresh asks as well.
type Verification struct {
	pulumi.ResourceState

	// Result says in one line what was found, and when.
	Result pulumi.StringOutput
}

// NewVerification declares the invalidation of what the distribution has cached, once for each of its versions, and
// then the checks.
func NewVerification(ctx *pulumi.Context, name string, args *VerificationArgs, opts ...pulumi.ResourceOption) (*Verification, error) {
	version := ""
	if args.Version != "" {
		version = probe.Version
	}
	checks := append(probe.Standard(args.HealthPath, args.LoginPath, version), args.Checks...)
	var errs []error
	for _, check := range checks {
		errs = append(errs, check.Validate())
	}
	if args.Timeout <= 0 {
		errs = append(errs, errors.New("NewVerification: Timeout must be above zero"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	list, err := json.Marshal(checks)
	if err != nil {
		return nil, err
	}
	v := &Verification{}
	if err := ctx.RegisterComponentResource("plan-charge:schema:Verification", name, v, opts...); err != nil {
		return nil, err
	}
	invalidation, err := local.NewCommand(ctx, name+"-invalidation", &local.CommandArgs{
		Create: pulumi.String("go run ./cmd/plan-charge invalidate"),
		Dir:    pulumi.String("."),
		// A long report does not fit into a variable.
		AddPreviousOutputInEnv: pulumi.Bool(false),
		Environment: with(args.AWS, pulumi.StringMap{
			"INVALIDATE_DISTRIBUTION_ID": args.DistributionID,
			"INVALIDATE_KEY":             args.DistributionVersion,
		}),
		Triggers: pulumi.Array{args.DistributionID, args.DistributionVersion},
	}, pulumi.Parent(v), order.After(args.DependsOn...))
	if err != nil {
		return nil, err
	}
	check, err := served.NewVerification(ctx, name+"-checks", &served.VerificationArgs{
		SiteURL:             args.SiteURL,
		Cluster:             args.Cluster,
		Service:             args.Service,
		TaskDefinition:      args.TaskDefinition,
		DistributionID:      args.DistributionID,
		DistributionVersion: args.DistributionVersion,
		Checks:              pulumi.String(list),
		AppVersion:          given(args.Version),
		Timeout:             pulumi.String(args.Timeout.String()),
		TimeoutKey:          pulumi.String("verification.timeout"),
		Region:              given(args.AWS.Region),
		Profile:             given(args.AWS.Profile),
		Role:                given(args.AWS.Role),
	}, pulumi.Parent(v), order.After(append([]pulumi.CustomResource{invalidation}, args.DependsOn...)...))
	if err != nil {
		return nil, err
	}
	v.Result = check.Summary
	return v, ctx.RegisterResourceOutputs(v, pulumi.Map{"result": v.Result})
}

// given is an optional input: none where the text is "".
func given(text string) pulumi.StringPtrInput {
	if text == "" {
		return nil
	}
	return pulumi.StringPtr(text)
}

// with adds to a command's variables what it needs to reach AWS as the provider does.
func with(settings awsclient.Settings, variables pulumi.StringMap) pulumi.StringMap {
	maps.Copy(variables, pulumi.ToStringMap(settings.Environment()))
	return variables
}
