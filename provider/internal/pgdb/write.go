package pgdb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// writer writes the declared rows, and takes those out that are no longer declared.
type writer struct {
	t        *Table
	tx       pgx.Tx
	spec     Spec
	declared *staged
	gone     *removed // nil where nothing is to be removed
}

// order is an order in which rows may be written.
type order int

const (
	// updateInsertRemove lets rows that are there let go of what is removed.
	updateInsertRemove order = iota
	// insertUpdateRemove lets rows that are there refer to new ones.
	insertUpdateRemove
	// removeUpdateInsert lets rows take over a unique value: of a row that is removed, or of one another.
	removeUpdateInsert
)

// write writes all rows, in the first order that the table takes. The error is that of the plain order.
func (w *writer) write(ctx context.Context, out *Outcome) error {
	done, err := w.attempt(ctx, updateInsertRemove, "true")
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		other := updateInsertRemove
		switch pg.Code {
		case pgerrcode.ForeignKeyViolation:
			other = insertUpdateRemove
		case pgerrcode.UniqueViolation, pgerrcode.ExclusionViolation:
			other = removeUpdateInsert
		}
		if other != updateInsertRemove {
			if again, second := w.attempt(ctx, other, "true"); second == nil {
				done, err = again, nil
			} else if !errors.As(second, &pg) {
				err = second
			}
		}
	}
	if err != nil {
		return w.blame(ctx, err)
	}
	out.Inserted, out.Updated, out.Removed = done.Inserted, done.Updated, done.Removed
	return nil
}

// attempt writes the rows that fulfil a condition. A failure leaves the transaction usable. Constraints that may wait until
// the rows are complete do, and are checked here, so that an error is still about these rows.
func (w *writer) attempt(ctx context.Context, o order, where string) (Outcome, error) {
	var out Outcome
	inner, err := w.tx.Begin(ctx)
	if err != nil {
		return out, err
	}
	defer inner.Rollback(context.WithoutCancel(ctx))
	update := func() error {
		n, err := w.update(ctx, inner, where)
		out.Updated += n
		return err
	}
	insert := func() error {
		n, missed, err := w.insert(ctx, inner, where)
		out.Inserted += n
		if err == nil && missed > 0 { // somebody inserted these rows since the update
			err = update()
		}
		return err
	}
	remove := func() error {
		if w.gone == nil {
			return nil
		}
		n, err := w.gone.remove(ctx, inner)
		out.Removed += n
		return err
	}
	park := func() error { return w.park(ctx, inner, where) }
	steps := map[order][]func() error{
		updateInsertRemove: {update, insert, remove},
		insertUpdateRemove: {insert, update, remove},
		removeUpdateInsert: {remove, park, update, insert},
	}[o]
	if w.declared.count() == 0 {
		steps = []func() error{remove}
	}
	if _, err := inner.Exec(ctx, "SET CONSTRAINTS ALL DEFERRED"); err != nil {
		return out, err
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return out, err
		}
	}
	if _, err := inner.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return out, err
	}
	return out, inner.Commit(ctx)
}

// update changes the rows that are there and differ.
func (w *writer) update(ctx context.Context, tx pgx.Tx, where string) (int, error) {
	var sets, conditions []string
	for _, c := range w.t.values(w.spec, w.declared) {
		q := pgx.Identifier{c}.Sanitize()
		mine := w.declared.groupsWith("d", func(g group) bool { return slices.Contains(g.update, c) })
		switch mine {
		case "false":
			continue
		case "":
			sets = append(sets, fmt.Sprintf("%s = d.%s", q, q))
			conditions = append(conditions, w.declared.differs(w.t, c, "t", "d"))
		default:
			sets = append(sets, fmt.Sprintf("%s = CASE WHEN %s THEN d.%s ELSE t.%s END", q, mine, q, q))
			conditions = append(conditions, fmt.Sprintf("%s AND (%s)", mine, w.declared.differs(w.t, c, "t", "d")))
		}
	}
	if len(sets) == 0 {
		return 0, nil
	}
	if w.spec.UpdatedAt != "" && !slices.Contains(w.declared.columns, w.spec.UpdatedAt) {
		sets = append(sets, pgx.Identifier{w.spec.UpdatedAt}.Sanitize()+" = now()")
	}
	tag, err := tx.Exec(ctx, fmt.Sprintf("UPDATE %s t SET %s FROM %s d WHERE %s AND %s AND (%s)",
		w.t.Identifier(), strings.Join(sets, ", "), w.declared.table, where, w.declared.onKeys(w.spec.Keys, "t", "d"), strings.Join(conditions, " OR ")))
	return int(tag.RowsAffected()), err
}

