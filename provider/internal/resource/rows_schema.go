package resource

import (
	"context"
	"errors"

	"github.com/pulumi/pulumi-go-provider/infer"

	"plan-charge/provider/internal/contract"
)

var (
	_ infer.CustomResource[RowsArgs, RowsState] = (*Rows)(nil)
	_ infer.Annotated                           = (*Rows)(nil)
	_ infer.Annotated                           = (*RowsArgs)(nil)
	_ infer.Annotated                           = (*RowsState)(nil)
	_ infer.Annotated                           = (*ColumnType)(nil)
)

// Rows gives the resource its schema. What it does is in the type rows, which works on properties as they are, because
// plain Go values cannot tell an unknown or secret value inside a row from a known one.
type Rows struct{}

// RowsArgs are the inputs.
type RowsArgs struct {
	Schema           *string          `pulumi:"schema,optional"`
	Table            string           `pulumi:"table"`
	KeyColumns       []string         `pulumi:"keyColumns"`
	Rows             []map[string]any `pulumi:"rows,optional"`
	File             *string          `pulumi:"file,optional"`
	Mode             *string          `pulumi:"mode,optional"`
	MaxDeletes       *int             `pulumi:"maxDeletes,optional"`
	ChangesFile      *string          `pulumi:"changesFile,optional"`
	Columns          []string         `pulumi:"columns,optional"`
	CreatedAtColumn  *string          `pulumi:"createdAtColumn,optional"`
	UpdatedAtColumn  *string          `pulumi:"updatedAtColumn,optional"`
	SoftDeleteColumn *string          `pulumi:"softDeleteColumn,optional"`
	OnRemove         *string          `pulumi:"onRemove,optional"`
	Triggers         []string         `pulumi:"triggers,optional"`
}

// RowsState are the outputs.
type RowsState struct {
	Schema           string                    `pulumi:"schema"`
	Table            string                    `pulumi:"table"`
	KeyColumns       []string                  `pulumi:"keyColumns"`
	Rows             map[string]map[string]any `pulumi:"rows,optional"`
	File             *string                   `pulumi:"file,optional"`
	FileDigest       *string                   `pulumi:"fileDigest,optional"`
	Mode             *string                   `pulumi:"mode,optional"`
	MaxDeletes       *int                      `pulumi:"maxDeletes,optional"`
	Drift            *string                   `pulumi:"drift,optional"`
	Columns          []string                  `pulumi:"columns,optional"`
	CreatedAtColumn  *string                   `pulumi:"createdAtColumn,optional"`
	UpdatedAtColumn  *string                   `pulumi:"updatedAtColumn,optional"`
	SoftDeleteColumn *string                   `pulumi:"softDeleteColumn,optional"`
	OnRemove         string                    `pulumi:"onRemove"`
	Triggers         []string                  `pulumi:"triggers,optional"`
	RowCount         int                       `pulumi:"rowCount"`
	ColumnTypes      map[string]ColumnType     `pulumi:"columnTypes"`
	NotSeen          *string                   `pulumi:"notSeen,optional"`
	Owner            *string                   `pulumi:"owner,optional"`
}

// ColumnType is what is remembered of a column's type.
type ColumnType struct {
	Name    string `pulumi:"name"`
	Base    string `pulumi:"base"`
	Element string `pulumi:"element"`
}

// Annotate names and describes the type in the schema.
func (c *ColumnType) Annotate(a infer.Annotator) {
	a.SetToken("index", "ColumnType")
	describe(a, c, map[string]doc{
		"name":    {"The type as PostgreSQL prints it.", `"timestamp with time zone"`},
		"base":    {"Its internal name, without domains.", `"timestamptz"`},
		"element": {"The internal name of an array's elements; empty where the type is no array.", `"int4"`},
	})
}

// Annotate describes the resource in the schema.
func (r *Rows) Annotate(a infer.Annotator) {
	a.SetToken("index", "Rows")
	a.Describe(&r, "Rows of one table that the program owns, such as reference data. Rows that are there already are adopted, "+
		"only what differs is written, all in one transaction, and rows that the program does not name are left alone. "+
		"A refresh reports changed values and missing rows; the next update mends them. Values are compared as PostgreSQL compares them, and where that calls different texts equal (citext, interval), as texts.\n\n"+
		"A row belongs to one resource, whatever the program, the stack and the provider: the table plan_charge.owned_rows remembers it.\n\n"+
		"The table itself is never created or dropped.\n\n"+
		"Rows come from a list in the program (rows), or, where there are many, from a file. Either can be used; not both.\n\n"+
		"Import existing rows by table and key: `pulumi import pgrows:index:Rows name public.organizations/id`, or with columns of the database's own "+
		"`'public.organizations/id?createdAtColumn=created_at&updatedAtColumn=updated_at&softDeleteColumn=deleted_at'`.")
}

