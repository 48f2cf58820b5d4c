package infra

import (
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ec2"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/rds"
	"github.com/pulumi/pulumi-random/sdk/v4/go/random"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
	"plan-charge/internal/announce"
	"plan-charge/internal/order"
)

// DatabaseArgs are the inputs of a Database.
type DatabaseArgs struct {
	Names    config.Names
	Settings config.Database
	// Empty passwords are generated.
	OwnerPassword, AppPassword string
	LogDays                    int
	Network                    *Network
}

// Credentials are a role's name and password. The password is a secret output.
type Credentials struct {
	Name     string
	Password pulumi.StringOutput
}

// Database is a private PostgreSQL instance that only the application's tasks reach.
type Database struct {
	pulumi.ResourceState

	Instance   *rds.Instance
	Identifier string
	Address    pulumi.StringOutput
	Port       pulumi.IntOutput
	Name       string
	Owner      Credentials // RDS's master user: owns the schema
	App        Credentials // reads and writes rows
	Owned      Owned

	reachable pulumi.CustomResource   // from the tasks
	inbound   []pulumi.CustomResource // from elsewhere
}

// Ready is the instance and the way to it.
func (d *Database) Ready() []pulumi.CustomResource {
	return append([]pulumi.CustomResource{d.Instance, d.reachable}, d.inbound...)
}

// NewDatabase declares the RDS instance and chooses both roles' passwords.
func NewDatabase(ctx *pulumi.Context, name string, args *DatabaseArgs, opts ...pulumi.ResourceOption) (*Database, error) {
	d := &Database{}
	if err := ctx.RegisterComponentResource("plan-charge:infra:Database", name, d, opts...); err != nil {
		return nil, err
	}
	names, db := args.Names, args.Settings
	identifier := names.Name("db")
	keep := pulumi.RetainOnDelete(db.OnDestroy == "retain")

	owner, err := d.password(ctx, name+"-owner-password", args.OwnerPassword)
	if err != nil {
		return nil, err
	}
	app, err := d.password(ctx, name+"-app-password", args.AppPassword)
	if err != nil {
		return nil, err
	}

	group, err := ec2.NewSecurityGroup(ctx, name+"-group", &ec2.SecurityGroupArgs{
		Name:        pulumi.String(names.Name("database")),
		Description: pulumi.String("The database"),
		VpcId:       args.Network.VPCID,
		Tags:        named(names.Name("database")),
	}, pulumi.Parent(d), keep)
	if err != nil {
		return nil, err
	}
	fromTasks := &ec2.SecurityGroupRuleArgs{
		Type:                  pulumi.String("ingress"),
		Description:           pulumi.String("PostgreSQL from the tasks alone"),
		SecurityGroupId:       group.ID(),
		SourceSecurityGroupId: args.Network.TasksGroupID,
		Protocol:              pulumi.String("tcp"),
		FromPort:              pulumi.Int(db.Port),
		ToPort:                pulumi.Int(db.Port),
	}
	d.reachable, err = ec2.NewSecurityGroupRule(ctx, name+"-from-tasks", fromTasks, pulumi.Parent(d))
	if err != nil {
		return nil, err
	}
	d.Owned.group(group)
	d.Owned.rule(fromTasks)
	for _, from := range db.Inbound {
		rule := &ec2.SecurityGroupRuleArgs{
			Type:            pulumi.String("ingress"),
			Description:     pulumi.String("PostgreSQL from where database.inbound says"),
			SecurityGroupId: group.ID(),
			Protocol:        pulumi.String("tcp"),
			FromPort:        pulumi.Int(db.Port),
			ToPort:          pulumi.Int(db.Port),
		}
		if strings.Contains(from, "/") {
			rule.CidrBlocks = pulumi.ToStringArray([]string{from})
		} else {
			rule.SourceSecurityGroupId = pulumi.String(from)
		}
		let, err := ec2.NewSecurityGroupRule(ctx, name+"-from-"+strings.ReplaceAll(from, "/", "-"), rule, pulumi.Parent(d))
		if err != nil {
			return nil, err
		}
		d.inbound = append(d.inbound, let)
		d.Owned.rule(rule)
	}
	subnets, err := rds.NewSubnetGroup(ctx, name+"-subnets", &rds.SubnetGroupArgs{
		Name:        pulumi.String(identifier),
		Description: pulumi.String("Private subnets"),
		SubnetIds:   args.Network.PrivateSubnetIDs,
	}, pulumi.Parent(d), keep)
	if err != nil {
		return nil, err
	}

	// The family is part of the name, so that an upgrade can have both at once.
	major, _, _ := strings.Cut(db.Version, ".")
	parameters, err := rds.NewParameterGroup(ctx, name+"-parameters", &rds.ParameterGroupArgs{
		Name:        pulumi.String(names.Name("postgres" + major)),
		Family:      pulumi.String("postgres" + major),
		Description: pulumi.String("Refuses connections without TLS"),
		Parameters: rds.ParameterGroupParameterArray{
			&rds.ParameterGroupParameterArgs{
				Name:        pulumi.String("rds.force_ssl"),
				Value:       pulumi.String("1"),
				ApplyMethod: pulumi.String("immediate"),
			},
		},
	}, pulumi.Parent(d), keep)
	if err != nil {
		return nil, err
	}

	// RDS would make these log groups by itself, without an end of retention
	// and to stay behind after the instance.
	exports := []string{"postgresql", "upgrade"}
	before := []pulumi.CustomResource{}
	for _, export := range exports {
		logs, err := cloudwatch.NewLogGroup(ctx, name+"-logs-"+export, &cloudwatch.LogGroupArgs{
			Name:            pulumi.String("/aws/rds/instance/" + identifier + "/" + export),
			RetentionInDays: pulumi.Int(args.LogDays),
		}, pulumi.Parent(d), keep)
		if err != nil {
			return nil, err
		}
		before = append(before, logs)
	}

	// A stack that is destroyed, made again and destroyed again leaves two
	// snapshots, so their names have to differ.
	suffix, err := random.NewRandomId(ctx, name+"-snapshot", &random.RandomIdArgs{ByteLength: pulumi.Int(4)}, pulumi.Parent(d))
	if err != nil {
		return nil, err
	}

	instance := &rds.InstanceArgs{
		Identifier:                   pulumi.String(identifier),
		Engine:                       pulumi.String("postgres"),
		EngineVersion:                pulumi.String(db.Version),
		InstanceClass:                pulumi.String(db.Class),
		DbName:                       pulumi.String(db.Name),
		Username:                     pulumi.String(db.Owner),
		Password:                     owner,
		DbSubnetGroupName:            subnets.Name,
		VpcSecurityGroupIds:          pulumi.StringArray{group.ID()},
		ParameterGroupName:           parameters.Name,
		PubliclyAccessible:           pulumi.Bool(false),
		MultiAz:                      pulumi.Bool(db.MultiAZ),
		StorageType:                  pulumi.String("gp3"),
		StorageEncrypted:             pulumi.Bool(true),
		AllocatedStorage:             pulumi.Int(db.Storage),
		MaxAllocatedStorage:          pulumi.Int(db.MaxStorage),
		BackupRetentionPeriod:        pulumi.Int(db.BackupDays),
		CopyTagsToSnapshot:           pulumi.Bool(true),
		DeletionProtection:           pulumi.Bool(db.Protect),
		SkipFinalSnapshot:            pulumi.Bool(db.OnDestroy == "delete"),
		FinalSnapshotIdentifier:      pulumi.Sprintf("%s-final-%s", identifier, suffix.Hex),
		AutoMinorVersionUpgrade:      pulumi.Bool(true),
		ApplyImmediately:             pulumi.Bool(db.Immediately),
		EnabledCloudwatchLogsExports: pulumi.ToStringArray(exports),
		PerformanceInsightsEnabled:   pulumi.Bool(db.Insights),
	}
	if db.Port != 5432 {
		instance.Port = pulumi.Int(db.Port)
	}
	if db.Insights {
		instance.PerformanceInsightsRetentionPeriod = pulumi.Int(7)
	}
	if db.Certificate != "" {
		instance.CaCertIdentifier = pulumi.String(db.Certificate)
	}
	hooks, err := d.hooks(ctx, name, identifier, db)
	if err != nil {
		return nil, err
	}
	d.Instance, err = rds.NewInstance(ctx, name+"-instance", instance,
		pulumi.Parent(d), order.After(before...), pulumi.Protect(db.Protect), keep,
		pulumi.ResourceHooks(hooks),
		pulumi.DeleteBeforeReplace(db.Replace != "")) // two cannot have one name: AWS refuses the new one, and the old one stays
	if err != nil {
		return nil, err
	}

	d.Identifier, d.Address, d.Port, d.Name = identifier, d.Instance.Address, d.Instance.Port, db.Name
	d.Owner, d.App = Credentials{db.Owner, owner}, Credentials{db.App, app}
	return d, ctx.RegisterResourceOutputs(d, pulumi.Map{"address": d.Address, "port": d.Port})
}

