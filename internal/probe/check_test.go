package probe_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"plan-charge/internal/probe"
)

func TestStatusAllows(t *testing.T) {
	for _, tc := range []struct {
		status probe.Status
		code   int
		want   bool
	}{
		{"400", 400, true}, {"400", 401, false}, {"4xx", 400, true}, {"4XX", 499, true}, {"4xx", 500, false}, {"4xx", 40, false},
		{"200,204", 204, true}, {"200, 3xx", 302, true}, {"200,204", 201, false}, {"", 200, false}, {"xx", 200, false},
	} {
		if got := tc.status.Allows(tc.code); got != tc.want {
			t.Errorf("%q allows %d: %v", tc.status, tc.code, got)
		}
	}
}

func TestStatusInJSON(t *testing.T) {
	var checks []probe.Check
	if err := json.Unmarshal([]byte(`[{"path":"/a","status":201},{"path":"/b","status":"4xx"}]`), &checks); err != nil {
		t.Fatal(err)
	}
	if checks[0].Status != "201" || checks[1].Status != "4xx" || checks[0].Verb() != "GET" {
		t.Errorf("got %+v", checks)
	}
	if err := json.Unmarshal([]byte(`{"path":"/a","status":true}`), new(probe.Check)); err == nil {
		t.Error("true is a status")
	}
}

func TestValidateNamesEveryMistake(t *testing.T) {
	bad := probe.Check{Method: "post", Path: "health me", Status: "4x", Headers: map[string]string{"A": "b\r\nC: d"}}
	err := fmt.Sprint(bad.Validate())
	for _, key := range []string{"method: found", "path: found", "status: found", "headers: found"} {
		if !strings.Contains(err, key) {
			t.Errorf("%q is missing in: %s", key, err)
		}
	}
	for _, status := range []probe.Status{"", "99", "600", "abc", "2xx,"} {
		if (probe.Check{Path: "/", Status: status}).Validate() == nil {
			t.Errorf("status %q is allowed", status)
		}
	}
	if (probe.Check{Method: "POST", Path: "/", Status: "200", Repeat: true}).Validate() == nil {
		t.Error("a repeated POST proves nothing about a cache")
	}
}

func TestStandardChecks(t *testing.T) {
	checks := probe.Standard("/health", "/login", "1.2.3")
	if len(checks) != 5 || checks[0].Fields["version"] != "1.2.3" || checks[3].Status != "400" || !checks[4].Repeat {
		t.Errorf("got %+v", checks)
	}
	for _, c := range checks {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
	}
}
