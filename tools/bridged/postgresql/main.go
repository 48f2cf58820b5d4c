// Command pulumi-resource-postgresql is the Terraform PostgreSQL provider behind Pulumi's bridge. It is built by the
// toolchain, which puts the generated schema beside this file.
package main

import (
	_ "embed"
	"fmt"
	"os"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"

	"plan-charge/tools/bridged/postgresql/info"
)

//go:embed schema.json
var schema []byte // empty in the repository

func main() {
	if len(schema) == 0 {
		fmt.Fprintln(os.Stderr, "pulumi-resource-postgresql: built without its schema; build it through the sandbox's toolchain")
		os.Exit(1)
	}
	tfbridge.Main("postgresql", info.Version, info.New(), schema)
}
