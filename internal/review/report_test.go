package review_test

import (
	"strings"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"

	"plan-charge/internal/review"
)

// TestOnlyWhatWaitsAsDeclaredIsNoDrift: another class than the declared one is drift, whatever waits.
func TestOnlyWhatWaitsAsDeclaredIsNoDrift(t *testing.T) {
	drift := func() (*review.Drift, review.Instance) {
		declared := map[string]any{"instanceClass": "db.t4g.large", "identifier": "db", "engineVersion": "15", "multiAz": false, "allocatedStorage": 20.0}
		change := step{op: apitype.OpUpdate, typ: instance, name: "`db` </details>", old: declared, new: map[string]any{"instanceClass": "db.t4g.micro", "identifier": "db"}, diff: differs("instanceClass")}
		refresh := step{op: apitype.OpRefresh, typ: instance, name: "`db` </details>", old: change.old, new: change.old}
		log := event(t, apitype.EngineEvent{ResourcePreEvent: &apitype.ResourcePreEvent{Metadata: refresh.metadata()}})
		log = append(log, event(t, apitype.EngineEvent{ResOutputsEvent: &apitype.ResOutputsEvent{Metadata: change.metadata()}})...)
		p := planOf(t, append(log, ended(t)...))
		return review.NewDrift(p), p.Account.Instances[0]
	}
	for name, c := range map[string]struct {
		waits review.Pending
		exit  int
		drift int
	}{
		"the declared class":   {review.Pending{Property: "instanceClass", Found: "db.t4g.micro", Then: "db.t4g.large"}, review.ExitClean, 0},
		"another class":        {review.Pending{Property: "instanceClass", Found: "db.t4g.micro", Then: "db.t4g.small"}, review.ExitDrift, 2},
		"another standby":      {review.Pending{Property: "multiAz", Found: "false", Then: "true"}, review.ExitDrift, 2},
		"another storage":      {review.Pending{Property: "allocatedStorage", Found: "20", Then: "40"}, review.ExitDrift, 2},
		"a minor version":      {review.Pending{Property: "engineVersion", Found: "15.7", Then: "15.8"}, review.ExitDrift, 1},
		"a major version":      {review.Pending{Property: "engineVersion", Found: "15.7", Then: "16.4"}, review.ExitDrift, 2},
		"what nobody declared": {review.Pending{Property: "iops", Found: "3000", Then: "4000"}, review.ExitDrift, 1},
	} {
		c.waits.Until = "sun:05:00-sun:06:00"
		d, i := drift()
		d.Wait(i, c.waits)
		if d.Exit() != c.exit || len(d.Drift) != c.drift {
			t.Errorf("%s: exit code %d, want %d, and %d values differ, want %d:\n%s", name, d.Exit(), c.exit, len(d.Drift), c.drift, d.Table())
		}
		body := d.IssueBody("")
		if waits := c.drift < 2; strings.Contains(d.Table(), "pending until sun:05:00-sun:06:00 UTC\n") != waits || strings.Contains(body, "**Pending**") != waits {
			t.Errorf("%s: it is told as pending: %v, want %v\n%s\n%s", name, !waits, waits, d.Table(), body)
		}
		if strings.Contains(outsideCode(body), "</details>") {
			t.Errorf("%s: a name gets out of its code:\n%s", name, body)
		}
	}
}
