package resource

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/property"

	"plan-charge/internal/session"
	"plan-charge/provider/internal/pgdb"
)

// connector opens the database of the provider's configuration at first use.
type connector struct {
	open func(pgdb.Settings) Store

	mu       sync.Mutex
	way      *session.Way // nil: the host is dialled
	store    Store
	warned   bool
	provider string // the URN of the provider, "" where it is not known
}

// called remembers the URN of the provider.
func (c *connector) called(urn string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.provider = urn
}

func (c *connector) urn() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.provider
}

func (c *connector) get(ctx context.Context) Store {
	settings := c.settings(ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.store == nil {
		c.store = c.open(settings)
	}
	return c.store
}

// settings are those of the configuration, and how it is reached.
func (c *connector) settings(ctx context.Context) pgdb.Settings {
	settings := infer.GetConfig[Config](ctx).settings()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.way != nil {
		settings.Way = c.way
	}
	return settings
}

// lead opens the port that leads to the database, where the configuration has a session. The session itself waits for a
// connection.
func (c *connector) lead(inputs property.Map) error {
	way := wayOf(inputs)
	if way == nil {
		return nil
	}
	if err := way.Listen(); err != nil {
		way.Close()
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.way != nil {
		c.way.Close()
	}
	c.way = way
	return nil
}

func (c *connector) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.store != nil {
		c.store.Close()
	}
	if c.way != nil {
		c.way.Close()
	}
}

// notice warns, once for all resources, when the database is out of reach, so that a plan that could not see it says so.
func (c *connector) notice(ctx context.Context) {
	err := c.get(ctx).Glance(ctx, func(context.Context, pgx.Tx) error { return nil })
	c.unseen(ctx, err)
}

// unseen warns once about a database that is out of reach.
func (c *connector) unseen(ctx context.Context, err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.warned {
		return
	}
	c.warned = true
	p.GetLogger(ctx).Warning(fmt.Sprintf("%v. The plan compares rows and schema revision with what was read last; what changed in the database since, and whether it takes the new values, could not be seen.", err))
}

// isUnreachable says whether an error means that nothing is known about the database.
func isUnreachable(err error) bool {
	var unreachable *pgdb.UnreachableError
	return errors.As(err, &unreachable)
}
