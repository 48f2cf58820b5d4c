package pgdb_test

import (
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"

	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/pgtest"
)

// way leads to a server that its name does not lead to.
type way struct {
	to      string
	barred  error
	dialled atomic.Int32
	asked   string // the address that was last dialled
}

func (w *way) Ready(context.Context) error { return w.barred }

func (w *way) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	w.dialled.Add(1)
	w.asked = address
	var d net.Dialer
	return d.DialContext(ctx, network, w.to)
}

// Every connection goes by the way, to the name that the server has in its network, which nobody has to know here.
func TestEveryConnectionGoesByTheWay(t *testing.T) {
	db := pgtest.New(t)
	w := &way{to: net.JoinHostPort(db.Settings.Host, strconv.Itoa(db.Settings.Port))}
	settings := db.Settings
	settings.Host, settings.Way = "db.private.invalid", w
	store := pgdb.New(settings)
	defer store.Close()
	if err := store.Look(t.Context(), func(context.Context, pgx.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := settings.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	if want := net.JoinHostPort("db.private.invalid", strconv.Itoa(db.Settings.Port)); w.dialled.Load() < 2 || w.asked != want {
		t.Errorf("dialled %d times, the last time %s; want %s", w.dialled.Load(), w.asked, want)
	}
}

// What bars the way is why the database is out of reach.
func TestABarredWayIsNoConnection(t *testing.T) {
	db := pgtest.New(t)
	settings := db.Settings
	settings.Way = &way{barred: errors.New("these credentials lack a right, ecs:RunTask")}
	store := pgdb.New(settings)
	defer store.Close()
	nothing := func(context.Context, pgx.Tx) error { return nil }
	for what, err := range map[string]error{
		"a look": store.Look(t.Context(), nothing), "a glance": store.Glance(t.Context(), nothing),
		"a change": store.Change(t.Context(), nothing), "a login": settings.Login(t.Context()),
	} {
		var unreachable *pgdb.UnreachableError
		if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "ecs:RunTask") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A lost connection fails what writes, and has what only reads read once more.
func TestALostConnectionRepeatsReadingAlone(t *testing.T) {
	db := pgtest.New(t)
	store := pgdb.New(db.Settings)
	defer store.Close()
	for what, tc := range map[string]struct {
		run  func(context.Context, func(context.Context, pgx.Tx) error) error
		want int
	}{"reading": {store.Look, 2}, "writing": {store.Change, 1}} {
		times := 0
		err := tc.run(t.Context(), func(ctx context.Context, tx pgx.Tx) error {
			if times++; times > 1 {
				return nil
			}
			_, err := tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
			return err
		})
		if times != tc.want || (err == nil) != (tc.want > 1) {
			t.Errorf("%s ran %d times: %v", what, times, err)
		}
	}
}