// hooks say what becomes of the instance. One for errors would need the program at each `pulumi destroy` that fails.
func (d *Database) hooks(ctx *pulumi.Context, name, identifier string, db config.Database) (*pulumi.ResourceHookBinding, error) {
	changed, err := announce.Hooks(ctx, name, d, func(c announce.Change) string { return announce.Interruption(c, db.Immediately, db.MultiAZ) })
	if err != nil {
		return nil, err
	}
	made, err := announce.Hooks(ctx, name+"-made", d, func(announce.Change) string { return announce.Made(identifier, db.Replace != "", db.OnDestroy) })
	if err != nil {
		return nil, err
	}
	return &pulumi.ResourceHookBinding{BeforeUpdate: changed, BeforeCreate: made}, nil
}

// password is the given one, or letters and digits, which nothing has to quote.
func (d *Database) password(ctx *pulumi.Context, name, given string) (pulumi.StringOutput, error) {
	if given != "" {
		return pulumi.ToSecret(pulumi.String(given)).(pulumi.StringOutput), nil
	}
	made, err := random.NewRandomPassword(ctx, name, &random.RandomPasswordArgs{
		Length:  pulumi.Int(32),
		Special: pulumi.Bool(false),
	}, pulumi.Parent(d))
	if err != nil {
		return pulumi.StringOutput{}, err
	}
	return pulumi.ToSecret(made.Result).(pulumi.StringOutput), nil
}

// URL is what a client connects with as the given role. It is built from the
// instance's own outputs, so it cannot name another database.
func (d *Database) URL(role Credentials) pulumi.StringOutput {
	url := pulumi.All(d.Address, d.Port, role.Password).ApplyT(func(v []any) string {
		return DatabaseURL(role.Name, v[2].(string), v[0].(string), v[1].(int), d.Name)
	}).(pulumi.StringOutput)
	return pulumi.ToSecret(url).(pulumi.StringOutput)
}
