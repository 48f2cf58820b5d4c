package pgdb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"plan-charge/provider/internal/pgdb"
)

// connect opens a session of its own, which goes with the test.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func exec(t *testing.T, conn *pgx.Conn, sql string) {
	t.Helper()
	if _, err := conn.Exec(context.Background(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// await waits until a query says true.
func await(t *testing.T, conn *pgx.Conn, condition string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		var is bool
		if err := conn.QueryRow(context.Background(), condition).Scan(&is); err != nil {
			t.Fatal(err)
		}
		if is {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", condition)
		}
	}
}

const (
	waiting    = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pulumi pgrows' AND datname = current_database() AND wait_event_type = 'Lock')`
	nobodyLeft = `SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pulumi pgrows' AND datname = current_database() AND wait_event_type = 'Lock')`
)

func apply(ctx context.Context, store *pgdb.Database, rows ...pgdb.Row) error {
	return store.Change(ctx, func(ctx context.Context, tx pgx.Tx) error {
		_, _, err := pgdb.Apply(ctx, tx, spec, rows, nil, spec.Keys, pgdb.Retain)
		return err
	})
}

func TestWhoHoldsALockIsSaid(t *testing.T) {
	db, _ := newTable(t)
	settings := db.Settings
	settings.LockTimeout = 5 * time.Second
	store := pgdb.New(settings)
	t.Cleanup(store.Close)
	db.Exec(`BEGIN; SET LOCAL application_name = 'the application'; UPDATE t SET a = 'theirs' WHERE id = 2`)
	var notices []string
	err := apply(pgdb.WithNotice(context.Background(), func(s string) { notices = append(notices, s) }), store, row("id", 1.0, "a", "new"), row("id", 2.0, "a", "new"))
	if err == nil {
		t.Fatal("the lock was to be had")
	}
	who := fmt.Sprintf("server process %s (owner, the application, idle in transaction, its transaction began at ", db.Text(`SELECT pg_backend_pid()`))
	for _, want := range []string{"nothing was written: public.t, row 2: canceling statement due to lock timeout: it waited for " + who, "last query: BEGIN; SET LOCAL application_name"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if len(notices) != 1 || !strings.HasPrefix(notices[0], "waits for "+who) {
		t.Errorf("said meanwhile: %q", notices)
	}
}

func TestCancelEndsWhatWaits(t *testing.T) {
	for name, cancelled := range map[string]func(*pgdb.Database, context.CancelFunc){
		"the context":  func(_ *pgdb.Database, cancel context.CancelFunc) { cancel() },
		"the database": func(store *pgdb.Database, _ context.CancelFunc) { store.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			db, store := newTable(t)
			db.Exec(`BEGIN; UPDATE t SET a = 'theirs'`)
			admin := connect(t, db.Superuser())
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- apply(ctx, store, row("id", 1.0, "a", "new")) }()
			await(t, admin, waiting)
			go cancelled(store, cancel) // which may wait as well
			select {
			case err := <-done:
				if err == nil {
					t.Error("written")
				}
			case <-time.After(30 * time.Second): // a lock is waited for for a minute
				t.Fatal("goes on waiting")
			}
			await(t, admin, nobodyLeft)
		})
	}
}

func TestPausesGrowBetweenTries(t *testing.T) {
	_, store := newTable(t)
	var at []time.Time
	err := store.Change(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
		if at = append(at, time.Now()); len(at) < 7 {
			_, err := tx.Exec(ctx, `DO $$ BEGIN RAISE 'in the way' USING ERRCODE = 'serialization_failure'; END $$`)
			return err
		}
		return nil
	})
	if err != nil || len(at) != 7 {
		t.Fatalf("%d tries, then: %v", len(at), err)
	}
	if pause := at[6].Sub(at[5]); pause < 800*time.Millisecond {
		t.Errorf("%s before the seventh try", pause)
	}
}

