package verify

import (
	"errors"
	"fmt"
	"net/url"
	"time"

	"plan-charge/internal/env"
	"plan-charge/internal/probe"
)

// Settings says what is to be verified. Empty parts are skipped.
type Settings struct {
	SiteURL        string // of the site as its users reach it
	Cluster        string
	Service        string
	TaskDefinition string // the ARN that must be running
	DistributionID string // the distribution whose error caching must be off
	Checks         []probe.Check
	Timeout        time.Duration // for everything
	TimeoutKey     string        // the configuration key that sets Timeout, for whoever has to raise it
	// ConnectTo is where requests go instead of the site's own address, such as http://127.0.0.1:4580; the Host header
	// stays the site's. It is what --connect-to is to curl.
	ConnectTo string
}

// DefaultTimeout bounds a verification when nothing else is said.
const DefaultTimeout = 5 * time.Minute

// FromEnv reads the settings from VERIFY_… variables; the error names every mistake.
func FromEnv(lookup func(string) (string, bool)) (Settings, error) {
	r := env.New(lookup)
	s := Settings{
		SiteURL:        r.Required("VERIFY_SITE_URL", "the site's address", "https://plan-de-charge.aws.nda-partners.com"),
		Cluster:        r.Optional("VERIFY_CLUSTER", ""),
		Service:        r.Optional("VERIFY_SERVICE", ""),
		TaskDefinition: r.Optional("VERIFY_TASK_DEFINITION", ""),
		DistributionID: r.Optional("VERIFY_DISTRIBUTION_ID", ""),
		Timeout:        r.Duration("VERIFY_TIMEOUT", DefaultTimeout),
		TimeoutKey:     "verification.timeout",
		ConnectTo:      r.Optional("PLAN_CHARGE_CONNECT_TO", ""),
	}
	r.JSON("VERIFY_CHECKS", "a JSON list of checks", `[{"method":"GET","path":"/health","status":200}]`, &s.Checks)
	if len(s.Checks) == 0 {
		s.Checks = probe.Standard("/health", "/api/v1/auth/sso/token-exchange", "")
	}
	address(r, "VERIFY_SITE_URL", s.SiteURL, "https://plan-de-charge.aws.nda-partners.com")
	address(r, "PLAN_CHARGE_CONNECT_TO", s.ConnectTo, "http://127.0.0.1:4580")
	some := s.Cluster != "" || s.Service != "" || s.TaskDefinition != ""
	all := s.Cluster != "" && s.Service != "" && s.TaskDefinition != ""
	if some && !all {
		r.Mistake("VERIFY_CLUSTER, VERIFY_SERVICE, VERIFY_TASK_DEFINITION", fmt.Sprintf("%q, %q, %q", s.Cluster, s.Service, s.TaskDefinition), "all three or none", "none, to check the site alone")
	}
	errs := []error{r.Err()}
	for _, check := range s.Checks {
		if err := check.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("VERIFY_CHECKS: %w", err))
		}
	}
	return s, errors.Join(errs...)
}

func address(r *env.Reader, key, value, example string) {
	if value == "" {
		return
	}
	if !IsAddress(value) {
		r.Mistake(key, fmt.Sprintf("%q", value), AddressRule, example)
	}
}

// AddressRule says what IsAddress allows.
const AddressRule = "http:// or https:// and a host, with a port or without"

// IsAddress reports whether requests can be made to a site under this address.
func IsAddress(value string) bool {
	u, err := url.Parse(value)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && (u.Path == "" || u.Path == "/")
}
