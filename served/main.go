// Command pulumi-resource-served is the Pulumi provider that looks whether what was deployed is what is served.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"

	p "github.com/pulumi/pulumi-go-provider"

	"plan-charge/internal/verify"
	"plan-charge/served/internal/contract"
	"plan-charge/served/internal/resource"
)

// schema is what the provider says of itself. A test compares it with the types.
//
//go:embed schema.json
var schema string

func main() {
	connectTo := os.Getenv("PLAN_CHARGE_CONNECT_TO")
	if connectTo != "" && !verify.IsAddress(connectTo) {
		fmt.Fprintf(os.Stderr, "PLAN_CHARGE_CONNECT_TO: found %q; allowed: %s; for example http://127.0.0.1:4580\n", connectTo, verify.AddressRule)
		os.Exit(1)
	}
	if err := p.RunProvider(context.Background(), contract.Name, contract.Version, provider(connectTo)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func provider(connectTo string) p.Provider {
	provider := resource.New(resource.Open, connectTo)
	provider.GetSchema = func(context.Context, p.GetSchemaRequest) (p.GetSchemaResponse, error) {
		return p.GetSchemaResponse{Schema: schema}, nil
	}
	return provider
}
