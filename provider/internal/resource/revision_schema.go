package resource

import (
	"github.com/pulumi/pulumi-go-provider/infer"

	"plan-charge/internal/schemaobjects"
	"plan-charge/internal/versiontable"
)

var (
	_ infer.Annotated = (*Revision)(nil)
	_ infer.Annotated = (*RevisionArgs)(nil)
	_ infer.Annotated = (*RevisionState)(nil)
)

// Revision watches which schema revision a database is at. It writes nothing.
type Revision struct{ connector *connector }

// RevisionArgs say where the revision is kept.
type RevisionArgs struct {
	Schema   *string  `pulumi:"schema,optional"`
	Table    *string  `pulumi:"table,optional"`
	Column   *string  `pulumi:"column,optional"`
	Triggers []string `pulumi:"triggers,optional"`
	// IgnoreObjects are patterns, because an application may make objects of its own.
	IgnoreObjects []string `pulumi:"ignoreObjects,optional"`
}

// RevisionState is what is known about the revision.
type RevisionState struct {
	RevisionArgs
	Revision   string `pulumi:"revision"`
	Drift      string `pulumi:"drift"`
	Generation int    `pulumi:"generation"`
	// NotMigrated is absent from the state of an earlier version.
	NotMigrated map[string]string `pulumi:"notMigrated,optional"`
}

// Annotate describes the resource in the schema.
func (r *Revision) Annotate(a infer.Annotator) {
	a.SetToken("index", "Revision")
	a.Describe(&r, "Watches which revision a database's schema is at, and compares it, and the objects that the schema is made of, with what the last migration left. "+
		"When somebody changed them by hand, a refresh reports it, and the next update raises `generation`, so that a migration that has it among its triggers runs again. Nothing is written to the database.")
}

// Annotate describes the inputs in the schema.
func (r *RevisionArgs) Annotate(a infer.Annotator) {
	describe(a, r, map[string]doc{
		"schema":   {"Schema of the version table.", `"public"`},
		"table":    {"Table that holds the revision, one row for each head.", `"alembic_version"`},
		"column":   {"Column that holds the revision.", `"version_num"`},
		"triggers": {"Values that raise `generation` when they change, such as the identity of the database.", `["db-ABCDEFGHIJKL"]`},
		"ignoreObjects": {
			"Objects that are not compared with what the last migration left, such as tables that an application makes itself: " + schemaobjects.AllowedPattern + ".",
			`["table public.cache_*"]`,
		},
	})
	a.SetDefault(&r.Schema, versiontable.DefaultSchema)
	a.SetDefault(&r.Table, versiontable.DefaultTable)
	a.SetDefault(&r.Column, versiontable.DefaultColumn)
}

// Annotate describes the outputs in the schema.
func (r *RevisionState) Annotate(a infer.Annotator) {
	describe(a, r, map[string]doc{
		"revision":   {"Revision that the schema is at, as it was last read: several heads are sorted and joined by commas, an empty text means none.", `"0003"`},
		"drift":      {"How the schema differs from what the last migration left; empty when it does not.", `"dropped table public.users; changed column public.organizations.name"`},
		"generation": {"Rises when the schema has to be migrated again.", `1`},
		"notMigrated": {
			"For each image that was deployed here, and whose revision the schema has moved past, what its rollout does, as it was read last.",
			`{"plan-charge/backend:1.0.0": "schema is at 0004 by 1.1.0; 1.0.0 knows 0003: not migrated"}`,
		},
	})
}

// WireDependencies keeps all but the revision known in previews, so that a preview shows what runs again.
func (*Revision) WireDependencies(f infer.FieldSelector, _ *RevisionArgs, state *RevisionState) {
	f.OutputField(&state.Generation).AlwaysKnown()
	f.OutputField(&state.Drift).AlwaysKnown()
	f.OutputField(&state.NotMigrated).AlwaysKnown()
}
