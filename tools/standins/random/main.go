// Command pulumi-resource-random serves random:index/randomPassword:RandomPassword and random:index/randomId:RandomId
// where the official plugin cannot be had. Inputs, defaults, outputs and what replaces a resource are the official ones.
package main

import (
	"context"
	"fmt"
	"os"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
)

// version is that of the official plugin whose behaviour this one has.
const version = "4.18.2"

func main() {
	prov, err := provider()
	if err == nil {
		err = prov.Run(context.Background(), "random", version)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-random:", err)
		os.Exit(1)
	}
}

func provider() (p.Provider, error) {
	return infer.NewProviderBuilder().
		WithDisplayName("Random").
		WithDescription("Random values that stay what they are (stand-in for the official plugin).").
		WithResources(infer.Resource(&RandomPassword{}), infer.Resource(&RandomID{})).
		Build()
}
