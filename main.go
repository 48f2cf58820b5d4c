// Command plan-charge is the whole deployment, read top to bottom in the order
// in which it happens. A step that fails stops what follows it, so that the
// old version goes on serving until the new one has all it needs.
package main

import (
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
	"plan-charge/infra"
	"plan-charge/internal/order"
	"plan-charge/schema"
)

func main() { pulumi.Run(deploy) }

func deploy(ctx *pulumi.Context) error {
	// What the stack wants, checked as a whole before anything is declared.
	cfg, err := config.Load(ctx)
	if err != nil {
		return err
	}
	if err := keepOutputs(ctx); err != nil {
		return err
	}
	provider, err := infra.NewCloud(ctx, &infra.CloudArgs{Names: cfg.Names, AWS: awsSettings(cfg), Account: cfg.Account, Tags: cfg.Tags})
	if err != nil {
		return err
	}
	inCloud := pulumi.Providers(provider)

	// Where everything is, and the database in it.
	network, err := infra.NewNetwork(ctx, "network", &infra.NetworkArgs{Names: cfg.Names, Settings: cfg.Network}, inCloud)
	if err != nil {
		return err
	}
	database, err := infra.NewDatabase(ctx, "database", databaseArgs(cfg, network), inCloud)
	if err != nil {
		return err
	}

	// The way in is made beside the database: it needs neither it nor the service.
	balancer, err := infra.NewBalancer(ctx, "balancer", &infra.BalancerArgs{
		Names: cfg.Names, Service: cfg.Service, CertificateARN: cfg.CDN.OriginCertificateARN, Network: network,
	}, inCloud)
	if err != nil {
		return err
	}
	cdn, err := infra.NewCDN(ctx, "cdn", &infra.CDNArgs{Names: cfg.Names, Settings: cfg.CDN, Balancer: balancer}, inCloud)
	if err != nil {
		return err
	}
	dns, err := infra.NewDNS(ctx, "dns", &infra.DNSArgs{Settings: cfg.CDN, CDN: cdn}, inCloud)
	if err != nil {
		return err
	}
	alarms, err := infra.NewAlarms(ctx, "alarms", &infra.AlarmsArgs{Names: cfg.Names, Settings: cfg.Alarms, Balancer: balancer, Database: database}, inCloud)
	if err != nil {
		return err
	}
	cluster, err := infra.NewCluster(ctx, "cluster", &infra.ClusterArgs{Names: cfg.Names, LogDays: cfg.Service.LogDays}, inCloud)
	if err != nil {
		return err
	}

	access, err := infra.NewAccess(ctx, "access", &infra.AccessArgs{Settings: taskSettings(cfg), Image: cfg.Database.SessionImage, Cluster: cluster}, inCloud)
	if err != nil {
		return err
	}

	// Roles before tables, because default privileges only reach tables made after them.
	reached := connection(cfg, network, cluster, access, database)
	roles, err := schema.NewRoles(ctx, "roles", rolesArgs(cfg, reached, database))
	if err != nil {
		return err
	}

	// The new image's migration, as the owner and inside the network.
	task, err := infra.NewMigrationTask(ctx, "migration-task", &infra.MigrationTaskArgs{
		Settings: migrationSettings(cfg), Migration: cfg.Migration, Network: network, Cluster: cluster, Database: database,
	}, inCloud)
	if err != nil {
		return err
	}
	migration, err := schema.NewMigration(ctx, "migration", migrationArgs(cfg, reached, database, network, cluster, task, roles))
	if err != nil {
		return err
	}

	// Rights on what it made, then the rows without which nobody can log in.
	grants, err := schema.NewGrants(ctx, "grants", &schema.GrantsArgs{Roles: roles, DependsOn: order.Done(migration)})
	if err != nil {
		return err
	}
	organizations, err := schema.NewOrganizations(ctx, "organizations", organizationsArgs(cfg, reached, migration))
	if err != nil {
		return err
	}

	// Now a new version can serve: its DATABASE_URL and the rollout.
	service, err := infra.NewService(ctx, "service", &infra.ServiceArgs{
		Settings: taskSettings(cfg), Service: cfg.Service, AWS: awsSettings(cfg),
		Network: network, Cluster: cluster, Balancer: balancer, Database: database, Alarms: alarms, Site: infra.Site(cfg.Names, cfg.CDN),
		After: order.Done(migration, grants, organizations),
	}, inCloud)
	if err != nil {
		return err
	}

	// Success means served: asked through the CDN, as users do.
	verification, err := infra.NewVerification(ctx, "verification", verificationArgs(cfg, cdn, dns, cluster, service))
	if err != nil {
		return err
	}

	// What somebody added by hand to what is declared above is named, and removed by the next update.
	if _, err := infra.NewStrangers(ctx, "strangers", &infra.StrangersArgs{
		AWS: awsSettings(cfg), Allow: cfg.Strangers.Allow,
		Owned: []*infra.Owned{&network.Owned, &database.Owned, &balancer.Owned, &access.Owned, &task.Owned, &service.Owned},
	}, inCloud); err != nil {
		return err
	}

	ctx.Export("siteUrl", cdn.SiteURL)
	ctx.Export("distributionId", cdn.ID)
	ctx.Export("distributionDomain", cdn.Domain)
	ctx.Export("loadBalancer", balancer.DNSName)
	ctx.Export("cluster", cluster.Name)
	ctx.Export("service", service.Name)
	ctx.Export("logGroup", service.LogGroup)
	ctx.Export("execCommand", service.ExecCommand)
	ctx.Export("databaseAddress", database.Address)
	ctx.Export("databasePort", database.Port)
	ctx.Export("databaseName", pulumi.String(database.Name))
	ctx.Export("databaseAccess", databaseAccess(cfg, network, cluster, access, database))
	ctx.Export("databaseUrlSecret", service.SecretARN)
	ctx.Export("migrationUrlSecret", task.SecretARN)
	ctx.Export("revision", migration.Revision)
	ctx.Export("organizations", pulumi.ToStringArray(organizationIDs(cfg)))
	ctx.Export("verification", verification.Result)
	return nil
}
