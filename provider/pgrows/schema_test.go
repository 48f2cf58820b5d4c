package pgrows_test

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/provider/internal/contract"
	"plan-charge/provider/pgrows"
)

func packageSchema(t *testing.T) schema.PackageSpec {
	t.Helper()
	text, err := os.ReadFile("../schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var spec schema.PackageSpec
	if err := json.Unmarshal(text, &spec); err != nil {
		t.Fatal(err)
	}
	return spec
}

// goType is the Go type of a property of the schema; a pointer where the property need not be there.
func goType(typ schema.TypeSpec, required bool) string {
	plain := map[string]string{"string": "string", "integer": "int", "boolean": "bool", "number": "float64"}[typ.Type]
	switch {
	case typ.Type == "array" && typ.Items.Type == "object":
		return "[]interface {}"
	case typ.Type == "object" && typ.AdditionalProperties != nil:
		return "map[string]" + goType(*typ.AdditionalProperties, true)
	case typ.Type == "array":
		return "[]" + goType(*typ.Items, true)
	case !required:
		return "*" + plain
	}
	return plain
}

func TestInputsAreThoseOfTheSchema(t *testing.T) {
	spec := packageSchema(t)
	rows, revision, login := spec.Resources["pgrows:index:Rows"], spec.Resources["pgrows:index:Revision"], spec.Resources["pgrows:index:Login"]
	rights := spec.Resources["pgrows:index:Rights"]
	for name, tc := range map[string]struct {
		args       pulumi.Input
		properties map[string]schema.PropertySpec
		required   []string
	}{
		"provider": {pgrows.ProviderArgs{}, spec.Provider.InputProperties, spec.Provider.RequiredInputs},
		"rows":     {pgrows.RowsArgs{}, rows.InputProperties, rows.RequiredInputs},
		"revision": {pgrows.RevisionArgs{}, revision.InputProperties, revision.RequiredInputs},
		"login":    {pgrows.LoginArgs{}, login.InputProperties, login.RequiredInputs},
		"rights":   {pgrows.RightsArgs{}, rights.InputProperties, rights.RequiredInputs},
	} {
		t.Run(name, func(t *testing.T) {
			if len(tc.properties) == 0 {
				t.Fatal("the schema has no such resource")
			}
			args, element := reflect.TypeOf(tc.args), tc.args.ElementType()
			if args.NumField() != element.NumField() {
				t.Errorf("%d inputs, but keys for %d", args.NumField(), element.NumField())
			}
			seen := map[string]bool{}
			for i := range element.NumField() {
				field := element.Field(i)
				key := field.Tag.Get("pulumi")
				seen[key] = true
				property, ok := tc.properties[key]
				if !ok {
					t.Errorf("%s: the schema has no input %q", field.Name, key)
					continue
				}
				if want := goType(property.TypeSpec, slices.Contains(tc.required, key)); field.Type.String() != want {
					t.Errorf("%s is a %s, in the schema a %s", key, field.Type, want)
				}
				if !strings.EqualFold(field.Name, key) {
					t.Errorf("%s stands for %s", field.Name, key)
				}
				given, ok := args.FieldByName(field.Name)
				if !ok {
					t.Errorf("%s cannot be given", field.Name)
					continue
				}
				if optional := strings.Contains(given.Type.String(), "Ptr"); optional != (field.Type.Kind() == reflect.Pointer) {
					t.Errorf("%s is given as a %s, sent as a %s", field.Name, given.Type, field.Type)
				}
			}
			for key := range tc.properties {
				if !seen[key] {
					t.Errorf("the schema's input %s cannot be given", key)
				}
			}
		})
	}
}

func TestOutputsAreInTheSchema(t *testing.T) {
	spec := packageSchema(t)
	for token, out := range map[string]any{"pgrows:index:Rows": pgrows.Rows{}, "pgrows:index:Revision": pgrows.Revision{}, "pgrows:index:Login": pgrows.Login{}, "pgrows:index:Rights": pgrows.Rights{}} {
		fields := reflect.TypeOf(out)
		for i := range fields.NumField() {
			field := fields.Field(i)
			key := field.Tag.Get("pulumi")
			if field.Anonymous {
				continue
			}
			output, ok := reflect.Zero(field.Type).Interface().(pulumi.Output)
			if !ok {
				t.Errorf("%s: %s is no output", token, field.Name)
				continue
			}
			property := spec.Resources[token].Properties[key]
			if want := goType(property.TypeSpec, slices.Contains(spec.Resources[token].Required, key)); output.ElementType().String() != want || want == "" {
				t.Errorf("%s: %s is a %s, %q of the schema a %q", token, field.Name, output.ElementType(), key, want)
			}
		}
	}
}

func TestVersionIsTheSchemas(t *testing.T) {
	if spec := packageSchema(t); spec.Version != contract.Version || spec.Name != contract.Name {
		t.Errorf("schema.json is of %s %s, the SDK asks for %s %s", spec.Name, spec.Version, contract.Name, contract.Version)
	}
}

func TestRemovalsAreInTheSchema(t *testing.T) {
	property := packageSchema(t).Resources["pgrows:index:Rows"].InputProperties["onRemove"]
	for _, word := range pgrows.Removals() {
		if !strings.Contains(property.Description, "`"+word+"`") {
			t.Errorf("onRemove may be %s, but is described as %q", word, property.Description)
		}
	}
	if property.Default != pgrows.Retain {
		t.Errorf("onRemove is %v unless given", property.Default)
	}
}
