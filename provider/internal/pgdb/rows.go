package pgdb

import "slices"

// Spec says which table is managed and how.
type Spec struct {
	Schema, Table string
	Keys          []string
	// CreatedAt and UpdatedAt are the columns that the database owns, "" where there are none.
	CreatedAt, UpdatedAt string
	// SoftDelete is the column that a soft delete sets, "" where there is none.
	SoftDelete string
	// Owner is the resource that declares the rows.
	Owner Owner
}

// Row is one declared row.
type Row struct {
	// Name names the row in messages.
	Name string
	// Values by column: nil, bool, float64, string, []any or map[string]any. A missing column is not managed in this row.
	Values map[string]any
	// OnlyNew are columns whose value is for a new row: in a row that is there they are neither compared nor written.
	OnlyNew []string
	// Pending are the columns that get a value which is not known yet.
	Pending []string
	// Secret keeps the row's values out of messages.
	Secret bool
}

// Columns returns every column that a row declares, sorted.
func Columns(rows []Row) []string {
	seen := map[string]bool{}
	for _, r := range rows {
		for c := range r.Values {
			seen[c] = true
		}
	}
	columns := make([]string, 0, len(seen))
	for c := range seen {
		columns = append(columns, c)
	}
	slices.Sort(columns)
	return columns
}
