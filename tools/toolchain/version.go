package toolchain

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/mod/modfile"
)

// versions are those that the program's SDKs ask for, each with its "v". A plugin that was built here answers to the
// version whose names and behaviour it has.
type versions struct {
	cli     string
	plugins map[string]string // by name, such as "aws"
}

// sdks says which module of go.mod gives a plugin's version.
var sdks = map[string]string{
	"aws":        "github.com/pulumi/pulumi-aws/sdk/v6",
	"command":    "github.com/pulumi/pulumi-command/sdk",
	"postgresql": "github.com/pulumi/pulumi-postgresql/sdk/v3",
	"random":     "github.com/pulumi/pulumi-random/sdk/v4",
}

const cliSDK = "github.com/pulumi/pulumi/sdk/v3"

// readVersions takes the versions from the program's go.mod, so that they are said once.
func readVersions(root string) (versions, error) {
	path := filepath.Join(root, "go.mod")
	text, err := os.ReadFile(path)
	if err != nil {
		return versions{}, err
	}
	mod, err := modfile.ParseLax(path, text, nil)
	if err != nil {
		return versions{}, err
	}
	required := map[string]string{}
	for _, r := range mod.Require {
		required[r.Mod.Path] = r.Mod.Version
	}
	v := versions{cli: required[cliSDK], plugins: map[string]string{}}
	if v.cli == "" {
		return versions{}, fmt.Errorf("%s does not require %s, whose version the tools have", path, cliSDK)
	}
	for name, sdk := range sdks {
		if v.plugins[name] = required[sdk]; v.plugins[name] == "" {
			return versions{}, fmt.Errorf("%s does not require %s, whose version the plugin %s has", path, sdk, name)
		}
	}
	return v, nil
}

// parts lists the versions for a key.
func (v versions) parts() []string {
	parts := []string{v.cli, platform()}
	for _, name := range sorted(v.plugins) {
		parts = append(parts, name, v.plugins[name])
	}
	return parts
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
