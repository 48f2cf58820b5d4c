// Package resource is the Pulumi provider pgrows: rows of database tables, a database's schema revision, the login of a
// role, and who may do what, as resources.
package resource

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/middleware/schema"

	"plan-charge/provider/internal/pgdb"
)

var _ Store = (*pgdb.Database)(nil)

// Store is the database as the resources use it.
type Store interface {
	// Glance runs f in a transaction that is rolled back, unless the database is out of reach: then it fails soon.
	Glance(ctx context.Context, f func(context.Context, pgx.Tx) error) error
	// Look runs f in a transaction that is rolled back.
	Look(ctx context.Context, f func(context.Context, pgx.Tx) error) error
	// Change runs f, perhaps several times, in a transaction that is committed.
	Change(ctx context.Context, f func(context.Context, pgx.Tx) error) error
	// Address names the database without credentials.
	Address() string
	Close()
}

// New returns the provider. Databases are opened with open, once the configuration is known and they are needed.
func New(open func(pgdb.Settings) Store) p.Provider {
	c := &connector{open: open}
	provider := infer.Provider(infer.Options{
		Metadata: schema.Metadata{
			DisplayName: "PostgreSQL rows",
			Description: "Rows of PostgreSQL tables, the revision of a database's schema, the login of a role, and who may do what, as Pulumi resources.",
			Keywords:    []string{"postgresql", "database", "category/database", "kind/native"},
		},
		Config: infer.Config(&Config{}),
		Resources: []infer.InferredResource{
			&rows{InferredResource: infer.Resource(&Rows{}), connector: c},
			infer.Resource(&Revision{connector: c}),
			infer.Resource(&Login{connector: c}),
			infer.Resource(&Rights{connector: c}),
		},
	})
	provider.CheckConfig = func(_ context.Context, req p.CheckRequest) (p.CheckResponse, error) {
		c.called(string(req.Urn))
		inputs, failures := checkConfig(req.Inputs)
		return p.CheckResponse{Inputs: inputs, Failures: failures}, nil
	}
	provider.DiffConfig = diffConfig
	cancel := provider.Cancel
	provider.Cancel = func(ctx context.Context) error {
		err := cancel(ctx) // first: closing waits for what is running
		c.close()
		return err
	}
	configure := provider.Configure
	provider.Configure = func(ctx context.Context, req p.ConfigureRequest) error {
		inputs, failures := checkConfig(req.Args)
		if len(failures) > 0 {
			return fmt.Errorf("the provider's setting %s %s", failures[0].Property, failures[0].Reason)
		}
		req.Args = inputs
		if err := configure(ctx, req); err != nil {
			return err
		}
		return c.lead(inputs)
	}
	return provider
}
