package resource

import "github.com/pulumi/pulumi-go-provider/infer"

var (
	_ infer.Annotated = (*Rights)(nil)
	_ infer.Annotated = (*RightsArgs)(nil)
	_ infer.Annotated = (*RightsState)(nil)
)

// Rights watches who may do what besides the owner.
type Rights struct{ connector *connector }

// RightsArgs say who may do what.
type RightsArgs struct {
	Role               string   `pulumi:"role"`
	Schema             *string  `pulumi:"schema,optional"`
	DatabasePrivileges []string `pulumi:"databasePrivileges"`
	TablePrivileges    []string `pulumi:"tablePrivileges"`
	SequencePrivileges []string `pulumi:"sequencePrivileges"`
	Allow              []string `pulumi:"allow,optional"`
}

// RightsState is what was seen last.
type RightsState struct {
	RightsArgs
	Found []string `pulumi:"found"`
}

// Annotate describes the resource in the schema.
func (r *Rights) Annotate(a infer.Annotator) {
	a.SetToken("index", "Rights")
	a.Describe(&r, "Sees to it that nobody besides the owner has rights in the database that are not declared here. "+
		"A refresh names each, and the next update revokes those that were named. It grants nothing: declare it before the grants, and revokes nothing when it is created.")
}

// Annotate describes the inputs in the schema.
func (r *RightsArgs) Annotate(a infer.Annotator) {
	describe(a, r, map[string]doc{
		"role":               {"Role that is to have rights.", `"app"`},
		"schema":             {"Schema of the tables and sequences, those to come included.", `"public"`},
		"databasePrivileges": {"What it may do with the database.", `["CONNECT"]`},
		"tablePrivileges":    {"What it may do with tables.", `["SELECT", "INSERT"]`},
		"sequencePrivileges": {"What it may do with sequences.", `["USAGE"]`},
		"allow":              {"Rights that may stay, as they are named.", `["reporting: SELECT on table public.organizations"]`},
	})
	a.SetDefault(&r.Schema, "public")
}

// Annotate describes the outputs in the schema.
func (r *RightsState) Annotate(a infer.Annotator) {
	describe(a, r, map[string]doc{
		"found": {"Rights that were seen last and are not declared, by name, and why they could not be looked at.", `["PUBLIC: CREATE on schema public"]`},
	})
}

// WireDependencies keeps what was found known in previews.
func (*Rights) WireDependencies(f infer.FieldSelector, _ *RightsArgs, state *RightsState) {
	f.OutputField(&state.Found).AlwaysKnown()
}
