package edge_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"plan-charge/sandbox/edge"
)

// The codes for which a distribution can set an error caching minimum TTL.
var settable = []int{400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504}

// TestErrorCaching asks for the same failing path again and again: for how long is the origin not asked?
func TestErrorCaching(t *testing.T) {
	const unset, second = time.Duration(-1), time.Second
	type errorCase struct {
		name    string
		status  int
		control string        // the origin's Cache-Control
		min     time.Duration // of the custom error response
		want    time.Duration
	}
	var cases []errorCase
	add := func(name string, status int, control string, min, want time.Duration) {
		cases = append(cases, errorCase{fmt.Sprintf("%d %s", status, name), status, control, min, want})
	}
	for _, status := range []int{404, 414, 500, 501, 502, 503, 504} {
		add("by default", status, "", unset, 10*second)
		add("of 0", status, "", 0, 0)
		add("of a minute", status, "", time.Minute, time.Minute)
		add("not shortened by the origin", status, "max-age=3", unset, 10*second)
		add("not lengthened past the maximum TTL", status, "max-age=30", unset, 10*second)
	}
	for _, value := range []string{"no-store", "No-Cache", "max-age=3, private=\"x\""} {
		for _, status := range []int{500, 502, 503, 504} {
			add(value+" does not count", status, value, unset, 10*second)
		}
		for _, status := range []int{404, 414, 501} {
			add(value+" counts", status, value, unset, 0)
		}
	}
	for _, status := range []int{400, 403, 405, 412, 415} {
		add("by default", status, "", unset, 0)
		add("without a lifetime from the origin", status, "", time.Minute, 0)
		add("with max-age", status, "max-age=1", unset, 10*second)
		add("with s-maxage", status, "public, S-MaxAge=30", unset, 10*second)
		add("of 0 with max-age", status, "max-age=30", 0, 0)
	}
	for _, status := range []int{401, 409, 416, 422, 429} {
		add("never", status, "max-age=30", time.Minute, 0)
	}

	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(d *edge.Distribution) {
				if c.min != unset {
					d.ErrorMinTTL[c.status] = c.min
				}
			})
			s.origin.set(answer(c.status, map[string]string{"Cache-Control": c.control}, "no"))
			ask := func() got {
				g := s.get("/thing")
				if g.status != c.status || g.header.Get("X-Cache") != "Error from cloudfront" {
					t.Fatalf("%d, X-Cache %q", g.status, g.header.Get("X-Cache"))
				}
				return g
			}
			if ask().cached() {
				t.Fatal("the first answer is from the cache")
			}
			if c.want > 0 {
				s.clock.advance(c.want - second)
				if g := ask(); !g.cached() || g.header.Get("Age") != fmt.Sprint(int(c.want/second)-1) || g.header.Get("X-Count") != "1" {
					t.Fatalf("1 s before the end: Age %q, answer %s", g.header.Get("Age"), g.header.Get("X-Count"))
				}
				s.clock.advance(second)
			}
			if g := ask(); g.cached() || s.origin.requests() != 2 {
				t.Fatalf("after %s: Age %q, %d requests at the origin", c.want, g.header.Get("Age"), s.origin.requests())
			}
		})
	}
}

// TestElevenCodesAtZero is the setting that the production distribution has.
func TestElevenCodesAtZero(t *testing.T) {
	s := newSite(t, func(d *edge.Distribution) {
		for _, code := range settable {
			d.ErrorMinTTL[code] = 0
		}
	})
	for _, code := range settable {
		s.origin.set(answer(code, nil, "no"))
		before := s.origin.requests()
		for range 3 {
			if g := s.get(fmt.Sprintf("/%d", code)); g.status != code || g.cached() {
				t.Errorf("%d: %d, Age %q", code, g.status, g.header.Get("Age"))
			}
		}
		if n := s.origin.requests() - before; n != 3 {
			t.Errorf("%d: the origin was asked %d times of 3", code, n)
		}
	}
}

