package infra

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
	"plan-charge/internal/order"
)

// NetworkArgs are the inputs of a Network.
type NetworkArgs struct {
	Names    config.Names
	Settings config.Network
}

// Network is a VPC over several zones, made or found, and the security group
// of the application's tasks.
type Network struct {
	pulumi.ResourceState

	VPCID            pulumi.StringOutput
	PublicSubnetIDs  pulumi.StringArrayOutput
	PrivateSubnetIDs pulumi.StringArrayOutput
	TasksGroupID     pulumi.StringOutput
	// Egress is what tasks need to reach the outside; wait for it before starting one.
	Egress []pulumi.CustomResource
	Owned  Owned
}

// NewNetwork declares a VPC with public and private subnets, or uses the one
// the configuration names.
func NewNetwork(ctx *pulumi.Context, name string, args *NetworkArgs, opts ...pulumi.ResourceOption) (*Network, error) {
	n := &Network{}
	if err := ctx.RegisterComponentResource("plan-charge:infra:Network", name, n, opts...); err != nil {
		return nil, err
	}
	build := n.create
	if args.Settings.Existing() {
		build = n.find
	}
	if err := build(ctx, name, args); err != nil {
		return nil, err
	}

	tasks, err := ec2.NewSecurityGroup(ctx, name+"-tasks", &ec2.SecurityGroupArgs{
		Name:        pulumi.String(args.Names.Name("tasks")),
		Description: pulumi.String("Tasks of the service and the migration"),
		VpcId:       n.VPCID,
		Tags:        named(args.Names.Name("tasks")),
	}, pulumi.Parent(n))
	if err != nil {
		return nil, err
	}
	egress := &ec2.SecurityGroupRuleArgs{
		Type:            pulumi.String("egress"),
		Description:     pulumi.String("Registry, secrets, logs and sign-in providers"),
		SecurityGroupId: tasks.ID(),
		Protocol:        pulumi.String("-1"),
		FromPort:        pulumi.Int(0),
		ToPort:          pulumi.Int(0),
		CidrBlocks:      pulumi.ToStringArray([]string{"0.0.0.0/0"}),
	}
	out, err := ec2.NewSecurityGroupRule(ctx, name+"-tasks-out", egress, pulumi.Parent(n))
	if err != nil {
		return nil, err
	}
	n.TasksGroupID = tasks.ID().ToStringOutput()
	n.Egress = append(n.Egress, out)
	n.Owned.group(tasks)
	n.Owned.rule(egress)
	return n, ctx.RegisterResourceOutputs(n, pulumi.Map{"vpcId": n.VPCID})
}

func (n *Network) create(ctx *pulumi.Context, name string, args *NetworkArgs) error {
	zones, err := zoneNames(ctx, n, args)
	if err != nil {
		return err
	}
	vpc, err := ec2.NewVpc(ctx, name+"-vpc", &ec2.VpcArgs{
		CidrBlock:          pulumi.String(args.Settings.CIDR),
		EnableDnsSupport:   pulumi.Bool(true),
		EnableDnsHostnames: pulumi.Bool(true),
		Tags:               named(args.Names.Name("vpc")),
	}, pulumi.Parent(n))
	if err != nil {
		return err
	}
	gateway, err := ec2.NewInternetGateway(ctx, name+"-internet", &ec2.InternetGatewayArgs{
		VpcId: vpc.ID(),
		Tags:  named(args.Names.Name("internet")),
	}, pulumi.Parent(n))
	if err != nil {
		return err
	}

	subnets := func(kind string, blocks []string) ([]*ec2.Subnet, pulumi.StringArray, error) {
		var made []*ec2.Subnet
		var ids pulumi.StringArray
		for i, zone := range zones {
			thing := fmt.Sprintf("%s-%d", kind, i+1)
			subnet, err := ec2.NewSubnet(ctx, name+"-"+thing, &ec2.SubnetArgs{
				VpcId:            vpc.ID(),
				AvailabilityZone: pulumi.String(zone),
				CidrBlock:        pulumi.String(blocks[i]),
				Tags:             named(args.Names.Name(thing)),
			}, pulumi.Parent(n))
			if err != nil {
				return nil, nil, err
			}
			made, ids = append(made, subnet), append(ids, subnet.ID())
		}
		return made, ids, nil
	}
	route := func(thing string, way ec2.RouteArgs, members []*ec2.Subnet, deps ...pulumi.CustomResource) error {
		table, err := ec2.NewRouteTable(ctx, name+"-"+thing, &ec2.RouteTableArgs{
			VpcId: vpc.ID(),
			Tags:  named(args.Names.Name(thing)),
		}, pulumi.Parent(n))
		if err != nil {
			return err
		}
		way.RouteTableId = table.ID()
		way.DestinationCidrBlock = pulumi.String("0.0.0.0/0")
		made, err := ec2.NewRoute(ctx, name+"-"+thing+"-out", &way, pulumi.Parent(n), order.After(deps...))
		if err != nil {
			return err
		}
		n.Egress = append(n.Egress, made)
		for i, subnet := range members {
			member, err := ec2.NewRouteTableAssociation(ctx, fmt.Sprintf("%s-%s-%d", name, thing, i+1), &ec2.RouteTableAssociationArgs{
				SubnetId:     subnet.ID(),
				RouteTableId: table.ID(),
			}, pulumi.Parent(n))
			if err != nil {
				return err
			}
			n.Egress = append(n.Egress, member)
		}
		return nil
	}

	publicBlocks, privateBlocks := args.Settings.Blocks()
	public, publicIDs, err := subnets("public", publicBlocks)
	if err != nil {
		return err
	}
	private, privateIDs, err := subnets("private", privateBlocks)
	if err != nil {
		return err
	}
	if err := route("public-routes", ec2.RouteArgs{GatewayId: gateway.ID()}, public); err != nil {
		return err
	}

	// One NAT gateway serves every zone, or each zone has its own and survives alone.
	groups := [][]*ec2.Subnet{private}
	if args.Settings.NAT == "each" {
		groups = slices.Collect(slices.Chunk(private, 1))
	}
	for i, members := range groups {
		thing := fmt.Sprintf("nat-%d", i+1)
		address, err := ec2.NewEip(ctx, name+"-"+thing+"-address", &ec2.EipArgs{
			Domain: pulumi.String("vpc"),
			Tags:   named(args.Names.Name(thing)),
		}, pulumi.Parent(n), order.After(gateway))
		if err != nil {
			return err
		}
		nat, err := ec2.NewNatGateway(ctx, name+"-"+thing, &ec2.NatGatewayArgs{
			AllocationId: address.ID(),
			SubnetId:     public[i].ID(),
			Tags:         named(args.Names.Name(thing)),
		}, pulumi.Parent(n), order.After(gateway))
		if err != nil {
			return err
		}
		if err := route(fmt.Sprintf("private-routes-%d", i+1), ec2.RouteArgs{NatGatewayId: nat.ID()}, members); err != nil {
			return err
		}
	}

	n.VPCID = vpc.ID().ToStringOutput()
	n.PublicSubnetIDs = publicIDs.ToStringArrayOutput()
	n.PrivateSubnetIDs = privateIDs.ToStringArrayOutput()
	return nil
}

