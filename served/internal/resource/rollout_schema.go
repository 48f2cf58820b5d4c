package resource

import "github.com/pulumi/pulumi-go-provider/infer"

var (
	_ infer.Annotated = (*Rollout)(nil)
	_ infer.Annotated = (*RolloutArgs)(nil)
	_ infer.Annotated = (*RolloutState)(nil)
)

// Rollout is the deployment of a task definition to a service.
type Rollout struct{ account *account }

// RolloutArgs say what has to be deployed. Where requests go is optional, or a state of before could not be read.
type RolloutArgs struct {
	Cluster        string  `pulumi:"cluster"`
	Service        string  `pulumi:"service"`
	TaskDefinition string  `pulumi:"taskDefinition"`
	TargetGroup    string  `pulumi:"targetGroup,optional"`
	Container      string  `pulumi:"container,optional"`
	Port           int     `pulumi:"port,optional"`
	Settings       string  `pulumi:"settings"`
	Site           string  `pulumi:"site"`
	HealthPath     string  `pulumi:"healthPath"`
	Timeout        string  `pulumi:"timeout"`
	TimeoutKey     string  `pulumi:"timeoutKey"`
	Region         *string `pulumi:"region,optional"`
	Profile        *string `pulumi:"profile,optional"`
	Role           *string `pulumi:"role,optional"`
}

// RolloutState is what was seen last.
type RolloutState struct {
	RolloutArgs
	Deployed string `pulumi:"deployed"`
}

// Annotate describes the resource in the schema.
func (r *Rollout) Annotate(a infer.Annotator) {
	a.SetToken("index", "Rollout")
	a.Describe(&r, "Follows the deployment of a task definition to an ECS service, says where its tasks are, and ends when ECS has completed it or taken it back. "+
		"A service that runs another task definition is told to run this one, and where requests go in the same call: a port is known to ECS by the task definition that has it.")
}

// Annotate describes the inputs in the schema.
func (r *RolloutArgs) Annotate(a infer.Annotator) {
	a.Describe(&r.Cluster, "Name of the ECS cluster. For example `\"plan-charge-prod-cluster\"`.")
	a.Describe(&r.Service, "Name of the ECS service. For example `\"plan-charge-prod-backend\"`.")
	a.Describe(&r.TaskDefinition, "ARN of the task definition that the service has to run. For example `\"arn:aws:ecs:eu-west-3:123456789012:task-definition/backend:7\"`.")
	a.Describe(&r.TargetGroup, "ARN of the load balancer's target group that the tasks are in. For example `\"arn:aws:elasticloadbalancing:eu-west-3:123456789012:targetgroup/backend/1\"`.")
	a.Describe(&r.Container, "Name of the container that answers requests. For example `\"backend\"`.")
	a.Describe(&r.Port, "Port of it that they go to. For example `8000`.")
	a.Describe(&r.Settings, "Text that changes whenever the service's other settings do: some of them start a deployment too. For example `\"3f1a9c\"`.")
	a.Describe(&r.Site, "Address of the site, or the comment of the distribution that serves it, to say after a failure whether it answers. For example `\"https://site.example\"`.")
	a.Describe(&r.HealthPath, "Path of the site that answers when it is well. For example `\"/health\"`.")
	a.Describe(&r.Timeout, "Time for the whole rollout, a duration. For example `\"20m\"`.")
	a.Describe(&r.TimeoutKey, "Configuration key that sets the timeout, for whoever has to raise it. For example `\"service.timeout\"`.")
	a.Describe(&r.Region, "AWS region; what the environment says unless given. For example `\"eu-west-3\"`.")
	a.Describe(&r.Profile, "AWS profile; what the environment says unless given. For example `\"team\"`.")
	a.Describe(&r.Role, "ARN of a role to assume. For example `\"arn:aws:iam::123456789012:role/deployer\"`.")
}

// Annotate describes the outputs in the schema.
func (r *RolloutState) Annotate(a infer.Annotator) {
	a.Describe(&r.Deployed, "`ok`, or what the service runs instead. For example `\"backend:6 is deployed\"`.")
}
