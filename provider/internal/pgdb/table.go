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
	// Filtered means that row-level security may hide rows of the table from the user.
	Filtered bool
}

// Column is what the catalog says about a column.
type Column struct {
	Type       value.Type
	NotNull    bool
	HasDefault bool
	// Default is the SQL expression of what a new row gets, "" where that is NULL.
	Default string
	// Generated means that PostgreSQL computes the value and takes none.
	Generated bool
	// Collation that comparing depends on, quoted; "" where it depends on none.
	Collation string
	// Loose means that values which look different may count as equal.
	Loose bool

	// plain is the type below a domain that is NOT NULL, "" for others.
	plain string
	// equality says whether the type has an operator =.
	equality bool
	// textElements means that an array's elements are read as text.
	textElements bool
}

// staging is the column's type in a temporary table. Rows that do not declare the column are NULL there, so a domain that is
// NOT NULL gives way to what is below it.
func (c Column) staging() string {
	name := c.Type.Name
	if c.plain != "" {
		name = c.plain
	}
	if c.Collation != "" {
		name += " COLLATE " + c.Collation
	}
	return name
}

// Identifier is the table's quoted name.
func (t *Table) Identifier() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

// String names the table for messages.
func (t *Table) String() string { return t.Schema + "." + t.Name }

// Inspect looks a table up. The error is ErrNoTable when there is none of that name.
func Inspect(ctx context.Context, tx pgx.Tx, schema, name string) (*Table, error) {
	t := &Table{Schema: schema, Name: name, Columns: map[string]Column{}}
	var kind string
	err := tx.QueryRow(ctx, `SELECT c.oid, c.relkind::text, CASE WHEN c.relrowsecurity THEN row_security_active(c.oid) ELSE false END
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')`, schema, name).Scan(&t.OID, &kind, &t.Filtered)
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
	rows, err := tx.Query(ctx, `SELECT (SELECT array_agg(a.attname::text) FROM pg_attribute a WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
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
			SELECT a.attnum, a.atttypid AS oid, a.atttypmod AS modifier, false AS filled FROM pg_attribute a WHERE a.attrelid = $1
			UNION ALL
			SELECT b.attnum, y.typbasetype, y.typtypmod, b.filled OR y.typnotnull FROM base b JOIN pg_type y ON y.oid = b.oid WHERE y.typtype = 'd'
		)
		SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), y.typname::text,
			CASE WHEN y.typcategory = 'A' THEN coalesce(e.typname::text, '') ELSE '' END,
			CASE WHEN y.typcategory = 'A' THEN coalesce(e.typdelim::text, '') ELSE '' END,
			a.attnotnull OR b.filled, a.atthasdef OR a.attidentity <> '' OR o.typdefault IS NOT NULL,
			CASE WHEN a.attidentity <> '' THEN format('nextval(%L)', pg_get_serial_sequence($2, a.attname)) ELSE coalesce(pg_get_expr(x.adbin, x.adrelid), pg_get_expr(o.typdefaultbin, 0), '') END,
			a.attgenerated <> '' OR a.attidentity = 'a',
			coalesce(quote_ident(cn.nspname) || '.' || quote_ident(c.collname), ''),
			y.typname IN ('citext', 'interval') OR coalesce(NOT c.collisdeterministic, false),
			CASE WHEN b.filled THEN format_type(b.oid, b.modifier) ELSE '' END,
			y.typname = 'varchar' OR v.typtype IN ('e', 'r', 'm', 'c') OR EXISTS (SELECT FROM pg_operator q WHERE q.oprname = '=' AND q.oprleft = v.oid AND q.oprright = v.oid),
			coalesce(e.typnamespace <> 'pg_catalog'::regnamespace OR e.typname IN ('json', 'jsonb'), false),
			array_remove(ARRAY[(SELECT nspname FROM pg_namespace WHERE oid = y.typnamespace), (SELECT nspname FROM pg_namespace WHERE oid = e.typnamespace)], NULL)::text[]
		FROM pg_attribute a
		JOIN pg_type o ON o.oid = a.atttypid
		JOIN base b ON b.attnum = a.attnum
		JOIN pg_type y ON y.oid = b.oid AND y.typtype <> 'd'
		LEFT JOIN pg_type e ON e.oid = y.typelem
		JOIN pg_type v ON v.oid = CASE WHEN y.typcategory = 'A' AND y.typelem <> 0 THEN y.typelem ELSE y.oid END
		LEFT JOIN pg_attrdef x ON x.adrelid = a.attrelid AND x.adnum = a.attnum AND a.attgenerated = ''
		LEFT JOIN pg_collation c ON c.oid = a.attcollation
		LEFT JOIN pg_namespace cn ON cn.oid = c.collnamespace
		WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
		ORDER BY a.attnum`, t.OID, t.Identifier())
	if err != nil {
		return err
	}
	defer rows.Close()
	var schemas []string
	for rows.Next() {
		var name string
		var c Column
		var of []string
		if err := rows.Scan(&name, &c.Type.Name, &c.Type.Base, &c.Type.Element, &c.Type.Delimiter, &c.NotNull, &c.HasDefault, &c.Default, &c.Generated,
			&c.Collation, &c.Loose, &c.plain, &c.equality, &c.textElements, &of); err != nil {
			return err
		}
		t.Columns[name] = c
		t.Order = append(t.Order, name)
		schemas = append(schemas, of...)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return seeOperators(ctx, tx, schemas)
}

// seeOperators adds the schemas of the columns' types to the end of the transaction's search path: an extension that is
// installed in a schema of its own has its operators there, and without them citext would be compared as text.
func seeOperators(ctx context.Context, tx pgx.Tx, schemas []string) error {
	slices.Sort(schemas)
	_, err := tx.Exec(ctx, `
		SELECT set_config('search_path', array_to_string(ARRAY(SELECT quote_ident(s) FROM unnest(current_schemas(false)::text[] || missing) s), ', '), true)
		FROM (SELECT ARRAY(SELECT s FROM unnest($1::text[]) s WHERE s <> ALL (current_schemas(true)::text[])) AS missing) m
		WHERE cardinality(missing) > 0`, slices.Compact(schemas))
	return err
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

// exact are the types whose own equality tells different values apart, or calls those equal that mean the same.
var exact = []string{
	"int2", "int4", "int8", "float4", "float8", "numeric", "bool", "uuid", "oid", "date", "time", "timetz", "timestamp", "timestamptz",
	"bytea", "jsonb", "inet", "cidr",
}

// differs is the SQL condition under which two values of a column are not the same. Where equality of a type is looser than
// that (citext, interval, areas), or there is none, texts are compared.
func (c Column) differs(a, b string) string {
	element := c.Type.Base
	if c.Type.IsArray() {
		element = c.Type.Element
	}
	switch {
	case c.Type.Base == "json":
		return fmt.Sprintf("%s::jsonb IS DISTINCT FROM %s::jsonb", a, b)
	case slices.Contains(exact, element):
		return fmt.Sprintf("%s IS DISTINCT FROM %s", a, b)
	case element == "text" || element == "varchar" || element == "bpchar":
		return fmt.Sprintf(`%s COLLATE "C" IS DISTINCT FROM %s COLLATE "C"`, a, b)
	}
	return fmt.Sprintf(`%s::text COLLATE "C" IS DISTINCT FROM %s::text COLLATE "C"`, a, b)
}

// comparable says whether rows can be found by this column.
func (c Column) comparable() bool {
	switch c.Type.Base {
	case "json", "xml", "point", "line", "lseg", "box", "path", "polygon", "circle":
		return false
	}
	return c.equality
}