// insert adds the rows that are not there. Rows that it missed were there all the same.
func (w *writer) insert(ctx context.Context, tx pgx.Tx, where string) (inserted, missed int, err error) {
	var into, from []string
	for _, c := range w.declared.columns {
		q := pgx.Identifier{c}.Sanitize()
		value := "d." + q
		if mine := w.declared.groupsWith("d", func(g group) bool { return slices.Contains(g.columns, c) }); mine != "" {
			value = fmt.Sprintf("CASE WHEN %s THEN d.%s ELSE %s END", mine, q, w.t.Columns[c].byDefault())
		}
		into, from = append(into, q), append(from, value)
	}
	for _, c := range []string{w.spec.CreatedAt, w.spec.UpdatedAt} {
		if c != "" && !slices.Contains(w.declared.columns, c) {
			into, from = append(into, pgx.Identifier{c}.Sanitize()), append(from, "now()")
		}
	}
	conflict := ""
	if w.t.IsUnique(w.spec.Keys) { // somebody may have inserted the row since the update
		conflict = fmt.Sprintf("ON CONFLICT (%s) DO NOTHING", strings.Join(quoteAll(w.spec.Keys), ", "))
	}
	absent := fmt.Sprintf("%s AND NOT EXISTS (SELECT FROM %s e WHERE %s)", where, w.t.Identifier(), w.declared.onKeys(w.spec.Keys, "e", "d"))
	err = tx.QueryRow(ctx, fmt.Sprintf(`
		WITH missing AS (SELECT count(*) AS n FROM %[1]s d WHERE %[2]s),
		done AS (INSERT INTO %[3]s AS t (%[4]s) SELECT %[5]s FROM %[1]s d WHERE %[2]s ORDER BY d.%[6]s %[7]s RETURNING 1)
		SELECT (SELECT count(*) FROM done), (SELECT n FROM missing)`,
		w.declared.table, absent, w.t.Identifier(), strings.Join(into, ", "), strings.Join(from, ", "), w.declared.position, conflict)).Scan(&inserted, &missed)
	return inserted, missed - inserted, err
}

// byDefault is what a new row has in a column that it does not name.
func (c Column) byDefault() string {
	if c.Default == "" {
		return "NULL"
	}
	return "(" + c.Default + ")"
}

// park gives rows whose unique value another declared row is about to take a value that nobody has, until they get their own.
func (w *writer) park(ctx context.Context, tx pgx.Tx, where string) error {
	values := w.t.values(w.spec, w.declared)
	for _, unique := range w.t.Unique {
		own := func(c string) bool { return slices.Contains(w.declared.columns, c) }
		if slices.ContainsFunc(unique, func(c string) bool { return !own(c) }) {
			continue
		}
		for _, c := range unique {
			elsewhere := w.t.Columns[c].elsewhere(w.t, c, w.declared.position)
			if !slices.Contains(values, c) || elsewhere == "" {
				continue
			}
			taken := make([]string, len(unique))
			for i, q := range quoteAll(unique) {
				taken[i] = fmt.Sprintf("t.%s = o.%s", q, q)
			}
			_, err := tx.Exec(ctx, fmt.Sprintf("UPDATE %s t SET %s = %s FROM %s d WHERE %s AND %s AND (%s) AND EXISTS (SELECT FROM %s o WHERE o.%s <> d.%s AND %s)",
				w.t.Identifier(), pgx.Identifier{c}.Sanitize(), elsewhere, w.declared.table, where, w.declared.onKeys(w.spec.Keys, "t", "d"),
				w.declared.differs(w.t, c, "t", "d"), w.declared.table, w.declared.position, w.declared.position, strings.Join(taken, " AND ")))
			if err != nil {
				return err
			}
			break
		}
	}
	return nil
}

// elsewhere is an SQL expression for a value of the column that no row has, "" where none is known for its type.
func (c Column) elsewhere(t *Table, name, position string) string {
	if !c.NotNull {
		return "NULL"
	}
	switch c.Type.Base {
	case "uuid":
		return "gen_random_uuid()"
	case "int2", "int4", "int8", "numeric":
		return fmt.Sprintf("(SELECT max(m.%s) FROM %s m) + 1 + d.%s", pgx.Identifier{name}.Sanitize(), t.Identifier(), position)
	case "text", "varchar", "citext":
		return "md5(random()::text || d." + position + ")"
	}
	return ""
}

