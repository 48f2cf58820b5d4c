// Package pgrows holds the resources of the provider of the same name: rows of PostgreSQL tables, the revision of a
// database's schema, the login of a role, and who may do what.
package pgrows

import (
	"errors"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/provider/internal/contract"
)

var (
	_ pulumi.ProviderResource = (*Provider)(nil)
	_ pulumi.Input            = ProviderArgs{}
)

// Provider is the connection that resources use. Nothing is connected to until a resource needs it.
type Provider struct {
	pulumi.ProviderResourceState
}

// ProviderArgs say how to reach the database. Host, Database, Username and Password are required.
type ProviderArgs struct {
	// Host is the server's name or address as it is reached from where Pulumi runs, without a port.
	Host pulumi.StringInput
	// Port of the server, 5432 unless given.
	Port pulumi.IntPtrInput
	// Database is the name of the database.
	Database pulumi.StringInput
	// Username to log in as. It needs SELECT, INSERT and UPDATE on the tables (DELETE where rows are deleted) and TEMPORARY
	// on the database; with CREATE on it, or rights on plan_charge.owned_rows, it is remembered there whose rows are whose.
	Username pulumi.StringInput
	// Password of the user. It becomes secret whatever it was.
	Password pulumi.StringInput
	// SSLMode is disable, prefer, require (unless given), verify-ca or verify-full.
	SSLMode pulumi.StringPtrInput
	// SSLRootCert is a file with the certificates (PEM) that the server's is verified with, rds for those of Amazon RDS, or
	// environment for the file that PGSSLROOTCERT names.
	SSLRootCert pulumi.StringPtrInput
	// ConnectTimeout in seconds, 10 unless given.
	ConnectTimeout pulumi.IntPtrInput
	// Session is the route of a session to a private database, as JSON; without it Host is dialled.
	Session pulumi.StringPtrInput
}

type providerArgs struct {
	Host           string  `pulumi:"host"`
	Port           *int    `pulumi:"port"`
	Database       string  `pulumi:"database"`
	Username       string  `pulumi:"username"`
	Password       string  `pulumi:"password"`
	SSLMode        *string `pulumi:"sslMode"`
	SSLRootCert    *string `pulumi:"sslRootCert"`
	ConnectTimeout *int    `pulumi:"connectTimeout"`
	Session        *string `pulumi:"session"`
}

// ElementType gives Pulumi the inputs' keys and types.
func (ProviderArgs) ElementType() reflect.Type { return reflect.TypeFor[providerArgs]() }

// NewProvider registers a provider, to be given to resources by pulumi.Provider.
func NewProvider(ctx *pulumi.Context, name string, args *ProviderArgs, opts ...pulumi.ResourceOption) (*Provider, error) {
	if args == nil || args.Host == nil || args.Database == nil || args.Username == nil || args.Password == nil {
		return nil, errors.New("pgrows.NewProvider: Host, Database, Username and Password are required")
	}
	inputs := *args
	inputs.Password = pulumi.ToSecret(args.Password.ToStringOutput()).(pulumi.StringOutput)
	var p Provider
	if err := ctx.RegisterResource("pulumi:providers:"+contract.Name, name, inputs, &p, withVersion(opts)...); err != nil {
		return nil, err
	}
	return &p, nil
}

func withVersion(opts []pulumi.ResourceOption) []pulumi.ResourceOption {
	return append([]pulumi.ResourceOption{pulumi.Version(contract.Version)}, opts...)
}
