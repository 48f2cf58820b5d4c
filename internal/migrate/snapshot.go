package migrate

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/awsquery"
	"plan-charge/internal/progress"
	"plan-charge/internal/versiontable"
	"plan-charge/internal/wait"
)

// RDS makes calls of RDS.
type RDS interface {
	Call(ctx context.Context, s awsquery.Service, action string, form url.Values, out any) error
}

// snapshot copies the database before a downgrade, which may drop what nothing else has, and waits for the copy. It stays
// in the account.
func (m *migration) snapshot(ctx context.Context, revision string) error {
	id := m.SnapshotOf + "-before-downgrade-" + time.Now().UTC().Format("20060102150405")
	step := progress.Start(m.out, "snapshot "+id+" of the schema at "+versiontable.Name(revision), 0)
	err := m.takeSnapshot(ctx, id, step)
	step.Done(err)
	if err != nil {
		return fmt.Errorf("nothing was downgraded, because there is no snapshot: %w", err)
	}
	return nil
}

func (m *migration) takeSnapshot(ctx context.Context, id string, step *progress.Step) error {
	err := m.RDS.Call(ctx, awsquery.RDS, "CreateDBSnapshot", url.Values{"DBInstanceIdentifier": {m.SnapshotOf}, "DBSnapshotIdentifier": {id}}, nil)
	var refused smithy.APIError
	switch {
	case errors.As(err, &refused) && strings.HasPrefix(refused.ErrorCode(), "DBSnapshotAlreadyExists"): // by a call that was made again
	case err != nil:
		return err
	}
	for {
		var found struct {
			Status   string `xml:"DescribeDBSnapshotsResult>DBSnapshots>DBSnapshot>Status"`
			Progress int    `xml:"DescribeDBSnapshotsResult>DBSnapshots>DBSnapshot>PercentProgress"`
		}
		err := m.RDS.Call(ctx, awsquery.RDS, "DescribeDBSnapshots", url.Values{"DBSnapshotIdentifier": {id}}, &found)
		switch {
		case err == nil && found.Status == "available":
			return nil
		case err == nil && found.Status == "failed":
			return fmt.Errorf("RDS says that snapshot %s has failed", id)
		case err != nil && awsclient.Permanent(err):
			return err
		case err != nil:
			step.Tell("RDS does not answer: " + err.Error())
		default:
			step.Tell(fmt.Sprintf("%s, %d %%", found.Status, found.Progress))
		}
		if err := wait.For(ctx, m.pace.task); err != nil {
			return err
		}
	}
}
