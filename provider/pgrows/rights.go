package pgrows

import (
	"errors"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

var (
	_ pulumi.CustomResource = (*Rights)(nil)
	_ pulumi.Input          = RightsArgs{}
)

// Rights sees to it that nobody besides the owner has rights that are not declared. It grants nothing, and revokes nothing
// when it is created: declare it before the grants.
type Rights struct {
	pulumi.CustomResourceState

	// Found are the rights that were seen last and are not declared, by name.
	Found pulumi.StringArrayOutput `pulumi:"found"`
}

// RightsArgs say who may do what. All but Schema and Allow are required.
type RightsArgs struct {
	// Role is to have rights.
	Role pulumi.StringInput
	// Schema of the tables and sequences, public unless given.
	Schema pulumi.StringPtrInput
	// DatabasePrivileges, TablePrivileges and SequencePrivileges are words such as SELECT.
	DatabasePrivileges pulumi.StringArrayInput
	TablePrivileges    pulumi.StringArrayInput
	SequencePrivileges pulumi.StringArrayInput
	// Allow names rights that may stay.
	Allow pulumi.StringArrayInput
}

type rightsArgs struct {
	Role               string   `pulumi:"role"`
	Schema             *string  `pulumi:"schema"`
	DatabasePrivileges []string `pulumi:"databasePrivileges"`
	TablePrivileges    []string `pulumi:"tablePrivileges"`
	SequencePrivileges []string `pulumi:"sequencePrivileges"`
	Allow              []string `pulumi:"allow"`
}

// ElementType gives Pulumi the inputs' keys and types.
func (RightsArgs) ElementType() reflect.Type { return reflect.TypeFor[rightsArgs]() }

// NewRights registers the rights. Give the connection with pulumi.Provider.
func NewRights(ctx *pulumi.Context, name string, args *RightsArgs, opts ...pulumi.ResourceOption) (*Rights, error) {
	if args == nil || args.Role == nil || args.DatabasePrivileges == nil || args.TablePrivileges == nil || args.SequencePrivileges == nil {
		return nil, errors.New("pgrows.NewRights: Role and its privileges are required")
	}
	var r Rights
	if err := ctx.RegisterResource("pgrows:index:Rights", name, *args, &r, withVersion(opts)...); err != nil {
		return nil, err
	}
	return &r, nil
}
