package pgdb

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// sequence gives a column its values.
type sequence struct {
	column, name string // name is quoted
	mayMove      bool
}

// sequences finds the sequences behind serial and identity columns, and those that a default names.
func (t *Table) sequences(ctx context.Context, tx pgx.Tx) ([]sequence, error) {
	rows, err := tx.Query(ctx, `
		SELECT DISTINCT a.attname::text, format('%I.%I', n.nspname, s.relname), has_sequence_privilege(s.oid, 'UPDATE') AND has_sequence_privilege(s.oid, 'SELECT')
		FROM (
			SELECT objid AS seq, refobjsubid AS num FROM pg_depend
			WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND refobjid = $1 AND refobjsubid > 0 AND deptype IN ('a', 'i')
			UNION
			SELECT d.refobjid, x.adnum FROM pg_attrdef x
			JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = x.oid AND d.refclassid = 'pg_class'::regclass
			WHERE x.adrelid = $1
		) f
		JOIN pg_class s ON s.oid = f.seq AND s.relkind = 'S'
		JOIN pg_namespace n ON n.oid = s.relnamespace
		JOIN pg_attribute a ON a.attrelid = $1 AND a.attnum = f.num
		ORDER BY 1, 2`, t.OID)
	if err != nil {
		return nil, fmt.Errorf("look up the sequences of %s: %w", t, err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (sequence, error) {
		var s sequence
		err := row.Scan(&s.column, &s.name, &s.mayMove)
		return s, err
	})
}

// moveSequences moves the sequences behind declared columns past the declared values, so that the application's next insert
// does not collide with a declared row. It returns what it could not do. Values in the upper half of what a sequence can give
// are not passed: moving there would use it up.
func (t *Table) moveSequences(ctx context.Context, tx pgx.Tx, declared *staged) ([]string, error) {
	var warnings []string
	if declared.count() == 0 {
		return nil, nil
	}
	all, err := t.sequences(ctx, tx)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		integer := slices.Contains([]string{"int2", "int4", "int8"}, t.Columns[s.column].Type.Base)
		if !slices.Contains(declared.columns, s.column) || !integer {
			continue
		}
		if !s.mayMove {
			warnings = append(warnings, fmt.Sprintf("the sequence %s was not moved past the declared values of %s, because the user lacks SELECT and UPDATE on it: an insert that takes its next value may collide with a declared row",
				strings.ReplaceAll(s.name, `"`, ""), s.column))
			continue
		}
		_, err := tx.Exec(ctx, fmt.Sprintf(`
			SELECT setval(%[1]s::regclass, greatest(m.value, q.last_value))
			FROM %[2]s q, pg_sequence p, LATERAL (SELECT max(d.%[3]s)::bigint AS value FROM %[4]s d WHERE d.%[3]s <= p.seqmax / 2) m
			WHERE p.seqrelid = %[1]s::regclass AND p.seqincrement > 0 AND NOT p.seqcycle
				AND (m.value > q.last_value OR m.value = q.last_value AND NOT q.is_called)`,
			literal(s.name), s.name, pgx.Identifier{s.column}.Sanitize(), declared.table))
		if err != nil {
			return nil, fmt.Errorf("move the sequence %s of %s on: %w", s.name, t, err)
		}
	}
	return warnings, nil
}

// literal quotes text for SQL.
func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }
