package resource

import "github.com/pulumi/pulumi-go-provider/infer"

var (
	_ infer.Annotated = (*Login)(nil)
	_ infer.Annotated = (*LoginArgs)(nil)
	_ infer.Annotated = (*LoginState)(nil)
)

// Login watches whether a role can log in. It writes nothing.
type Login struct{ connector *connector }

// LoginArgs say who logs in.
type LoginArgs struct {
	Username string   `pulumi:"username"`
	Password string   `pulumi:"password" provider:"secret"`
	Triggers []string `pulumi:"triggers,optional"`
}

// LoginState is what is known about the login.
type LoginState struct {
	LoginArgs
	Drift      string `pulumi:"drift"`
	Generation int    `pulumi:"generation"`
}

// Annotate describes the resource in the schema.
func (l *Login) Annotate(a infer.Annotator) {
	a.SetToken("index", "Login")
	a.Describe(&l, "Watches whether a role can log in with the password that it was given, at the address and to the database of the provider. "+
		"When it cannot, a refresh reports it, and the next update raises `generation`, so that a role whose password has it as an ingredient is given the password again. "+
		"Declare it before the role: it does not log in when it is created. Nothing is written to the database.")
}

// Annotate describes the inputs in the schema.
func (l *LoginArgs) Annotate(a infer.Annotator) {
	describe(a, l, map[string]doc{
		"username": {"Role that logs in.", `"app"`},
		"password": {"Its password. It is kept secret, and no message holds it.", `"correct horse battery staple"`},
		"triggers": {"Values that make an update look at the login when they change, such as the identity of the database.", `["db-ABCDEFGHIJKL"]`},
	})
}

// Annotate describes the outputs in the schema.
func (l *LoginState) Annotate(a infer.Annotator) {
	describe(a, l, map[string]doc{
		"drift":      {"Why the role could not log in when it was last tried; empty when it could.", `"cannot log in as app: the password is another one"`},
		"generation": {"Rises when the role has to be given its password again.", `1`},
	})
}

// WireDependencies keeps generation and drift known in previews, and in clear although the password is secret.
func (*Login) WireDependencies(f infer.FieldSelector, _ *LoginArgs, state *LoginState) {
	for _, output := range []any{&state.Generation, &state.Drift} {
		f.OutputField(output).AlwaysKnown()
		f.OutputField(output).NeverSecret()
	}
}
