package schema

import (
	"context"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/testkit/postgres"
)

func TestServerTakesTheVerifierForThePassword(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	ctx := context.Background()
	server, err := postgres.Start(ctx, postgres.Options{Dir: dir + "/pg", User: "owner", Password: "owner-password", Database: "plan_charge"})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Kill()
	owner, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close(ctx)
	for _, password := range []string{"simple123", `p'a"s$s w\o:r/d@%&?#=+;,<>{}[]|~` + "`", "pässwörd ½", "ﬁ\u00a0x", "tab\there"} {
		verifier, err := scramVerifier(password, "host", "db", "app")
		if err != nil {
			t.Fatal(err)
		}
		// The provider doubles backslashes and quotes, of which there are none.
		if strings.ContainsAny(verifier, `'\`) {
			t.Fatalf("%q has to be quoted", verifier)
		}
		if _, err := owner.Exec(ctx, `DROP ROLE IF EXISTS app`); err != nil {
			t.Fatal(err)
		}
		if _, err := owner.Exec(ctx, `CREATE ROLE app LOGIN ENCRYPTED PASSWORD '`+verifier+`'`); err != nil {
			t.Fatal(err)
		}
		u, _ := url.Parse(server.URL())
		u.User = url.UserPassword("app", password)
		app, err := pgx.Connect(ctx, u.String())
		if err != nil {
			t.Errorf("%q: %v", password, err)
			continue
		}
		app.Close(ctx)
		u.User = url.UserPassword("app", password+"x")
		if app, err := pgx.Connect(ctx, u.String()); err == nil {
			app.Close(ctx)
			t.Error("a wrong password was taken")
		}
	}
}

func TestVerifierIsStable(t *testing.T) {
	a, _ := scramVerifier("password", "host", "db", "app")
	b, _ := scramVerifier("password", "host", "db", "app")
	other, _ := scramVerifier("password", "host", "db", "app2")
	if a != b || a == other {
		t.Errorf("%s, %s, %s", a, b, other)
	}
}
