package box

import (
	"context"
	"fmt"
	"net"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"plan-charge/sandbox/vpc"
)

// EnvNetwork chooses what network a sandbox gets when it is first made.
const EnvNetwork = "PLAN_CHARGE_NETWORK"

// What network databases and tasks are in.
const (
	NetworkPrivate = "private" // one that nobody outside has a way into but those that AWS has
	NetworkOpen    = "open"    // this machine's loopback device

	// DefaultNetwork is that of a sandbox that is made without a word about it.
	DefaultNetwork = NetworkPrivate
)

func networkAsked() (string, error) {
	switch v := os.Getenv(EnvNetwork); v {
	case "":
		return DefaultNetwork, nil
	case NetworkPrivate, NetworkOpen:
		return v, nil
	default:
		return "", fmt.Errorf("%s: found %q, allowed is %s or %s, for example %s", EnvNetwork, v, NetworkPrivate, NetworkOpen, NetworkPrivate)
	}
}

// Network is what network the sandbox that runs, or ran last, has.
type Network struct {
	Kind string `json:"kind"` // NetworkPrivate or NetworkOpen
	Why  string `json:"why"`  // why it is open, where it should not be
}

// NetworkNow tells what network the sandbox has.
func (b *Box) NetworkNow() Network {
	n := Network{Kind: NetworkOpen}
	_ = readJSON(b.File("network.json"), &n) // absent: it never ran
	return n
}

// SaveNetwork is for the background process, which knows.
func (b *Box) SaveNetwork(n Network) error { return writeJSON(b.File("network.json"), n) }

// Door is the unix socket by which the sandbox looks into its databases.
func (b *Box) Door() string { return b.File("vpc.sock") }

// ConnectConfig makes a connection go by the sandbox's own way into its private network, if it has one. What is deployed has
// no such way.
func (b *Box) ConnectConfig(c *pgconn.Config) {
	if b.NetworkNow().Kind != NetworkPrivate {
		return
	}
	c.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	c.DialFunc = func(ctx context.Context, _, address string) (net.Conn, error) {
		return vpc.EnterBy(ctx, b.Door(), address)
	}
}

// Connect opens a database of the sandbox's by its URL.
func (b *Box) Connect(ctx context.Context, url string) (*pgx.Conn, error) {
	c, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	b.ConnectConfig(&c.Config)
	return pgx.ConnectConfig(ctx, c)
}
