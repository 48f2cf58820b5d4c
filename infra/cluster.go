package infra

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ecs"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
	"plan-charge/internal/order"
)

// ClusterArgs are the inputs of a Cluster.
type ClusterArgs struct {
	Names   config.Names
	LogDays int
}

// Cluster is where tasks run, with Container Insights on.
type Cluster struct {
	pulumi.ResourceState

	Name pulumi.StringOutput
	ARN  pulumi.StringOutput
}

// NewCluster declares the ECS cluster.
func NewCluster(ctx *pulumi.Context, name string, args *ClusterArgs, opts ...pulumi.ResourceOption) (*Cluster, error) {
	c := &Cluster{}
	if err := ctx.RegisterComponentResource("plan-charge:infra:Cluster", name, c, opts...); err != nil {
		return nil, err
	}
	clusterName := args.Names.Name("cluster")

	// Container Insights would make this log group by itself and leave it behind.
	insights, err := cloudwatch.NewLogGroup(ctx, name+"-insights", &cloudwatch.LogGroupArgs{
		Name:            pulumi.String("/aws/ecs/containerinsights/" + clusterName + "/performance"),
		RetentionInDays: pulumi.Int(args.LogDays),
	}, pulumi.Parent(c))
	if err != nil {
		return nil, err
	}
	cluster, err := ecs.NewCluster(ctx, name+"-cluster", &ecs.ClusterArgs{
		Name: pulumi.String(clusterName),
		Settings: ecs.ClusterSettingArray{
			&ecs.ClusterSettingArgs{Name: pulumi.String("containerInsights"), Value: pulumi.String("enabled")},
		},
	}, pulumi.Parent(c), order.After(insights))
	if err != nil {
		return nil, err
	}
	c.Name, c.ARN = cluster.Name, cluster.Arn
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"name": c.Name})
}