// find uses the configured VPC, after a look at whether its subnets can do. Every mistake is reported.
func (n *Network) find(ctx *pulumi.Context, _ string, args *NetworkArgs) error {
	var mistakes []error
	for _, list := range []struct {
		key string
		ids []string
	}{{"network.publicSubnetIds", args.Settings.PublicSubnetIDs}, {"network.privateSubnetIds", args.Settings.PrivateSubnetIDs}} {
		key := args.Names.Key(list.key)
		zones, seen := map[string]bool{}, 0
		for i, id := range list.ids {
			subnet, err := ec2.LookupSubnet(ctx, &ec2.LookupSubnetArgs{Id: pulumi.StringRef(id)}, pulumi.Parent(n))
			if err != nil {
				mistakes = append(mistakes, fmt.Errorf("%s[%d]: looking up subnet %s: %w", key, i, id, err))
				continue
			}
			if subnet.VpcId != args.Settings.VPCID {
				mistakes = append(mistakes, &config.Mistake{Key: fmt.Sprintf("%s[%d]", key, i), Found: id + " of " + subnet.VpcId, Allowed: "a subnet of " + args.Settings.VPCID, Example: "subnet-0123456789abcdef0"})
			}
			zones[subnet.AvailabilityZone] = true
			seen++
		}
		if seen == len(list.ids) && len(zones) < 2 {
			mistakes = append(mistakes, &config.Mistake{Key: key, Found: "subnets of one zone", Allowed: "subnets of two or more zones", Example: "[subnet-0123456789abcdef0, subnet-0123456789abcdef1]"})
		}
	}
	if len(mistakes) > 0 {
		return errors.Join(mistakes...)
	}
	n.VPCID = pulumi.String(args.Settings.VPCID).ToStringOutput()
	n.PublicSubnetIDs = pulumi.ToStringArray(args.Settings.PublicSubnetIDs).ToStringArrayOutput()
	n.PrivateSubnetIDs = pulumi.ToStringArray(args.Settings.PrivateSubnetIDs).ToStringArrayOutput()
	return nil
}

// zoneNames picks the first zones of the region by name, so that a second
// look picks the same.
func zoneNames(ctx *pulumi.Context, parent pulumi.Resource, args *NetworkArgs) ([]string, error) {
	want := args.Settings.Zones
	zones, err := aws.GetAvailabilityZones(ctx, &aws.GetAvailabilityZonesArgs{
		State: pulumi.StringRef("available"),
		// Local and wavelength zones have neither Fargate nor RDS.
		Filters: []aws.GetAvailabilityZonesFilter{{Name: "zone-type", Values: []string{"availability-zone"}}},
	}, pulumi.Parent(parent))
	if err != nil {
		return nil, fmt.Errorf("listing the region's zones: %w", err)
	}
	names := slices.Sorted(slices.Values(zones.Names))
	if len(names) < want {
		return nil, &config.Mistake{Key: args.Names.Key("network.zones"), Found: fmt.Sprint(want), Allowed: fmt.Sprintf("at most %d, which is what the region has", len(names)), Example: "2"}
	}
	return names[:want], nil
}