func TestIncident(t *testing.T) {
	s := newSite(t)
	s.origin.set(answer(500, map[string]string{"Cache-Control": "no-store"}, "broken"))
	s.get("/api/v1/organizations")
	s.origin.set(answer(200, nil, "mended"))
	if g := s.get("/api/v1/organizations"); g.status != 500 || g.body != "broken" || !g.cached() {
		t.Errorf("the mended site: %d %s, Age %q; CloudFront's default serves the old error", g.status, g.body, g.header.Get("Age"))
	}
	// A query string is not part of the key of CachingDisabled, so another one finds the same error.
	if g := s.get("/api/v1/organizations?bust=1"); !g.cached() {
		t.Error("a cache-busting query went past the cache")
	}
	if g := s.do("POST", "/api/v1/organizations", "{}"); g.status != 200 || g.cached() {
		t.Errorf("POST does not read the cache: %d", g.status)
	}
	if g := s.do("HEAD", "/api/v1/organizations", ""); g.status != 500 || !g.cached() {
		t.Errorf("HEAD: %d, Age %q", g.status, g.header.Get("Age"))
	}
	s.clock.advance(10 * time.Second)
	if g := s.get("/api/v1/organizations"); g.status != 200 {
		t.Errorf("10 s later: %d", g.status)
	}
}

func TestPostFillsNoCache(t *testing.T) {
	s := newSite(t)
	s.origin.set(answer(500, nil, "broken"))
	for range 2 {
		if g := s.do("POST", "/login", "{}"); g.status != 500 || g.cached() {
			t.Errorf("%d, Age %q", g.status, g.header.Get("Age"))
		}
	}
	if g := s.get("/login"); g.cached() || s.origin.requests() != 3 {
		t.Error("the error of a POST was served to a GET")
	}
}

func TestUnreachableOrigin(t *testing.T) {
	s := newSite(t, func(d *edge.Distribution) {
		d.Origins["refused"] = edge.Origin{Domain: "127.0.0.1", Port: 9, Attempts: 3, ConnectTimeout: time.Second, ReadTimeout: time.Second}
		slow := d.Origins["lb"]
		slow.ReadTimeout = 100 * time.Millisecond
		d.Origins["slow"] = slow
		for _, name := range []string{"refused", "slow"} {
			b := d.Behaviors[0]
			b.Pattern, b.Origin = "/"+name+"/*", name
			d.Behaviors = append([]edge.Behavior{b}, d.Behaviors...)
		}
	})
	if g := s.get("/refused/a"); g.status != 502 || !strings.Contains(g.body, "request could not be satisfied") {
		t.Errorf("refused: %d %s", g.status, g.body)
	}
	if g := s.get("/refused/a"); g.status != 502 || !g.cached() {
		t.Errorf("the edge's own 502 is kept like any: %d, Age %q", g.status, g.header.Get("Age"))
	}
	if g := s.do("POST", "/refused/a", "x"); g.status != 502 || g.cached() {
		t.Errorf("POST refused: %d", g.status)
	}
	release := make(chan struct{})
	s.origin.set(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	if g := s.get("/slow/a"); g.status != 504 || s.origin.requests() != 2 {
		t.Errorf("no answer: %d after %d attempts, want 504 after 2", g.status, s.origin.requests())
	}
	if g := s.do("POST", "/slow/a", "x"); g.status != 504 || s.origin.requests() != 3 {
		t.Errorf("POST without answer: %d after %d attempts, want 504 after 1", g.status, s.origin.requests()-2)
	}
	// What the origin's load balancer answers of itself is passed on.
	s.origin.set(answer(503, map[string]string{"Server": "awselb/2.0"}, "no targets"))
	if g := s.get("/b"); g.status != 503 || g.body != "no targets" || g.header.Get("Server") != "awselb/2.0" {
		t.Errorf("503 of the origin: %d %s", g.status, g.body)
	}
}

// TestViewerWhoLeavesIsNoError makes sure that an impatient client cannot fill the cache with a 502.
func TestViewerWhoLeavesIsNoError(t *testing.T) {
	s := newSite(t)
	arrived := make(chan struct{})
	s.origin.set(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	impatient := &http.Client{Transport: &http.Transport{}}
	req, _ := http.NewRequest("GET", s.base+"/leave", nil)
	req.Host = "site.example"
	ended := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(ended)
		if resp, err := impatient.Do(req.WithContext(ctx)); err == nil {
			resp.Body.Close()
		}
	}()
	<-arrived
	cancel()
	<-ended
	s.origin.set(answer(200, nil, "well"))
	if g := s.get("/leave"); g.status != 200 || g.cached() {
		t.Errorf("%d, Age %q", g.status, g.header.Get("Age"))
	}
}
