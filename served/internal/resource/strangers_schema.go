package resource

import "github.com/pulumi/pulumi-go-provider/infer"

var (
	_ infer.Annotated = (*Strangers)(nil)
	_ infer.Annotated = (*StrangersArgs)(nil)
	_ infer.Annotated = (*StrangersState)(nil)
)

// Strangers are what somebody added by hand to what the program owns.
type Strangers struct{ account *account }

// StrangersArgs say what the program owns.
type StrangersArgs struct {
	SecurityGroups []string `pulumi:"securityGroups"`
	Rules          []string `pulumi:"rules"`
	Roles          []string `pulumi:"roles"`
	Policies       []string `pulumi:"policies"`
	LoadBalancers  []string `pulumi:"loadBalancers"`
	Listeners      []string `pulumi:"listeners"`
	ListenerRules  []string `pulumi:"listenerRules"`
	SecretVersions []string `pulumi:"secretVersions"`
	Allow          []string `pulumi:"allow,optional"`
	Region         *string  `pulumi:"region,optional"`
	Profile        *string  `pulumi:"profile,optional"`
	Role           *string  `pulumi:"role,optional"`
}

// StrangersState is what was seen last.
type StrangersState struct {
	StrangersArgs
	Found []string `pulumi:"found"`
}

// Annotate describes the resource in the schema.
func (s *Strangers) Annotate(a infer.Annotator) {
	a.SetToken("index", "Strangers")
	a.Describe(&s, "Sees to it that nobody else adds to what the program owns in AWS: rules of security groups, rights of roles, listeners and their rules. "+
		"A refresh names each stranger, and the next update removes those that were named. Nothing is removed when it is created.")
}

// Annotate describes the inputs in the schema.
func (s *StrangersArgs) Annotate(a infer.Annotator) {
	a.Describe(&s.SecurityGroups, "Security groups, each an id and a name. For example `[\"sg-0123456789abcdef0 plan-charge-prod-database\"]`.")
	a.Describe(&s.Rules, "Rules that they are to have. For example `[\"sg-0123456789abcdef0 ingress tcp 5432 from sg-0123456789abcdef1\"]`.")
	a.Describe(&s.Roles, "Names of roles. For example `[\"plan-charge-prod-backend-task\"]`.")
	a.Describe(&s.Policies, "Rights that they are to have: a role and the name of an inline policy or the ARN of an attached one. For example `[\"plan-charge-prod-backend-task ecs-exec\"]`.")
	a.Describe(&s.LoadBalancers, "ARNs of load balancers. For example `[\"arn:aws:elasticloadbalancing:eu-west-3:123456789012:loadbalancer/app/plan-charge-prod-alb/50dc6c495c0c9188\"]`.")
	a.Describe(&s.Listeners, "ARNs of the listeners that they are to have. For example `[\"arn:aws:elasticloadbalancing:eu-west-3:123456789012:listener/app/plan-charge-prod-alb/50dc6c495c0c9188/0467ef3c8400ae65\"]`.")
	a.Describe(&s.ListenerRules, "Rules that the listeners are to have besides their default, each an ARN and its conditions. For example `[\"arn:aws:elasticloadbalancing:eu-west-3:123456789012:listener-rule/app/plan-charge-prod-alb/50dc6c495c0c9188/0467ef3c8400ae65/9683b2d02a6cabee http-header X-Origin\"]`.")
	a.Describe(&s.SecretVersions, "Versions of secrets that tasks are given, each the secret's ARN and a version's id; a refresh warns where another one is current. For example `[\"arn:aws:secretsmanager:eu-west-3:123456789012:secret:url-AbCdEf 11111111-2222-3333-4444-555555555555\"]`.")
	a.Describe(&s.Allow, "Strangers that may stay, as they are named. For example `[\"role plan-charge-prod-backend-task: attached policy arn:aws:iam::aws:policy/ReadOnlyAccess\"]`.")
	a.Describe(&s.Region, "AWS region; what the environment says unless given. For example `\"eu-west-3\"`.")
	a.Describe(&s.Profile, "AWS profile; what the environment says unless given. For example `\"team\"`.")
	a.Describe(&s.Role, "ARN of a role to assume. For example `\"arn:aws:iam::123456789012:role/deployer\"`.")
}

// Annotate describes the outputs in the schema.
func (s *StrangersState) Annotate(a infer.Annotator) {
	a.Describe(&s.Found, "Strangers that were seen last, by name, and what could not be looked at. For example `[\"security group plan-charge-prod-database: ingress tcp 5432 from 0.0.0.0/0\"]`.")
}
