package pgdb

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"plan-charge/provider/internal/rowid"
)

// Changes is how a table differs from a file: counts, and the first rows by name.
type Changes struct {
	Rows             int // of the file
	Come, Change, Go int
	First            []ChangedRow
	// Lost are columns of the file that the table no longer has.
	Lost []string
	// Columns are those of the file, and Digest names what the table holds in them after an update, "" where it is not known.
	Columns []string
	Digest  string
}

// ChangedRow is one row that differs.
type ChangedRow struct {
	Name string
	Kind string // come, change or go
	// Columns are those that differ in a row that changes.
	Columns []string
}

// The kinds of a ChangedRow.
const (
	comes    = "come"
	differ   = "change"
	goes     = "go"
	maxNamed = 20
)

// Any says whether there are differences.
func (c Changes) Any() bool { return c.Come+c.Change+c.Go+len(c.Lost) > 0 }

// String words the changes as what an update does.
func (c Changes) String() string {
	return c.words("new", "changed", "to go", map[string]string{comes: "comes", differ: "changes", goes: "goes"})
}

// Drift words the changes as what somebody did to the table.
func (c Changes) Drift() string {
	return c.words("missing", "different", "beyond it", map[string]string{comes: "is missing", differ: "differs", goes: "is not in the file"})
}

func (c Changes) words(come, change, gone string, row map[string]string) string {
	var counts, parts []string
	for _, n := range []struct {
		count int
		what  string
	}{{c.Come, come}, {c.Change, change}, {c.Go, gone}} {
		if n.count > 0 {
			counts = append(counts, fmt.Sprintf("%d %s", n.count, n.what))
		}
	}
	if len(c.Lost) > 0 {
		parts = append(parts, "the table has lost the column "+strings.Join(c.Lost, ", "))
	}
	if len(counts) > 0 {
		parts = append(parts, fmt.Sprintf("of %d rows in the file %s", c.Rows, strings.Join(counts, ", ")))
	}
	for _, r := range c.First {
		text := fmt.Sprintf("row %s %s", r.Name, row[r.Kind])
		if len(r.Columns) > 0 {
			text += " in " + strings.Join(r.Columns, ", ")
		}
		parts = append(parts, text)
	}
	if more := c.Come + c.Change + c.Go - len(c.First); more > 0 && len(c.First) > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	if len(parts) == 0 {
		return "nothing differs"
	}
	return strings.Join(parts, "; ")
}

// changes finds the rows that are to be written, which it returns in a temporary table of their own, and what the table has
// beyond the file. It reads, and locks no row.
func (t *Table) changes(ctx context.Context, tx pgx.Tx, spec Spec, src Source, all *staged) (*staged, Changes, error) {
	c := Changes{Rows: all.count()}
	changed, err := t.narrow(ctx, tx, spec, all, &c)
	if err != nil {
		return nil, c, err
	}
	if src.Mode == Sync {
		if err := tx.QueryRow(ctx, "SELECT count(*) FROM "+t.surplus(spec, all)).Scan(&c.Go); err != nil {
			return nil, c, fmt.Errorf("look for rows of %s that are not in the file: %w", t, err)
		}
	}
	add := func(r reported) error {
		if len(c.First) < maxNamed {
			c.First = append(c.First, r.ChangedRow)
		}
		return nil
	}
	if err := t.each(ctx, tx, spec, changed, all, c, maxNamed, add); err != nil {
		return nil, c, err
	}
	if src.Report != "" {
		if err := t.report(ctx, tx, spec, src.Report, changed, all, c); err != nil {
			return nil, c, err
		}
	}
	if src.Mode == Sync && src.MaxDeletes >= 0 && c.Go > src.MaxDeletes {
		shown := c
		shown.First = slices.DeleteFunc(slices.Clone(c.First), func(r ChangedRow) bool { return r.Kind != goes })
		shown.Come, shown.Change = 0, 0
		return nil, c, &TooManyError{Table: t.String(), Count: c.Go, Max: src.MaxDeletes, Changes: shown.String(), Operation: src.Removal}
	}
	return changed, c, nil
}

