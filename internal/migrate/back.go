package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"plan-charge/internal/releases"
)

// shownReleases is how many of the releases that one may go back to an error lists.
const shownReleases = 5

// passed says, and tells, whether the database has moved past what this image left when it was deployed here: it would
// not know the revision that it finds, so it is rolled out as it is and nothing is migrated.
func (m *migration) passed(ctx context.Context, left past) (bool, error) {
	var err error
	if m.history, err = releases.Load(ctx, m.db.conn, m.db.table); err != nil {
		return false, err
	}
	if len(m.history) == 0 {
		m.history = left.release()
	}
	older, ok := m.history.Passed(m.Image, left.revision)
	if !ok || m.DowngradeTo != "" {
		return false, nil
	}
	fmt.Fprintln(m.out, older)
	return true, m.asItIs(ctx, left)
}

// asItIs fails where the schema is not what the last migration left, because nothing runs now that could mend it. What the
// configuration accepts is noted.
func (m *migration) asItIs(ctx context.Context, left past) error {
	differences := left.changes.Fold()
	m.sayAccepted(differences)
	if refused := m.refused(differences); len(refused) > 0 {
		return &SchemaError{Revision: left.revision, Left: left.mark.Revision, Differences: refused}
	}
	if len(differences) == 0 {
		return nil
	}
	return m.note(ctx, left.revision, left.mark.Key, left.live)
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

// release is what the mark of the last migration tells, for a database that was migrated before it could remember: its key
// begins with the image.
func (p past) release() releases.History {
	if p.mark.Key == nil {
		return nil
	}
	image, _, found := strings.Cut(*p.mark.Key, " ")
	if !found {
		return nil
	}
	return releases.History{{Image: image, Revision: p.mark.Revision}}
}
