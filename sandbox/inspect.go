package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"plan-charge/sandbox/backend"
	"plan-charge/tools/toolchain"
)

// loginPath is where a login starts; the three bodies below are the incident's.
const loginPath = "/api/v1/auth/sso/token-exchange"

// inspection is what the table at the end of `up` shows.
type inspection struct {
	rows      []row
	resources map[string]int // by package, such as "aws"
	tools     *toolchain.Tools
}

type row struct {
	ok             bool
	what, expected string
	got            string
}

func (i *inspection) add(what, expected, got string, ok bool) {
	i.rows = append(i.rows, row{ok, what, expected, got})
}

func (i *inspection) good() bool {
	for _, r := range i.rows {
		if !r.ok {
			return false
		}
	}
	return true
}

// inspect looks at the deployment from outside: through the edge as a client, and into the database as its owner.
func inspect(ctx context.Context, box *sandbox, project string) (*inspection, error) {
	i := &inspection{tools: box.tools}
	report, err := describe(ctx, box, project, true)
	if err != nil {
		return nil, err
	}
	site, _ := report.Outputs["siteUrl"].(string)
	host := strings.TrimPrefix(site, "https://")

	basic := `{"token":"test"}`
	structured := `{"userInfo":{"email":"test@nda-partners.com","name":"Test User","id":"test-id"},"access_token":"test"}`
	for _, probe := range []struct{ what, path, body, expected string }{
		{"login, basic token", loginPath, basic, "4xx"},
		{"login, cache-busting query", loginPath + fmt.Sprintf("?t=%d", time.Now().UnixNano()), basic, "4xx"},
		{"login, structured", loginPath, structured, "400"},
	} {
		code, err := post(ctx, report.Edge, host, probe.path, probe.body)
		i.add(probe.what, probe.expected, codeText(code, err), err == nil && (code == 400 || probe.expected == "4xx" && code/100 == 4))
	}

	const email = "sandbox.user@nda-partners.com"
	token, err := backend.SignToken(email, "Sandbox User")
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(map[string]any{
		"userInfo":     map[string]string{"email": email, "name": "Sandbox User", "id": "sandbox-user"},
		"access_token": token,
	})
	if err != nil {
		return nil, err
	}
	code, err := post(ctx, report.Edge, host, loginPath, string(body))
	i.add("login, valid token", "200", codeText(code, err), err == nil && code == 200)

	if err := i.database(ctx, report.Database, email); err != nil {
		return nil, err
	}
	if i.resources, err = resources(ctx, box, project); err != nil {
		return nil, err
	}
	return i, nil
}

func (i *inspection) database(ctx context.Context, ownerURL, email string) error {
	u, err := url.Parse(ownerURL)
	if err != nil {
		return fmt.Errorf("the owner's database URL cannot be parsed")
	}
	conn, err := pgx.Connect(ctx, u.String())
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

// resources counts what is in the stack, by package.
func resources(ctx context.Context, box *sandbox, project string) (map[string]int, error) {
	out, err := exportStack(ctx, box, project)
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

// post asks the edge as a client of the site would.
func post(ctx context.Context, edge, host, path, body string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, edge+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Host = host
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

func codeText(code int, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprint(code)
}

func (i *inspection) print(w io.Writer, phases []phase) {
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
	for _, p := range phases {
		fmt.Fprintf(w, "  %-28s %s\n", "time: "+p.name, p.took.Round(100*time.Millisecond))
	}
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
