package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/infra"
	"plan-charge/internal/order"
	"plan-charge/internal/probe"
	"plan-charge/schema"
)

// Infra and schema do not know each other. What the one has and the other
// needs is handed over here, as plain values.

// connection is how the program reaches the database, as its owner.
func connection(cfg *infra.Config, database *infra.Database) schema.Connection {
	return schema.Connection{
		Host:     database.Address,
		Port:     database.Port,
		Database: database.Name,
		Owner:    database.Owner.Name,
		Password: database.Owner.Password,
		SSLMode:  infra.SSLMode,
		Version:  cfg.Database.Version,
		Identity: database.Instance.ResourceId,
		Instance: database.Instance,
	}
}

func rolesArgs(cfg *infra.Config, database *infra.Database) *schema.RolesArgs {
	return &schema.RolesArgs{
		Connection:  connection(cfg, database),
		AppName:     database.App.Name,
		AppPassword: database.App.Password,
		DependsOn:   order.Done(database),
	}
}

func migrationArgs(cfg *infra.Config, network *infra.Network, database *infra.Database, cluster *infra.Cluster, task *infra.MigrationTask, roles *schema.Roles) *schema.MigrationArgs {
	return &schema.MigrationArgs{
		Connection:        connection(cfg, database),
		Cluster:           cluster.Name,
		TaskDefinition:    task.TaskDefinitionARN,
		Container:         infra.Container,
		Image:             pulumi.String(cfg.Image),
		Command:           cfg.Migration.Command,
		SubnetIDs:         network.PrivateSubnetIDs,
		SecurityGroupIDs:  pulumi.StringArray{network.TasksGroupID},
		LogGroup:          task.LogGroup,
		LogStreamPrefix:   task.LogStreamPrefix,
		OwnerURLSecretARN: task.SecretARN,
		VersionTable:      cfg.Migration.VersionTable,
		VersionColumn:     cfg.Migration.VersionColumn,
		Timeout:           infra.Duration(cfg.Migration.Timeout),
		LockTimeout:       infra.Duration(cfg.Migration.LockTimeout),
		DependsOn:         order.Done(roles, task),
	}
}

func organizationsArgs(cfg *infra.Config, database *infra.Database, migration *schema.Migration) *schema.OrganizationsArgs {
	args := &schema.OrganizationsArgs{
		Connection: connection(cfg, database),
		OnRemove:   cfg.Organizations.OnRemove,
		DependsOn:  order.Done(migration),
	}
	for _, row := range cfg.Organizations.Rows {
		args.Organizations = append(args.Organizations, schema.Organization{ID: row.ID, Name: row.Name})
	}
	return args
}

func verificationArgs(cfg *infra.Config, cdn *infra.CDN, dns *infra.DNS, cluster *infra.Cluster, service *infra.Service) *schema.VerificationArgs {
	args := &schema.VerificationArgs{
		SiteURL:             cdn.SiteURL,
		Cluster:             cluster.Name,
		Service:             service.Name,
		TaskDefinition:      service.TaskDefinitionARN,
		DistributionID:      cdn.ID,
		DistributionVersion: cdn.Version,
		HealthPath:          cfg.Service.HealthPath,
		LoginPath:           cfg.Verification.LoginPath,
		Timeout:             infra.Duration(cfg.Verification.Timeout),
		DependsOn:           order.Done(service, cdn, dns),
	}
	if cfg.Verification.Version {
		args.Version = cfg.Version()
	}
	for _, check := range cfg.Verification.Checks {
		args.Checks = append(args.Checks, probe.Check{
			Name:    check.Name,
			Method:  check.Method,
			Path:    check.Path,
			Headers: check.Headers,
			Body:    check.Body,
			Status:  probe.Status(check.Status),
			Repeat:  check.Repeat,
		})
	}
	return args
}

func organizationIDs(cfg *infra.Config) []string {
	ids := []string{}
	for _, row := range cfg.Organizations.Rows {
		ids = append(ids, row.ID)
	}
	return ids
}
