// Command pulumi-resource-pgrows is the Pulumi provider for rows of PostgreSQL tables.
package main

import (
	"context"
	"fmt"
	"os"

	p "github.com/pulumi/pulumi-go-provider"

	"plan-charge/provider/internal/database"
	"plan-charge/provider/internal/provider"
)

func main() {
	open := func(s database.Settings) provider.Store { return database.New(s) }
	if err := p.RunProvider(context.Background(), provider.Name, provider.Version, provider.New(open)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
