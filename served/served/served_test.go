package served_test

import (
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/pulumi/pulumi/pkg/v3/codegen/schema"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/served/internal/contract"
	"plan-charge/served/served"
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

// mocks keeps what was registered, by type.
type mocks struct {
	mu     sync.Mutex
	inputs map[string]resource.PropertyMap
}

func (m *mocks) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inputs[args.TypeToken] = args.Inputs
	return "id", args.Inputs, nil
}

func (m *mocks) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) { return nil, nil }

// fill gives each field its own name as value.
func fill(args any) {
	v := reflect.ValueOf(args).Elem()
	for i := range v.NumField() {
		switch name := v.Type().Field(i).Name; {
		case name == "Minimum" || name == "Port":
			v.Field(i).Set(reflect.ValueOf(pulumi.Int(2)))
		case strings.Contains(v.Field(i).Type().String(), "Array"):
			v.Field(i).Set(reflect.ValueOf(pulumi.ToStringArray([]string{name})))
		case strings.Contains(v.Field(i).Type().String(), "Ptr"):
			v.Field(i).Set(reflect.ValueOf(pulumi.StringPtr(name)))
		default:
			v.Field(i).Set(reflect.ValueOf(pulumi.String(name)))
		}
	}
}

func TestInputsReachTheProvider(t *testing.T) {
	m := &mocks{inputs: map[string]resource.PropertyMap{}}
	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		var v served.VerificationArgs
		var c served.CapacityArgs
		fill(&v)
		fill(&c)
		var r served.RolloutArgs
		fill(&r)
		if _, err := served.NewRollout(ctx, "rollout", &r); err != nil {
			return err
		}
		if _, err := served.NewRollout(ctx, "nothing", &served.RolloutArgs{Site: pulumi.String("x")}); err == nil {
			t.Error("a rollout without a service was accepted")
		}
		var s served.StrangersArgs
		fill(&s)
		if _, err := served.NewStrangers(ctx, "strangers", &s); err != nil {
			return err
		}
		if _, err := served.NewStrangers(ctx, "nothing", &served.StrangersArgs{}); err == nil {
			t.Error("strangers of nothing were accepted")
		}
		if _, err := served.NewVerification(ctx, "verification", &v); err != nil {
			return err
		}
		if _, err := served.NewCapacity(ctx, "capacity", &c); err != nil {
			return err
		}
		if _, err := served.NewVerification(ctx, "nothing", &served.VerificationArgs{SiteURL: pulumi.String("x")}); err == nil {
			t.Error("a verification without checks was accepted")
		}
		if _, err := served.NewCapacity(ctx, "nothing", &served.CapacityArgs{Minimum: pulumi.Int(1)}); err == nil {
			t.Error("a capacity without a service was accepted")
		}
		return nil
	}, pulumi.WithMocks("test", "test", m))
	if err != nil {
		t.Fatal(err)
	}
	spec := packageSchema(t)
	for _, token := range []string{contract.Verification, contract.Capacity, contract.Rollout, contract.Strangers} {
		properties := spec.Resources[token].InputProperties
		if len(properties) == 0 || len(properties) != len(m.inputs[token]) {
			t.Errorf("%s: %d inputs are sent, the schema has %d", token, len(m.inputs[token]), len(properties))
		}
		for key, property := range properties {
			value := m.inputs[token][resource.PropertyKey(key)]
			if property.Type == "integer" && value.IsNumber() {
				continue
			}
			if value.IsArray() && property.Type == "array" && len(value.ArrayValue()) == 1 {
				value = value.ArrayValue()[0]
			}
			if !value.IsString() || !strings.EqualFold(value.StringValue(), key) {
				t.Errorf("%s: %s is sent as %v", token, key, value)
			}
		}
	}
}

func TestOutputsAreInTheSchema(t *testing.T) {
	spec := packageSchema(t)
	for token, out := range map[string]any{
		contract.Verification: served.Verification{}, contract.Capacity: served.Capacity{}, contract.Rollout: served.Rollout{}, contract.Strangers: served.Strangers{},
	} {
		fields := reflect.TypeOf(out)
		for i := range fields.NumField() {
			field := fields.Field(i)
			if field.Anonymous {
				continue
			}
			key := field.Tag.Get("pulumi")
			want := map[string]reflect.Type{"string": reflect.TypeFor[pulumi.StringOutput](), "object": reflect.TypeFor[pulumi.StringMapOutput](), "array": reflect.TypeFor[pulumi.StringArrayOutput]()}[spec.Resources[token].Properties[key].Type]
			if field.Type != want || !slices.Contains(spec.Resources[token].Required, key) {
				t.Errorf("%s: %s is a %s, %q of the schema a %v", token, field.Name, field.Type, key, want)
			}
		}
	}
}

func TestVersionIsTheSchemas(t *testing.T) {
	if spec := packageSchema(t); spec.Version != contract.Version || spec.Name != contract.Name {
		t.Errorf("schema.json is of %s %s, the SDK asks for %s %s", spec.Name, spec.Version, contract.Name, contract.Version)
	}
}
