// Command pulumi-resource-pgrows is the Pulumi provider for rows of PostgreSQL tables.
package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"

	p "github.com/pulumi/pulumi-go-provider"

	"plan-charge/internal/lifeline"
	"plan-charge/provider/internal/contract"
	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/resource"
)

// schema is what the provider says of itself. A test compares it with the types.
//
//go:embed schema.json
var schema string

func main() {
	// A killed engine tells nobody, and what leads to the database is not to outlive it.
	ctx, stop := lifeline.Context(context.Background())
	provider := provider()
	err := p.RunProvider(ctx, contract.Name, contract.Version, provider)
	stop()
	if err := errors.Join(err, provider.Cancel(context.Background())); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func provider() p.Provider {
	provider := resource.New(func(s pgdb.Settings) resource.Store { return pgdb.New(s) })
	provider.GetSchema = func(context.Context, p.GetSchemaRequest) (p.GetSchemaResponse, error) {
		return p.GetSchemaResponse{Schema: schema}, nil
	}
	return provider
}
