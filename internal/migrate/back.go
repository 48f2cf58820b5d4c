package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"plan-charge/internal/releases"
	"plan-charge/internal/versiontable"
)

// shownReleases is how many of the releases that one may go back to an error lists.
const shownReleases = 5

// passed says, and tells, whether the database has moved past what this image left when it was deployed here: it would
// not know the revision that it finds, so it is rolled out as it is and nothing is migrated.
func (m *migration) passed(ctx context.Context, live string) (bool, error) {
	var err error
	if m.history, err = m.db.history(ctx); err != nil {
		return false, err
	}
	older, ok := m.history.Passed(m.Image, live)
	if ok {
		fmt.Fprintln(m.out, older)
	}
	return ok, nil
}

// record notes what this image's migration left.
func (m *migration) record(ctx context.Context, before, after string) error {
	release := releases.Release{Image: m.Image, Revision: after, From: before}
	if err := releases.Record(ctx, m.db.conn, m.db.table, release, m.history...); err != nil {
		return fmt.Errorf("the database is at %s, but that %s left it there could not be noted: %w", after, m.Image, err)
	}
	return nil
}

// explain adds to a failure what to do about an image that does not know the revision that the database is at.
func (m *migration) explain(err error, live string) error {
	var failure *TaskError
	if !errors.As(err, &failure) || failure.Hint != "" || !unknownRevision(failure.Log, live) {
		return err
	}
	hint := fmt.Sprintf("the image does not know %s, which the database is at. Roll forward: deploy an image that knows it", live)
	for i, r := range m.history.Newest(shownReleases) {
		if i == 0 {
			hint += "; or go back to one that was deployed here, which is then not migrated:"
		}
		hint += fmt.Sprintf("\n    %s left %s, last on %s", r.Image, r.Revision, r.Last.UTC().Format("2006-01-02 15:04 UTC"))
	}
	failure.Hint = hint
	return err
}

// refusals are the words in which migration tools say that they do not know a revision: Alembic, golang-migrate, Flyway and
// those that say it plainly.
var refusals = []string{"can't locate revision", "no migration found for version", "not resolved locally", "not know", "unknown", "and this program knows"}

// unknownRevision tells whether a log complains of the revision that the database is at.
func unknownRevision(log []string, live string) bool {
	return live != "" && slices.ContainsFunc(log, func(line string) bool {
		return strings.Contains(line, live) &&
			slices.ContainsFunc(refusals, func(words string) bool { return strings.Contains(strings.ToLower(line), words) })
	})
}

// history is the releases that this database remembers. One that was migrated before it could remember has the release that
// its mark tells.
func (d *database) history(ctx context.Context) (releases.History, error) {
	history, err := releases.Load(ctx, d.conn, d.table)
	if err != nil || len(history) > 0 {
		return history, err
	}
	return d.marked(ctx)
}

// marked is the release that the mark of the last migration tells: its key begins with the image.
func (d *database) marked(ctx context.Context) (releases.History, error) {
	mark, ok, err := d.table.ReadMark(ctx, d.conn)
	if errors.Is(err, versiontable.ErrNoTable) {
		return nil, nil
	}
	if err != nil || !ok || mark.Key == nil {
		return nil, err
	}
	image, _, found := strings.Cut(*mark.Key, " ")
	if !found {
		return nil, nil
	}
	return releases.History{{Image: image, Revision: mark.Revision}}, nil
}
