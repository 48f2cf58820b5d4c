package drift

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"plan-charge/sandbox/report"
)

// hand changes something, as somebody does at night.
type hand func(*box)

// look tells how something is, without asking the program.
type look func(*box) string

// sql runs statements as the database's owner.
func sql(statements ...string) hand {
	return func(b *box) {
		b.t.Helper()
		conn := b.connect(context.Background())
		defer conn.Close(context.Background())
		for _, s := range statements {
			if _, err := conn.Exec(context.Background(), s); err != nil {
				b.t.Fatalf("%s: %v", s, err)
			}
		}
	}
}

// cut ends the app's connections, so that it has to log in again.
const cut = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'plan_charge_app'`

// rows is what a query returns, one text a row.
func rows(query string) look {
	return func(b *box) string {
		conn := b.connect(context.Background())
		defer conn.Close(context.Background())
		found, err := conn.Query(context.Background(), query)
		if err != nil {
			return err.Error()
		}
		texts, err := pgx.CollectRows(found, pgx.RowTo[*string])
		if err != nil {
			return err.Error()
		}
		var all strings.Builder
		for _, text := range texts {
			if text == nil {
				all.WriteString("NULL\n")
			} else {
				all.WriteString(*text + "\n")
			}
		}
		return all.String()
	}
}

// serves is what users are told: by the health path, and when they log in with a token that is no good.
func serves(b *box) string {
	health := "no answer"
	if resp, err := b.site.Status.Get(context.Background(), "/health"); err == nil {
		health = resp.Status
	}
	_, login := b.site.Login(context.Background(), "", report.StructuredLogin)
	return health + ", login " + login
}

// aws makes a call. A parameter is NAME=VALUE, or the only one is JSON; <NAME> in it is the id of a resource of the stack.
func aws(service, action string, params ...string) hand {
	return func(b *box) {
		b.t.Helper()
		if _, err := b.console.Call(service, action, params...); err != nil {
			b.t.Fatal(err)
		}
	}
}

// told is what a call answers, as far as it matches a pattern.
func told(pattern, service, action string, params ...string) look {
	return func(b *box) string {
		answer, err := b.console.Call(service, action, params...)
		if err != nil {
			return err.Error()
		}
		return matches(pattern, answer)
	}
}

// matches is without order, which means nothing in AWS.
func matches(pattern, text string) string {
	all := regexp.MustCompile(pattern).FindAllString(text, -1)
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// distribution replaces what a pattern finds in the CDN's configuration.
func distribution(pattern, with string) hand {
	return func(b *box) {
		b.t.Helper()
		b.console.ChangeDistribution(pattern, with)
	}
}

// cdn is what a pattern finds in the CDN's configuration.
func cdn(pattern string) look {
	return func(b *box) string {
		config, _ := b.console.Distribution()
		return matches(pattern, config)
	}
}

// database stops or starts the database's process, behind RDS's back.
func database(what string) hand {
	return func(b *box) { b.Do(what, b.process) }
}

// connect opens the database as its owner, for a change or a look. One that was just started may need a moment.
func (b *box) connect(ctx context.Context) *pgx.Conn {
	b.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		conn, err := b.Sandbox.Connect(ctx, b.url)
		if err == nil {
			return conn
		}
		if time.Now().After(deadline) {
			b.t.Fatal(err)
		}
	}
}