// rowsDocs describe the inputs, which are outputs as well.
var rowsDocs = map[string]doc{
	"schema":     {"Schema of the table.", `"public"`},
	"table":      {"Name of the table, exactly as the catalog has it.", `"organizations"`},
	"keyColumns": {"Columns that tell rows apart. Every row gives each of them a value.", `["id"]`},
	"rows": {
		"The rows, each an object of column and value; their order means nothing. Values may be strings, numbers, bools, null, lists (array columns) and objects (JSON columns); " +
			"a string is read as PostgreSQL reads it for the column's type, in a JSON column as the text of a document. Times without a zone count as UTC.",
		`[{"id": 1, "name": "Default Organization", "tags": ["first"]}]`,
	},
	"file": {
		"A file to take the rows from instead, as a path from the program's folder: .csv (as COPY reads it, with a line of columns first; a value that is empty without quotes is NULL), " +
			".jsonl or .ndjson (an object a line), .yaml or .yml (a list of objects). Its rows are compared inside the database and are kept in no state; the table then belongs to this resource alone.",
		`"organizations.csv"`,
	},
	"mode": {
		"What is done with the rows of a file: `" + contract.Insert + "` adds those that are missing and leaves the others, `" + contract.Upsert + "` also changes those that differ, `" + contract.Sync +
			"` also takes out what is not in the file, as onRemove says. It is " + contract.Upsert + " unless given.",
		`"sync"`,
	},
	"maxDeletes": {"How many rows one update may take out in mode " + contract.Sync + "; more of them are refused, in a preview already. None unless given.", `100`},
	"changesFile": {
		"A file to write every row that comes, changes or goes to, an object a line, in previews, refreshes and updates. It holds values of the table in clear.",
		`"changes.jsonl"`,
	},
	"columns": {
		"Columns that the program owns in every row: a row that does not name one of them has NULL there. Other columns are owned only in the rows that name them.",
		`["name", "website"]`,
	},
	"createdAtColumn": {"Column of the database's own that is set when a row is inserted, and never again.", `"created_at"`},
	"updatedAtColumn": {"Column of the database's own that is set when a row is inserted or really changes.", `"updated_at"`},
	"softDeleteColumn": {
		"Column that marks deleted rows by a time. Every row that does not name it has NULL there, so that a row that someone marked by hand is mended.",
		`"deleted_at"`,
	},
	"onRemove": {
		"What becomes of a row that leaves the program: `" + contract.Retain + "` it in the table, `" + contract.SoftDelete + "` it (needs softDeleteColumn), or `" + contract.Delete + "` it.",
		`"softDelete"`,
	},
	"triggers": {"Values that make the rows be applied again when they change, such as the identity of the database.", `["db-ABCDEFGHIJKL"]`},
}

// Annotate describes the inputs in the schema.
func (r *RowsArgs) Annotate(a infer.Annotator) {
	describe(a, r, rowsDocs)
	a.SetDefault(&r.Schema, defaultSchema)
	a.SetDefault(&r.OnRemove, contract.Retain)
}

// Annotate describes the outputs in the schema.
func (r *RowsState) Annotate(a infer.Annotator) {
	describe(a, r, rowsDocs)
	describe(a, r, map[string]doc{
		"rows":     {"The rows as they were last read or written, by key.", `{"id=1": {"id": 1, "name": "Default Organization"}}`},
		"rowCount": {"How many rows the program owns.", `1`},
		digestKey:  {"What the file held when its rows were last written.", `"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"`},
		driftKey:   {"What the last refresh found different from the file; absent where nothing was.", `"of 249 rows in the file 1 different; row code=FR (line 76 of countries.csv) differs in name"`},
		notSeenKey: {"Why the last refresh could not look at the table; absent where it could.", `"not seen: no connection to db.example.com:5432: connection refused"`},
		ownerKey: {
			"By what the database knows the resource (table plan_charge.owned_rows), so that no other one takes its rows; absent until the resource first writes.",
			`"rows-5GTV4ZSUXPFRA7KPJOKZTSMKKQ"`,
		},
		"columnTypes": {
			"Types of the columns, remembered so that a preview can compare values without a connection.",
			`{"id": {"name": "integer", "base": "int4", "element": ""}}`,
		},
	})
}

// Create only completes the interface.
func (*Rows) Create(context.Context, infer.CreateRequest[RowsArgs]) (infer.CreateResponse[RowsState], error) {
	return infer.CreateResponse[RowsState]{}, errors.ErrUnsupported
}
