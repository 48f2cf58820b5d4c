package resource

import (
	"context"
	"fmt"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/internal/authority"
	"plan-charge/internal/session"
	"plan-charge/provider/internal/pgdb"
)

var _ infer.Annotated = (*Config)(nil)

// Config is the provider's configuration.
type Config struct {
	Host           string  `pulumi:"host"`
	Port           *int    `pulumi:"port,optional"`
	Database       string  `pulumi:"database"`
	Username       string  `pulumi:"username"`
	Password       string  `pulumi:"password" provider:"secret"`
	SSLMode        *string `pulumi:"sslMode,optional"`
	SSLRootCert    *string `pulumi:"sslRootCert,optional"`
	ConnectTimeout *int    `pulumi:"connectTimeout,optional"`
	Session        *string `pulumi:"session,optional"`
}

var configDocs = map[string]doc{
	"host":     {"Name or address of the database server, as it is reached from where Pulumi runs, without a port.", `"db.example.com"`},
	"port":     {"Port of the database server.", `5432`},
	"database": {"Name of the database.", `"plan_charge"`},
	"username": {"User to log in as. It needs SELECT, INSERT and UPDATE on the tables (DELETE where rows are deleted) and TEMPORARY on the database; with CREATE on it, or rights on plan_charge.owned_rows, it is remembered there whose rows are whose.", `"owner"`},
	"password": {"Password of the user. It is kept secret, and no message holds it.", `"correct horse battery staple"`},
	"sslMode":  {"How TLS is used: " + strings.Join(pgdb.SSLModes, ", ") + ".", `"verify-full"`},
	"sslRootCert": {
		"File with the certificates (PEM) that the server's is verified with, rds for those of Amazon RDS, or environment for the file that PGSSLROOTCERT names. verify-ca and verify-full use the system's without it.",
		`"rds"`,
	},
	"connectTimeout": {"Seconds to wait for a connection.", `15`},
	"session": {
		"Route of a session through a one-off ECS task to a private database, as JSON; without it the host is dialled. While a command runs, its port on 127.0.0.1 leads to the database too.",
		`"{\"stack\":\"app-prod\",\"database\":\"db-0A1\",\"region\":\"eu-west-3\",\"cluster\":\"app-prod\",\"taskDefinition\":\"app-prod-access\",\"container\":\"app\",\"subnets\":[\"subnet-0a1\"],\"securityGroups\":[\"sg-0a1\"],\"port\":15432}"`,
	},
}

// Annotate describes the configuration in the schema.
func (c *Config) Annotate(a infer.Annotator) {
	describe(a, c, configDocs)
	a.SetDefault(&c.Port, 5432)
	a.SetDefault(&c.SSLMode, "require")
	a.SetDefault(&c.ConnectTimeout, 10)
}

// wayOf is the way that a checked configuration names; nil where the host is dialled.
func wayOf(inputs property.Map) *session.Way {
	if !inputs.Get("session").IsString() || !inputs.Get("host").IsString() || !inputs.Get("port").IsNumber() {
		return nil
	}
	route, err := session.ParseRoute(inputs.Get("session").AsString())
	if err != nil {
		return nil // the check has refused it
	}
	return session.NewWay(*route, inputs.Get("host").AsString(), int(inputs.Get("port").AsNumber()), os.Stderr)
}

func (c Config) settings() pgdb.Settings {
	s := pgdb.Settings{Host: c.Host, Port: 5432, Database: c.Database, Username: c.Username, Password: c.Password}
	if c.Port != nil {
		s.Port = *c.Port
	}
	if c.SSLMode != nil {
		s.SSLMode = *c.SSLMode
	}
	if c.SSLRootCert != nil {
		s.SSLRootCert = *c.SSLRootCert
	}
	if c.ConnectTimeout != nil {
		s.ConnectTimeout = time.Duration(*c.ConnectTimeout) * time.Second
	}
	return s
}

