// Rows measures the rows provider, in a process of its own as the engine runs it, beside the same done by hand over one
// connection, in turns on one server. What it prints are ratios of medians, with the spread of each side.
//
//	go run ./bench/rows [-rows 100000] [-runs 5] [-memory 100000,1000000]
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/testkit/postgres"
)

const (
	columns = "id int PRIMARY KEY, a text, b numeric, c timestamptz, d jsonb, e uuid, f bool, g text[], h text, i bigint"
	names   = "id, a, b, c, d, e, f, g, h, i"
)

func main() {
	rows := flag.Int("rows", 100_000, "rows of the table")
	runs := flag.Int("runs", 5, "runs of each figure")
	memory := flag.String("memory", "100000,1000000", "tables of how many rows the peak memory is measured at")
	flag.Parse()
	if err := bench(*rows, *runs, *memory); err != nil {
		fmt.Fprintln(os.Stderr, "bench/rows:", err)
		os.Exit(1)
	}
}

// world is a server, a folder, and a connection for what is done by hand.
type world struct {
	ctx    context.Context
	dir    string
	server *postgres.Server
	conn   *pgx.Conn
	admin  *pgx.Conn
	binary string
}

func bench(rows, runs int, memory string) error {
	w := &world{ctx: context.Background()}
	var err error
	if w.dir, err = os.MkdirTemp("", "bench-rows-"); err != nil {
		return err
	}
	defer os.RemoveAll(w.dir)
	w.binary = filepath.Join(w.dir, "pulumi-resource-pgrows")
	if out, err := exec.Command("go", "build", "-o", w.binary, "./provider").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	w.server, err = postgres.Start(w.ctx, postgres.Options{Dir: filepath.Join(w.dir, "server"), User: "owner", Password: "bench", Database: "bench", TLS: true})
	if err != nil {
		return err
	}
	defer w.server.Kill()
	if w.conn, err = pgx.Connect(w.ctx, w.server.URL()); err != nil {
		return err
	}
	defer w.conn.Close(w.ctx)
	if w.admin, err = pgx.Connect(w.ctx, w.server.SuperuserURL("bench")); err != nil {
		return err
	}
	defer w.admin.Close(w.ctx)
	fmt.Printf("%-58s %8s %22s %22s\n", fmt.Sprintf("%d rows of 10 columns, %d runs", rows, runs), "ratio", "provider (min-max)", "by hand (min-max)")
	if err := w.speed(rows, runs); err != nil {
		return err
	}
	for size := range strings.SplitSeq(memory, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			continue
		}
		if err := w.memory(n); err != nil {
			return err
		}
	}
	return nil
}

// file writes a table as CSV, with other values in some of its rows.
func (w *world) file(rows, changed int) (string, error) {
	path := filepath.Join(w.dir, fmt.Sprintf("rows-%d-%d.csv", rows, changed))
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	out := bufio.NewWriterSize(f, 1<<20)
	fmt.Fprintln(out, strings.ReplaceAll(names, " ", ""))
	for i := range rows {
		name := "name"
		if changed > 0 && i%(rows/changed) == 7 {
			name = "changed"
		}
		fmt.Fprintf(out, "%d,%s %d,%d.25,2024-01-01 00:00:00+00,\"{\"\"n\"\": %d}\",00000000-0000-0000-0000-%012x,%t,{x},constant,%d\n", i, name, i, i, i, i, i%2 == 0, i*7)
	}
	if err := out.Flush(); err != nil {
		return "", err
	}
	return path, f.Close()
}

// files are a table, and the same with 100 rows changed.
func (w *world) files(rows int) (first, second string, err error) {
	if first, err = w.file(rows, 0); err == nil {
		second, err = w.file(rows, 100)
	}
	return first, second, err
}

// byHand is what a person would do: COPY, and INSERT … ON CONFLICT of what differs.
func (w *world) byHand(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	tx, err := w.conn.Begin(w.ctx)
	if err != nil {
		return err
	}
	defer tx.Rollback(w.ctx)
	if _, err := tx.Exec(w.ctx, "CREATE TEMP TABLE s (LIKE t) ON COMMIT DROP"); err != nil {
		return err
	}
	if _, err := tx.Conn().PgConn().CopyFrom(w.ctx, f, "COPY s FROM STDIN (FORMAT csv, HEADER)"); err != nil {
		return err
	}
	var sets, old, excluded []string
	for _, c := range strings.Split(names, ", ")[1:] {
		sets, old, excluded = append(sets, c+" = EXCLUDED."+c), append(old, "t."+c), append(excluded, "EXCLUDED."+c)
	}
	_, err = tx.Exec(w.ctx, fmt.Sprintf("INSERT INTO t SELECT * FROM s ON CONFLICT (id) DO UPDATE SET %s WHERE (%s) IS DISTINCT FROM (%s)",
		strings.Join(sets, ", "), strings.Join(old, ", "), strings.Join(excluded, ", ")))
	if err != nil {
		return err
	}
	return tx.Commit(w.ctx)
}

