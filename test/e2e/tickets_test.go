package e2e

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"

	"plan-charge/sandbox/report"
	"plan-charge/test/testbed"
)

const (
	ticketsStack  = "tickets"
	ticketsConfig = "test/apps/tickets/Pulumi.tickets.yaml"
)

// TestSecondApplication deploys an application of another shape, by its image and its stack file alone.
func TestSecondApplication(t *testing.T) {
	t.Parallel() // it mostly waits
	b := &box{testbed.NewBox(t), t}
	b.Must(b.Pulumi("stack", "init", ticketsStack, "--no-select"))
	if err := os.Remove(filepath.Join(b.Project, "Pulumi."+ticketsStack+".yaml")); err != nil { // the stack has a file elsewhere
		t.Fatal(err)
	}
	b.steps(t,
		day{"AnImageIsMadeOfAProgram", makeTickets},
		day{"FirstUpServesIt", firstTickets},
		day{"RefreshSeesADowngradeAndUpMigratesAgain", downgradeTickets},
		day{"ANewImageIsRolledOut", nextTickets},
		day{"Destroy", func(_ *testing.T, b *box) { destroy(b, ticketsStack, "--config-file", ticketsConfig) }},
	)
}

// addTickets builds the program and makes it an image. The sandbox runs already, and is told nothing of it.
func (b *box) addTickets(reference string) testbed.Result {
	b.t.Helper()
	dir := b.t.TempDir()
	build, err := b.Inside(b.t.Context(), "go", "build", "-o", filepath.Join(dir, "tickets"), "./test/apps/tickets")
	if err != nil {
		b.t.Fatal(err)
	}
	if out, err := build.CombinedOutput(); err != nil {
		b.t.Fatalf("%v\n%s", err, out)
	}
	return b.Run(time.Minute, "image", "add", reference, "--dir", dir, "--port", "8080", "--", "./tickets")
}

func makeTickets(t *testing.T, b *box) {
	b.Must(b.addTickets("tickets:1.0.0"))
	if r := b.addTickets("tickets:1.0.0"); r.Code == 0 || !strings.Contains(r.Out, "the name is taken") {
		t.Errorf("the same image again ended with %d:\n%s", r.Code, r.Out)
	}
	testbed.WantIn(t, b.Must(b.Run(time.Minute, "image", "list")).Out, "tickets:1.0.0\t./tickets\t")
}

func firstTickets(t *testing.T, b *box) {
	b.Must(b.Pulumi("up", "--yes", "--skip-preview", "--stack", ticketsStack, "--config-file", ticketsConfig))
	site := b.tickets()
	if got := site.Output(t, "revision"); got != "2" {
		t.Errorf("migrated to %q, want 2", got)
	}
	if got := ask(t, site, http.MethodPost, "/tickets", `{"queue":"support","subject":"no login"}`, http.StatusCreated); !strings.Contains(got, "no login") {
		t.Errorf("a new ticket: %s", got)
	}
	ask(t, site, http.MethodPost, "/tickets", `{"queue":"nobody's","subject":"lost"}`, http.StatusUnprocessableEntity)
	if got := ask(t, site, http.MethodGet, "/tickets", "", http.StatusOK); strings.Count(got, `"subject"`) != 1 {
		t.Errorf("the tickets are %s, want one", got)
	}
	b.wantNoTicketsDrift()
}

// downgradeTickets takes back the second version by hand, as somebody in a hurry would.
func downgradeTickets(t *testing.T, b *box) {
	ctx := t.Context()
	conn := b.ticketsDatabase()
	if _, err := conn.Exec(ctx, `DROP TABLE tickets; UPDATE schema_migrations SET version = 1`); err != nil {
		t.Fatal(err)
	}
	ask(t, b.tickets(), http.MethodGet, "/tickets", "", http.StatusInternalServerError)
	r := b.Pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff", "--stack", ticketsStack, "--config-file", ticketsConfig)
	if r.Code != 7 {
		t.Errorf("refresh ended with %d, want 7", r.Code)
	}
	testbed.WantIn(t, r.Out, "the last migration left 2")
	b.Must(b.Pulumi("up", "--yes", "--skip-preview", "--stack", ticketsStack, "--config-file", ticketsConfig))
	if got := ask(t, b.tickets(), http.MethodGet, "/tickets", "", http.StatusOK); strings.TrimSpace(got) != "[]" {
		t.Errorf("after the migration the tickets are %s, want none", got)
	}
	b.wantNoTicketsDrift()
}

func nextTickets(t *testing.T, b *box) {
	data, err := os.ReadFile(filepath.Join(b.Project, ticketsConfig))
	if err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(b.Dir, "tickets.yaml")
	if err := os.WriteFile(next, []byte(strings.Replace(string(data), "tickets:1.0.0", "tickets:1.1.0", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Must(b.addTickets("tickets:1.1.0"))
	b.Must(b.Pulumi("up", "--yes", "--skip-preview", "--stack", ticketsStack, "--config-file", next))
	if got := ask(t, b.tickets(), http.MethodGet, "/healthz", "", http.StatusOK); !strings.Contains(got, `"1.1.0"`) {
		t.Errorf("after the rollout of 1.1.0 the service says %s", got)
	}
}

func (b *box) wantNoTicketsDrift() {
	b.t.Helper()
	b.Must(b.Pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff", "--stack", ticketsStack, "--config-file", ticketsConfig))
}

// tickets is where the second application is served, and its stack's outputs.
func (b *box) tickets() testbed.Site {
	b.t.Helper()
	cmd, err := b.Sandbox.Pulumi(b.t.Context(), "stack", "output", "--json", "--stack", ticketsStack)
	if err != nil {
		b.t.Fatal(err)
	}
	out, err := cmd.Output()
	if err != nil {
		b.t.Fatal(err)
	}
	s := testbed.Site{Status: &report.Status{Edge: b.EdgeURL()}}
	if err := json.Unmarshal(out, &s.Outputs); err != nil {
		b.t.Fatal(err)
	}
	return s
}

// ticketsDatabase opens it as its owner.
func (b *box) ticketsDatabase() *pgx.Conn {
	b.t.Helper()
	ctx := context.Background()
	name := b.tickets().Output(b.t, "migrationUrlSecret")
	secret, err := secretsmanager.NewFromConfig(b.AWS()).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &name})
	if err != nil {
		b.t.Fatal(err)
	}
	conn, err := b.Sandbox.Connect(ctx, *secret.SecretString)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close(ctx) })
	return conn
}

// ask sends a request through the edge and returns the answer's body; its status has to be the one that is wanted.
func ask(t *testing.T, site testbed.Site, method, path, body string, want int) string {
	t.Helper()
	req, err := site.Request(t.Context(), method, path, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != want {
		t.Errorf("%s %s: %s %s, want %d (%v)", method, path, resp.Status, text, want, err)
	}
	return string(text)
}
