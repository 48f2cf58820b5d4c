package report

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"plan-charge/sandbox/box"
	"plan-charge/tools/toolchain"
)

// Inspection is what the table at the end of `up` shows.
type Inspection struct {
	rows      []row
	resources map[string]int // by package, such as "aws"
	tools     *toolchain.Tools
	network   box.Network
}

// Phase is one part of a run.
type Phase struct {
	Name string
	Took time.Duration
}

type row struct {
	ok             bool
	what, expected string
	got            string
}

func (i *Inspection) add(what, expected, got string, ok bool) {
	i.rows = append(i.rows, row{ok, what, expected, got})
}

// Good tells whether everything works.
func (i *Inspection) Good() bool {
	for _, r := range i.rows {
		if !r.ok {
			return false
		}
	}
	return true
}

// Inspect looks at the deployment from outside: through the edge as a client, and into the database as its owner.
func Inspect(ctx context.Context, b *box.Box) (*Inspection, error) {
	i := &Inspection{tools: b.Tools, network: b.NetworkNow()}
	s, err := Look(ctx, b, true)
	if err != nil {
		return nil, err
	}
	const basic, email = `{"token":"test"}`, "sandbox.user@nda-partners.com"
	valid, err := ValidLogin(email, "Sandbox User")
	if err != nil {
		return nil, err
	}
	for _, login := range []struct{ what, query, body, expected string }{
		{"login, basic token", "", basic, "4xx"},
		{"login, cache-busting query", fmt.Sprintf("?t=%d", time.Now().UnixNano()), basic, "4xx"},
		{"login, structured", "", StructuredLogin, "400"},
		{"login, valid token", "", valid, "200"},
	} {
		code, text := s.Login(ctx, login.query, login.body)
		i.add(login.what, login.expected, text, text == login.expected || login.expected == "4xx" && code/100 == 4)
	}
	if err := i.database(ctx, b, s.Database, email); err != nil {
		return nil, err
	}
	if i.resources, err = resources(ctx, b); err != nil {
		return nil, err
	}
	return i, nil
}

func (i *Inspection) database(ctx context.Context, b *box.Box, ownerURL, email string) error {
	u, err := url.Parse(ownerURL)
	if err != nil {
		return fmt.Errorf("the owner's database URL cannot be parsed")
	}
	conn, err := b.Connect(ctx, u.String())
	if err != nil {
		return fmt.Errorf("connect to the database: %w", err)
	}
	defer conn.Close(ctx)

	var tables []string
	if err := conn.QueryRow(ctx, `SELECT array_agg(table_name::text ORDER BY table_name) FROM information_schema.tables WHERE table_schema = 'public'`).Scan(&tables); err != nil {
		return err
	}
	has := " " + strings.Join(tables, " ") + " "
	i.add("tables", "organizations, users", strings.Join(tables, ", "), strings.Contains(has, " organizations ") && strings.Contains(has, " users "))

	var names []string
	if err := conn.QueryRow(ctx, `SELECT array_agg(name::text ORDER BY id) FROM organizations WHERE deleted_at IS NULL`).Scan(&names); err != nil {
		return err
	}
	listed := strings.Join(names, ", ")
	i.add("organizations", "the incident's two", listed, strings.Contains(listed, "NDA Partners") && strings.Contains(listed, "Default Organization"))

	var organization string
	err = conn.QueryRow(ctx, `SELECT o.name FROM users u JOIN organizations o ON o.id = u.organization_id WHERE u.email = $1`, email).Scan(&organization)
	if err == pgx.ErrNoRows {
		organization, err = "no such user", nil
	}
	i.add("organization of that user", "NDA Partners", organization, organization == "NDA Partners")
	return err
}

// Export is the state of the stack 'sandbox', its secrets enciphered.
func Export(ctx context.Context, b *box.Box) ([]byte, error) {
	cmd := b.Pulumi(ctx, "stack", "export", "--stack", "sandbox")
	cmd.Stdout = nil
	return cmd.Output()
}

// resources counts what is in the stack, by package.
func resources(ctx context.Context, b *box.Box) (map[string]int, error) {
	out, err := Export(ctx, b)
	if err != nil {
		return nil, err
	}
	var export struct {
		Deployment struct {
			Resources []struct {
				Type   string
				Custom bool
			}
		}
	}
	if err := json.Unmarshal(out, &export); err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, r := range export.Deployment.Resources {
		if r.Custom && !strings.HasPrefix(r.Type, "pulumi:") {
			counts[strings.SplitN(r.Type, ":", 2)[0]]++
		}
	}
	return counts, nil
}

// Print writes the table, with the phases of the run below it.
func (i *Inspection) Print(w io.Writer, phases []Phase) {
	fmt.Fprintf(w, "\n  %-28s %-22s %s\n", "check", "expected", "got")
	for _, r := range i.rows {
		mark := "✓"
		if !r.ok {
			mark = "✗"
		}
		fmt.Fprintf(w, "%s %-28s %-22s %s\n", mark, r.what, r.expected, r.got)
	}
	var names []string
	total := 0
	for name, n := range i.resources {
		names = append(names, fmt.Sprintf("%s %d", name, n))
		total += n
	}
	sort.Strings(names)
	fmt.Fprintf(w, "\n  %-28s %d (%s)\n", "resources", total, strings.Join(names, ", "))
	fmt.Fprintf(w, "  %-28s %s (%s)\n", "tools", toolNames(i.tools.Kinds), i.tools.Why)
	fmt.Fprintf(w, "  %-28s %s\n", "network", reach(i.network))
	for _, p := range phases {
		fmt.Fprintf(w, "  %-28s %s\n", "time: "+p.Name, p.Took.Round(100*time.Millisecond))
	}
}

// reach says what is proven about who reaches the database.
func reach(n box.Network) string {
	switch {
	case n.Kind == box.NetworkPrivate:
		return "private: the database admits whom its security group names"
	case n.Why != "":
		return "open, not proven who reaches the database: " + n.Why
	}
	return "open, not proven who reaches the database: " + box.EnvNetwork + "=" + box.NetworkPrivate + " makes a new sandbox that proves it"
}

// toolNames lists what each program is.
func toolNames(kinds map[string]toolchain.Kind) string {
	var names []string
	for program, kind := range kinds {
		names = append(names, fmt.Sprintf("%s %s", strings.TrimPrefix(program, "pulumi-resource-"), kind))
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}
