package resource

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/schemaobjects"
	"plan-charge/internal/versiontable"
)

// shownDifferences bounds the list in a drift.
const shownDifferences = 20

// look reads the revision that a schema is at, and words how revision and schema differ from what the last migration left.
func look(ctx context.Context, tx pgx.Tx, table versiontable.Table, ignore []string) (current, drift string, err error) {
	left, marked, err := table.ReadMark(ctx, tx)
	var newer *versiontable.NewerMarkError
	if err != nil && !errors.As(err, &newer) && !errors.Is(err, versiontable.ErrNoTable) {
		return "", "", err
	}
	current, err = table.Current(ctx, tx)
	gone := errors.Is(err, versiontable.ErrNoTable)
	if err != nil && !gone {
		return "", "", err
	}
	said := "at " + versiontable.Name(current)
	if gone {
		said += fmt.Sprintf(", and %s does not exist", table)
	}
	switch {
	case newer != nil:
		return current, notSeen(newer), nil
	case !marked && gone:
		return current, said, nil
	case !marked:
		return current, said + ", and no migration has left its mark", nil
	case current != left.Revision:
		drift = fmt.Sprintf("%s, the last migration left %s", said, versiontable.Name(left.Revision))
		if current != "" {
			return current, drift, nil // another revision is made of other objects
		}
	}
	if left.Schema == nil {
		return current, drift, nil
	}
	live, err := table.Inspect(ctx, tx)
	if err != nil {
		return "", "", err
	}
	return current, join(drift, compare(*left.Schema, live, ignore, current == "")), nil
}

// compare words how a schema differs from what it was made of. Of one that has lost its revision it also says when nothing else is lost.
func compare(left, live schemaobjects.Snapshot, ignore []string, lost bool) string {
	changes := schemaobjects.Diff(left, live, schemaobjects.NewPatterns(ignore))
	said := strings.Join(schemaobjects.Lines(changes.Fold(), shownDifferences), "; ")
	unread := live.Unread(left)
	switch {
	case left.Major != live.Major:
		said = join(said, fmt.Sprintf("the definitions were noted by PostgreSQL %d, this is %d: they are noted again", left.Major, live.Major))
	case said != "" && unread != "":
		said = join(said, unread)
	case unread != "":
		return notSeen(errors.New(unread))
	case lost && said == "":
		return "the schema looks like it"
	}
	return said
}

// join separates what is said in one drift.
func join(first, second string) string {
	if first == "" || second == "" {
		return first + second
	}
	return first + "; " + second
}
