package pgdb

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"plan-charge/provider/internal/contract"
)

// Removal says what becomes of rows that are no longer declared.
type Removal string

// The removals that there are.
const (
	Retain     Removal = contract.Retain
	SoftDelete Removal = contract.SoftDelete
	Delete     Removal = contract.Delete
)

// Remove takes rows out of the table as told and returns how many it was. A row that is not there is no error.
func Remove(ctx context.Context, tx pgx.Tx, spec Spec, gone []Row, removal Removal) (int, error) {
	if removal == Retain || len(gone) == 0 {
		return 0, nil
	}
	t, err := Inspect(ctx, tx, spec.Schema, spec.Table)
	if errors.Is(err, ErrNoTable) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if err := t.lock(ctx, tx, spec); err != nil {
		return 0, err
	}
	return t.remove(ctx, tx, spec, gone, spec.Keys, removal, nil)
}

// remove takes the rows out that gone names, leaving those that a declared row has the key of; declared may be nil.
func (t *Table) remove(ctx context.Context, tx pgx.Tx, spec Spec, gone []Row, goneKeys []string, removal Removal, declared *staged) (int, error) {
	for _, k := range goneKeys {
		if _, ok := t.Columns[k]; !ok {
			return 0, fmt.Errorf("%s has lost its key column %s, so the rows to remove cannot be found", t, k)
		}
	}
	keysOnly := make([]Row, len(gone))
	for i, r := range gone {
		keysOnly[i] = Row{Name: r.Name, Secret: r.Secret, Values: map[string]any{}}
		for _, k := range goneKeys {
			keysOnly[i].Values[k] = r.Values[k]
		}
	}
	// A key that its column cannot hold (any more) is the key of no row.
	removed, err := t.stage(ctx, tx, goneKeys, keysOnly, 0)
	if err != nil {
		return 0, err
	}
	condition := onKeys(goneKeys, "t", "g")
	if declared != nil {
		condition += fmt.Sprintf(" AND NOT EXISTS (SELECT FROM %s d WHERE %s)", declared.table, onKeys(spec.Keys, "t", "d"))
	}
	statement := fmt.Sprintf("DELETE FROM %s t USING %s g WHERE %s", t.Identifier(), removed.table, condition)
	if removal == SoftDelete {
		soft := pgx.Identifier{spec.SoftDelete}.Sanitize()
		if _, ok := t.Columns[spec.SoftDelete]; !ok {
			return 0, fmt.Errorf("%s has no column %s to mark deleted rows in", t, spec.SoftDelete)
		}
		sets := soft + " = now()"
		if _, ok := t.Columns[spec.UpdatedAt]; ok {
			sets += ", " + pgx.Identifier{spec.UpdatedAt}.Sanitize() + " = now()"
		}
		statement = fmt.Sprintf("UPDATE %s t SET %s FROM %s g WHERE t.%s IS NULL AND %s", t.Identifier(), sets, removed.table, soft, condition)
	}
	tag, err := tx.Exec(ctx, statement)
	if err != nil {
		return 0, t.refusal(err, "", slices.ContainsFunc(gone, func(r Row) bool { return r.Secret }))
	}
	return int(tag.RowsAffected()), nil
}
