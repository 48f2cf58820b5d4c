package main

import (
	"encoding/json"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
	"plan-charge/infra"
	"plan-charge/internal/awsclient"
	"plan-charge/internal/order"
	"plan-charge/internal/session"
	"plan-charge/schema"
)

// Infra and schema do not know each other. What the one has and the other
// needs is handed over here, as plain values.

// awsSettings are those of every provider and command alike.
func awsSettings(cfg *config.Config) awsclient.Settings {
	return awsclient.Settings{Region: cfg.Region, Profile: cfg.Profile, Role: cfg.Role}
}

// taskSettings are what the service's and the migration's tasks share.
func taskSettings(cfg *config.Config) infra.TaskSettings {
	return infra.TaskSettings{
		Names:        cfg.Names,
		Region:       cfg.Region,
		Image:        cfg.Image,
		Version:      cfg.Version(),
		Architecture: cfg.Service.Architecture,
		Port:         cfg.Service.Port,
		Environment:  cfg.Service.Environment,
		Secrets:      cfg.Service.Secrets,
		LogDays:      cfg.Service.LogDays,
		RecoveryDays: cfg.Database.RecoveryDays,
	}
}

// migrationSettings are those of the image that migrates.
func migrationSettings(cfg *config.Config) infra.TaskSettings {
	settings := taskSettings(cfg)
	settings.Image = cfg.MigrationImage()
	return settings
}

func databaseArgs(cfg *config.Config, network *infra.Network) *infra.DatabaseArgs {
	return &infra.DatabaseArgs{
		Names:         cfg.Names,
		Settings:      cfg.Database,
		OwnerPassword: cfg.OwnerPassword,
		AppPassword:   cfg.AppPassword,
		LogDays:       cfg.Service.LogDays,
		Network:       network,
	}
}

// connection is how the program reaches the database, as its owner.
func connection(cfg *config.Config, network *infra.Network, cluster *infra.Cluster, access *infra.Access, database *infra.Database) schema.Connection {
	return schema.Connection{
		Way:       way(cfg, network, cluster, access, database),
		Host:      database.Address,
		Port:      database.Port,
		Database:  database.Name,
		Owner:     database.Owner.Name,
		Password:  database.Owner.Password,
		Authority: cfg.Database.Authority,
		Version:   cfg.Database.Version,
		Identity:  database.Instance.ResourceId,
		Instance:  database.Instance,
	}
}

// way leads to the database from anywhere; nil where its address does.
func way(cfg *config.Config, network *infra.Network, cluster *infra.Cluster, access *infra.Access, database *infra.Database) *schema.Way {
	if cfg.Database.Access != config.Session {
		return nil
	}
	settings, port := awsSettings(cfg), accessPort(cfg, database)
	return &schema.Way{
		Port: port,
		// The task definition goes by its family: with its revision, every release would change the providers' configuration,
		// and a preview could compare no rows.
		Route: pulumi.All(cluster.Name, network.PrivateSubnetIDs, network.TasksGroupID, database.Instance.ResourceId, port).ApplyT(func(v []any) (string, error) {
			route, err := json.Marshal(session.Route{
				Stack: accessName(cfg), Database: v[3].(string), Region: settings.Region, Profile: settings.Profile, Role: settings.Role,
				Cluster: v[0].(string), TaskDefinition: infra.AccessFamily(cfg.Names), Container: infra.Container,
				Subnets: v[1].([]string), SecurityGroups: []string{v[2].(string)}, Port: v[4].(int), PreviewReads: cfg.Database.PreviewReads,
			})
			return string(route), err
		}).(pulumi.StringOutput),
		DependsOn: append(order.Done(access), network.Egress...),
	}
}

// accessName marks what leads to this stack's database.
func accessName(cfg *config.Config) string { return cfg.Names.Project + "-" + cfg.Names.Stack }

// accessPort on 127.0.0.1 leads to the database while a command runs.
func accessPort(cfg *config.Config, database *infra.Database) pulumi.IntOutput {
	if port := cfg.Database.AccessPort; port != 0 {
		return pulumi.Int(port).ToIntOutput()
	}
	return database.Instance.ResourceId.ApplyT(session.LoopbackPort).(pulumi.IntOutput)
}

// databaseAccess is what `plan-charge db` has to know to reach the database from outside its network.
func databaseAccess(cfg *config.Config, network *infra.Network, cluster *infra.Cluster, access *infra.Access, database *infra.Database) pulumi.Map {
	settings := awsSettings(cfg)
	return pulumi.Map{
		"name":           pulumi.String(accessName(cfg)),
		"port":           accessPort(cfg, database),
		"region":         pulumi.String(settings.Region),
		"profile":        pulumi.String(settings.Profile),
		"role":           pulumi.String(settings.Role),
		"cluster":        cluster.Name,
		"taskDefinition": access.TaskDefinitionARN,
		"container":      pulumi.String(infra.Container),
		"subnets":        network.PrivateSubnetIDs,
		"securityGroups": pulumi.StringArray{network.TasksGroupID},
	}
}

func rolesArgs(cfg *config.Config, reached schema.Connection, database *infra.Database) *schema.RolesArgs {
	return &schema.RolesArgs{
		Connection:  reached,
		AppName:     database.App.Name,
		AppPassword: database.App.Password,
		Allow:       cfg.Strangers.Allow,
		DependsOn:   order.Done(database),
	}
}

func migrationArgs(cfg *config.Config, reached schema.Connection, database *infra.Database, network *infra.Network, cluster *infra.Cluster, task *infra.MigrationTask, roles *schema.Roles) *schema.MigrationArgs {
	return &schema.MigrationArgs{
		Connection:        reached,
		Cluster:           cluster.Name,
		TaskDefinition:    task.TaskDefinitionARN,
		Container:         infra.Container,
		Image:             pulumi.String(cfg.MigrationImage()),
		Command:           cfg.Migration.Words(),
		DowngradeTo:       cfg.Migration.DowngradeTo,
		Instance:          database.Identifier,
		SubnetIDs:         network.PrivateSubnetIDs,
		SecurityGroupIDs:  pulumi.StringArray{network.TasksGroupID},
		LogGroup:          task.LogGroup,
		LogStreamPrefix:   task.LogStreamPrefix,
		OwnerURLSecretARN: task.SecretARN,
		VersionTable:      cfg.Migration.VersionTable,
		VersionColumn:     cfg.Migration.VersionColumn,
		Timeout:           cfg.Migration.Timeout,
		LockTimeout:       cfg.Migration.LockTimeout,
		IgnoreObjects:     cfg.Migration.IgnoreObjects,
		Accept:            cfg.Migration.Accept,
		Service:           infra.ServiceName(cfg.Names),
		Site:              infra.Site(cfg.Names, cfg.CDN),
		HealthPath:        cfg.Service.HealthPath,
		Environment:       awsSettings(cfg).Environment(),
		DependsOn:         order.Done(roles, task),
	}
}

func organizationsArgs(cfg *config.Config, reached schema.Connection, migration *schema.Migration) *schema.OrganizationsArgs {
	args := &schema.OrganizationsArgs{
		Connection: reached,
		OnRemove:   cfg.Organizations.OnRemove,
		DependsOn:  order.Done(migration),
	}
	for _, row := range cfg.Organizations.Rows {
		args.Organizations = append(args.Organizations, schema.Organization{ID: row.ID, Name: row.Name})
	}
	return args
}

func verificationArgs(cfg *config.Config, cdn *infra.CDN, dns *infra.DNS, cluster *infra.Cluster, service *infra.Service) *infra.VerificationArgs {
	args := &infra.VerificationArgs{
		SiteURL:             cdn.SiteURL,
		Cluster:             cluster.Name,
		Service:             service.Name,
		TaskDefinition:      service.TaskDefinitionARN,
		DistributionID:      cdn.ID,
		DistributionVersion: cdn.Version,
		HealthPath:          cfg.Service.HealthPath,
		LoginPath:           cfg.Verification.LoginPath,
		Checks:              cfg.Verification.Checks,
		Timeout:             cfg.Verification.Timeout,
		AWS:                 awsSettings(cfg),
		DependsOn:           order.Done(service, cdn, dns),
	}
	if cfg.Verification.Version {
		args.Version = cfg.Version()
	}
	return args
}

func organizationIDs(cfg *config.Config) []string {
	ids := []string{}
	for _, row := range cfg.Organizations.Rows {
		ids = append(ids, row.ID)
	}
	return ids
}
