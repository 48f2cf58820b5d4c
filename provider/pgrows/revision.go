package pgrows

import (
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

var (
	_ pulumi.CustomResource = (*Revision)(nil)
	_ pulumi.Input          = RevisionArgs{}
)

// Revision watches which revision a database's schema is at, and compares it, and the schema's objects, with what the last
// migration left. It writes nothing.
type Revision struct {
	pulumi.CustomResourceState

	// Revision is what the schema was at when it was last read: several heads are sorted and joined by commas, "" means none.
	Revision pulumi.StringOutput `pulumi:"revision"`
	// Drift says how the schema differs from what the last migration left, and is "" when it does not.
	Drift pulumi.StringOutput `pulumi:"drift"`
	// Generation rises when the schema has to be migrated again: make it a trigger of the migration.
	Generation pulumi.IntOutput `pulumi:"generation"`
	// NotMigrated says of each image that was deployed here, and whose revision the schema has moved past, what its rollout
	// does, as it was read last.
	NotMigrated pulumi.StringMapOutput `pulumi:"notMigrated"`
}

// RevisionArgs say where the revision is kept; the defaults are Alembic's.
type RevisionArgs struct {
	// Schema of the version table, public unless given.
	Schema pulumi.StringPtrInput
	// Table holds the revision, one row for each head; alembic_version unless given.
	Table pulumi.StringPtrInput
	// Column holds the revision, version_num unless given.
	Column pulumi.StringPtrInput
	// Triggers raise Generation when they change, such as the identity of the database.
	Triggers pulumi.StringArrayInput
	// IgnoreObjects are patterns of objects that are not compared, such as "table public.cache_*".
	IgnoreObjects pulumi.StringArrayInput
}

type revisionArgs struct {
	Schema   *string  `pulumi:"schema"`
	Table    *string  `pulumi:"table"`
	Column   *string  `pulumi:"column"`
	Triggers []string `pulumi:"triggers"`

	IgnoreObjects []string `pulumi:"ignoreObjects"`
}

// ElementType gives Pulumi the inputs' keys and types.
func (RevisionArgs) ElementType() reflect.Type { return reflect.TypeFor[revisionArgs]() }

// NewRevision registers the revision. Give the connection with pulumi.Provider.
func NewRevision(ctx *pulumi.Context, name string, args *RevisionArgs, opts ...pulumi.ResourceOption) (*Revision, error) {
	if args == nil {
		args = &RevisionArgs{}
	}
	var r Revision
	if err := ctx.RegisterResource("pgrows:index:Revision", name, *args, &r, withVersion(opts)...); err != nil {
		return nil, err
	}
	return &r, nil
}
