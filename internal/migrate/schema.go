package migrate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/schemaobjects"
	"plan-charge/internal/versiontable"
)

// past is what the last migration left, and what became of it since.
type past struct {
	revision string // that the database is at now
	mark     versiontable.Mark
	marked   bool
	// newer is set for a mark that only a later version can read, which is neither compared nor overwritten.
	newer *versiontable.NewerMarkError
	// live is the schema now; not read where the mark is of another revision, so that it says nothing about it.
	live schemaobjects.Snapshot
	// changes are how live differs from the mark.
	changes schemaobjects.Changes
}

// lookBack reads the mark, and compares the schema with it where it is at the same revision or at none.
func (m *migration) lookBack(ctx context.Context) (past, error) {
	var left past
	var err error
	if left.revision, err = m.db.revision(ctx); err != nil {
		return past{}, err
	}
	left.mark, left.marked, err = m.db.table.ReadMark(ctx, m.db.conn)
	switch {
	case errors.Is(err, versiontable.ErrNoTable):
		return left, nil
	case errors.As(err, &left.newer):
		fmt.Fprintf(m.out, "%v. What this migration leaves is not noted\n", left.newer)
		return left, nil
	case err != nil:
		return past{}, err
	}
	if !left.marked || left.revision != "" && left.revision != left.mark.Revision {
		return left, nil
	}
	if left.live, err = m.db.table.Inspect(ctx, m.db.conn); err != nil {
		return past{}, err
	}
	if left.mark.Schema != nil {
		left.changes = m.diff(*left.mark.Schema, left.live)
	}
	return left, nil
}

func (m *migration) diff(was, is schemaobjects.Snapshot) schemaobjects.Changes {
	return schemaobjects.Diff(was, is, schemaobjects.NewPatterns(m.IgnoreObjects))
}

// done reports whether the last migration was one for this key, and what it left is still there.
func (m *migration) done(left past) bool {
	return left.marked && left.revision == left.mark.Revision && left.mark.Key != nil && *left.mark.Key == m.Key &&
		len(m.refused(left.changes.Fold())) == 0
}

// takeOn notes the objects of a schema that was migrated before they were noted, or by another server's rules, and those
// that were accepted.
func (m *migration) takeOn(ctx context.Context, left past) error {
	differences := left.changes.Fold()
	m.sayAccepted(differences)
	if s := left.mark.Schema; s != nil && s.Major == left.live.Major && len(differences) == 0 {
		return nil
	}
	return m.note(ctx, left.revision, &m.Key, left.live)
}

// settle marks what the task left, or fails where the schema is not what the last migration left and the task did not
// mend that.
func (m *migration) settle(ctx context.Context, left past, after string) error {
	if left.newer != nil {
		return nil
	}
	live, err := m.db.table.Inspect(ctx, m.db.conn)
	if err != nil {
		return unnoted(after, err)
	}
	if unread := live.Unread(schemaobjects.Snapshot{}); unread != "" {
		fmt.Fprintf(m.out, "the schema's objects: %s\n", unread)
	}
	differences := m.unmended(left, after, live)
	m.sayAccepted(differences)
	refused := m.refused(differences)
	if len(refused) == 0 {
		return m.note(ctx, after, &m.Key, live)
	}
	if after != left.mark.Revision {
		// Without the key: it is not done. With what is missing: the next run shall miss it, too.
		if err := m.note(ctx, after, nil, live.Undo(refused, *left.mark.Schema)); err != nil {
			return err
		}
	}
	return &SchemaError{Revision: after, Left: left.mark.Revision, Differences: refused}
}

// unmended are the differences that a migration did not take away. What another revision adds or changes is its own
// business, but not what was missing before it and is so still.
func (m *migration) unmended(left past, after string, live schemaobjects.Snapshot) []schemaobjects.Difference {
	if !left.marked || left.mark.Schema == nil {
		return nil
	}
	if after == left.mark.Revision {
		return m.diff(*left.mark.Schema, live).Fold()
	}
	if left.revision == "" { // nothing was there, so nothing was missing
		return nil
	}
	missing := left.changes.StillMissing(live).Fold()
	for _, d := range left.changes.Fold() {
		if d.Verb != schemaobjects.Dropped {
			fmt.Fprintf(m.out, "%s by hand at %s: taken for part of %s\n", d, left.revision, after)
		}
	}
	return missing
}

