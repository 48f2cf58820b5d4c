// Command pulumi-resource-pgrows is the Pulumi provider for rows of PostgreSQL tables.
package main

import (
	"context"
	"fmt"
	"os"

	p "github.com/pulumi/pulumi-go-provider"

	"plan-charge/provider/internal/contract"
	"plan-charge/provider/internal/pgdb"
	"plan-charge/provider/internal/resource"
)

func main() {
	open := func(s pgdb.Settings) resource.Store { return pgdb.New(s) }
	if err := p.RunProvider(context.Background(), contract.Name, contract.Version, resource.New(open)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
