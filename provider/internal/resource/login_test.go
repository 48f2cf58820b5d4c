package resource_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/provider/internal/pgdb"
)

// appPassword is the role's in these tests. It holds what means something in a URL, and stands in no message.
const appPassword = `the app's:/@%?# "one"`

// login is a Login and its role, which is made after it.
type login struct {
	*world
	role string
	s    resourceState
}

func newLogin(t *testing.T) *login {
	w := newWorld(t)
	l := &login{world: w, role: "app_" + w.db.Settings.Database}
	inputs := l.inputs(appPassword)
	resp, err := w.server.Create(p.CreateRequest{Urn: loginURN, Properties: inputs})
	if err != nil {
		t.Fatal(err)
	}
	l.s = resourceState{resp.ID, inputs, resp.Properties}
	l.exec(`CREATE ROLE %[1]s LOGIN; ALTER ROLE %[1]s PASSWORD %[2]s; REVOKE CONNECT ON DATABASE %[3]s FROM PUBLIC; GRANT CONNECT ON DATABASE %[3]s TO %[1]s`)
	return l
}

func (l *login) inputs(password string) property.Map {
	l.t.Helper()
	checked, err := l.server.Check(p.CheckRequest{Urn: loginURN, Inputs: property.NewMap(map[string]property.Value{
		"username": property.New(l.role), "password": property.New(password),
	})})
	if err != nil || len(checked.Failures) > 0 {
		l.t.Fatal(err, checked.Failures)
	}
	return checked.Inputs
}

// exec runs SQL in which %[1]s is the role, %[2]s its password as it should be, and %[3]s the database.
func (l *login) exec(sql string) {
	l.t.Helper()
	l.db.Exec(fmt.Sprintf(sql+"%.0[1]s%.0[2]s%.0[3]s", l.role, "'"+strings.ReplaceAll(appPassword, "'", "''")+"'", l.db.Settings.Database))
}

// refresh returns the drift, and what the engine would show.
func (l *login) refresh() string {
	l.t.Helper()
	resp, err := l.server.Read(p.ReadRequest{ID: l.s.id, Urn: loginURN, Properties: l.s.state, Inputs: l.s.inputs})
	if err != nil {
		l.t.Fatal(err)
	}
	if !resp.Properties.Get("password").Secret() || !resp.Inputs.Get("password").Secret() {
		l.t.Error("after a refresh the password is in clear")
	}
	l.s.state = resp.Properties
	return l.drift() + " " + l.diff(l.s.inputs)
}

func (l *login) drift() string {
	drift := l.s.state.Get("drift")
	if drift.Secret() {
		l.t.Error("the drift is secret, so that nobody can read it")
	}
	return drift.AsString()
}

func (l *login) diff(inputs property.Map) string {
	l.t.Helper()
	diff, err := l.server.Diff(p.DiffRequest{ID: l.s.id, Urn: loginURN, State: l.s.state, OldInputs: l.s.inputs, Inputs: inputs})
	if err != nil {
		l.t.Fatal(err)
	}
	return paths(diff)
}

// update returns the drift and generation of a preview, then of the update.
func (l *login) update(inputs property.Map) string {
	l.t.Helper()
	text := ""
	for _, dry := range []bool{true, false} {
		resp, err := l.server.Update(p.UpdateRequest{ID: l.s.id, Urn: loginURN, State: l.s.state, OldInputs: l.s.inputs, Inputs: inputs, DryRun: dry})
		if err != nil {
			return text + err.Error()
		}
		text += fmt.Sprintf("%q %s ", resp.Properties.Get("drift").AsString(), show(resp.Properties.Get("generation")))
		if !dry {
			l.s.state, l.s.inputs = resp.Properties, inputs
		}
	}
	return strings.TrimSpace(text)
}

