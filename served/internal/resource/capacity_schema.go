package resource

import "github.com/pulumi/pulumi-go-provider/infer"

var (
	_ infer.Annotated = (*Capacity)(nil)
	_ infer.Annotated = (*CapacityArgs)(nil)
	_ infer.Annotated = (*CapacityState)(nil)
)

// Capacity is whether a service has tasks enough.
type Capacity struct{ account *account }

// CapacityArgs say how many tasks a service has to have.
type CapacityArgs struct {
	Cluster        string  `pulumi:"cluster"`
	Service        string  `pulumi:"service"`
	TaskDefinition string  `pulumi:"taskDefinition"`
	Minimum        int     `pulumi:"minimum"`
	Timeout        string  `pulumi:"timeout"`
	TimeoutKey     string  `pulumi:"timeoutKey"`
	Region         *string `pulumi:"region,optional"`
	Profile        *string `pulumi:"profile,optional"`
	Role           *string `pulumi:"role,optional"`
}

// CapacityState is what was seen last.
type CapacityState struct {
	CapacityArgs
	Desired string `pulumi:"desired"`
}

// Annotate describes the resource in the schema.
func (c *Capacity) Annotate(a infer.Annotator) {
	a.SetToken("index", "Capacity")
	a.Describe(&c, "Sees to it that an ECS service wants its minimum of tasks, and that some run. "+
		"How many there are above the minimum is autoscaling's to say. A refresh says what is lacking, and the next update mends it.")
}

// Annotate describes the inputs in the schema.
func (c *CapacityArgs) Annotate(a infer.Annotator) {
	a.Describe(&c.Cluster, "Name of the ECS cluster. For example `\"plan-charge-prod-cluster\"`.")
	a.Describe(&c.Service, "Name of the ECS service. For example `\"plan-charge-prod-backend\"`.")
	a.Describe(&c.TaskDefinition, "ARN of the service's task definition; another one is a reason to look again. For example `\"arn:aws:ecs:eu-west-3:123456789012:task-definition/backend:7\"`.")
	a.Describe(&c.Minimum, "Tasks that the service has at least. For example `2`.")
	a.Describe(&c.Timeout, "Time that tasks have to come up, a duration. For example `\"20m\"`.")
	a.Describe(&c.TimeoutKey, "Configuration key that sets the timeout, for whoever has to raise it. For example `\"service.timeout\"`.")
	a.Describe(&c.Region, "AWS region; what the environment says unless given. For example `\"eu-west-3\"`.")
	a.Describe(&c.Profile, "AWS profile; what the environment says unless given. For example `\"team\"`.")
	a.Describe(&c.Role, "ARN of a role to assume. For example `\"arn:aws:iam::123456789012:role/deployer\"`.")
}

// Annotate describes the outputs in the schema.
func (c *CapacityState) Annotate(a infer.Annotator) {
	a.Describe(&c.Desired, "`ok`, or what the service lacks. For example `\"0 tasks are wanted, the minimum is 2\"`.")
}
