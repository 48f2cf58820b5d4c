package pgdb

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"plan-charge/provider/internal/value"
)

// ErrNoTable means that the table does not exist.
var ErrNoTable = errors.New("the table does not exist")

// Table is what the catalog says about a table.
type Table struct {
	Schema, Name string
	OID          uint32
	Columns      map[string]Column
	Order        []string // names of the columns in the table's order
	// Unique are the sets of columns that a plain unique index or constraint covers.
	Unique [][]string
}

// Column is what the catalog says about a column.
type Column struct {
	Type       value.Type
	NotNull    bool
	HasDefault bool
	// Generated means that PostgreSQL computes the value and takes none.
	Generated bool
	// Collated means that comparing depends on a collation.
	Collated bool
}

// Identifier is the table's quoted name.
func (t *Table) Identifier() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// String names the table for messages.
func (t *Table) String() string { return t.Schema + "." + t.Name }

// Inspect looks a table up. The error is ErrNoTable when there is none of that name.
func Inspect(ctx context.Context, tx pgx.Tx, schema, name string) (*Table, error) {
	t := &Table{Schema: schema, Name: name, Columns: map[string]Column{}}
	var kind string
	err := tx.QueryRow(ctx, `SELECT c.oid, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')`, schema, name).Scan(&t.OID, &kind)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%s: %w", t, ErrNoTable)
	}
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", t, err)
	}
	if kind != "r" && kind != "p" {
		what := map[string]string{"v": "a view", "m": "a materialized view", "f": "a foreign table", "S": "a sequence", "c": "a type"}[kind]
		return nil, fmt.Errorf("%s is %s, but only the rows of a table can be managed", t, what)
	}
	if err := t.readColumns(ctx, tx); err != nil {
		return nil, fmt.Errorf("look up the columns of %s: %w", t, err)
	}
	rows, err := tx.Query(ctx, `SELECT (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey))
		FROM pg_index i WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL`, t.OID)
	if err != nil {
		return nil, err
	}
	if t.Unique, err = pgx.CollectRows(rows, pgx.RowTo[[]string]); err != nil {
		return nil, fmt.Errorf("look up the indexes of %s: %w", t, err)
	}
	return t, nil
}

func (t *Table) readColumns(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `
		WITH RECURSIVE base AS (
			SELECT a.attnum, a.atttypid AS oid FROM pg_attribute a WHERE a.attrelid = $1
			UNION ALL
			SELECT b.attnum, y.typbasetype FROM base b JOIN pg_type y ON y.oid = b.oid WHERE y.typtype = 'd'
		)
		SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), y.typname::text,
			CASE WHEN y.typcategory = 'A' THEN coalesce(e.typname::text, '') ELSE '' END,
			a.attnotnull, a.atthasdef OR a.attidentity <> '', a.attgenerated <> '' OR a.attidentity = 'a', a.attcollation <> 0
		FROM pg_attribute a
		JOIN base b ON b.attnum = a.attnum
		JOIN pg_type y ON y.oid = b.oid AND y.typtype <> 'd'
		LEFT JOIN pg_type e ON e.oid = y.typelem
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attnum`, t.OID)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var c Column
		if err := rows.Scan(&name, &c.Type.Name, &c.Type.Base, &c.Type.Element, &c.NotNull, &c.HasDefault, &c.Generated, &c.Collated); err != nil {
			return err
		}
		t.Columns[name] = c
		t.Order = append(t.Order, name)
	}
	return rows.Err()
}

// IsUnique says whether the table itself keeps two rows from having the same values in these columns.
func (t *Table) IsUnique(columns []string) bool {
	want := slices.Sorted(slices.Values(columns))
	return slices.ContainsFunc(t.Unique, func(u []string) bool { return slices.Equal(want, slices.Sorted(slices.Values(u))) })
}

// Types returns the types of the named columns, for those that exist.
func (t *Table) Types(columns []string) map[string]value.Type {
	types := map[string]value.Type{}
	for _, c := range columns {
		if col, ok := t.Columns[c]; ok {
			types[c] = col.Type
		}
	}
	return types
}

// differs is the SQL condition under which two values of a column are not the same.
func (c Column) differs(a, b string) string {
	element := c.Type.Base
	if c.Type.IsArray() {
		element = c.Type.Element
	}
	switch element {
	case "json":
		if !c.Type.IsArray() {
			return fmt.Sprintf("%s::jsonb IS DISTINCT FROM %s::jsonb", a, b)
		}
		fallthrough
	case "xml", "point", "line", "lseg", "box", "path", "polygon", "circle":
		// No equality at all, or one of areas and lengths.
		return fmt.Sprintf("%s::text IS DISTINCT FROM %s::text", a, b)
	case "text", "varchar", "bpchar":
		if c.Collated {
			// A collation may call different texts equal.
			return fmt.Sprintf(`%s COLLATE "C" IS DISTINCT FROM %s COLLATE "C"`, a, b)
		}
	}
	return fmt.Sprintf("%s IS DISTINCT FROM %s", a, b)
}

// comparable says whether rows can be found by this column.
func (c Column) comparable() bool {
	switch c.Type.Base {
	case "json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle":
		return false
	}
	return true
}
