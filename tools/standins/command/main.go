// Command pulumi-resource-command serves command:local:Command where the official plugin cannot be had. For every
// property that it knows it behaves as the official plugin, version 1.1.0, does; the two it lacks it refuses.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
)

// version is that of the official plugin whose behaviour this one has.
const version = "1.1.0"

func main() {
	prov, err := provider()
	if err == nil {
		err = prov.Run(context.Background(), "command", version)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-command:", err)
		os.Exit(1)
	}
}

func provider() (p.Provider, error) {
	prov, err := infer.NewProviderBuilder().
		WithDisplayName("Command").
		WithDescription("Runs commands as part of a Pulumi resource's life (stand-in for the official plugin).").
		WithResources(infer.Resource(&Command{})).
		Build()
	if err != nil {
		return p.Provider{}, err
	}
	diff := prov.Diff
	prov.Diff = func(ctx context.Context, req p.DiffRequest) (p.DiffResponse, error) {
		resp, err := diff(ctx, req)
		replaceOnTriggers(resp.DetailedDiff)
		return resp, err
	}
	return prov, nil
}

// replaceOnTriggers makes any change below triggers a replacement. By its mark alone only the list as a whole would be,
// and a program that is not written with the official SDK would get an update for a changed element.
func replaceOnTriggers(diff map[string]p.PropertyDiff) {
	replace := map[p.DiffKind]p.DiffKind{p.Add: p.AddReplace, p.Delete: p.DeleteReplace, p.Update: p.UpdateReplace}
	for path, d := range diff {
		if kind, plain := replace[d.Kind]; plain && strings.HasPrefix(path, "triggers") {
			d.Kind = kind
			diff[path] = d
		}
	}
}
