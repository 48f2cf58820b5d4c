// Package probe describes requests to a site and what their answers must be.
package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// Nonce in a path is replaced by a value that no request had before.
const Nonce = "{nonce}"

// Version in a list of checks stands for the version that was deployed, so that another one leaves the list as it is.
const Version = "{version}"

// Check is one request and what its answer must be. The tags `allowed` and `example` word its rules where a stack's
// configuration has a check.
type Check struct {
	Name    string            `json:"name" allowed:"text for the report" example:"ping"`
	Method  string            `json:"method,omitempty" allowed:"GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS" example:"POST"`     // GET unless set
	Path    string            `json:"path" allowed:"a path that starts with / and has neither spaces nor #" example:"/api/v1/ping"` // with its query; may contain Nonce
	Headers map[string]string `json:"headers,omitempty" allowed:"names and values on one line, nothing secret" example:"{Content-Type: application/json}"`
	Body    string            `json:"body,omitempty" allowed:"text, and none for GET and HEAD" example:"'{\"a\": 1}'"`
	Status  Status            `json:"status" allowed:"100 to 599, 1xx to 5xx, or several of them with commas" example:"4xx"`
	// Fields are top-level members that the answer, a JSON object, must have, as text.
	Fields map[string]string `json:"fields,omitempty" allowed:"names of the answer's top-level members, each with its text" example:"{status: ok}"`
	// Repeat asks twice: the origin must answer both times, not a cache.
	Repeat bool `json:"repeat,omitempty" allowed:"true (the origin must answer twice; GET and HEAD only) or false" example:"true"`
	// Safe says that asking changes nothing, so that a refresh may ask.
	Safe bool `json:"safe,omitempty" allowed:"true (asking changes nothing, so that a refresh asks too; GET and HEAD are asked anyway) or false" example:"true"`
}

// Status is one or more allowed statuses: "400", "4xx" or "200,204". In JSON a number will do as well.
type Status string

// Code is the Status that allows one code.
func Code(code int) Status { return Status(strconv.Itoa(code)) }

// Allows reports whether an HTTP status is allowed.
func (s Status) Allows(code int) bool {
	for part := range strings.SplitSeq(string(s), ",") {
		part = strings.TrimSpace(part)
		if part == strconv.Itoa(code) || len(part) == 3 && strings.EqualFold(part[1:], "xx") && part[:1] == strconv.Itoa(code/100) {
			return true
		}
	}
	return false
}

// UnmarshalJSON takes a string or a number.
func (s *Status) UnmarshalJSON(data []byte) error {
	var code int
	if json.Unmarshal(data, &code) == nil {
		*s = Code(code)
		return nil
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return errors.New(`status must be a number or a text such as "4xx"`)
	}
	*s = Status(text)
	return nil
}

func (s Status) validate() error {
	for part := range strings.SplitSeq(string(s), ",") {
		part = strings.TrimSpace(part)
		code, err := strconv.Atoi(strings.Replace(strings.ToLower(part), "xx", "00", 1))
		if err != nil || len(part) != 3 || code < 100 || code > 599 {
			return fmt.Errorf("status: found %q; allowed: 100 to 599, 1xx to 5xx, or several of them with commas; for example 4xx", string(s))
		}
	}
	return nil
}

var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions}

// Validate returns every mistake in the check at once.
func (c Check) Validate() error {
	var errs []error
	if c.Method != "" && !slices.Contains(methods, c.Method) {
		errs = append(errs, fmt.Errorf("method: found %q; allowed: %s", c.Method, strings.Join(methods, ", ")))
	}
	if !strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Path, " \t\r\n#") {
		errs = append(errs, fmt.Errorf("path: found %q; allowed: a path that starts with / and has no spaces; for example /health", c.Path))
	}
	for name, value := range c.Headers {
		if name == "" || strings.ContainsAny(name+value, "\r\n") {
			errs = append(errs, fmt.Errorf("headers: found %q; allowed: a name and a value on one line", name))
		}
	}
	if err := c.Status.validate(); err != nil {
		errs = append(errs, err)
	}
	if c.Repeat && c.Method != "" && c.Method != http.MethodGet && c.Method != http.MethodHead {
		errs = append(errs, fmt.Errorf("repeat: found %s; allowed: with GET and HEAD, since a CDN caches no other answers", c.Method))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check %q: %w", c.Title(), err)
	}
	return nil
}

// Title is the check's name, or its request when it has none.
func (c Check) Title() string {
	if c.Name != "" {
		return c.Name
	}
	return c.Verb() + " " + c.Path
}

// Harmless reports whether asking changes nothing.
func (c Check) Harmless() bool {
	return c.Safe || c.Verb() == http.MethodGet || c.Verb() == http.MethodHead
}

// Verb is the method, GET by default.
func (c Check) Verb() string {
	if c.Method == "" {
		return http.MethodGet
	}
	return c.Method
}

// Standard returns the checks that every deployment has to pass: the service is healthy, an error is not served from
// a cache, and the three formats in which clients send a login are understood and refused rather than answered by a
// server error. A service without a login has an empty loginPath, and only the first two. version is what the health
// answer's member "version" must be; "" skips that.
func Standard(healthPath, loginPath, version string) []Check {
	health := Check{Name: "health", Path: healthPath, Status: "200"}
	if version != "" {
		health.Fields = map[string]string{"version": version}
	}
	headers := map[string]string{"Content-Type": "application/json"}
	const token = `{"access_token":"test"}`
	query := "?"
	if strings.Contains(loginPath, "?") {
		query = "&"
	}
	checks := []Check{
		health,
		{Name: "login, basic token", Method: http.MethodPost, Path: loginPath, Headers: headers, Body: token, Status: "4xx", Safe: true},
		{Name: "login, cache-busting query", Method: http.MethodPost, Path: loginPath + query + "t=" + Nonce, Headers: headers, Body: token, Status: "4xx", Safe: true},
		{
			Name: "login, structured", Method: http.MethodPost, Path: loginPath, Headers: headers, Status: "400", Safe: true,
			Body: `{"userInfo":{"email":"test@nda-partners.com","name":"Test User","id":"test-id"},"access_token":"test"}`,
		},
		{Name: "errors are not cached", Path: strings.SplitN(loginPath, "?", 2)[0] + "/verify-" + Nonce, Status: "4xx", Repeat: true},
	}
	if loginPath == "" {
		return []Check{checks[0], checks[len(checks)-1]}
	}
	return checks
}
