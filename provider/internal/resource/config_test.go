package resource_test

import (
	"strings"
	"testing"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

const providerURN = resource.URN("urn:pulumi:test::test::pulumi:providers:pgrows::db")

func TestCheckConfig(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct{ inputs, want string }{
		"defaults": {`{"host": "h", "database": "d", "username": "u", "password": "p"}`, ""},
		"all at once": {
			`{"host": "", "port": 0, "database": "", "username": "", "password": "", "sslMode": "maybe", "sslRootCert": "/nowhere.pem", "connectTimeout": 0}`,
			"connectTimeout database host password port sslMode sslRootCert username",
		},
		"as text":         {`{"host": "123", "database": "true", "username": "null", "password": "1e5", "port": "15432", "connectTimeout": "5"}`, ""},
		"no number":       {`{"host": "h", "database": "d", "username": "u", "password": "p", "port": "many", "connectTimeout": 0.5}`, "connectTimeout port"},
		"other kinds":     {`{"host": 1, "database": true, "username": [], "password": {}, "sslMode": 1, "sslRootCert": 1, "port": true}`, "database host password port sslMode sslRootCert username"},
		"missing":         {`{"hots": "h"}`, "database host hots password username"},
		"a URL":           {`{"host": "postgres://h:1/d", "database": "d", "username": "u", "password": "p"}`, "host"},
		"RDS":             {`{"host": "h", "database": "d", "username": "u", "password": "p", "sslMode": "verify-full", "sslRootCert": "rds"}`, ""},
		"an IP version 6": {`{"host": "::1", "database": "d", "username": "u", "password": "p"}`, ""},
	} {
		resp, err := w.server.CheckConfig(p.CheckRequest{Urn: providerURN, Inputs: obj(c.inputs)})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var keys []string
		for _, f := range resp.Failures {
			keys = append(keys, f.Property)
		}
		equal(t, name, strings.ReplaceAll(sortedLines(keys), "\n", " "), c.want)
		if name == "defaults" {
			if !resp.Inputs.Get("password").Secret() {
				t.Error("the password is not secret")
			}
			equal(t, "defaults", show(resp.Inputs.Get("port"))+show(resp.Inputs.Get("sslMode"))+show(resp.Inputs.Get("connectTimeout")), `5432"require"10`)
		}
	}
	unknown := obj(`{"database": "d", "username": "u"}`).Set("host", property.New(property.Computed)).Set("password", property.New(property.Computed)).Set("port", property.New(property.Computed))
	resp, err := w.server.CheckConfig(p.CheckRequest{Urn: providerURN, Inputs: unknown})
	if err != nil || len(resp.Failures) > 0 || !resp.Inputs.Get("host").IsComputed() {
		t.Errorf("unknown values: %v %v %#v", err, resp.Failures, resp.Inputs.Get("host"))
	}
}

func TestAnotherAddressOrPasswordIsAnUpdate(t *testing.T) {
	w := newWorld(t)
	old := obj(`{"host": "a", "port": 1, "database": "d", "username": "u", "password": "p", "version": "0.1.0"}`)
	for name, c := range map[string]struct {
		inputs property.Map
		want   string
	}{
		"nothing":  {old.Set("version", property.New("0.2.0")), ""},
		"all":      {obj(`{"host": "b", "port": 2, "database": "e", "username": "v", "password": "q", "sslMode": "prefer"}`), "add sslMode\nupdate database\nupdate host\nupdate password\nupdate port\nupdate username"},
		"less":     {old.Delete("port"), "delete port"},
		"unknown":  {old.Set("host", property.New(property.Computed)), "update host"},
		"a secret": {old.Set("password", property.New("q").WithSecret(true)), "update password"},
	} {
		resp, err := w.server.DiffConfig(p.DiffRequest{Urn: providerURN, State: old, OldInputs: old, Inputs: c.inputs})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		equal(t, name, paths(resp), c.want)
	}
}

func TestNothingIsOpenedBeforeItIsNeeded(t *testing.T) {
	w := newWorld(t)
	w.db.Exec(organizationsTable)
	s := w.create(organizations(organization(one, "A")))
	w.store.uses = 0
	if _, err := w.server.Diff(p.DiffRequest{ID: s.id, Urn: rowsURN, State: s.state, Inputs: s.inputs}); err != nil {
		t.Fatal(err)
	}
	if err := w.server.Delete(p.DeleteRequest{ID: s.id, Urn: rowsURN, Properties: s.state.Delete("owner")}); err != nil {
		t.Fatal(err)
	}
	if w.store.uses != 0 {
		t.Errorf("the database was used %d times for a diff and a delete that retains", w.store.uses)
	}
	w.store.down = true
	if err := w.server.Delete(p.DeleteRequest{ID: s.id, Urn: rowsURN, Properties: s.state}); err != nil {
		t.Errorf("a delete that retains needs the database: %v", err)
	}
}
