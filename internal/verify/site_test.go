package verify

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plan-charge/internal/probe"
	"plan-charge/internal/testkit"
)

const site = "https://site.example"

// cdn is a front with a cache for errors, as CloudFront is, before a backend that understands logins.
type cdn struct {
	*httptest.Server
	mu       sync.Mutex
	seen     []string
	cache    map[string]int
	keeps    bool              // errors are cached
	hides    bool              // the cache says nothing of itself
	ids      bool              // the backend gives each answer an id
	login    func(n int32) int // the status of the n-th structured login
	requests atomic.Int32
	version  string
}

func newCDN(t *testing.T) *cdn {
	c := &cdn{cache: map[string]int{}, login: func(int32) int { return 400 }, version: "1.0.0"}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *cdn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, r.Host+" "+r.Method+" "+r.URL.RequestURI())
	body, _ := io.ReadAll(r.Body)
	if status, ok := c.cache[r.URL.RequestURI()]; ok && r.Method == http.MethodGet {
		if !c.hides {
			w.Header().Set("Age", "3")
			w.Header().Set("X-Cache", "Error from cloudfront")
		}
		if c.ids {
			w.Header().Set("X-Request-Id", "the first one")
		}
		w.WriteHeader(status)
		return
	}
	status := 404
	switch {
	case r.URL.Path == "/health":
		status = 200
	case r.Method == http.MethodPost && bytes.Contains(body, []byte("userInfo")):
		status = c.login(c.requests.Add(1))
	case r.Method == http.MethodPost:
		status = 400
	}
	if status >= 400 {
		w.Header().Set("X-Cache", "Error from cloudfront")
		if c.keeps && r.Method == http.MethodGet {
			c.cache[r.URL.RequestURI()] = status
		}
	}
	if c.ids {
		w.Header().Set("X-Request-Id", "the first one")
	}
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"status":"ok","version":%q,"url":"postgresql://app:s3cr3t@db/x"}`, c.version)
}

func fast() pace {
	return pace{service: 5 * time.Millisecond, first: 5 * time.Millisecond, longest: 20 * time.Millisecond, patience: 3, aws: time.Second, invalidation: time.Second}
}

func (c *cdn) settings() Settings {
	return Settings{SiteURL: site, ConnectTo: c.URL, Checks: probe.Standard("/health", "/api/login", "1.0.0"), Timeout: time.Second, TimeoutKey: "verification.timeout"}
}

func TestSiteThatServes(t *testing.T) {
	c := newCDN(t)
	var out testkit.Buffer
	if err := run(context.Background(), c.settings(), Clients{}, &out, fast()); err != nil {
		t.Fatal(err)
	}
	if len(c.seen) != 6 {
		t.Errorf("%d requests, want 6: %q", len(c.seen), c.seen)
	}
	for _, line := range c.seen {
		if !strings.HasPrefix(line, "site.example ") {
			t.Errorf("the Host header is not the site's: %s", line)
		}
	}
	testkit.Contains(t, "report", out.String(), "GET     /health", "200", "POST    /api/login?t=", "origin", "all 5 checks passed")
	if n := strings.Count(out.String(), "origin"); n != 6 {
		t.Errorf("%d requests are reported, want 6:\n%s", n, out.String())
	}
}

func TestFailingGetAsksTheSameNewPathTwice(t *testing.T) {
	c := newCDN(t)
	for range 2 {
		if err := run(context.Background(), c.settings(), Clients{}, &testkit.Buffer{}, fast()); err != nil {
			t.Fatal(err)
		}
	}
	var paths []string
	for _, line := range c.seen {
		if strings.Contains(line, "/verify-") {
			paths = append(paths, line)
		}
	}
	if len(paths) != 4 || paths[0] != paths[1] || paths[2] != paths[3] || paths[0] == paths[2] {
		t.Errorf("got %q", paths)
	}
}

func TestCachedErrorsAreFound(t *testing.T) {
	for name, tc := range map[string]struct {
		set  func(*cdn)
		want string
	}{
		"by age":                    {func(c *cdn) { c.keeps = true }, "Age: 3"},
		"by the request's id":       {func(c *cdn) { c.keeps, c.hides, c.ids = true, true, true }, "X-Request-Id the first one"},
		"by an id though not cache": {func(c *cdn) { c.ids = true }, "the first answer again"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCDN(t)
			tc.set(c)
			err := run(context.Background(), c.settings(), Clients{}, &testkit.Buffer{}, fast())
			if err == nil {
				t.Fatal("a cached error passed")
			}
			testkit.Contains(t, "error", err.Error(), "errors are not cached", tc.want, "verification.timeout")
		})
	}
}

func TestFromCache(t *testing.T) {
	for _, tc := range []struct {
		age, xcache string
		want        bool
	}{
		{"", "", false},
		{"", "Miss from cloudfront", false},
		{"", "Error from cloudfront", false},
		{"4", "Error from cloudfront", true},
		{"0", "", true},
		{"", "Hit from cloudfront", true},
		{"", "RefreshHit from cloudfront", true},
		{"", "LimitExceeded from cloudfront", false},
	} {
		h := http.Header{}
		if tc.age != "" {
			h.Set("Age", tc.age)
		}
		if tc.xcache != "" {
			h.Set("X-Cache", tc.xcache)
		}
		if got := fromCache(h) != ""; got != tc.want {
			t.Errorf("%+v: %v", tc, got)
		}
	}
}

func TestSiteThatFails(t *testing.T) {
	for name, tc := range map[string]struct {
		set  func(*cdn, *Settings)
		want []string
	}{
		"structured login gives 500": {
			func(c *cdn, _ *Settings) { c.login = func(int32) int { return 500 } },
			[]string{"login, structured", "expected status 400, came status 500", "X-Cache: Error from cloudfront", "body: "},
		},
		"structured login gives another 4xx": {
			func(c *cdn, _ *Settings) { c.login = func(int32) int { return 401 } },
			[]string{"expected status 400, came status 401"},
		},
		"old version": {
			func(c *cdn, _ *Settings) { c.version = "0.9.0" },
			[]string{`health: GET /health: expected version "1.0.0", came "0.9.0"`},
		},
		"nobody there": {
			func(_ *cdn, s *Settings) { s.ConnectTo = "http://127.0.0.1:1" },
			[]string{"no answer", "connection refused"},
		},
		"check by config": {
			func(_ *cdn, s *Settings) {
				s.Checks = append(s.Checks, probe.Check{Method: "PUT", Path: "/thing", Status: "204"})
			},
			[]string{"PUT /thing: expected status 204, came status 404"},
		},
		"redirects are not followed": {
			func(c *cdn, s *Settings) { c.login = func(int32) int { return 301 } },
			[]string{"came status 301"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCDN(t)
			s := c.settings()
			tc.set(c, &s)
			var out testkit.Buffer
			err := run(context.Background(), s, Clients{}, &out, fast())
			if err == nil {
				t.Fatal("passed")
			}
			testkit.Contains(t, "error", err.Error(), tc.want...)
			if strings.Contains(err.Error()+out.String(), "s3cr3t") {
				t.Errorf("a password is shown:\n%v", err)
			}
		})
	}
}

func TestOnlyWhatFailedIsTriedAgain(t *testing.T) {
	c := newCDN(t)
	c.login = func(n int32) int {
		if n < 3 {
			return 502
		}
		return 400
	}
	if err := run(context.Background(), c.settings(), Clients{}, &testkit.Buffer{}, fast()); err != nil {
		t.Fatal(err)
	}
	if len(c.seen) != 8 {
		t.Errorf("%d requests, want 6 and 2 repetitions: %q", len(c.seen), c.seen)
	}
}

func TestWaitIsBounded(t *testing.T) {
	c := newCDN(t)
	c.login = func(int32) int { return 500 }
	s := c.settings()
	s.Timeout = 100 * time.Millisecond
	// Without a bound of its own this test would hang as well.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	began := time.Now()
	err := run(ctx, s, Clients{}, &testkit.Buffer{}, fast())
	testkit.Contains(t, "error", fmt.Sprint(err), "verification.timeout, 100ms", "came status 500")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it waited for %s", took)
	}
}

func TestFromEnv(t *testing.T) {
	look := func(env map[string]string) func(string) (string, bool) {
		return func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	}
	s, err := FromEnv(look(map[string]string{"VERIFY_SITE_URL": site, "VERIFY_CHECKS": `[{"path":"/x","status":200}]`, "PLAN_CHARGE_CONNECT_TO": "http://127.0.0.1:4580"}))
	if err != nil || len(s.Checks) != 1 || s.ConnectTo == "" || s.Timeout != DefaultTimeout {
		t.Errorf("%+v, %v", s, err)
	}
	s, err = FromEnv(look(map[string]string{"VERIFY_SITE_URL": site}))
	if err != nil || len(s.Checks) != 5 {
		t.Errorf("%+v, %v", s, err)
	}
	_, err = FromEnv(look(map[string]string{
		"VERIFY_SITE_URL": "site.example", "VERIFY_CLUSTER": "c", "VERIFY_CHECKS": `[{"path":"x","status":99}]`, "VERIFY_TIMEOUT": "soon", "PLAN_CHARGE_CONNECT_TO": "127.0.0.1:80",
	}))
	testkit.Contains(t, "error", fmt.Sprint(err), "VERIFY_SITE_URL", "VERIFY_CLUSTER", "path: found", "status: found", "VERIFY_TIMEOUT", "PLAN_CHARGE_CONNECT_TO")
	_, err = FromEnv(look(map[string]string{"VERIFY_CHECKS": `[{"path":"/x","stat":99}]`}))
	testkit.Contains(t, "error", fmt.Sprint(err), "VERIFY_SITE_URL: found nothing", `unknown field "stat"`)
}
