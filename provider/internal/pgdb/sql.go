package pgdb

import "github.com/jackc/pgx/v5"

// quoteAll quotes names for SQL.
func quoteAll(names []string) []string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = pgx.Identifier{n}.Sanitize()
	}
	return quoted
}