func (w *world) selectAll() error {
	_, err := w.conn.PgConn().CopyTo(w.ctx, io.Discard, "COPY (SELECT * FROM t) TO STDOUT")
	return err
}

func (w *world) exec(statements ...string) error {
	for _, s := range statements {
		if _, err := w.conn.Exec(w.ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

func (w *world) fresh() error {
	if err := w.exec("DROP TABLE IF EXISTS t", "CREATE TABLE t ("+columns+")"); err != nil {
		return err
	}
	_, err := w.admin.Exec(w.ctx, "CHECKPOINT") // or one would come in the middle of some run
	return err
}

func (w *world) speed(rows, runs int) error {
	first, second, err := w.files(rows)
	if err != nil {
		return err
	}
	p, err := start(w)
	if err != nil {
		return err
	}
	defer p.stop()
	var create, createHand, noop, change, changeHand, refresh, compared, selectHand series
	for range runs {
		if err := w.fresh(); err != nil {
			return err
		}
		if err := createHand.time(func() error { return w.byHand(first) }); err != nil {
			return err
		}
		if err := w.exec("VACUUM ANALYZE t"); err != nil {
			return err
		}
		if err := changeHand.time(func() error { return w.byHand(second) }); err != nil {
			return err
		}
		if err := w.fresh(); err != nil {
			return err
		}
		p.forget()
		if err := create.time(func() error { return p.up(first) }); err != nil {
			return err
		}
		if err := w.exec("VACUUM ANALYZE t"); err != nil {
			return err
		}
		if err := noop.time(func() error { return p.up(first) }); err != nil {
			return err
		}
		if err := refresh.time(p.refresh); err != nil {
			return err
		}
		if err := selectHand.time(w.selectAll); err != nil {
			return err
		}
		if err := w.exec("INSERT INTO t (id) VALUES (-1)"); err != nil { // as an application does
			return err
		}
		if err := compared.time(p.refresh); err != nil {
			return err
		}
		if err := change.time(func() error { return p.up(second) }); err != nil {
			return err
		}
	}
	line("new rows, to COPY + INSERT … ON CONFLICT", create, createHand)
	line("100 rows changed, to the same", change, changeHand)
	line("refresh of an untouched table, to SELECT", refresh, selectHand)
	line("refresh beside rows of the application's, to COPY + INSERT", compared, changeHand)
	line("nothing changed (the file is read once), to SELECT", noop, selectHand)
	return nil
}

// memory is the peak of a provider that writes a table, does nothing, refreshes and changes 100 rows.
func (w *world) memory(rows int) error {
	first, second, err := w.files(rows)
	if err != nil {
		return err
	}
	if err := w.fresh(); err != nil {
		return err
	}
	p, err := start(w)
	if err != nil {
		return err
	}
	defer p.stop()
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"new", func() error { return p.up(first) }},
		{"nothing changed", func() error { return p.up(first) }},
		{"refresh", p.refresh},
		{"100 changed", func() error { return p.up(second) }},
	} {
		began := time.Now()
		if err := step.do(); err != nil {
			return err
		}
		peak, err := p.peak()
		if err != nil {
			return err
		}
		fmt.Printf("%-58s %5d MB   state %d bytes   %s\n", fmt.Sprintf("peak memory of the provider at %d rows, %s", rows, step.what), peak>>20, p.stateSize(), time.Since(began).Round(100*time.Millisecond))
	}
	return nil
}

// series are times of one thing.
type series []time.Duration

func (s *series) time(f func() error) error {
	began := time.Now()
	err := f()
	*s = append(*s, time.Since(began))
	return err
}

func (s series) median() time.Duration {
	return slices.Sorted(slices.Values(s))[len(s)/2]
}

func (s series) String() string {
	round := func(d time.Duration) string { return fmt.Sprintf("%.2f", d.Seconds()) }
	return fmt.Sprintf("%s s (%s-%s)", round(s.median()), round(slices.Min(s)), round(slices.Max(s)))
}

func line(what string, provider, hand series) {
	fmt.Printf("%-58s %8.2f %22s %22s\n", what, provider.median().Seconds()/hand.median().Seconds(), provider, hand)
}
