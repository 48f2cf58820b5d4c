package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"github.com/blang/semver"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"

	"plan-charge/served/internal/contract"
	"plan-charge/served/internal/resource"
)

var update = flag.Bool("update", false, "accept what the types say as the new schema.json")

// ask returns the schema that a provider gives.
func ask(t *testing.T, provider p.Provider) string {
	t.Helper()
	server, err := integration.NewServer(t.Context(), contract.Name, semver.MustParse(contract.Version), integration.WithProvider(provider))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := server.GetSchema(p.GetSchemaRequest{})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Schema
}

func TestSchemaIsThatOfTheTypes(t *testing.T) {
	var got bytes.Buffer
	if err := json.Indent(&got, []byte(ask(t, resource.New(nil, ""))), "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if *update {
		if err := os.WriteFile("schema.json", got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		schema = got.String()
	}
	if got.String() != schema {
		t.Errorf("schema.json differs from the types; look at the difference, then run: go test ./served -update\n%s", got.String())
	}
	if ask(t, provider("")) != schema {
		t.Error("the provider serves another schema than schema.json")
	}
}
