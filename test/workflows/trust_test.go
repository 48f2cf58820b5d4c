package workflows

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"plan-charge/internal/testkit"
)

// trust is a role's trust document. What is in none of its fields is refused.
type trust struct {
	Version   string
	Statement []struct {
		Effect, Action string
		Principal      struct{ Federated string }
		Condition      struct {
			StringEquals struct {
				Audience string   `json:"token.actions.githubusercontent.com:aud"`
				Subject  []string `json:"token.actions.githubusercontent.com:sub"`
			}
		}
	}
}

// TestRolesTrustEnvironmentsAlone: each role is for exactly the environments of the workflows, compared as a whole.
func TestRolesTrustEnvironmentsAlone(t *testing.T) {
	roles := map[string][]string{"reader": {"preview"}, "deployer": {"production", "production-approval"}}
	var trusted []string
	for role, environments := range roles {
		text, err := os.ReadFile(filepath.Join(testkit.Project(t), "rights", "trust-"+role+".json"))
		if err != nil {
			t.Fatal(err)
		}
		decoder := json.NewDecoder(strings.NewReader(string(text)))
		decoder.DisallowUnknownFields()
		var doc trust
		if err := decoder.Decode(&doc); err != nil || len(doc.Statement) != 1 {
			t.Fatalf("%s: %d statements, want one with StringEquals on audience and subject, and nothing else: %v", role, len(doc.Statement), err)
		}
		s := doc.Statement[0]
		if s.Effect != "Allow" || s.Action != "sts:AssumeRoleWithWebIdentity" || s.Condition.StringEquals.Audience != "sts.amazonaws.com" ||
			s.Principal.Federated != "arn:aws:iam::ACCOUNT:oidc-provider/token.actions.githubusercontent.com" {
			t.Errorf("%s: %+v", role, s)
		}
		var want []string
		for _, e := range environments {
			want = append(want, "repo:REPOSITORY:environment:"+e)
		}
		if !slices.Equal(s.Condition.StringEquals.Subject, want) {
			t.Errorf("%s trusts %q, want %q", role, s.Condition.StringEquals.Subject, want)
		}
		trusted = append(trusted, environments...)
	}
	all, _ := load(t)
	for name, w := range all {
		for id, j := range w.Jobs {
			if j.Permissions["id-token"] != "" && j.Environment != eitherProduction && !slices.Contains(trusted, j.Environment) {
				t.Errorf("%s, job %s: logs in from environment %q, which no role trusts", name, id, j.Environment)
			}
		}
	}
}
