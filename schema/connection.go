// Package schema declares what must be true inside the database: its roles and their rights, the revision of its
// tables, its reference rows — and that the result is served.
package schema

import (
	"github.com/pulumi/pulumi-postgresql/sdk/v3/go/postgresql"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/internal/order"
	"plan-charge/provider/pgrows"
)

// publicSchema is where the app's tables are.
const publicSchema = "public"

// Connection says how to reach the database as its owner from where Pulumi runs.
type Connection struct {
	Host     pulumi.StringInput // the instance's address, without a port
	Port     pulumi.IntInput
	Database string
	Owner    string
	Password pulumi.StringInput // of the owner
	SSLMode  string             // such as require
	// Version of the server, such as 16. Knowing it, the PostgreSQL provider need not ask, so that a preview needs no database.
	Version string
	// Identity changes when the database is another one at the same address, such as one restored from a snapshot; may be nil.
	Identity pulumi.StringInput
	// Instance is what the database goes with: nothing inside it has to be deleted when it is; may be nil.
	Instance pulumi.Resource
}

// seconds that one attempt to connect may take.
const connectTimeout = 15

// postgres declares the PostgreSQL provider for this connection.
func (c Connection) postgres(ctx *pulumi.Context, name string, opts ...pulumi.ResourceOption) (*postgresql.Provider, error) {
	return postgresql.NewProvider(ctx, name, &postgresql.ProviderArgs{
		Host:            c.Host.ToStringOutput(),
		Port:            c.Port.ToIntOutput().ToIntPtrOutput(),
		Database:        pulumi.String(c.Database),
		Username:        pulumi.String(c.Owner),
		Password:        secret(c.Password),
		Sslmode:         pulumi.String(c.SSLMode),
		Superuser:       pulumi.Bool(false), // RDS's master user is none
		ConnectTimeout:  pulumi.Int(connectTimeout),
		ExpectedVersion: pulumi.String(c.Version),
	}, opts...)
}

// rows declares the row provider for this connection.
func (c Connection) rows(ctx *pulumi.Context, name string, opts ...pulumi.ResourceOption) (*pgrows.Provider, error) {
	return pgrows.NewProvider(ctx, name, &pgrows.ProviderArgs{
		Host:           c.Host,
		Port:           c.Port.ToIntOutput().ToIntPtrOutput(),
		Database:       pulumi.String(c.Database),
		Username:       pulumi.String(c.Owner),
		Password:       c.Password,
		SSLMode:        pulumi.String(c.SSLMode),
		ConnectTimeout: pulumi.Int(connectTimeout),
	}, opts...)
}

// inside are the options of a resource inside the database.
func (c Connection) inside(parent pulumi.Resource, provider pulumi.ProviderResource, dependsOn ...pulumi.CustomResource) []pulumi.ResourceOption {
	opts := []pulumi.ResourceOption{pulumi.Parent(parent), pulumi.Provider(provider), order.After(dependsOn...)}
	if c.Instance != nil {
		opts = append(opts, pulumi.DeletedWith(c.Instance))
	}
	return opts
}

// triggers are what tells one database from another.
func (c Connection) triggers() pulumi.StringArray {
	if c.Identity == nil {
		return nil
	}
	return pulumi.StringArray{c.Identity}
}

func secret(s pulumi.StringInput) pulumi.StringOutput {
	return pulumi.ToSecret(s).(pulumi.StringOutput)
}
