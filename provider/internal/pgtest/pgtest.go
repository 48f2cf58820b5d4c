// Package pgtest gives tests databases on a real PostgreSQL server, one server for each test binary.
package pgtest

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/testkit/postgres"
	"plan-charge/provider/internal/pgdb"
)

// Password is the owner's. It holds every character that means something in a URL, a shell, SQL or a connection string.
const Password = `p'a"s$s w\o:r/d@%#?&=;,{}[]()<>|*~!^+` + "`é"

var server *postgres.Server

// Main runs the tests of a binary beside a server, and returns the exit status.
func Main(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	server, err = postgres.Start(ctx, postgres.Options{
		Dir: dir, User: "owner", Password: Password, Database: "plan_charge", TLS: true, RequireTLS: true,
		Params: map[string]string{"fsync": "off", "max_connections": "60"},
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer server.Kill()
	return m.Run()
}

// CertFile is the server's certificate, which it signed itself. It is for localhost and its address.
func CertFile() string { return server.CertFile }

var count atomic.Int64

// Database is a fresh database of one test.
type Database struct {
	t        testing.TB
	Settings pgdb.Settings
	conn     *pgx.Conn
}

// New creates a database that goes with the test, with options of CREATE DATABASE.
func New(t testing.TB, options ...string) *Database {
	t.Helper()
	ctx := context.Background()
	name := fmt.Sprintf("test_%d", count.Add(1))
	admin, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name+" "+strings.Join(options, " ")); err != nil {
		t.Fatal(err)
	}
	d := &Database{t: t, Settings: pgdb.Settings{Host: server.Host, Port: server.Port, Database: name, Username: "owner", Password: Password, ConnectTimeout: 5 * time.Second}}
	cfg, err := pgx.ParseConfig(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Database = name
	cfg.RuntimeParams["client_encoding"] = "UTF8"
	if d.conn, err = pgx.ConnectConfig(ctx, cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.conn.Close(ctx) })
	return d
}

// Exec runs SQL, several statements if need be.
func (d *Database) Exec(sql string) {
	d.t.Helper()
	if _, err := d.conn.Exec(context.Background(), sql); err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
}

// Text returns the rows of a query as lines of values that are separated by |, NULL as an empty one.
func (d *Database) Text(sql string, args ...any) string {
	d.t.Helper()
	rows, err := d.conn.Query(context.Background(), sql, args...)
	if err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	text := ""
	for rows.Next() {
		if text != "" {
			text += "\n"
		}
		values, err := rows.Values()
		if err != nil {
			d.t.Fatal(err)
		}
		for i, v := range values {
			if i > 0 {
				text += "|"
			}
			if v != nil {
				text += fmt.Sprint(v)
			}
		}
	}
	if err := rows.Err(); err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
	return text
}

// Superuser connects to the database as the server's superuser.
func (d *Database) Superuser() string { return server.SuperuserURL(d.Settings.Database) }
