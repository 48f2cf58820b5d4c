package infra

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/strangers"
	"plan-charge/served/served"
)

// Owned is what a component has to itself: whatever else is on it, somebody added by hand.
type Owned struct {
	groups, rules, roles, policies, balancers, listeners, listenerRules, secretVersions pulumi.StringArray
}

// group is a security group.
func (o *Owned) group(g *ec2.SecurityGroup) {
	o.groups = append(o.groups, pulumi.Sprintf("%s %s", g.ID(), g.Name))
}

// rule is one of a security group, with one source or destination. It is told by what is declared: in a preview nobody
// knows the outputs that a rule does not have.
func (o *Owned) rule(r *ec2.SecurityGroupRuleArgs) {
	others := pulumi.StringArray{}
	if r.SourceSecurityGroupId != nil {
		others = append(others, r.SourceSecurityGroupId.ToStringPtrOutput().Elem())
	}
	for _, list := range []pulumi.StringArrayInput{r.CidrBlocks, r.PrefixListIds} {
		if list != nil {
			others = append(others, list.(pulumi.StringArray)...)
		}
	}
	o.rules = append(o.rules, pulumi.All(r.SecurityGroupId.ToStringOutput(), r.Type, r.Protocol, r.FromPort, r.ToPort, others[0]).ApplyT(func(v []any) string {
		return strangers.Rule(v[0].(string), v[1].(string), v[2].(string), v[3].(int), v[4].(int), v[5].(string))
	}).(pulumi.StringOutput))
}

// right is an inline policy of a role, which is the only one that this call names.
func (o *Owned) right(role *iam.Role, policy *iam.RolePolicy) {
	o.role(role)
	o.policies = append(o.policies, pulumi.All(role.Name, policy.Name).ApplyT(func(v []any) string {
		return strangers.Policy(v[0].(string), v[1].(string))
	}).(pulumi.StringOutput))
}

// role is one that has no policy but those that right names.
func (o *Owned) role(role *iam.Role) { o.roles = append(o.roles, role.Name) }

func (o *Owned) add(others ...*Owned) {
	for _, other := range others {
		for _, list := range []struct{ to, from *pulumi.StringArray }{
			{&o.groups, &other.groups},
			{&o.rules, &other.rules},
			{&o.roles, &other.roles},
			{&o.policies, &other.policies},
			{&o.balancers, &other.balancers},
			{&o.listeners, &other.listeners},
			{&o.listenerRules, &other.listenerRules},
			{&o.secretVersions, &other.secretVersions},
		} {
			*list.to = append(*list.to, *list.from...)
		}
	}
}

// StrangersArgs are the inputs of Strangers.
type StrangersArgs struct {
	AWS   awsclient.Settings
	Allow []string // strangers that may stay, as a refresh names them
	// Owned is what each component has to itself.
	Owned []*Owned
}

// Strangers are what somebody added by hand to what the stack owns.
type Strangers struct{ pulumi.ResourceState }

// NewStrangers declares the watch on what is added to security groups, roles and the load balancer. It comes last, because
// only then all that is declared is there.
func NewStrangers(ctx *pulumi.Context, name string, args *StrangersArgs, opts ...pulumi.ResourceOption) (*Strangers, error) {
	s := &Strangers{}
	if err := ctx.RegisterComponentResource("plan-charge:infra:Strangers", name, s, opts...); err != nil {
		return nil, err
	}
	all := &Owned{}
	all.add(args.Owned...)
	_, err := served.NewStrangers(ctx, name+"-watch", &served.StrangersArgs{
		SecurityGroups: all.groups,
		Rules:          all.rules,
		Roles:          all.roles,
		Policies:       all.policies,
		LoadBalancers:  all.balancers,
		Listeners:      all.listeners,
		ListenerRules:  all.listenerRules,
		SecretVersions: all.secretVersions,
		Allow:          allowed(args.Allow),
		Region:         given(args.AWS.Region),
		Profile:        given(args.AWS.Profile),
		Role:           given(args.AWS.Role),
	}, pulumi.Parent(s))
	if err != nil {
		return nil, err
	}
	return s, ctx.RegisterResourceOutputs(s, pulumi.Map{})
}

// allowed is an optional list: none where it is empty.
func allowed(names []string) pulumi.StringArrayInput {
	if len(names) == 0 {
		return nil
	}
	return pulumi.ToStringArray(names)
}
