package main

import (
	"strings"
	"testing"

	"github.com/blang/semver"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"golang.org/x/crypto/bcrypt"
)

var (
	passwordURN = resource.NewURN("stack", "project", "", "random:index/randomPassword:RandomPassword", "name")
	idURN       = resource.NewURN("stack", "project", "", "random:index/randomId:RandomId", "name")
)

func server(t *testing.T) integration.Server {
	t.Helper()
	prov, err := provider()
	if err != nil {
		t.Fatal(err)
	}
	s, err := integration.NewServer(t.Context(), "random", semver.MustParse(version), integration.WithProvider(prov))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

type in = map[string]property.Value

func TestPassword(t *testing.T) {
	off, on := property.New(false), property.New(true)
	n := func(n int) property.Value { return property.New(float64(n)) }
	tests := []struct {
		name    string
		in      in
		length  int
		allowed string
		min     map[string]int // class: at least
	}{
		{"all classes", in{"length": n(100)}, 100, lowerChars + upperChars + numericChars + specialChars, nil},
		{"letters and digits", in{"length": n(32), "special": off}, 32, lowerChars + upperChars + numericChars, nil},
		{"digits alone", in{"length": n(20), "special": off, "upper": off, "lower": off}, 20, numericChars, nil},
		{"older name of numeric", in{"length": n(40), "special": off, "number": off, "upper": off}, 40, lowerChars, nil},
		{"own special characters", in{"length": n(50), "overrideSpecial": property.New("_"), "upper": off, "lower": off, "numeric": off}, 50, "_", nil},
		{
			"at least",
			in{"length": n(8), "minUpper": n(3), "minNumeric": n(3), "special": off, "minLower": n(2)},
			8, lowerChars + upperChars + numericChars,
			map[string]int{upperChars: 3, numericChars: 3, lowerChars: 2},
		},
		{"a minimum of a class that is off", in{"length": n(2), "special": off, "minSpecial": n(1)}, 2, lowerChars + upperChars + numericChars + specialChars, map[string]int{specialChars: 1}},
		{"longer than bcrypt looks", in{"length": n(90), "special": on}, 90, lowerChars + upperChars + numericChars + specialChars, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := server(t)
			checked, err := s.Check(p.CheckRequest{Urn: passwordURN, Inputs: property.NewMap(tt.in)})
			if err != nil || len(checked.Failures) > 0 {
				t.Fatal(err, checked.Failures)
			}
			resp, err := s.Create(p.CreateRequest{Urn: passwordURN, Properties: checked.Inputs})
			if err != nil {
				t.Fatal(err)
			}
			result, hash := resp.Properties.Get("result"), resp.Properties.Get("bcryptHash")
			if !result.Secret() || !hash.Secret() {
				t.Error("password and hash must be secret")
			}
			password := result.AsString()
			if len(password) != tt.length || strings.Trim(password, tt.allowed) != "" {
				t.Errorf("%d characters, not all of %q: %q", len(password), tt.allowed, password)
			}
			for class, least := range tt.min {
				got := 0
				for _, r := range password {
					if strings.ContainsRune(class, r) {
						got++
					}
				}
				if got < least {
					t.Errorf("%d of %q, want %d", got, class, least)
				}
			}
			if err := bcrypt.CompareHashAndPassword([]byte(hash.AsString()), []byte(password[:min(len(password), bcryptLimit)])); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPasswordRefuses(t *testing.T) {
	n := func(n int) property.Value { return property.New(float64(n)) }
	off := property.New(false)
	for name, bad := range map[string]in{
		"no length":       {"length": n(0)},
		"minimum too big": {"length": n(3), "minUpper": n(4)},
		"nothing allowed": {"length": n(3), "upper": off, "lower": off, "numeric": off, "special": off},
		"negative":        {"length": n(3), "minLower": n(-1)},
	} {
		t.Run(name, func(t *testing.T) {
			resp, err := server(t).Check(p.CheckRequest{Urn: passwordURN, Inputs: property.NewMap(bad)})
			if err == nil && len(resp.Failures) == 0 {
				t.Error("was accepted")
			}
		})
	}
}

func TestKeepersReplace(t *testing.T) {
	s := server(t)
	old := property.NewMap(in{"length": property.New(8.0), "keepers": property.New(property.NewMap(in{"a": property.New("1")}))})
	state := old.Set("result", property.New("x")).Set("bcryptHash", property.New("y"))
	for name, tt := range map[string]struct {
		keeper  string
		changes bool
	}{"same": {"1", false}, "other": {"2", true}} {
		t.Run(name, func(t *testing.T) {
			news := old.Set("keepers", property.New(property.NewMap(in{"a": property.New(tt.keeper)})))
			resp, err := s.Diff(p.DiffRequest{ID: "none", Urn: passwordURN, State: state, OldInputs: old, Inputs: news})
			if err != nil {
				t.Fatal(err)
			}
			if resp.HasChanges != tt.changes {
				t.Fatalf("changes %v, want %v", resp.HasChanges, tt.changes)
			}
			for path, d := range resp.DetailedDiff {
				if d.Kind != p.UpdateReplace && d.Kind != p.AddReplace && d.Kind != p.DeleteReplace {
					t.Errorf("%s is %v, want a replacement", path, d.Kind)
				}
			}
		})
	}
}

func TestID(t *testing.T) {
	s := server(t)
	resp, err := s.Create(p.CreateRequest{Urn: idURN, Properties: property.NewMap(in{"byteLength": property.New(4.0), "prefix": property.New("p-")})})
	if err != nil {
		t.Fatal(err)
	}
	hex := resp.Properties.Get("hex").AsString()
	if !strings.HasPrefix(hex, "p-") || len(hex) != 2+8 || len(resp.ID) != 6 || strings.HasPrefix(resp.ID, "p-") {
		t.Errorf("hex %q, id %q", hex, resp.ID)
	}
}
