package pgdb_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/testkit/postgres"
	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/pgtest"
)

// The server has to have the certificate of its name, by an authority that was expected. Its owner's password goes to no
// other, whichever way leads there.
func TestTheServerIsVerified(t *testing.T) {
	db := pgtest.New(t)
	dir := t.TempDir()
	other, err := postgres.OpenAuthority(filepath.Join(dir, "other.pem"), filepath.Join(dir, "other.key"), "another authority")
	if err != nil {
		t.Fatal(err)
	}
	for what, tc := range map[string]struct {
		host, rootCert, variable string
		want                     []string // none: it connects
	}{
		"its name and authority": {"localhost", "environment", pgtest.CertFile(), nil},
		"a file":                 {"localhost", pgtest.CertFile(), "", nil},
		"another name":           {"db.private.invalid", "environment", pgtest.CertFile(), []string{"certificate is for localhost", "db.private.invalid was expected"}},
		"another authority":      {"localhost", "environment", other.File, []string{`signed by "localhost"`, other.File + " (database.authority: environment, PGSSLROOTCERT) was expected", "set PGSSLROOTCERT"}},
		"not RDS":                {"localhost", "rds", pgtest.CertFile(), []string{`signed by "localhost"`, "Amazon RDS (database.authority: rds) was expected", "set database.authority to environment and PGSSLROOTCERT"}},
		"nothing to verify with": {"localhost", "environment", "", []string{"PGSSLROOTCERT is not set"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Setenv("PGSSLROOTCERT", tc.variable)
			settings := db.Settings
			settings.Host, settings.SSLMode, settings.SSLRootCert = tc.host, "verify-full", tc.rootCert
			settings.Way = &way{to: net.JoinHostPort(db.Settings.Host, strconv.Itoa(db.Settings.Port))}
			store := pgdb.New(settings)
			defer store.Close()
			for how, err := range map[string]error{
				"a look":  store.Look(t.Context(), func(context.Context, pgx.Tx) error { return nil }),
				"a login": settings.Login(t.Context()),
			} {
				if (err == nil) != (tc.want == nil) {
					t.Errorf("%s: %v", how, err)
				}
				for _, want := range tc.want {
					if err != nil && !strings.Contains(err.Error(), want) {
						t.Errorf("%s: %q is not in: %v", how, want, err)
					}
				}
				if err != nil && strings.Contains(err.Error(), "\n") {
					t.Errorf("%s: more than a line: %v", how, err)
				}
			}
		})
	}
}

// unknown is where a name of a private network means nothing.
type unknown struct{ way }

func (*unknown) DialContext(context.Context, string, string) (net.Conn, error) {
	return nil, &net.DNSError{Err: "no such host", Name: "db.private.invalid", IsNotFound: true}
}

func TestANameThatMeansNothingHereSaysWhatLeadsThere(t *testing.T) {
	settings := pgtest.New(t).Settings
	settings.Way = &unknown{}
	store := pgdb.New(settings)
	defer store.Close()
	err := store.Look(t.Context(), func(context.Context, pgx.Tx) error { return nil })
	var unreachable *pgdb.UnreachableError
	if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), "no such host") || !strings.Contains(err.Error(), "database.access to session") {
		t.Error(err)
	}
}
