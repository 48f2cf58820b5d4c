// Package info describes the Terraform PostgreSQL provider to Pulumi's bridge.
package info

import (
	"github.com/hashicorp/terraform-plugin-sdk/helper/schema"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	sdkv1 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v1"
	"github.com/terraform-providers/terraform-provider-postgresql/postgresql"
)

// Version is that of the official plugin whose names this one has.
const Version = "3.10.0"

// serverVersion is what the plugin takes the server to be until it connects. With the upstream default it would connect
// while it is being configured, so that even a preview that reads nothing would need the database.
const serverVersion = "15.0.0"

// New describes the provider.
func New() tfbridge.ProviderInfo {
	upstream := postgresql.Provider().(*schema.Provider)
	upstream.Schema["expected_version"].Default = serverVersion
	resource := func(name string) *tfbridge.ResourceInfo {
		return &tfbridge.ResourceInfo{Tok: tfbridge.MakeResource("postgresql", "index", name), Docs: noDocs}
	}
	return tfbridge.ProviderInfo{
		P:                sdkv1.NewProvider(upstream),
		Name:             "postgresql",
		DisplayName:      "PostgreSQL",
		Description:      "PostgreSQL roles, grants and schemas, bridged from the Terraform provider.",
		License:          "Apache-2.0",
		Version:          Version,
		UpstreamRepoPath: ".", // its documentation is not at hand
		Resources: map[string]*tfbridge.ResourceInfo{
			"postgresql_database":           resource("Database"),
			"postgresql_default_privileges": resource("DefaultPrivileges"),
			"postgresql_extension":          resource("Extension"),
			"postgresql_grant":              resource("Grant"),
			"postgresql_role":               resource("Role"),
			"postgresql_schema":             resource("Schema"),
		},
	}
}

// noDocs keeps the generator from looking for Markdown that is not there.
var noDocs = &tfbridge.DocInfo{AllowMissing: true, Markdown: []byte(" ")}