// checkConfig reads the configuration as the engine passes it: as values, or as text where it comes from the stack's
// configuration. It returns it with defaults, and every mistake in it. The framework's own check would take a password of
// digits for a number.
func checkConfig(inputs property.Map) (property.Map, []p.CheckFailure) {
	var failures []p.CheckFailure
	refuse := func(key, reason string, args ...any) {
		failures = append(failures, p.CheckFailure{Property: key, Reason: fmt.Sprintf(reason, args...)})
	}
	known := []string{"host", "port", "database", "username", "password", "sslMode", "sslRootCert", "connectTimeout", "session"}
	for key := range inputs.AllStable {
		if !slices.Contains(known, key) && key != "version" && key != "pluginDownloadURL" && !strings.HasPrefix(key, "__") {
			refuse(key, "is not a setting of this provider; there are %s", strings.Join(known, ", "))
		}
	}
	text := func(key string) (string, bool) {
		v := inputs.Get(key)
		switch {
		case v.IsString():
			return v.AsString(), true
		case !v.IsNull() && !v.IsComputed():
			refuse(key, "is not a string")
		}
		return "", false
	}
	for _, key := range []string{"host", "database", "username", "password"} {
		if inputs.Get(key).IsNull() {
			refuse(key, "is missing")
		} else if v, ok := text(key); ok && v == "" {
			refuse(key, "is empty")
		} else if key == "host" && ok && net.ParseIP(v) == nil && strings.ContainsAny(v, ":/ @") {
			refuse("host", "is %q, but a name or address alone is expected, without port or scheme", v)
		}
	}
	number := func(key, what string, fallback, low, high float64) {
		v := inputs.Get(key)
		if v.IsNull() {
			inputs = inputs.Set(key, property.New(fallback))
			return
		}
		if v.IsComputed() {
			return
		}
		n := -1.0
		if v.IsNumber() {
			n = v.AsNumber()
		} else if v.IsString() {
			if parsed, err := strconv.Atoi(v.AsString()); err == nil {
				n = float64(parsed)
				inputs = inputs.Set(key, property.New(n).WithSecret(v.Secret()))
			}
		}
		if n != math.Trunc(n) || n < low || n > high {
			refuse(key, "has to be %s from %v to %v", what, low, high)
		}
	}
	number("port", "a whole number", 5432, 1, 65535)
	number("connectTimeout", "a whole number of seconds", 10, 1, 600)
	if inputs.Get("sslMode").IsNull() {
		inputs = inputs.Set("sslMode", property.New("require"))
	}
	if mode, ok := text("sslMode"); ok && !slices.Contains(pgdb.SSLModes, mode) {
		refuse("sslMode", "is %q, but has to be one of %s", mode, strings.Join(pgdb.SSLModes, ", "))
	}
	if file, ok := text("sslRootCert"); ok && file != "" {
		if _, err := authority.Roots(file); err != nil {
			refuse("sslRootCert", "cannot be used: %v", err)
		}
	}
	if route, ok := text("session"); ok {
		if _, err := session.ParseRoute(route); err != nil {
			refuse("session", "%v", err)
		}
	}
	if password := inputs.Get("password"); !password.IsNull() {
		inputs = inputs.Set("password", password.WithSecret(true))
	}
	return inputs, failures
}

// diffConfig reports changes of the configuration as updates: another password or address is the way to the same rows,
// and replacing the provider would replace every one of its resources.
func diffConfig(_ context.Context, req p.DiffRequest) (p.DiffResponse, error) {
	old := req.OldInputs
	if old.Len() == 0 {
		old = req.State
	}
	resp := p.DiffResponse{DetailedDiff: map[string]p.PropertyDiff{}}
	internal := func(key string) bool { return key == "version" || strings.HasPrefix(key, "__") }
	for key, value := range req.Inputs.All {
		if before, ok := old.GetOk(key); !internal(key) && !before.Equals(value) {
			kind := p.Update
			if !ok {
				kind = p.Add
			}
			resp.DetailedDiff[key] = p.PropertyDiff{Kind: kind, InputDiff: true}
		}
	}
	for key := range old.All {
		if _, ok := req.Inputs.GetOk(key); !internal(key) && !ok {
			resp.DetailedDiff[key] = p.PropertyDiff{Kind: p.Delete, InputDiff: true}
		}
	}
	resp.HasChanges = len(resp.DetailedDiff) > 0
	return resp, nil
}
