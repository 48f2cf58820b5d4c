package resource_test

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"regexp"
	"strings"
	"testing"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
	presource "github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

func (w *world) schema() schema.PackageSpec {
	w.t.Helper()
	resp, err := w.server.GetSchema(p.GetSchemaRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	var spec schema.PackageSpec
	if err := json.Unmarshal([]byte(resp.Schema), &spec); err != nil {
		w.t.Fatal(err)
	}
	return spec
}

var exampleText = regexp.MustCompile("^[A-Z].*[.] For example `(.*)`[.]$")

// example reads the example in a property's description.
func example(t *testing.T, where string, prop schema.PropertySpec) any {
	t.Helper()
	found := exampleText.FindStringSubmatch(prop.Description)
	if found == nil {
		t.Errorf("%s is described as %q, without an example", where, prop.Description)
		return nil
	}
	var v any
	if err := json.Unmarshal([]byte(found[1]), &v); err != nil {
		t.Errorf("%s: the example %s: %v", where, found[1], err)
	}
	return v
}

// fits says whether a value is of a type of the schema.
func fits(v any, typ schema.TypeSpec, types map[string]schema.ComplexTypeSpec) bool {
	switch {
	case typ.Ref == "pulumi.json#/Any":
		return true
	case typ.Ref != "":
		object, is := v.(map[string]any)
		properties := types[strings.TrimPrefix(typ.Ref, "#/types/")].Properties
		for key := range properties {
			is = is && fits(object[key], properties[key].TypeSpec, types)
		}
		return is && len(object) == len(properties)
	case typ.Type == "array":
		list, is := v.([]any)
		for _, e := range list {
			is = is && fits(e, *typ.Items, types)
		}
		return is
	case typ.Type == "object":
		object, is := v.(map[string]any)
		for _, e := range object {
			is = is && fits(e, *typ.AdditionalProperties, types)
		}
		return is
	case typ.Type == "integer":
		n, is := v.(float64)
		return is && n == math.Trunc(n)
	case typ.Type == "string":
		_, is := v.(string)
		return is
	}
	return false
}

func TestEveryPropertyHasAnExampleOfItsType(t *testing.T) {
	w := newWorld(t)
	spec := w.schema()
	described := map[string]map[string]schema.PropertySpec{"config": spec.Config.Variables, "provider": spec.Provider.Properties, "provider's inputs": spec.Provider.InputProperties}
	for token, r := range spec.Resources {
		described[token], described[token+"'s inputs"] = r.Properties, r.InputProperties
		if r.Description == "" {
			t.Errorf("%s is not described", token)
		}
	}
	for token, typ := range spec.Types {
		described[token] = typ.Properties
	}
	if len(described) != 12 {
		t.Errorf("%d sets of properties, want 12", len(described))
	}
	for of, properties := range described {
		for key, prop := range properties {
			if v := example(t, of+" "+key, prop); !fits(v, prop.TypeSpec, spec.Types) {
				t.Errorf("%s %s: the example %v is not of its type", of, key, v)
			}
		}
	}
}

// examples are all inputs at once, each as in its example.
func examples(t *testing.T, properties map[string]schema.PropertySpec) property.Map {
	t.Helper()
	inputs := map[string]any{}
	for key, prop := range properties {
		inputs[key] = example(t, key, prop)
	}
	text, err := json.Marshal(inputs)
	if err != nil {
		t.Fatal(err)
	}
	return obj(string(text))
}

func TestExamplesAreAccepted(t *testing.T) {
	w := newWorld(t)
	spec := w.schema()
	var failures []p.CheckFailure
	t.Chdir(t.TempDir())
	if err := os.WriteFile("organizations.csv", []byte("id,name,website\n1,a,\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	list, file := maps.Clone(spec.Resources["pgrows:index:Rows"].InputProperties), maps.Clone(spec.Resources["pgrows:index:Rows"].InputProperties)
	for _, key := range []string{"file", "mode", "maxDeletes", "changesFile"} {
		delete(list, key)
	}
	delete(file, "rows")
	for urn, properties := range map[presource.URN]map[string]schema.PropertySpec{
		rowsURN: list, otherURN: file, revisionURN: spec.Resources["pgrows:index:Revision"].InputProperties, loginURN: spec.Resources["pgrows:index:Login"].InputProperties,
	} {
		inputs := examples(t, properties)
		if urn == otherURN { // a table is declared once
			inputs = inputs.Set("table", property.New("others"))
		}
		resp, err := w.server.Check(p.CheckRequest{Urn: urn, Inputs: inputs})
		if err != nil {
			t.Fatal(err)
		}
		failures = append(failures, resp.Failures...)
	}
	config := maps.Clone(spec.Provider.InputProperties)
	delete(config, "sslRootCert") // would have to be there
	resp, err := w.server.CheckConfig(p.CheckRequest{Inputs: examples(t, config)})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range append(failures, resp.Failures...) {
		t.Errorf("the example of %s is refused: %s", f.Property, f.Reason)
	}
}
