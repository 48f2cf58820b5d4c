package pgrows

import (
	"errors"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

var (
	_ pulumi.CustomResource = (*Login)(nil)
	_ pulumi.Input          = LoginArgs{}
)

// Login watches whether a role can log in with the password that it was given. It writes nothing, and does not log in when
// it is created: declare it before the role.
type Login struct {
	pulumi.CustomResourceState

	// Drift says why the role could not log in when it was last tried, and is "" when it could.
	Drift pulumi.StringOutput `pulumi:"drift"`
	// Generation rises when the role has to be given its password again: make it an ingredient of the role's password.
	Generation pulumi.IntOutput `pulumi:"generation"`
}

// LoginArgs say who logs in; where to is the provider's. Username and Password are required.
type LoginArgs struct {
	// Username is the role.
	Username pulumi.StringInput
	// Password of the role. It becomes secret whatever it was.
	Password pulumi.StringInput
	// Triggers make an update look at the login when they change, such as the identity of the database.
	Triggers pulumi.StringArrayInput
}

type loginArgs struct {
	Username string   `pulumi:"username"`
	Password string   `pulumi:"password"`
	Triggers []string `pulumi:"triggers"`
}

// ElementType gives Pulumi the inputs' keys and types.
func (LoginArgs) ElementType() reflect.Type { return reflect.TypeFor[loginArgs]() }

// NewLogin registers the login. Give the connection with pulumi.Provider.
func NewLogin(ctx *pulumi.Context, name string, args *LoginArgs, opts ...pulumi.ResourceOption) (*Login, error) {
	if args == nil || args.Username == nil || args.Password == nil {
		return nil, errors.New("pgrows.NewLogin: Username and Password are required")
	}
	inputs := *args
	inputs.Password = pulumi.ToSecret(args.Password.ToStringOutput()).(pulumi.StringOutput)
	var l Login
	if err := ctx.RegisterResource("pgrows:index:Login", name, inputs, &l, withVersion(opts)...); err != nil {
		return nil, err
	}
	return &l, nil
}
