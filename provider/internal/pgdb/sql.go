package pgdb

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// quoteAll quotes names for SQL.
func quoteAll(names []string) []string {
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = pgx.Identifier{n}.Sanitize()
	}
	return quoted
}

// onKeys is the SQL condition that joins a to b by key.
func onKeys(keys []string, a, b string) string {
	parts := make([]string, len(keys))
	for i, k := range quoteAll(keys) {
		parts[i] = fmt.Sprintf("%s.%s = %s.%s", a, k, b, k)
	}
	return strings.Join(parts, " AND ")
}
