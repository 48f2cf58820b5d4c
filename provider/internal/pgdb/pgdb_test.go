package pgdb_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func row(values ...any) pgdb.Row {
	r := pgdb.Row{Name: fmt.Sprint(values[1]), Values: map[string]any{}}
	for i := 0; i < len(values); i += 2 {
		r.Values[values[i].(string)] = values[i+1]
	}
	return r
}

var spec = pgdb.Spec{Schema: "public", Table: "t", Keys: []string{"id"}}

// mixed are rows that declare different columns.
var mixed = []pgdb.Row{row("id", 1.0, "a", "new"), row("id", 2.0, "b", 2.0), row("id", 3.0, "a", "new", "b", 3.0), row("id", 4.0, "a", "new")}

func newTable(t *testing.T) (*pgtest.Database, *pgdb.Database) {
	t.Helper()
	db := pgtest.New(t)
	db.Exec(`CREATE TABLE t (id int PRIMARY KEY, a text, b int); INSERT INTO t VALUES (1, 'old', 1), (2, 'old', 1)`)
	store := pgdb.New(db.Settings)
	t.Cleanup(store.Close)
	return db, store
}

func TestCheckLeavesTheTransactionAsItWas(t *testing.T) {
	for name, tc := range map[string]struct {
		rows    []pgdb.Row
		refused bool
	}{
		"fits":               {mixed, false},
		"no such column":     {[]pgdb.Row{row("id", 1.0, "nope", 1.0)}, true},
		"a value of no type": {[]pgdb.Row{row("id", 1.0, "b", "many")}, true},
		"one key twice":      {[]pgdb.Row{row("id", 1.0), row("id", "01")}, true},
	} {
		t.Run(name, func(t *testing.T) {
			db, store := newTable(t)
			err := store.Change(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
				err := pgdb.Check(ctx, tx, spec, tc.rows)
				var problems *pgdb.ProblemsError
				if errors.As(err, &problems) != tc.refused || err != nil && !tc.refused {
					t.Errorf("refused: %v", err)
				}
				var left int
				if err := tx.QueryRow(ctx, `SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND pg_table_is_visible(oid)`).Scan(&left); err != nil || left != 0 {
					t.Errorf("%d temporary tables are left (%v)", left, err)
				}
				return err
			})
			if (err != nil) != tc.refused {
				t.Error(err)
			}
			if got := db.Text(`SELECT * FROM t ORDER BY id`); got != "1|old|1\n2|old|1" {
				t.Errorf("the table is changed:\n%s", got)
			}
		})
	}
}

// Whatever is looked at before, and whatever else is written in the same transaction, each write uses its own rows.
func TestOneTransactionHoldsSeveral(t *testing.T) {
	db, store := newTable(t)
	err := store.Change(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
		if err := pgdb.Check(ctx, tx, spec, mixed[:1]); err != nil {
			return err
		}
		if _, differences, err := pgdb.Compare(ctx, tx, spec, mixed); err != nil || len(differences) != 4 {
			t.Errorf("%d differences, %v", len(differences), err)
		}
		_, outcome, err := pgdb.Apply(ctx, tx, spec, mixed, []pgdb.Row{row("id", 2.0)}, spec.Keys, pgdb.Delete)
		if err != nil {
			return err
		}
		if got := fmt.Sprint(outcome); got != "{2 2 0 []}" {
			t.Errorf("outcome %s", got)
		}
		_, outcome, err = pgdb.Apply(ctx, tx, spec, mixed[:3], mixed[3:], spec.Keys, pgdb.Delete)
		if got := fmt.Sprint(outcome); got != "{0 0 1 []}" {
			t.Errorf("outcome %s", got)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := db.Text(`SELECT * FROM t ORDER BY id`); got != "1|new|1\n2|old|2\n3|new|3" {
		t.Errorf("the table holds\n%s", got)
	}
}
