// Command pulumi-resource-aws is the Terraform AWS provider behind Pulumi's bridge. It is built by the toolchain, which
// cuts the provider to the services in use and puts the generated schema beside this file.
package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"

	pfbridge "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"

	"plan-charge/tools/bridged/aws/info"
)

// Both files are empty in the repository and generated when the toolchain builds: computing them takes seconds, which
// every start would cost.
var (
	//go:embed schema.json
	schema []byte
	//go:embed metadata.json
	metadata []byte
)

func main() {
	ctx := context.Background()
	if len(schema) == 0 {
		fmt.Fprintln(os.Stderr, "pulumi-resource-aws: built without its schema; build it through the sandbox's toolchain")
		os.Exit(1)
	}
	prov, err := info.New(ctx, metadata)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-aws:", err)
		os.Exit(1)
	}
	pfbridge.MainWithMuxer(ctx, "aws", prov, schema)
}
