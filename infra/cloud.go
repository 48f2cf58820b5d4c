// Package infra declares what the application needs in AWS, one component a
// file. It knows nothing about what is in the database.
package infra

import (
	"fmt"
	"maps"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
	"plan-charge/internal/awsclient"
)

// CloudArgs say which account and region everything is in, and as whom it is reached.
type CloudArgs struct {
	Names   config.Names
	AWS     awsclient.Settings
	Account string // 12 digits; empty: any
	Tags    map[string]string
}

// NewCloud makes the AWS provider that every component uses: one region, and tags on everything that can carry them.
// The wrong account is an error, before anything is declared in it.
func NewCloud(ctx *pulumi.Context, args *CloudArgs) (*aws.Provider, error) {
	tags := map[string]string{"Project": ctx.Project(), "Stack": ctx.Stack(), "ManagedBy": "pulumi"}
	maps.Copy(tags, args.Tags)
	settings := &aws.ProviderArgs{
		Region:      pulumi.String(args.AWS.Region),
		DefaultTags: &aws.ProviderDefaultTagsArgs{Tags: pulumi.ToStringMap(tags)},
	}
	if args.AWS.Profile != "" {
		settings.Profile = pulumi.String(args.AWS.Profile)
	}
	if args.AWS.Role != "" {
		settings.AssumeRole = &aws.ProviderAssumeRoleArgs{RoleArn: pulumi.String(args.AWS.Role)}
	}
	provider, err := aws.NewProvider(ctx, "aws", settings)
	if err != nil {
		return nil, fmt.Errorf("AWS provider: %w", err)
	}
	if args.Account == "" {
		return provider, nil
	}
	caller, err := aws.GetCallerIdentity(ctx, nil, pulumi.Provider(provider))
	if err != nil {
		return nil, fmt.Errorf("ask which account this is, for %s: %w", args.Names.Key("account"), err)
	}
	if caller.AccountId != args.Account {
		return nil, fmt.Errorf("these credentials (%s) are for another account; nothing was changed:\n%w", caller.Arn, &config.Mistake{
			Key: args.Names.Key("account"), Found: args.Account + " in the configuration and " + caller.AccountId + " in the credentials",
			Allowed: "credentials of that account: look at AWS_PROFILE, " + args.Names.Key("profile") + " and " + args.Names.Key("role"),
			Example: "AWS_PROFILE=" + args.Names.Project + "-" + args.Names.Stack,
		})
	}
	return provider, nil
}

// named is the Name tag, which the console shows for things without a name.
func named(name string) pulumi.StringMap { return pulumi.StringMap{"Name": pulumi.String(name)} }
