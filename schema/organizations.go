package schema

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/internal/order"
	"plan-charge/provider/pgrows"
)

// Organization is one row of the table organizations.
type Organization struct {
	ID   string // a uuid
	Name string
}

// OrganizationsArgs are the inputs of Organizations.
type OrganizationsArgs struct {
	Connection    Connection
	Organizations []Organization
	// OnRemove says what becomes of an organization that is no longer listed: retain, softDelete or delete.
	OnRemove string
	// DependsOn is the migration that makes the table.
	DependsOn []pulumi.CustomResource
}

// Organizations are the organizations that users are created in. Others, which somebody else inserts, are left alone.
type Organizations struct {
	pulumi.ResourceState

	rows *pgrows.Rows
}

// Ready is the rows; none where none are listed.
func (o *Organizations) Ready() []pulumi.CustomResource {
	if o.rows == nil {
		return nil
	}
	return []pulumi.CustomResource{o.rows}
}

// NewOrganizations declares the rows. Without any it declares nothing: another application has no such table.
func NewOrganizations(ctx *pulumi.Context, name string, args *OrganizationsArgs, opts ...pulumi.ResourceOption) (*Organizations, error) {
	if !slices.Contains(pgrows.Removals(), args.OnRemove) {
		return nil, fmt.Errorf("organizations: on remove: found %q; allowed: %s", args.OnRemove, strings.Join(pgrows.Removals(), ", "))
	}
	rows := make(pulumi.Array, 0, len(args.Organizations))
	seen := map[string]bool{}
	var errs []error
	for _, o := range args.Organizations {
		if seen[o.ID] {
			errs = append(errs, fmt.Errorf("organizations: id %s is listed twice", o.ID))
		}
		seen[o.ID] = true
		// The rest of the columns is the database's: created_at, updated_at, and deleted_at, which stays NULL.
		rows = append(rows, pulumi.Map{"id": pulumi.String(o.ID), "name": pulumi.String(o.Name)})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}

	g := &Organizations{}
	if err := ctx.RegisterComponentResource("plan-charge:schema:Organizations", name, g, opts...); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return g, ctx.RegisterResourceOutputs(g, pulumi.Map{})
	}
	c := args.Connection
	provider, err := c.rows(ctx, name+"-postgres", pulumi.Parent(g), order.After(args.DependsOn...))
	if err != nil {
		return nil, err
	}
	owned, err := pgrows.NewRows(ctx, name+"-rows", &pgrows.RowsArgs{
		Schema:           pulumi.String(publicSchema),
		Table:            pulumi.String("organizations"),
		KeyColumns:       pulumi.ToStringArray([]string{"id"}),
		Rows:             rows,
		CreatedAtColumn:  pulumi.String("created_at"),
		UpdatedAtColumn:  pulumi.String("updated_at"),
		SoftDeleteColumn: pulumi.String("deleted_at"),
		OnRemove:         pulumi.String(args.OnRemove),
		Triggers:         c.triggers(),
	}, c.inside(g, provider, args.DependsOn...)...)
	if err != nil {
		return nil, err
	}
	g.rows = owned
	return g, ctx.RegisterResourceOutputs(g, pulumi.Map{})
}