func TestLogin(t *testing.T) {
	l := newLogin(t)
	equal(t, "id", l.s.id, l.role)
	if !l.s.state.Get("password").Secret() || !l.s.inputs.Get("password").Secret() {
		t.Error("the password is in clear")
	}
	if generation := l.s.state.Get("generation"); generation.Secret() || show(generation) != "1" {
		t.Errorf("generation %#v", generation)
	}
	equal(t, "as it was made", l.refresh(), " ")

	const again = `"" 2 "" 2`
	for name, tc := range map[string]struct{ broken, drift, mended string }{
		"password":          {`ALTER ROLE %[1]s PASSWORD 'x'`, "the password is another one", `ALTER ROLE %[1]s PASSWORD %[2]s`},
		"no password":       {`ALTER ROLE %[1]s PASSWORD NULL`, "the password is another one", `ALTER ROLE %[1]s PASSWORD %[2]s`},
		"expired":           {`ALTER ROLE %[1]s VALID UNTIL '2001-01-01'`, "its password has expired", `ALTER ROLE %[1]s VALID UNTIL 'infinity'`},
		"NOLOGIN":           {`ALTER ROLE %[1]s NOLOGIN`, "the role may not log in", `ALTER ROLE %[1]s LOGIN`},
		"NOLOGIN, password": {`ALTER ROLE %[1]s NOLOGIN PASSWORD 'x'`, "the role may not log in", `ALTER ROLE %[1]s LOGIN PASSWORD %[2]s`},
		"no CONNECT":        {`REVOKE CONNECT ON DATABASE %[3]s FROM %[1]s`, "it may not connect to the database " + l.db.Settings.Database, `GRANT CONNECT ON DATABASE %[3]s TO %[1]s`},
		"no connections":    {`ALTER ROLE %[1]s CONNECTION LIMIT 0`, "the role may have no more than 0 connections", `ALTER ROLE %[1]s CONNECTION LIMIT -1`},
		"another name":      {`ALTER ROLE %[1]s RENAME TO %[1]s_x`, "the role does not exist", `ALTER ROLE %[1]s_x RENAME TO %[1]s; ALTER ROLE %[1]s PASSWORD %[2]s`},
	} {
		t.Run(name, func(t *testing.T) {
			before := l.s
			defer func() { l.s = before }()
			l.exec(tc.broken)
			for range 2 { // a second refresh still says so
				equal(t, "refresh", l.refresh(), fmt.Sprintf("cannot log in as %s: %s update drift", l.role, tc.drift))
			}
			equal(t, "preview and update", l.update(l.s.inputs), again)
			l.exec(tc.mended) // what the role and its rights do then
			equal(t, "healed", l.refresh(), " ")
		})
	}
}

// Whoever is quicker than the update leaves nothing to set again.
func TestLoginThatWasHealedByHand(t *testing.T) {
	l := newLogin(t)
	l.exec(`ALTER ROLE %[1]s PASSWORD 'x'`)
	l.refresh()
	l.exec(`ALTER ROLE %[1]s PASSWORD %[2]s`)
	equal(t, "preview and update", l.update(l.s.inputs), `"" 2 "" 1`)
	equal(t, "refresh", l.refresh(), " ")
}

// What the role and its rights are no cure for fails the update, which the next one repeats.
func TestLoginThatTheRoleIsNoCureFor(t *testing.T) {
	l := newLogin(t)
	l.exec(`ALTER DATABASE %[3]s CONNECTION LIMIT 0`)
	drift := fmt.Sprintf(`cannot log in as %s: too many connections for database "%s"`, l.role, l.db.Settings.Database)
	equal(t, "refresh", l.refresh(), drift+" update drift")
	equal(t, "update", l.update(l.s.inputs), `"" 2 `+drift+". Setting the role again would not change that: see to the database, then run pulumi up again")
	equal(t, "drift", l.drift(), drift)
	l.exec(`ALTER DATABASE %[3]s CONNECTION LIMIT -1`)
	equal(t, "update again", l.update(l.s.inputs), `"" 2 "" 1`)
}

