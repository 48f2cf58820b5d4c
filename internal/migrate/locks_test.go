package migrate

import (
	"context"
	"testing"
	"time"

	"plan-charge/internal/testkit"
)

// TestAStatementWaitsForATableOnlySoLong has somebody's transaction in the migration's way.
func TestAStatementWaitsForATableOnlySoLong(t *testing.T) {
	for name, tc := range map[string]struct {
		theirs, ours string
		cancelled    bool
	}{
		"readers would wait behind it": {`SELECT count(*) FROM visits`, `ALTER TABLE visits ADD COLUMN page text`, true},
		"writers would wait behind it": {`INSERT INTO visits VALUES (1)`, `CREATE INDEX ON visits (id)`, true},
		"nobody would wait behind it":  {`LOCK TABLE visits IN ACCESS EXCLUSIVE MODE`, `INSERT INTO visits VALUES (2)`, false},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			c := newCloud(t, freshURL(t))
			sql(t, `DROP TABLE IF EXISTS visits`)
			sql(t, `CREATE TABLE visits (id int)`)
			t.Cleanup(func() { sql(t, `DROP TABLE visits`) })
			them := open(t)
			defer them.Close(ctx)
			tx, err := them.Begin(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer tx.Rollback(ctx)
			if _, err := tx.Exec(ctx, tc.theirs); err != nil {
				t.Fatal(err)
			}
			c.script = func(f *fakeTask) {
				f.status("RUNNING")
				conn := open(t)
				defer conn.Close(ctx)
				if !tc.cancelled {
					time.AfterFunc(500*time.Millisecond, func() { tx.Rollback(ctx) })
				}
				if _, err := conn.Exec(ctx, tc.ours); err != nil {
					f.print(err.Error())
					f.exit(1)
					return
				}
				migrated(t, "0002")
				f.exit(0)
			}
			settings := testSettings()
			settings.LockTimeout = 100 * time.Millisecond
			_, err = run(ctx, settings, c.clients(), &testkit.Buffer{}, fast())
			if !tc.cancelled {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil {
				t.Fatal("it waited until the table was free")
			}
			testkit.Contains(t, "error", err.Error(), "canceling statement", "on table visits", "behind owner (server process", "in transaction",
				"its transaction began", "was cancelled after 100ms", "migration.lockTimeout")
		})
	}
}