// blame finds the first row that the table refuses, so that the error can name it: the last of the shortest beginning of the
// rows that is refused for the same cause. What is refused without any row is no row's fault.
func (w *writer) blame(ctx context.Context, cause error) error {
	var pg *pgconn.PgError
	if !errors.As(cause, &pg) {
		return w.t.refusal(ctx, w.tx, cause, w.declared, -1)
	}
	if pg.Code == pgerrcode.LockNotAvailable {
		return w.t.refusal(ctx, w.tx, cause, w.declared, w.lockedRow(ctx, pg))
	}
	if !mayBeRow(pg) {
		return w.t.refusal(ctx, w.tx, cause, w.declared, -1)
	}
	if pg.Code == pgerrcode.ForeignKeyViolation {
		if row := w.dangling(ctx, pg); row >= 0 {
			return w.t.refusal(ctx, w.tx, cause, w.declared, row)
		}
	}
	same, err := w.refused(ctx, pg, 0)
	if err != nil || same != nil {
		return w.t.refusal(ctx, w.tx, cause, w.declared, -1)
	}
	low, high := 0, w.declared.end()                                    // the rows before low are not refused, those before high are
	if bad, err := w.refused(ctx, pg, high); err != nil || bad == nil { // it was the removal
		return w.t.refusal(ctx, w.tx, cause, w.declared, -1)
	}
	for high-low > 1 {
		middle := (low + high) / 2
		bad, err := w.refused(ctx, pg, middle)
		if err != nil {
			return w.t.refusal(ctx, w.tx, cause, w.declared, -1)
		}
		if bad != nil {
			high, cause = middle, bad
		} else {
			low = middle
		}
	}
	return w.t.refusal(ctx, w.tx, cause, w.declared, high-1)
}

// refused says whether the table refuses the first n rows for the same cause, and returns that error. It leaves no trace.
func (w *writer) refused(ctx context.Context, cause *pgconn.PgError, n int) (*pgconn.PgError, error) {
	inner, err := w.tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	defer inner.Rollback(context.WithoutCancel(ctx))
	probe := &writer{t: w.t, tx: inner, spec: w.spec, declared: w.declared}
	_, err = probe.attempt(ctx, updateInsertRemove, fmt.Sprintf("d.%s < %d", w.declared.position, n))
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		if pg.Code == cause.Code && pg.ConstraintName == cause.ConstraintName && pg.ColumnName == cause.ColumnName {
			return pg, nil
		}
		return nil, nil
	}
	return nil, err
}

// dangling finds the first row that refers by a foreign key to nothing, -1 where there is none. Where a table refers to itself
// a beginning of the rows is refused for lack of the others, so this is looked up.
func (w *writer) dangling(ctx context.Context, pg *pgconn.PgError) int {
	var target string
	var columns, referenced []string
	err := w.tx.QueryRow(ctx, `SELECT format('%I.%I', n.nspname, r.relname),
			(SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(f.conkey) WITH ORDINALITY k(num, n) JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = k.num),
			(SELECT array_agg(a.attname::text ORDER BY k.n) FROM unnest(f.confkey) WITH ORDINALITY k(num, n) JOIN pg_attribute a ON a.attrelid = f.confrelid AND a.attnum = k.num)
		FROM pg_constraint f JOIN pg_class r ON r.oid = f.confrelid JOIN pg_namespace n ON n.oid = r.relnamespace
		WHERE f.contype = 'f' AND f.conrelid = $1 AND f.conname = $2`, w.t.OID, pg.ConstraintName).Scan(&target, &columns, &referenced)
	if err != nil {
		return -1
	}
	here, there, among := make([]string, len(columns)), make([]string, len(columns)), make([]string, len(columns))
	for i := range columns {
		q, r := pgx.Identifier{columns[i]}.Sanitize(), pgx.Identifier{referenced[i]}.Sanitize()
		if !slices.Contains(w.declared.columns, columns[i]) {
			return -1
		}
		here[i] = fmt.Sprintf("d.%s IS NOT NULL", q)
		there[i] = fmt.Sprintf("p.%s = d.%s", r, q)
		if slices.Contains(w.declared.columns, referenced[i]) {
			among[i] = fmt.Sprintf("s.%s = d.%s", r, q)
		} else {
			among[i] = "false"
		}
	}
	if target != w.t.Identifier() && target != strings.ReplaceAll(w.t.Identifier(), `"`, "") {
		among = []string{"false"}
	}
	row := -1
	err = w.probe(ctx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, fmt.Sprintf(`SELECT coalesce(min(d.%s), -1) FROM %s d WHERE %s AND NOT EXISTS (SELECT FROM %s p WHERE %s) AND NOT EXISTS (SELECT FROM %s s WHERE %s)`,
			w.declared.position, w.declared.table, strings.Join(here, " AND "), target, strings.Join(there, " AND "), w.declared.table, strings.Join(among, " AND "))).Scan(&row)
	})
	if err != nil {
		return -1
	}
	return row
}

// probe runs f without a trace, whatever becomes of it.
func (w *writer) probe(ctx context.Context, f func(pgx.Tx) error) error {
	inner, err := w.tx.Begin(ctx)
	if err != nil {
		return err
	}
	defer inner.Rollback(context.WithoutCancel(ctx))
	return f(inner)
}
