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

// A stack that was deployed before generations were counted keeps its role as it is.
func TestFirstVerifierIsThatOfBefore(t *testing.T) {
	verifier := func(generation int) string {
		v, err := scramVerifier("password", append([]string{"host", "db", "app"}, again(generation)...)...)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	const before = "SCRAM-SHA-256$4096:oLxCQEFFSqvSpovQbv9mBQ==$xYnHuxHG+WfaFPnR4z2V/og2eKFjucNMA7LYVlepv68=:UAFbN5NFYmPYOIhwPubezwY8XDX0lSqLLAOm3sTQTIs="
	if verifier(0) != before || verifier(1) != before {
		t.Errorf("the first verifier is %s, want %s", verifier(1), before)
	}
	if verifier(2) == before || verifier(3) == verifier(2) {
		t.Errorf("the same password again is %s, then %s", verifier(2), verifier(3))
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
