package pgdb

import (
	"context"
	"errors"
	"fmt"

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

// Remove takes rows out of the table as told, gives their ownership up, and returns how many it was. A row that is not there
// is no error, and one that belongs to another resource by now stays.
func Remove(ctx context.Context, tx pgx.Tx, spec Spec, gone []Row, removal Removal) (int, error) {
	if err := spec.Owner.release(ctx, tx); err != nil {
		return 0, err
	}
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
	r, err := t.stageRemoval(ctx, tx, spec, gone, spec.Keys, removal, nil)
	if err != nil {
		return 0, err
	}
	n, err := r.remove(ctx, tx)
	if err != nil {
		// The transaction is of no use any more, so nothing can be looked up.
		return 0, &refusal{text: fmt.Sprintf("nothing was removed: %s: %s", t, message(err)), err: err}
	}
	return n, nil
}

// removed are rows that are to be taken out.
type removed struct{ statement string }

// stageRemoval prepares to take the rows out that gone names, leaving those that a declared row has the key of, and those of
// other owners; declared may be nil.
func (t *Table) stageRemoval(ctx context.Context, tx pgx.Tx, spec Spec, gone []Row, goneKeys []string, removal Removal, declared *staged) (*removed, error) {
	for _, k := range goneKeys {
		if _, ok := t.Columns[k]; !ok {
			return nil, fmt.Errorf("%s has lost its key column %s, so the rows to remove cannot be found", t, k)
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
	staged, err := t.stage(ctx, tx, goneKeys, keysOnly, 0)
	if err != nil {
		return nil, err
	}
	condition := staged.onKeys(goneKeys, "t", "g")
	if declared != nil {
		condition += " AND NOT " + t.among(spec, declared)
	}
	others, err := t.otherClaims(ctx, tx, spec)
	if err != nil {
		return nil, err
	}
	for _, o := range others {
		if owned := t.ownedBy(o, "t"); owned != "" {
			condition += " AND NOT " + owned
		}
	}
	if removal == Delete {
		return &removed{fmt.Sprintf("DELETE FROM %s t USING %s g WHERE %s", t.Identifier(), staged.table, condition)}, nil
	}
	soft := pgx.Identifier{spec.SoftDelete}.Sanitize()
	if _, ok := t.Columns[spec.SoftDelete]; !ok {
		return nil, fmt.Errorf("%s has no column %s to mark deleted rows in", t, spec.SoftDelete)
	}
	return &removed{fmt.Sprintf("%s FROM %s g WHERE t.%s IS NULL AND %s", t.softDelete(spec), staged.table, soft, condition)}, nil
}

// softDelete is the beginning of a statement that marks rows of the table, called t, as deleted.
func (t *Table) softDelete(spec Spec) string {
	sets := pgx.Identifier{spec.SoftDelete}.Sanitize() + " = now()"
	if _, ok := t.Columns[spec.UpdatedAt]; ok {
		sets += ", " + pgx.Identifier{spec.UpdatedAt}.Sanitize() + " = now()"
	}
	return fmt.Sprintf("UPDATE %s t SET %s", t.Identifier(), sets)
}

func (r *removed) remove(ctx context.Context, tx pgx.Tx) (int, error) {
	tag, err := tx.Exec(ctx, r.statement)
	return int(tag.RowsAffected()), err
}