// A server that waits for a standby which is not there has committed, and does not say so.
func TestAConnectionLostDuringCommit(t *testing.T) {
	db, store := newTable(t)
	admin := connect(t, db.Superuser())
	name := db.Settings.Database
	const committing = `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'pulumi pgrows' AND datname = current_database() AND query ILIKE 'commit%' AND state = 'active')`
	const kill = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pulumi pgrows' AND datname = current_database() AND query ILIKE 'commit%'`

	t.Run("committed", func(t *testing.T) {
		exec(t, admin, `ALTER SYSTEM SET synchronous_commit = local`)
		exec(t, admin, `ALTER SYSTEM SET synchronous_standby_names = 'nobody'`)
		exec(t, admin, `SELECT pg_reload_conf()`)
		t.Cleanup(func() {
			exec(t, admin, `ALTER SYSTEM RESET synchronous_standby_names`)
			exec(t, admin, `ALTER SYSTEM RESET synchronous_commit`)
			exec(t, admin, `SELECT pg_reload_conf()`)
		})
		await(t, admin, `SELECT current_setting('synchronous_standby_names') = 'nobody'`)
		exec(t, admin, `ALTER DATABASE `+name+` SET synchronous_commit = on`)
		done := make(chan error, 1)
		go func() { done <- apply(context.Background(), store, row("id", 1.0, "a", "new")) }()
		await(t, admin, committing)
		await(t, admin, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep')`)
		exec(t, admin, kill)
		if err := <-done; err != nil {
			t.Errorf("it was written, and it says: %v", err)
		}
		exec(t, admin, `ALTER DATABASE `+name+` RESET synchronous_commit`)
	})
	if got := db.Text(`SELECT a FROM t WHERE id = 1`); got != "new" {
		t.Errorf("the row is %q", got)
	}

	t.Run("not committed", func(t *testing.T) {
		// What PostgreSQL does at the very end of a transaction waits for a lock.
		db.Exec(`CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF current_query() ILIKE 'commit%' THEN PERFORM pg_advisory_xact_lock(1); END IF;
				EXECUTE 'SET CONSTRAINTS ALL DEFERRED'; INSERT INTO other SELECT 1 WHERE pg_trigger_depth() = 1; RETURN NULL; END $$;
			CREATE TABLE other (id int);
			CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON other DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow();
			SELECT pg_advisory_lock(1)`)
		done := make(chan error, 1)
		go func() {
			done <- store.Change(context.Background(), func(ctx context.Context, tx pgx.Tx) error {
				_, err := tx.Exec(ctx, `INSERT INTO other VALUES (0)`)
				return err
			})
		}()
		await(t, admin, committing)
		exec(t, admin, kill)
		if err := <-done; err == nil || !strings.Contains(err.Error(), "the connection was lost during COMMIT, and nothing was written") {
			t.Errorf("it says: %v", err)
		}
	})
}

func TestSomeThatWaitLeaveRoomForOthers(t *testing.T) {
	db, store := newTable(t)
	db.Exec(`BEGIN; UPDATE t SET a = 'theirs'`)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 6)
	for range cap(done) {
		go func() { done <- apply(ctx, store, row("id", 1.0, "a", "new")) }()
	}
	admin := connect(t, db.Superuser())
	await(t, admin, `SELECT count(*) = 6 FROM pg_stat_activity WHERE application_name = 'pulumi pgrows' AND datname = current_database() AND wait_event_type = 'Lock'`)
	if err := store.Glance(context.Background(), func(context.Context, pgx.Tx) error { return nil }); err != nil {
		t.Errorf("a seventh: %v", err)
	}
	cancel()
	for range cap(done) {
		<-done
	}
}

func TestAFullPoolIsNotTakenForADatabaseThatIsAway(t *testing.T) {
	db, store := newTable(t)
	release := make(chan struct{})
	const all = 16
	in, done := make(chan struct{}, all), make(chan error, all)
	for range all {
		go func() {
			done <- store.Look(context.Background(), func(context.Context, pgx.Tx) error { in <- struct{}{}; <-release; return nil })
		}()
	}
	for range all {
		<-in
	}
	err := store.Glance(context.Background(), func(context.Context, pgx.Tx) error { return nil })
	var away *pgdb.UnreachableError
	if err == nil || errors.As(err, &away) || !strings.Contains(err.Error(), "all 16 connections to "+db.Settings.Address()+" are at work") {
		t.Errorf("got %v", err)
	}
	close(release)
	for range all {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if err := store.Glance(context.Background(), func(context.Context, pgx.Tx) error { return nil }); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}
