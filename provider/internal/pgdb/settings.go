package pgdb

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"plan-charge/internal/authority"
)

// Settings say how to reach a database. The zero values of SSLMode and ConnectTimeout mean require and 10 s. SSLRootCert is a
// file, authority.RDS or authority.Environment.
type Settings struct {
	Host           string
	Port           int
	Database       string
	Username       string
	Password       string
	SSLMode        string
	SSLRootCert    string
	ConnectTimeout time.Duration
	// LockTimeout is how long a statement waits for a lock, 60 s unless set: what somebody holds locked makes an error, not an
	// endless wait.
	LockTimeout time.Duration
	// Way leads to the server; nil: its address is dialled.
	Way Way
}

// Way opens connections to a server that its address does not lead to.
type Way interface {
	// Ready waits, longer than for a connection, until DialContext opens connections.
	Ready(context.Context) error
	DialContext(ctx context.Context, network, address string) (net.Conn, error)
}

// SSLModes are the values that SSLMode may have, as libpq names them.
var SSLModes = []string{"disable", "prefer", "require", "verify-ca", "verify-full"}

// Address names the database without credentials.
func (s Settings) Address() string {
	return fmt.Sprintf("%s on %s", s.Database, net.JoinHostPort(s.Host, strconv.Itoa(s.Port)))
}

// parameters make what a value looks like independent of the server's settings.
var parameters = map[string]string{
	"application_name": "pulumi pgrows",
	// Whatever the database's own encoding is, what is sent and read is UTF-8, and the server converts it.
	"client_encoding":    "UTF8",
	"TimeZone":           "UTC",
	"DateStyle":          "ISO, YMD",
	"IntervalStyle":      "postgres",
	"bytea_output":       "hex",
	"extra_float_digits": "1",
}

const (
	defaultLockTimeout = time.Minute
	// maxConns is more than an engine asks for at once by default on a small machine, so that some waiting for locks do not
	// keep the others from looking.
	maxConns = 16
)

func (s Settings) config() (*pgxpool.Config, error) {
	mode := s.SSLMode
	if mode == "" {
		mode = "require"
	}
	query := url.Values{"sslmode": {mode}}
	kept := s.SSLRootCert == authority.RDS || s.SSLRootCert == authority.Environment
	if kept {
		query.Set("sslrootcert", "") // else what the environment says would be read besides
	} else if s.SSLRootCert != "" {
		query.Set("sslrootcert", s.SSLRootCert)
	}
	u := url.URL{
		Scheme: "postgresql", User: url.UserPassword(s.Username, s.Password),
		Host: net.JoinHostPort(s.Host, strconv.Itoa(s.Port)), Path: "/" + s.Database, RawQuery: query.Encode(),
	}
	cfg, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		// The parser's message quotes the connection string.
		return nil, fmt.Errorf("the settings for %s are not usable (sslMode %q, sslRootCert %q)", s.Address(), mode, s.SSLRootCert)
	}
	if tls := cfg.ConnConfig.TLSConfig; kept && tls != nil {
		if tls.RootCAs, err = authority.Roots(s.SSLRootCert); err != nil {
			return nil, fmt.Errorf("the settings for %s are not usable: %w", s.Address(), err)
		}
	}
	cfg.ConnConfig.ConnectTimeout = s.ConnectTimeout
	if s.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	if s.Way != nil {
		cfg.ConnConfig.DialFunc = s.Way.DialContext
		// The name is the private network's; it is looked up at the way's other end.
		cfg.ConnConfig.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	}
	cfg.ConnConfig.RuntimeParams = maps.Clone(parameters)
	cfg.ConnConfig.RuntimeParams["lock_timeout"] = strconv.FormatInt(cmp.Or(s.LockTimeout, defaultLockTimeout).Milliseconds(), 10)
	// Tables change between two uses of a connection, and a prepared statement would remember their old shape.
	cfg.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	cfg.MaxConns, cfg.MinConns = maxConns, 0
	cfg.MaxConnIdleTime, cfg.HealthCheckPeriod = 5*time.Second, 5*time.Second
	return cfg, nil
}
