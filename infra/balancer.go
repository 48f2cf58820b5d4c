package infra

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/lb"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
	"plan-charge/internal/order"
)

// OriginHeader carries the secret by which the load balancer knows the
// distribution: CloudFront's addresses alone would let anybody's distribution in.
const OriginHeader = "X-Plan-Charge-Origin"

// BalancerArgs are the inputs of a Balancer.
type BalancerArgs struct {
	Names   config.Names
	Service config.Service
	// CertificateARN encrypts the way from the distribution; empty: it is plain.
	CertificateARN string
	Network        *Network
}

// Balancer is the load balancer behind the distribution.
type Balancer struct {
	pulumi.ResourceState

	DNSName        pulumi.StringOutput
	Suffix         pulumi.StringOutput // LoadBalancer dimension in CloudWatch
	TargetGroupARN pulumi.StringOutput
	TargetSuffix   pulumi.StringOutput // TargetGroup dimension in CloudWatch
	OriginSecret   pulumi.StringOutput
	Encrypted      bool // the listener speaks HTTPS

	// Forwarding is what a service has to wait for: ECS refuses a target
	// group that no listener uses.
	Forwarding []pulumi.CustomResource
	Owned      Owned
}

// NewBalancer declares a load balancer that only CloudFront reaches and that
// forwards only what carries the distribution's secret header.
func NewBalancer(ctx *pulumi.Context, name string, args *BalancerArgs, opts ...pulumi.ResourceOption) (*Balancer, error) {
	b := &Balancer{Encrypted: args.CertificateARN != ""}
	if err := ctx.RegisterComponentResource("plan-charge:infra:Balancer", name, b, opts...); err != nil {
		return nil, err
	}
	names, svc := args.Names, args.Service
	port, protocol := 80, "HTTP"
	if b.Encrypted {
		port, protocol = 443, "HTTPS"
	}

	edges, err := ec2.LookupManagedPrefixList(ctx, &ec2.LookupManagedPrefixListArgs{
		Name: pulumi.StringRef("com.amazonaws.global.cloudfront.origin-facing"),
	}, pulumi.Parent(b))
	if err != nil {
		return nil, fmt.Errorf("looking up CloudFront's addresses: %w", err)
	}
	group, err := ec2.NewSecurityGroup(ctx, name+"-group", &ec2.SecurityGroupArgs{
		Name:        pulumi.String(names.Name("balancer")),
		Description: pulumi.String("The load balancer"),
		VpcId:       args.Network.VPCID,
		Tags:        named(names.Name("balancer")),
	}, pulumi.Parent(b))
	if err != nil {
		return nil, err
	}
	rules := map[string]ec2.SecurityGroupRuleArgs{
		"from-cloudfront": {
			Type:            pulumi.String("ingress"),
			Description:     pulumi.String("CloudFront alone"),
			SecurityGroupId: group.ID(),
			PrefixListIds:   pulumi.StringArray{pulumi.String(edges.Id)},
			FromPort:        pulumi.Int(port),
			ToPort:          pulumi.Int(port),
		},
		"to-tasks": {
			Type:                  pulumi.String("egress"),
			Description:           pulumi.String("The tasks alone"),
			SecurityGroupId:       group.ID(),
			SourceSecurityGroupId: args.Network.TasksGroupID,
			FromPort:              pulumi.Int(svc.Port),
			ToPort:                pulumi.Int(svc.Port),
		},
		"into-tasks": {
			Type:                  pulumi.String("ingress"),
			Description:           pulumi.String("Requests from the load balancer alone"),
			SecurityGroupId:       args.Network.TasksGroupID,
			SourceSecurityGroupId: group.ID(),
			FromPort:              pulumi.Int(svc.Port),
			ToPort:                pulumi.Int(svc.Port),
		},
	}
	for _, thing := range slices.Sorted(maps.Keys(rules)) {
		rule := rules[thing]
		rule.Protocol = pulumi.String("tcp")
		made, err := ec2.NewSecurityGroupRule(ctx, name+"-"+thing, &rule, pulumi.Parent(b))
		if err != nil {
			return nil, err
		}
		b.Forwarding = append(b.Forwarding, made)
		b.Owned.rule(&rule)
	}
	b.Owned.group(group)

	balancer, err := lb.NewLoadBalancer(ctx, name+"-balancer", &lb.LoadBalancerArgs{
		Name:                    pulumi.String(names.Name("alb")),
		LoadBalancerType:        pulumi.String("application"),
		Internal:                pulumi.Bool(false),
		Subnets:                 args.Network.PublicSubnetIDs,
		SecurityGroups:          pulumi.StringArray{group.ID()},
		DropInvalidHeaderFields: pulumi.Bool(true),
	}, pulumi.Parent(b), order.After(args.Network.Egress...))
	if err != nil {
		return nil, err
	}
	// A new port means a new group; with the port in its name both can exist
	// while the listener moves over.
	targets, err := lb.NewTargetGroup(ctx, name+"-targets", &lb.TargetGroupArgs{
		Name:                pulumi.String(names.Name(strconv.Itoa(svc.Port))),
		VpcId:               args.Network.VPCID,
		Port:                pulumi.Int(svc.Port),
		Protocol:            pulumi.String("HTTP"),
		TargetType:          pulumi.String("ip"),
		DeregistrationDelay: pulumi.Int(svc.DrainSeconds),
		HealthCheck: &lb.TargetGroupHealthCheckArgs{
			Path:               pulumi.String(svc.HealthPath),
			Matcher:            pulumi.String("200"),
			Interval:           pulumi.Int(svc.HealthSeconds),
			Timeout:            pulumi.Int(min(5, svc.HealthSeconds-1)),
			HealthyThreshold:   pulumi.Int(2),
			UnhealthyThreshold: pulumi.Int(3),
		},
	}, pulumi.Parent(b), pulumi.DeleteBeforeReplace(false))
	if err != nil {
		return nil, err
	}

	secret, err := random.NewRandomPassword(ctx, name+"-origin-secret", &random.RandomPasswordArgs{
		Length:  pulumi.Int(40),
		Special: pulumi.Bool(false),
	}, pulumi.Parent(b))
	if err != nil {
		return nil, err
	}
	b.OriginSecret = pulumi.ToSecret(secret.Result).(pulumi.StringOutput)

	listenerArgs := &lb.ListenerArgs{
		LoadBalancerArn: balancer.Arn,
		Port:            pulumi.Int(port),
		Protocol:        pulumi.String(protocol),
		DefaultActions: lb.ListenerDefaultActionArray{
			&lb.ListenerDefaultActionArgs{
				Type: pulumi.String("fixed-response"),
				FixedResponse: &lb.ListenerDefaultActionFixedResponseArgs{
					ContentType: pulumi.String("text/plain"),
					MessageBody: pulumi.String("Forbidden"),
					StatusCode:  pulumi.String("403"),
				},
			},
		},
	}
	if b.Encrypted {
		listenerArgs.CertificateArn = pulumi.String(args.CertificateARN)
		listenerArgs.SslPolicy = pulumi.String("ELBSecurityPolicy-TLS13-1-2-2021-06")
	}
	listener, err := lb.NewListener(ctx, name+"-listener", listenerArgs, pulumi.Parent(b))
	if err != nil {
		return nil, err
	}
	rule, err := lb.NewListenerRule(ctx, name+"-from-distribution", &lb.ListenerRuleArgs{
		ListenerArn: listener.Arn,
		Priority:    pulumi.Int(1),
		Conditions: lb.ListenerRuleConditionArray{
			&lb.ListenerRuleConditionArgs{
				HttpHeader: &lb.ListenerRuleConditionHttpHeaderArgs{
					HttpHeaderName: pulumi.String(OriginHeader),
					Values:         pulumi.StringArray{b.OriginSecret},
				},
			},
		},
		Actions: lb.ListenerRuleActionArray{
			&lb.ListenerRuleActionArgs{Type: pulumi.String("forward"), TargetGroupArn: targets.Arn},
		},
	}, pulumi.Parent(b), pulumi.AdditionalSecretOutputs([]string{"conditions"}))
	if err != nil {
		return nil, err
	}
	b.Forwarding = append(b.Forwarding, rule)
	b.Owned.balancers = pulumi.StringArray{balancer.Arn}
	b.Owned.listeners = pulumi.StringArray{listener.Arn}
	b.Owned.listenerRules = pulumi.StringArray{pulumi.Sprintf("%s http-header %s", rule.Arn, OriginHeader)}

	b.DNSName, b.Suffix = balancer.DnsName, balancer.ArnSuffix
	b.TargetGroupARN, b.TargetSuffix = targets.Arn, targets.ArnSuffix
	return b, ctx.RegisterResourceOutputs(b, pulumi.Map{"dnsName": b.DNSName})
}
