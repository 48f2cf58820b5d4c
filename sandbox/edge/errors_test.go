package edge_test

import (
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
	second := time.Second
	type want = time.Duration
	header := func(value string) map[string]string { return map[string]string{"Cache-Control": value} }
	long := edge.CachePolicy{MaxTTL: 365 * 24 * time.Hour}

	var cases []struct {
		name   string
		status int
		header map[string]string
		policy edge.CachePolicy
		min    *time.Duration // nil: no custom error response
		want   want
	}
	add := func(name string, status int, h map[string]string, p edge.CachePolicy, min *time.Duration, w want) {
		cases = append(cases, struct {
			name   string
			status int
			header map[string]string
			policy edge.CachePolicy
			min    *time.Duration
			want   want
		}{fmt.Sprintf("%d %s", status, name), status, h, p, min, w})
	}
	zero, minute := time.Duration(0), time.Minute
	for _, status := range []int{404, 414, 500, 501, 502, 503, 504} {
		add("by default", status, nil, disabled, nil, 10*second)
		add("of 0", status, nil, disabled, &zero, 0)
		add("of a minute", status, nil, disabled, &minute, minute)
		add("lengthened by the origin", status, header("max-age=30"), long, nil, 30*second)
		add("not shortened by the origin", status, header("max-age=3"), long, nil, 10*second)
		add("not lengthened past the maximum TTL", status, header("max-age=30"), disabled, nil, 10*second)
	}
	for _, status := range []int{500, 502, 503, 504} {
		for _, value := range []string{"no-store", "no-cache", "private"} {
			add(value+" does not count", status, header(value), disabled, nil, 10*second)
		}
	}
	for _, status := range []int{404, 414, 501} {
		for _, value := range []string{"no-store", "no-cache", "private"} {
			add(value+" counts", status, header(value), disabled, nil, 0)
		}
	}
	for _, status := range []int{400, 403, 405, 412, 415} {
		add("by default", status, nil, disabled, nil, 0)
		add("without a lifetime from the origin", status, nil, disabled, &minute, 0)
		add("with max-age", status, header("max-age=30"), long, nil, 30*second)
		add("with s-maxage", status, header("s-maxage=30, max-age=60"), long, nil, 30*second)
		add("at least the minimum", status, header("max-age=1"), long, nil, 10*second)
	}
	for _, status := range []int{401, 409, 416, 422, 429} {
		add("never", status, header("max-age=30"), long, &minute, 0)
	}

	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, func(d *edge.Distribution) {
				d.Behaviors[0].Cache = c.policy
				if c.min != nil {
					d.Errors[c.status] = edge.ErrorResponse{MinTTL: *c.min}
				}
			})
			s.origin.set(answer(c.status, c.header, "no"))
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
			d.Errors[code] = edge.ErrorResponse{}
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

func TestStaleObjectInsteadOfError(t *testing.T) {
	s := newSite(t, func(d *edge.Distribution) { d.Behaviors[0].Cache = optimized })
	s.origin.set(answer(200, map[string]string{"Cache-Control": "max-age=60"}, "good"))
	s.get("/page")
	s.clock.advance(2 * time.Minute)
	s.origin.set(answer(503, nil, "down"))
	for i, want := range []int{2, 2, 3} { // requests at the origin: asked, within the 10 s, asked again
		if i == 2 {
			s.clock.advance(10 * time.Second)
		}
		if g := s.get("/page"); g.status != 200 || g.body != "good" || !g.cached() || s.origin.requests() != want {
			t.Errorf("%d: %d %s, %d requests at the origin, want %d", i, g.status, g.body, s.origin.requests(), want)
		}
	}
	s.clock.advance(10 * time.Second)
	s.origin.set(answer(404, nil, "gone")) // the origin works, and says there is no such page
	if g := s.get("/page"); g.status != 404 {
		t.Errorf("a 404 after that: %d", g.status)
	}
	s.clock.advance(10 * time.Second)
	s.origin.set(answer(503, nil, "down"))
	if g := s.get("/page"); g.status != 503 {
		t.Errorf("an object that is gone came back: %d", g.status)
	}

	s.origin.set(answer(200, map[string]string{"Cache-Control": "max-age=60, stale-if-error=0"}, "strict"))
	s.get("/strict")
	s.clock.advance(2 * time.Minute)
	s.origin.set(answer(500, nil, "down"))
	if g := s.get("/strict"); g.status != 500 {
		t.Errorf("stale-if-error=0: %d", g.status)
	}
}

func TestCustomErrorPage(t *testing.T) {
	s := newSite(t, func(d *edge.Distribution) {
		d.Errors[503] = edge.ErrorResponse{MinTTL: 5 * time.Second, Page: "/sorry.html", Code: 200}
		d.Errors[500] = edge.ErrorResponse{Page: "/missing.html"}
	})
	s.origin.set(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/sorry.html":
			fmt.Fprint(w, "sorry")
		case r.URL.Path == "/missing.html":
			w.WriteHeader(404)
		case r.URL.Path == "/500":
			answer(500, nil, "five hundred")(w, r)
		default:
			w.WriteHeader(503)
		}
	})
	if g := s.get("/x"); g.status != 200 || g.body != "sorry" {
		t.Errorf("GET: %d %s", g.status, g.body)
	}
	s.clock.advance(4 * time.Second)
	if g := s.get("/x"); g.status != 200 || g.body != "sorry" || !g.cached() {
		t.Errorf("again: %d %s", g.status, g.body)
	}
	if g := s.do("POST", "/x", ""); g.status != 200 || g.body != "sorry" || g.cached() {
		t.Errorf("POST: %d %s", g.status, g.body)
	}
	if g := s.get("/500"); g.status != 500 || g.body != "five hundred" {
		t.Errorf("a page that cannot be had: %d %s", g.status, g.body)
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
	ctx, cancel := contextWithCancel()
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
