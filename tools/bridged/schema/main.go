// Command schema generates what the bridged plugins embed: `schema DIR` writes schema.json and metadata.json into
// DIR/aws, and schema.json into DIR/postgresql. It is a program of its own because the generator is large and the
// plugins are started with every Pulumi command.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfgen"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/x/muxer"
	"github.com/pulumi/pulumi-terraform-bridge/v3/unstable/metadata"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag"
	"github.com/pulumi/pulumi/sdk/v3/go/common/diag/colors"

	aws "plan-charge/tools/bridged/aws/info"
	postgresql "plan-charge/tools/bridged/postgresql/info"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: schema DIR")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "schema:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string) error {
	prov, err := aws.New(ctx, nil)
	if err != nil {
		return err
	}
	if err := write(prov, filepath.Join(dir, "aws")); err != nil {
		return fmt.Errorf("aws: %w", err)
	}
	if err := write(postgresql.New(), filepath.Join(dir, "postgresql")); err != nil {
		return fmt.Errorf("postgresql: %w", err)
	}
	return nil
}

func write(prov tfbridge.ProviderInfo, dir string) error {
	// Warnings are about documentation that is left out on purpose.
	sink := diag.DefaultSink(io.Discard, os.Stderr, diag.FormatOptions{Color: colors.Never})
	result, err := tfgen.GenerateSchemaWithOptions(tfgen.GenerateSchemaOptions{
		ProviderInfo: prov, DiagnosticsSink: sink, XInMemoryDocs: true,
	})
	if err != nil {
		return err
	}
	schema, err := json.Marshal(result.PackageSpec)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "schema.json"), schema, 0o644); err != nil {
		return err
	}
	if prov.MetadataInfo == nil {
		return nil
	}
	// The table of which types come from which of the two frameworks is the part that the plugin reads when it runs.
	mixed, ok := prov.P.(interface {
		ResolveDispatch(*tfbridge.ProviderInfo) (muxer.DispatchTable, error)
	})
	if !ok {
		return fmt.Errorf("provider is a %T, which has no table of types", prov.P)
	}
	table, err := mixed.ResolveDispatch(&prov)
	if err != nil {
		return err
	}
	if err := metadata.Set(prov.GetMetadata(), "mux", table); err != nil {
		return err
	}
	runtime := tfbridge.ExtractRuntimeMetadata(prov.MetadataInfo)
	return os.WriteFile(filepath.Join(dir, "metadata.json"), (*metadata.Data)(runtime.Data).Marshal(), 0o644)
}
