package pgrows_test

import (
	"sync"
	"testing"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/provider/pgrows"
)

// mocks keeps what was registered, by type.
type mocks struct {
	mu     sync.Mutex
	inputs map[string]resource.PropertyMap
}

func (m *mocks) NewResource(args pulumi.MockResourceArgs) (string, resource.PropertyMap, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.inputs[args.TypeToken] = args.Inputs
	out := args.Inputs.Copy()
	out["rowCount"], out["generation"], out["revision"], out["drift"] = resource.NewProperty(1.0), resource.NewProperty(3.0), resource.NewProperty("0003"), resource.NewProperty("")
	return "id", out, nil
}

func (m *mocks) Call(pulumi.MockCallArgs) (resource.PropertyMap, error) { return nil, nil }

func TestInputsReachTheProvider(t *testing.T) {
	m := &mocks{inputs: map[string]resource.PropertyMap{}}
	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		p, err := pgrows.NewProvider(ctx, "db", &pgrows.ProviderArgs{
			Host: pulumi.String("h"), Port: pulumi.Int(1), Database: pulumi.String("d"), Username: pulumi.String("u"), Password: pulumi.String("p"),
		})
		if err != nil {
			return err
		}
		if _, err := pgrows.NewRows(ctx, "rows", &pgrows.RowsArgs{
			Table: pulumi.String("t"), KeyColumns: pulumi.ToStringArray([]string{"id"}), Rows: pulumi.Array{pulumi.Map{"id": pulumi.Int(1)}},
			OnRemove: pulumi.String(pgrows.Retain),
		}, pulumi.Provider(p)); err != nil {
			return err
		}
		r, err := pgrows.NewRevision(ctx, "revision", nil, pulumi.Provider(p))
		if err != nil {
			return err
		}
		ctx.Export("generation", r.Generation)
		return nil
	}, pulumi.WithMocks("test", "test", m))
	if err != nil {
		t.Fatal(err)
	}
	password := m.inputs["pulumi:providers:pgrows"]["password"]
	if !password.IsSecret() || password.SecretValue().Element.StringValue() != "p" {
		t.Errorf("the password is %v", password)
	}
	want := resource.NewPropertyMapFromMap(map[string]any{
		"table": "t", "keyColumns": []any{"id"}, "rows": []any{map[string]any{"id": 1.0}}, "onRemove": "retain",
	})
	if got := m.inputs["pgrows:index:Rows"]; !got.DeepEquals(want) {
		t.Errorf("rows: got %v, want %v", got, want)
	}
	if got := m.inputs["pgrows:index:Revision"]; len(got) != 0 {
		t.Errorf("revision: got %v, want nothing", got)
	}
}

func TestRequiredInputs(t *testing.T) {
	err := pulumi.RunErr(func(ctx *pulumi.Context) error {
		if _, err := pgrows.NewProvider(ctx, "db", &pgrows.ProviderArgs{Host: pulumi.String("h")}); err == nil {
			t.Error("a provider without credentials was accepted")
		}
		if _, err := pgrows.NewRows(ctx, "rows", &pgrows.RowsArgs{Table: pulumi.String("t")}); err == nil {
			t.Error("rows without keys were accepted")
		}
		both := &pgrows.RowsArgs{Table: pulumi.String("t"), KeyColumns: pulumi.ToStringArray([]string{"id"}), Rows: pulumi.Array{}, File: pulumi.String("t.csv")}
		if _, err := pgrows.NewRows(ctx, "rows", both); err == nil {
			t.Error("rows from a list and a file were accepted")
		}
		return nil
	}, pulumi.WithMocks("test", "test", &mocks{inputs: map[string]resource.PropertyMap{}}))
	if err != nil {
		t.Fatal(err)
	}
}
