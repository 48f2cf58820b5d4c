// Command pulumi-resource-pgrows is the Pulumi provider for rows of PostgreSQL tables.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"

	p "github.com/pulumi/pulumi-go-provider"

	"plan-charge/provider/internal/contract"
	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/resource"
)

// schema is what the provider says of itself. A test compares it with the types.
//
//go:embed schema.json
var schema string

func main() {
	if err := p.RunProvider(context.Background(), contract.Name, contract.Version, provider()); err != nil {
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
