// Package schema declares what must be true inside the database: its roles and their rights, the revision of its
// tables, its reference rows — and that the result is served.
package schema

import (
	"github.com/pulumi/pulumi-postgresql/sdk/v3/go/postgresql"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/internal/authority"
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
	// Authority is who vouches for the server, as the package authority has it.
	Authority string
	// Version of the server, such as 16. Knowing it, the PostgreSQL provider need not ask, so that a preview needs no database.
	Version string
	// Identity changes when the database is another one at the same address, such as one restored from a snapshot; may be nil.
	Identity pulumi.StringInput
	// Way leads there from where the address does not; nil: the address is dialled.
	Way *Way
	// Instance is what the database goes with: nothing inside it has to be deleted when it is; may be nil.
	Instance pulumi.Resource
}

// Way is a session to the database, which the row provider opens at the first connection.
type Way struct {
	Route pulumi.StringInput // as the package session writes it
	// Port on 127.0.0.1 is what the PostgreSQL provider dials, which takes a host and a port only.
	Port pulumi.IntInput
	// DependsOn is what a session needs.
	DependsOn []pulumi.CustomResource
}

// seconds that one attempt to connect may take: by address, and by a way that is opened meanwhile.
const (
	connectTimeout    = 15
	connectTimeoutWay = 420
)

// postgres declares the PostgreSQL provider for this connection.
func (c Connection) postgres(ctx *pulumi.Context, name string, opts ...pulumi.ResourceOption) (*postgresql.Provider, error) {
	args := &postgresql.ProviderArgs{
		Host:            c.Host.ToStringOutput(),
		Port:            c.Port.ToIntOutput().ToIntPtrOutput(),
		Database:        pulumi.String(c.Database),
		Username:        pulumi.String(c.Owner),
		Password:        secret(c.Password),
		Sslmode:         pulumi.String("verify-full"),
		Superuser:       pulumi.Bool(false), // RDS's master user is none
		ConnectTimeout:  pulumi.Int(connectTimeout),
		ExpectedVersion: pulumi.String(c.Version),
	}
	if c.Authority == authority.RDS { // else the environment leads to its file: no path of one machine is in the state
		args.Sslrootcert = pulumi.String(authority.File)
	}
	if c.Way != nil {
		args.Host, args.Port = pulumi.String("127.0.0.1"), c.Way.Port.ToIntOutput().ToIntPtrOutput()
		args.Sslmode = pulumi.String("verify-ca") // the name that it dials is not the server's
		args.ConnectTimeout = pulumi.Int(connectTimeoutWay)
		opts = append(opts, order.After(c.Way.DependsOn...))
	}
	return postgresql.NewProvider(ctx, name, args, opts...)
}

// rows declares the row provider for this connection.
func (c Connection) rows(ctx *pulumi.Context, name string, opts ...pulumi.ResourceOption) (*pgrows.Provider, error) {
	args := &pgrows.ProviderArgs{
		Host:           c.Host,
		Port:           c.Port.ToIntOutput().ToIntPtrOutput(),
		Database:       pulumi.String(c.Database),
		Username:       pulumi.String(c.Owner),
		Password:       c.Password,
		SSLMode:        pulumi.String("verify-full"),
		SSLRootCert:    pulumi.String(c.Authority),
		ConnectTimeout: pulumi.Int(connectTimeout),
	}
	if c.Way != nil {
		args.Session = c.Way.Route.ToStringOutput().ToStringPtrOutput()
		opts = append(opts, order.After(c.Way.DependsOn...))
	}
	return pgrows.NewProvider(ctx, name, args, opts...)
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