// A login that could not be tried is no login that works.
func TestLoginThatIsNotSeen(t *testing.T) {
	l := newLogin(t)
	right := l.db.Settings.Port
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away := listener.Addr().(*net.TCPAddr).Port
	answered := make(chan error, 1)
	go func() { answered <- startingUp(listener) }()
	address := pgdb.Settings{Host: l.db.Settings.Host, Port: away, Database: l.db.Settings.Database}.Address()

	l.configure(away, "disable")
	equal(t, "starting up", l.refresh(), "not seen: no connection to "+address+": the database system is starting up update drift")
	if err := <-answered; err != nil {
		t.Error(err)
	}
	listener.Close()
	got := l.refresh()
	if !strings.HasPrefix(got, "not seen: no connection to "+address+": ") || !strings.HasSuffix(got, "connection refused update drift") || strings.Contains(got, "\n") {
		t.Errorf("nobody there: %s", got)
	}
	drift := l.drift()
	equal(t, "preview and update", l.update(l.s.inputs), `"" 1 `+drift+". Setting the role again would not change that: see to the database, then run pulumi up again")
	equal(t, "drift", l.drift(), drift)

	l.configure(right, "require")
	equal(t, "update when it is back", l.update(l.s.inputs), `"" 1 "" 1`)
	equal(t, "refresh", l.refresh(), " ")
}

// startingUp answers one client like a server that is not ready.
func startingUp(listener net.Listener) error {
	conn, err := listener.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	backend := pgproto3.NewBackend(conn, conn)
	if _, err := backend.ReceiveStartupMessage(); err != nil {
		return err
	}
	backend.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "57P03", Message: "the database system is starting up"})
	return backend.Flush()
}

// The role is given another password by its own resource, after the login is updated.
func TestLoginWithAnotherPassword(t *testing.T) {
	l := newLogin(t)
	other := l.inputs("another")
	equal(t, "diff", l.diff(other), "update password")
	equal(t, "preview and update", l.update(other), `"" 1 "" 1`)
	l.exec(`ALTER ROLE %[1]s PASSWORD 'another'`)
	equal(t, "refresh", l.refresh(), " ")
}

func TestLoginTriggers(t *testing.T) {
	l := newLogin(t)
	moved := func(to string) property.Map {
		return l.s.inputs.Set("triggers", property.New([]property.Value{property.New(to)}))
	}
	equal(t, "diff", l.diff(moved("db-2")), "update triggers")
	equal(t, "a database with the same role", l.update(moved("db-2")), `"" 2 "" 1`)
	l.exec(`ALTER ROLE %[1]s PASSWORD 'x'`)
	equal(t, "a database with another password", l.update(moved("db-3")), `"" 2 "" 2`)
}

func TestLoginOfAnotherRoleIsAnotherOne(t *testing.T) {
	l := newLogin(t)
	equal(t, "diff", l.diff(l.s.inputs.Set("username", property.New("somebody"))), "update&replace username")
}

func TestLoginThatIsRefused(t *testing.T) {
	l := newLogin(t)
	resp, err := l.server.Check(p.CheckRequest{Urn: loginURN, Inputs: obj(`{"username": "", "password": ""}`)})
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, f := range resp.Failures {
		text += f.Property + " " + f.Reason + "\n"
	}
	equal(t, "empty inputs", text, "username is empty\npassword is empty\n")
	unknown := l.s.inputs.Set("password", property.New(property.Computed))
	if resp, err := l.server.Check(p.CheckRequest{Urn: loginURN, Inputs: unknown}); err != nil || len(resp.Failures) > 0 {
		t.Errorf("a password that is not known yet: %v %v", err, resp.Failures)
	}
	if _, err := l.server.Read(p.ReadRequest{ID: l.role, Urn: loginURN}); err == nil || !strings.Contains(err.Error(), "cannot be imported") {
		t.Errorf("import: %v", err)
	}
}
