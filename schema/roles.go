package schema

import (
	"github.com/pulumi/pulumi-postgresql/sdk/v3/go/postgresql"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/internal/order"
	"plan-charge/provider/pgrows"
)

// What the app may do with the tables and sequences that migrations make. It may not change them: since PostgreSQL 15
// only the database's owner can create anything in the schema public.
var (
	databasePrivileges = pulumi.ToStringArray([]string{"CONNECT"})
	tablePrivileges    = pulumi.ToStringArray([]string{"SELECT", "INSERT", "UPDATE", "DELETE"})
	sequencePrivileges = pulumi.ToStringArray([]string{"USAGE", "SELECT"})
)

// RolesArgs are the inputs of Roles.
type RolesArgs struct {
	Connection  Connection
	AppName     string
	AppPassword pulumi.StringInput
	Allow       []string // rights of others that may stay, as a refresh names them
	// DependsOn is what must be there before the database can be reached.
	DependsOn []pulumi.CustomResource
}

// Roles are the roles besides the owner, and their rights on what the owner will create. They come before the
// migration, because default privileges do not reach what exists.
type Roles struct {
	pulumi.ResourceState

	// App is the app role's name.
	App pulumi.StringOutput

	connection Connection
	provider   *postgresql.Provider
	ready      []pulumi.CustomResource
}

// Ready is the role and what it may do with tables to come.
func (r *Roles) Ready() []pulumi.CustomResource { return r.ready }

// NewRoles declares the watch on the app's login and on everybody's rights, the app's role and its default privileges.
func NewRoles(ctx *pulumi.Context, name string, args *RolesArgs, opts ...pulumi.ResourceOption) (*Roles, error) {
	r := &Roles{connection: args.Connection}
	if err := ctx.RegisterComponentResource("plan-charge:schema:Roles", name, r, opts...); err != nil {
		return nil, err
	}
	c := args.Connection
	provider, err := c.postgres(ctx, name+"-postgres", pulumi.Parent(r), order.After(args.DependsOn...))
	if err != nil {
		return nil, err
	}
	r.provider = provider

	// The role's own resource cannot read a password back. So the login is tried before it, as the tasks do.
	logins, err := c.rows(ctx, name+"-logins", pulumi.Parent(r), order.After(args.DependsOn...))
	if err != nil {
		return nil, err
	}
	login, err := pgrows.NewLogin(ctx, name+"-login", &pgrows.LoginArgs{
		Username: pulumi.String(args.AppName),
		Password: args.AppPassword,
		Triggers: c.triggers(),
	}, c.inside(r, logins, args.DependsOn...)...)
	if err != nil {
		return nil, err
	}

	// What others may do is revoked before anything is granted: PostgreSQL lets no two transactions change the same
	// object's rights at once.
	rights, err := pgrows.NewRights(ctx, name+"-rights", &pgrows.RightsArgs{
		Role:               pulumi.String(args.AppName),
		Schema:             pulumi.String(publicSchema),
		DatabasePrivileges: databasePrivileges,
		TablePrivileges:    tablePrivileges,
		SequencePrivileges: sequencePrivileges,
		Allow:              pulumi.ToStringArray(args.Allow),
	}, c.inside(r, logins, args.DependsOn...)...)
	if err != nil {
		return nil, err
	}

	password := pulumi.All(c.Host, args.AppPassword, login.Generation).ApplyT(func(v []any) (string, error) {
		return scramVerifier(v[1].(string), append([]string{v[0].(string), c.Database, args.AppName}, again(v[2].(int))...)...)
	}).(pulumi.StringOutput)
	app, err := postgresql.NewRole(ctx, name+"-app", &postgresql.RoleArgs{
		Name:           pulumi.String(args.AppName),
		Login:          pulumi.Bool(true),
		Password:       secret(password),
		CreateDatabase: pulumi.Bool(false),
		CreateRole:     pulumi.Bool(false),
		Superuser:      pulumi.Bool(false),
		Replication:    pulumi.Bool(false),
	}, c.inside(r, provider, append([]pulumi.CustomResource{rights}, args.DependsOn...)...)...)
	if err != nil {
		return nil, err
	}
	r.App, r.ready = app.Name, []pulumi.CustomResource{app}

	for _, d := range []struct {
		what       string
		privileges pulumi.StringArray
	}{{"table", tablePrivileges}, {"sequence", sequencePrivileges}} {
		privileges, err := postgresql.NewDefaultPrivileges(ctx, name+"-default-"+d.what, &postgresql.DefaultPrivilegesArgs{
			Database:   pulumi.String(c.Database),
			Schema:     pulumi.String(publicSchema),
			Owner:      pulumi.String(c.Owner),
			Role:       app.Name,
			ObjectType: pulumi.String(d.what),
			Privileges: d.privileges,
		}, c.inside(r, provider)...)
		if err != nil {
			return nil, err
		}
		r.ready = append(r.ready, privileges)
	}
	return r, ctx.RegisterResourceOutputs(r, pulumi.Map{"app": r.App})
}
