// Package info describes the Terraform AWS provider to Pulumi's bridge, so that types and properties have the names
// that the official plugin's SDK uses.
package info

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-provider-aws/xpprovider"
	pfbridge "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	shim "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// Version is that of the official plugin whose names this one has.
const Version = "6.83.4"

// maxName is the longest generated name; types with a shorter limit are given names by their program.
const maxName = 255

// New describes the provider. Metadata is what generating the schema wrote, or empty while it is being generated.
func New(ctx context.Context, metadata []byte) (tfbridge.ProviderInfo, error) {
	framework, sdk, err := xpprovider.GetProvider(ctx)
	if err != nil {
		return tfbridge.ProviderInfo{}, fmt.Errorf("start the Terraform provider: %w", err)
	}
	// The provider is written against two frameworks; a few types exist in the newer one only.
	upstream := pfbridge.MuxShimWithPF(ctx, sdkv2.NewProvider(sdk), framework)
	prov := tfbridge.ProviderInfo{
		P:                upstream,
		Name:             "aws",
		DisplayName:      "AWS",
		Description:      "Amazon Web Services, bridged from the Terraform provider.",
		License:          "Apache-2.0",
		Version:          Version,
		GitHubOrg:        "hashicorp",
		UpstreamRepoPath: ".", // its documentation is not at hand
		MetadataInfo:     tfbridge.NewProviderMetadata(metadata),
		Resources:        map[string]*tfbridge.ResourceInfo{},
		DataSources:      map[string]*tfbridge.DataSourceInfo{},
		Config: map[string]*tfbridge.SchemaInfo{
			"assume_role": {Name: "assumeRole", MaxItemsOne: tfbridge.True()},
			"region": {
				Type:    "aws:index/region:Region",
				Default: &tfbridge.DefaultInfo{EnvVars: []string{"AWS_REGION", "AWS_DEFAULT_REGION"}},
			},
			// The official plugin's defaults: it looks at credentials itself.
			"skip_credentials_validation": {Default: &tfbridge.DefaultInfo{Value: false}},
			"skip_metadata_api_check":     {Type: "boolean", Default: &tfbridge.DefaultInfo{Value: true}},
			"skip_region_validation":      {Default: &tfbridge.DefaultInfo{Value: true}},
		},
	}
	for name, to := range resourceTypes {
		res, known := upstream.ResourcesMap().GetOk(name)
		if !known {
			return prov, fmt.Errorf("resource %s is not in the provider: is its service in the list of those that are compiled?", name)
		}
		info := &tfbridge.ResourceInfo{
			Tok:    tfbridge.MakeResource("aws", to.module, to.name),
			Fields: fields(name),
			Docs:   noDocs,
		}
		if tagsAll, tagged := res.Schema().GetOk("tags_all"); tagged {
			info.Fields["tags_all"] = &tfbridge.SchemaInfo{MarkAsComputedOnly: tfbridge.True()}
			if tagsAll.Optional() { // not so in the newer framework, which computes it by itself
				info.PreCheckCallback = mergeTags
			}
		}
		prov.Resources[name] = info
	}
	for name, to := range dataSources {
		if _, known := upstream.DataSourcesMap().GetOk(name); !known {
			return prov, fmt.Errorf("data source %s is not in the provider: is its service in the list of those that are compiled?", name)
		}
		prov.DataSources[name] = &tfbridge.DataSourceInfo{
			Tok:    tfbridge.MakeDataSource("aws", to.module, to.name),
			Fields: fields("data:" + name),
			Docs:   noDocs,
		}
	}
	upstream.ResourcesMap().Range(func(name string, _ shim.Resource) bool {
		if _, used := resourceTypes[name]; !used {
			prov.IgnoreMappings = append(prov.IgnoreMappings, name)
		}
		return true
	})
	upstream.DataSourcesMap().Range(func(name string, _ shim.Resource) bool {
		if _, used := dataSources[name]; !used {
			prov.IgnoreMappings = append(prov.IgnoreMappings, name)
		}
		return true
	})
	prov.SetAutonaming(maxName, "-")
	return prov, nil
}

// noDocs keeps the generator from looking for Markdown that is not there.
var noDocs = &tfbridge.DocInfo{AllowMissing: true, Markdown: []byte(" ")}

// mergeTags gives tagsAll as an input, made of the provider's default tags and the resource's own, as the official
// plugin does: a change of the defaults is then seen as a change of each resource.
func mergeTags(_ context.Context, config, provider resource.PropertyMap) (resource.PropertyMap, error) {
	defaults := resource.PropertyValue{}
	if block, ok := provider["defaultTags"]; ok && block.IsObject() {
		defaults = block.ObjectValue()["tags"]
	}
	own := config["tags"]
	out := config.Copy()
	if own.ContainsUnknowns() || provider["defaultTags"].ContainsUnknowns() {
		out["tagsAll"] = resource.NewOutputProperty(resource.Output{Known: false})
		return out, nil
	}
	merged := resource.PropertyMap{}
	for _, tags := range []resource.PropertyValue{defaults, own} {
		if tags.IsObject() {
			for key, value := range tags.ObjectValue() {
				merged[key] = value
			}
		}
	}
	out["tagsAll"] = resource.NewObjectProperty(merged)
	return out, nil
}