// narrow puts the rows of a file that are missing or differ in a table of their own, so that what follows takes time for what
// changes only.
func (t *Table) narrow(ctx context.Context, tx pgx.Tx, spec Spec, all *staged, c *Changes) (*staged, error) {
	var some bool
	if err := tx.QueryRow(ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM %s)", t.Identifier())).Scan(&some); err != nil {
		return nil, fmt.Errorf("read %s: %w", t, err)
	}
	if !some || all.count() == 0 {
		c.Come = all.count()
		return all, nil
	}
	changed := *all
	changed.table = fmt.Sprintf("pg_temp.pgrows_%d", tables.Add(1))
	isNew := t.free("pgrows_new")
	where := []string{"t.tableoid IS NULL"}
	for _, column := range t.compared(spec, all) {
		where = append(where, "("+all.differs(t, column, "t", "d")+")")
	}
	_, err := tx.Exec(ctx, fmt.Sprintf("CREATE TEMP TABLE %s ON COMMIT DROP AS SELECT d.*, t.tableoid IS NULL AS %s FROM %s d LEFT JOIN %s t ON %s WHERE %s",
		changed.table, isNew, all.table, t.Identifier(), all.onKeys(spec.Keys, "t", "d"), strings.Join(where, " OR ")))
	if err != nil {
		return nil, fmt.Errorf("compare with %s: %w", t, err)
	}
	file := *all.file
	err = tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*), count(*) FILTER (WHERE %s), coalesce(max(%s), 0) FROM %s", isNew, all.position, changed.table)).Scan(&file.count, &c.Come, &file.last)
	if err != nil {
		return nil, fmt.Errorf("compare with %s: %w", t, err)
	}
	c.Change = file.count - c.Come
	changed.file = &file
	_, err = tx.Exec(ctx, fmt.Sprintf("ANALYZE %s (%s)", changed.table, strings.Join(quoteAll(spec.Keys), ", ")))
	return &changed, err
}

// compared are the columns of a file that may differ in a row that is there.
func (t *Table) compared(spec Spec, s *staged) []string {
	return slices.DeleteFunc(t.values(spec, s), func(c string) bool { return !slices.Contains(s.groups[0].update, c) })
}

// surplus are the rows of the table, called t, that are not in the file, and beyond is the condition that makes them so.
func (t *Table) surplus(spec Spec, all *staged) string {
	return t.Identifier() + " t WHERE " + t.beyond(spec, all)
}

func (t *Table) beyond(spec Spec, all *staged) string {
	sql := "NOT " + t.among(spec, all)
	if spec.SoftDelete != "" {
		sql += fmt.Sprintf(" AND t.%s IS NULL", pgx.Identifier{spec.SoftDelete}.Sanitize())
	}
	return sql
}

// notIn takes the rows out that are not in the file.
func (t *Table) notIn(spec Spec, removal Removal, all *staged) *removed {
	if removal == Delete {
		return &removed{"DELETE FROM " + t.surplus(spec, all)}
	}
	return &removed{t.softDelete(spec) + " WHERE " + t.beyond(spec, all)}
}

// reported is a row as the report has it.
type reported struct {
	ChangedRow
	line          int
	columns       []string
	table, inFile []*string
}

