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
		{"400", 400, true},
		{"400", 401, false},
		{"4xx", 400, true},
		{"4XX", 499, true},
		{"4xx", 500, false},
		{"4xx", 40, false},
		{"200,204", 204, true},
		{"200, 3xx", 302, true},
		{"200,204", 201, false},
		{"", 200, false},
		{"xx", 200, false},
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

// Without a login, what is left is asked where every service is.
func TestStandardChecksWithoutALogin(t *testing.T) {
	var asked []string
	for _, c := range probe.Standard("/health", "", "") {
		asked = append(asked, c.Verb()+" "+c.Path)
	}
	if got := strings.Join(asked, ", "); got != "GET /health, GET /verify-{nonce}" {
		t.Errorf("asked: %s", got)
	}
}

func TestStandardChecks(t *testing.T) {
	checks := map[string]probe.Check{}
	for _, c := range probe.Standard("/health", "/login", "1.2.3") {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
		checks[c.Name] = c
	}
	want := map[string]struct {
		request, body      string
		repeat             bool
		allowed, forbidden []int
	}{
		"health":                     {"GET /health", "", false, []int{200}, []int{204, 404, 500, 503}},
		"login, basic token":         {"POST /login", `{"access_token":"test"}`, false, []int{400, 401, 403}, []int{200, 500, 502}},
		"login, cache-busting query": {"POST /login?t={nonce}", `{"access_token":"test"}`, false, []int{400, 401, 403}, []int{200, 500, 502}},
		"login, structured":          {"POST /login", `"userInfo":{"email":`, false, []int{400}, []int{200, 401, 500}},
		"errors are not cached":      {"GET /login/verify-{nonce}", "", true, []int{400, 404}, []int{200, 500}},
	}
	for name, w := range want {
		c, ok := checks[name]
		if !ok {
			t.Errorf("%q is not checked", name)
			continue
		}
		if request := c.Verb() + " " + c.Path; request != w.request || !strings.Contains(c.Body, w.body) || c.Repeat != w.repeat {
			t.Errorf("%s: %+v, want %+v", name, c, w)
		}
		for _, code := range w.allowed {
			if !c.Status.Allows(code) {
				t.Errorf("%s refuses %d", name, code)
			}
		}
		for _, code := range w.forbidden {
			if c.Status.Allows(code) {
				t.Errorf("%s allows %d", name, code)
			}
		}
	}
	if len(checks) != len(want) || checks["health"].Fields["version"] != "1.2.3" {
		t.Errorf("got %+v", checks)
	}
}