// refused are the differences that the configuration does not accept by name.
func (m *migration) refused(differences []schemaobjects.Difference) []schemaobjects.Difference {
	return slices.DeleteFunc(slices.Clone(differences), func(d schemaobjects.Difference) bool { return slices.Contains(m.Accept, d.Object) })
}

// sayAccepted tells what was accepted, and which names are for nothing any more.
func (m *migration) sayAccepted(differences []schemaobjects.Difference) {
	for _, name := range m.Accept {
		i := slices.IndexFunc(differences, func(d schemaobjects.Difference) bool { return d.Object == name })
		if i < 0 {
			fmt.Fprintf(m.out, "migration.accept: nothing differs in %q (any more): it can be taken out\n", name)
		} else {
			fmt.Fprintf(m.out, "migration.accept: %s is accepted\n", differences[i])
		}
	}
}

func (m *migration) note(ctx context.Context, revision string, key *string, s schemaobjects.Snapshot) error {
	if err := m.db.table.WriteMark(ctx, m.db.conn, versiontable.Mark{Revision: revision, Key: key, Schema: &s}); err != nil {
		return unnoted(revision, err)
	}
	return nil
}

func unnoted(revision string, err error) error {
	return fmt.Errorf("the database is at %s, but this could not be noted: %w", revision, err)
}

// SchemaError means that the schema differs from what the last migration left, and that migrating did not mend it.
type SchemaError struct {
	Revision    string // that the database is at
	Left        string // that the last migration left
	Differences []schemaobjects.Difference
}

// shownDifferences bounds the list in an error.
const shownDifferences = 30

func (e *SchemaError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the schema is not what the migration to %s left, and migrating did not mend it:", e.Left)
	for _, line := range schemaobjects.Lines(e.Differences, shownDifferences) {
		b.WriteString("\n  " + line)
	}
	names := make([]string, 0, len(e.Differences))
	for _, d := range e.Differences {
		names = append(names, fmt.Sprintf("%q", d.Object))
	}
	fmt.Fprintf(&b, `
the database is at %s, and nothing was rolled out. Do one of these, then run pulumi up again:
  - write a new migration that makes it as it should be
  - put it back as it was: by hand, or from a snapshot of before
  - accept it as it is, by name, in the configuration: migration.accept: [%s]`, e.Revision, strings.Join(names, ", "))
	return b.String()
}

// hintAtStamp says, of a migration that failed from the start on, that only the revision is missing.
func (m *migration) hintAtStamp(err error, left past) error {
	var failure *TaskError
	if left.revision == "" && left.marked && errors.As(err, &failure) && failure.ExitCode != nil && *failure.ExitCode != 0 {
		failure.Hint = cmp.Or(stampHint(m.VersionTable, left), failure.Hint)
	}
	return err
}

// stampHint says which revision the schema looks like, and how to write it back; "" where hardly anything is left of it.
func stampHint(table versiontable.Table, left past) string {
	if left.mark.Schema == nil {
		return fmt.Sprintf("%s holds no revision; the last migration left %s: if the schema is still that one, %s", table, left.mark.Revision, stamp(table, left.mark.Revision))
	}
	if len(left.changes) == 0 {
		return fmt.Sprintf("%s holds no revision, but the schema looks like %s, which the last migration left: %s", table, left.mark.Revision, stamp(table, left.mark.Revision))
	}
	if len(left.changes.StillMissing(left.live)) >= len(left.mark.Schema.Objects) {
		return ""
	}
	return fmt.Sprintf("%s holds no revision; the last migration left %s, and the schema differs from that: %s. Put this back, then %s",
		table, left.mark.Revision, strings.Join(schemaobjects.Lines(left.changes.Fold(), shownDifferences), "; "), stamp(table, left.mark.Revision))
}

// stamp is how to write a revision back.
func stamp(table versiontable.Table, revision string) string {
	heads := strings.Split(revision, ",")
	values := make([]string, len(heads))
	for i, head := range heads {
		values[i] = "('" + strings.ReplaceAll(head, "'", "''") + "')"
	}
	return fmt.Sprintf("write it back (alembic stamp %s, or INSERT INTO %s (%s) VALUES %s) and run pulumi up again",
		strings.Join(heads, " "), pgx.Identifier{table.Schema, table.Name}.Sanitize(), pgx.Identifier{table.Column}.Sanitize(), strings.Join(values, ", "))
}