// each visits the rows that differ, those of the file first; limit 0 means all of them.
func (t *Table) each(ctx context.Context, tx pgx.Tx, spec Spec, changed, all *staged, c Changes, limit int, visit func(reported) error) error {
	compared := t.compared(spec, changed)
	last := ""
	if limit > 0 {
		last = fmt.Sprintf(" LIMIT %d", limit)
	}
	if changed.count() > 0 {
		selected := append([]string{"d." + changed.position, "t.tableoid IS NULL"}, asTexts(spec.Keys, "d.")...)
		for _, column := range compared {
			selected = append(selected, changed.differs(t, column, "t", "d"))
		}
		if limit == 0 {
			selected = append(append(selected, asTexts(compared, "t.")...), asTexts(compared, "d.")...)
		}
		found, err := tx.Query(ctx, fmt.Sprintf("SELECT %s FROM (SELECT * FROM %s ORDER BY %s%s) d LEFT JOIN %s t ON %s ORDER BY 1", strings.Join(selected, ", "), changed.table, changed.position, last, t.Identifier(), changed.onKeys(spec.Keys, "t", "d")))
		if err != nil {
			return fmt.Errorf("compare with %s: %w", t, err)
		}
		defer found.Close()
		for found.Next() {
			r := reported{columns: compared, ChangedRow: ChangedRow{Kind: differ}, table: make([]*string, len(compared)), inFile: make([]*string, len(compared))}
			var missing bool
			keys, differs := make([]string, len(spec.Keys)), make([]bool, len(compared))
			into := []any{&r.line, &missing}
			for i := range keys {
				into = append(into, &keys[i])
			}
			for i := range differs {
				into = append(into, &differs[i])
			}
			if limit == 0 {
				for i := range compared {
					into = append(into, &r.table[i])
				}
				for i := range compared {
					into = append(into, &r.inFile[i])
				}
			}
			if err := found.Scan(into...); err != nil {
				return fmt.Errorf("compare with %s: %w", t, err)
			}
			r.Name = rowAt(changed.file.source.Path, r.line, spec.Keys, keys)
			if missing {
				r.Kind = comes
			} else {
				for i, d := range differs {
					if d {
						r.Columns = append(r.Columns, compared[i])
					}
				}
			}
			if err := visit(r); err != nil {
				return err
			}
		}
		if err := found.Err(); err != nil {
			return fmt.Errorf("compare with %s: %w", t, err)
		}
		found.Close()
	}
	if c.Go == 0 {
		return nil
	}
	found, err := tx.Query(ctx, fmt.Sprintf("SELECT %s FROM %s ORDER BY %s%s", strings.Join(asTexts(spec.Keys, "t."), ", "), t.surplus(spec, all), strings.Join(quoteAll(spec.Keys), ", "), last))
	if err != nil {
		return fmt.Errorf("look for rows of %s that are not in the file: %w", t, err)
	}
	defer found.Close()
	for found.Next() {
		keys, into := make([]*string, len(spec.Keys)), make([]any, len(spec.Keys))
		for i := range keys {
			into[i] = &keys[i]
		}
		if err := found.Scan(into...); err != nil {
			return fmt.Errorf("look for rows of %s that are not in the file: %w", t, err)
		}
		texts := make([]string, len(keys))
		for i, k := range keys {
			if texts[i] = "NULL"; k != nil {
				texts[i] = *k
			}
		}
		if err := visit(reported{ChangedRow: ChangedRow{Name: rowid.Label(spec.Keys, texts), Kind: goes}}); err != nil {
			return err
		}
	}
	return found.Err()
}

// report writes every row that differs to a file, as an object a line.
func (t *Table) report(ctx context.Context, tx pgx.Tx, spec Spec, path string, changed, all *staged, c Changes) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("changesFile: %w", err)
	}
	defer f.Close()
	out := bufio.NewWriter(f)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	type values struct {
		Table *string `json:"table"`
		File  *string `json:"file"`
	}
	err = t.each(ctx, tx, spec, changed, all, c, 0, func(r reported) error {
		line := struct {
			Row     string            `json:"row"`
			Change  string            `json:"change"`
			Columns map[string]values `json:"columns,omitempty"`
		}{r.Name, r.Kind, map[string]values{}}
		for i, column := range r.columns {
			if r.Kind == comes || slices.Contains(r.Columns, column) {
				line.Columns[column] = values{r.table[i], r.inFile[i]}
			}
		}
		return enc.Encode(line)
	})
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = f.Close()
	}
	if err != nil {
		return fmt.Errorf("changesFile: %w", err)
	}
	return nil
}
