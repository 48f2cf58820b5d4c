package schema

import (
	"github.com/pulumi/pulumi-postgresql/sdk/v3/go/postgresql"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// GrantsArgs are the inputs of Grants.
type GrantsArgs struct {
	Roles *Roles
	// DependsOn is the migration that makes the tables.
	DependsOn []pulumi.CustomResource
}

// Grants are the app's rights on what exists: tables that were there before default privileges were, as in a database
// that is adopted, have none of those.
type Grants struct {
	pulumi.ResourceState

	ready []pulumi.CustomResource
}

// Ready is the rights.
func (g *Grants) Ready() []pulumi.CustomResource { return g.ready }

// NewGrants declares the app's rights on the database, its tables and its sequences.
func NewGrants(ctx *pulumi.Context, name string, args *GrantsArgs, opts ...pulumi.ResourceOption) (*Grants, error) {
	g := &Grants{}
	if err := ctx.RegisterComponentResource("plan-charge:schema:Grants", name, g, opts...); err != nil {
		return nil, err
	}
	c := args.Roles.connection
	// One after the other: PostgreSQL lets no two transactions change the same object's rights at once.
	dependsOn := append([]pulumi.CustomResource{}, args.DependsOn...)
	for _, grant := range []struct {
		what       string
		schema     pulumi.StringPtrInput
		privileges pulumi.StringArray
	}{
		{"database", nil, databasePrivileges},
		{"table", pulumi.String(publicSchema), tablePrivileges},
		{"sequence", pulumi.String(publicSchema), sequencePrivileges},
	} {
		made, err := postgresql.NewGrant(ctx, name+"-"+grant.what, &postgresql.GrantArgs{
			Database:   pulumi.String(c.Database),
			Schema:     grant.schema,
			Role:       args.Roles.App,
			ObjectType: pulumi.String(grant.what),
			Privileges: grant.privileges,
		}, c.inside(g, args.Roles.provider, dependsOn...)...)
		if err != nil {
			return nil, err
		}
		dependsOn = append(dependsOn, made)
		g.ready = append(g.ready, made)
	}
	return g, ctx.RegisterResourceOutputs(g, pulumi.Map{})
}
