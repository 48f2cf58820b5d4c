// Package infra declares what the application needs in AWS, one component a
// file. It knows nothing about what is in the database.
package infra

import (
	"fmt"
	"maps"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// NewCloud makes the AWS provider that every component uses: one region, and
// tags on everything that can carry them.
func NewCloud(ctx *pulumi.Context, cfg *Config) (*aws.Provider, error) {
	tags := map[string]string{"Project": ctx.Project(), "Stack": ctx.Stack(), "ManagedBy": "pulumi"}
	maps.Copy(tags, cfg.Tags)
	provider, err := aws.NewProvider(ctx, "aws", &aws.ProviderArgs{
		Region:      pulumi.String(cfg.Region),
		DefaultTags: &aws.ProviderDefaultTagsArgs{Tags: pulumi.ToStringMap(tags)},
	})
	if err != nil {
		return nil, fmt.Errorf("AWS provider: %w", err)
	}
	return provider, nil
}

// named is the Name tag, which the console shows for things without a name.
func named(name string) pulumi.StringMap { return pulumi.StringMap{"Name": pulumi.String(name)} }
