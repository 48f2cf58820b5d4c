package pgrows

import (
	"errors"
	"reflect"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/provider/internal/contract"
)

var (
	_ pulumi.CustomResource = (*Rows)(nil)
	_ pulumi.Input          = RowsArgs{}
)

// What becomes of a row that leaves the program.
const (
	// Retain leaves it in the table.
	Retain = contract.Retain
	// SoftDelete sets SoftDeleteColumn.
	SoftDelete = contract.SoftDelete
	// Delete deletes it.
	Delete = contract.Delete
)

// Removals are the words that OnRemove may be.
func Removals() []string { return []string{Retain, SoftDelete, Delete} }

// Rows are rows of one table that the program owns, such as reference data. Rows that are there already are adopted, only
// what differs is written, all in one transaction, and rows that the program does not name are left alone. The table itself
// is never created or dropped.
type Rows struct {
	pulumi.CustomResourceState

	// RowCount is how many rows the program owns.
	RowCount pulumi.IntOutput `pulumi:"rowCount"`
}

// What is done with the rows of a file.
const (
	// Insert adds rows that are missing and leaves all others.
	Insert = contract.Insert
	// Upsert, the default, adds rows that are missing and changes those that differ.
	Upsert = contract.Upsert
	// Sync does so too, and takes out what is not in the file.
	Sync = contract.Sync
)

// RowsArgs say which rows a table has to hold. Table, KeyColumns, and either Rows or File are required.
type RowsArgs struct {
	// Schema of the table, public unless given.
	Schema pulumi.StringPtrInput
	// Table is its name, exactly as the catalog has it.
	Table pulumi.StringInput
	// KeyColumns tell rows apart. Every row gives each of them a value.
	KeyColumns pulumi.StringArrayInput
	// Rows are the rows, each a pulumi.Map of column and value; their order means nothing. A string is read as PostgreSQL
	// reads it for the column's type, in a JSON column as the text of a document; times without a zone count as UTC. Pulumi
	// drops nil values of Go programs on the way: to own a NULL, leave the column out here and name it in Columns.
	Rows pulumi.ArrayInput
	// File is a file to take the rows from instead, as a path from the program's folder: .csv (as COPY reads it, with a line of
	// columns first), .jsonl or .ndjson, .yaml or .yml. Its rows are compared inside the database and are kept in no state, and
	// the table belongs to this resource alone.
	File pulumi.StringPtrInput
	// Mode is Insert, Upsert (unless given) or Sync.
	Mode pulumi.StringPtrInput
	// MaxDeletes is how many rows one update may take out with Sync; none unless given.
	MaxDeletes pulumi.IntPtrInput
	// ChangesFile is a file to write every row that comes, changes or goes to, in clear.
	ChangesFile pulumi.StringPtrInput
	// Columns that the program owns in every row: a row that does not name one of them has NULL there. Other columns are
	// owned only in the rows that name them.
	Columns pulumi.StringArrayInput
	// CreatedAtColumn is set by the database when a row is inserted, and never again.
	CreatedAtColumn pulumi.StringPtrInput
	// UpdatedAtColumn is set by the database when a row is inserted or really changes.
	UpdatedAtColumn pulumi.StringPtrInput
	// SoftDeleteColumn marks deleted rows by a time. Every row that does not name it has NULL there, so that a row that
	// somebody marked by hand is mended.
	SoftDeleteColumn pulumi.StringPtrInput
	// OnRemove is Retain (unless given), SoftDelete (needs SoftDeleteColumn) or Delete.
	OnRemove pulumi.StringPtrInput
	// Triggers make the rows be applied again when they change, such as the identity of the database.
	Triggers pulumi.StringArrayInput
}

type rowsArgs struct {
	Schema           *string  `pulumi:"schema"`
	Table            string   `pulumi:"table"`
	KeyColumns       []string `pulumi:"keyColumns"`
	Rows             []any    `pulumi:"rows"`
	File             *string  `pulumi:"file"`
	Mode             *string  `pulumi:"mode"`
	MaxDeletes       *int     `pulumi:"maxDeletes"`
	ChangesFile      *string  `pulumi:"changesFile"`
	Columns          []string `pulumi:"columns"`
	CreatedAtColumn  *string  `pulumi:"createdAtColumn"`
	UpdatedAtColumn  *string  `pulumi:"updatedAtColumn"`
	SoftDeleteColumn *string  `pulumi:"softDeleteColumn"`
	OnRemove         *string  `pulumi:"onRemove"`
	Triggers         []string `pulumi:"triggers"`
}

// ElementType gives Pulumi the inputs' keys and types.
func (RowsArgs) ElementType() reflect.Type { return reflect.TypeFor[rowsArgs]() }

// NewRows registers the rows. Give the connection with pulumi.Provider.
func NewRows(ctx *pulumi.Context, name string, args *RowsArgs, opts ...pulumi.ResourceOption) (*Rows, error) {
	if args == nil || args.Table == nil || args.KeyColumns == nil || (args.Rows == nil) == (args.File == nil) {
		return nil, errors.New("pgrows.NewRows: Table, KeyColumns, and one of Rows and File are required")
	}
	var r Rows
	if err := ctx.RegisterResource("pgrows:index:Rows", name, *args, &r, withVersion(opts)...); err != nil {
		return nil, err
	}
	return &r, nil
}
