package edge_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"plan-charge/sandbox/edge"
)

func TestWhatGoesToTheOrigin(t *testing.T) {
	viewer := []string{"Accept-Language", "fr", "X-Custom", "1", "Cookie", "a=1; b=2; c=3", "User-Agent", "probe", "Authorization", "Bearer x",
		"X-Origin-Verify", "forged", "Cloudfront-Forwarded-Proto", "forged", "X-Sandbox-Load-Balancer", "forged", "X-Forwarded-For", "10.0.0.1"}
	for _, c := range []struct {
		name    string
		method  string
		cache   edge.CachePolicy
		request edge.RequestPolicy
		host    string
		query   string
		header  map[string]string
	}{
		{"AllViewer", "GET", disabled, allViewer, "site.example", "b=2&a=1%20x&a=3", map[string]string{
			"Accept-Language": "fr", "X-Custom": "1", "Cookie": "a=1; b=2; c=3", "User-Agent": "probe", "Authorization": "Bearer x", "Cloudfront-Forwarded-Proto": ""}},
		{"nothing", "GET", disabled, edge.RequestPolicy{}, "localhost", "", map[string]string{
			"Accept-Language": "", "X-Custom": "", "Cookie": "", "User-Agent": "Amazon CloudFront", "Authorization": ""}},
		{"nothing, POST", "POST", disabled, edge.RequestPolicy{}, "localhost", "", map[string]string{"Authorization": "Bearer x", "Content-Type": "text/plain"}},
		{"listed", "GET", edge.CachePolicy{Headers: edge.Selection{Names: []string{"x-custom", "CloudFront-Forwarded-Proto"}},
			Cookies: edge.Selection{Names: []string{"b"}}, Query: edge.Selection{Names: []string{"a"}}},
			edge.RequestPolicy{Cookies: edge.Selection{Names: []string{"c"}}}, "localhost", "a=1%20x&a=3",
			map[string]string{"X-Custom": "1", "Accept-Language": "", "Cookie": "b=2; c=3", "Cloudfront-Forwarded-Proto": "https"}},
		{"all except", "GET", disabled, edge.RequestPolicy{Headers: edge.Selection{All: true, Names: []string{"host"}},
			Query: edge.Selection{All: true, Names: []string{"a"}}}, "localhost", "b=2", map[string]string{"X-Custom": "1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, func(d *edge.Distribution) {
				d.Behaviors[0].Cache, d.Behaviors[0].Request = c.cache, c.request
				o := d.Origins["lb"]
				o.Path = "/base"
				d.Origins["lb"] = o
			})
			body := ""
			header := viewer
			if c.method == "POST" {
				body, header = "payload", append([]string{"Content-Type", "text/plain"}, viewer...)
			}
			s.do(c.method, "/a%2Fb/c%20d?b=2&a=1%20x&a=3", body, header...)
			r, sent := s.origin.seen()
			if host, _, _ := strings.Cut(r.Host, ":"); host != c.host {
				t.Errorf("Host %q, want %q", r.Host, c.host)
			}
			if r.RequestURI != "/base/a%2Fb/c%20d"+map[bool]string{true: "?" + c.query}[c.query != ""] || sent != body {
				t.Errorf("%s with body %q, want query %q", r.RequestURI, sent, c.query)
			}
			for name, want := range c.header {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if r.Header.Get("X-Origin-Verify") != "secret" || r.Header.Get("X-Sandbox-Load-Balancer") != "" {
				t.Errorf("the origin's headers: %v", r.Header)
			}
			if r.Header.Get("X-Amz-Cf-Id") == "" || !strings.Contains(r.Header.Get("Via"), "CloudFront") || r.Header.Get("X-Forwarded-For") != "10.0.0.1, 127.0.0.1" {
				t.Errorf("the edge's headers: %v", r.Header)
			}
		})
	}
}

func TestObjectCaching(t *testing.T) {
	year := 365 * 24 * time.Hour
	for _, c := range []struct {
		name   string
		status int
		header map[string]string
		policy edge.CachePolicy
		want   time.Duration
	}{
		{"disabled", 200, map[string]string{"Cache-Control": "max-age=100"}, disabled, 0},
		{"default TTL", 200, nil, edge.CachePolicy{DefaultTTL: time.Minute, MaxTTL: year}, time.Minute},
		{"max-age", 200, map[string]string{"Cache-Control": "max-age=100"}, optimized, 100 * time.Second},
		{"s-maxage first", 200, map[string]string{"Cache-Control": "max-age=100, S-MaxAge=\"50\""}, optimized, 50 * time.Second},
		{"maximum TTL", 200, map[string]string{"Cache-Control": "max-age=100"}, edge.CachePolicy{DefaultTTL: 5 * time.Second, MaxTTL: 20 * time.Second}, 20 * time.Second},
		{"minimum TTL", 200, map[string]string{"Cache-Control": "no-store"}, edge.CachePolicy{MinTTL: 7 * time.Second, MaxTTL: year}, 7 * time.Second},
		{"no-store", 200, map[string]string{"Cache-Control": "no-store"}, edge.CachePolicy{DefaultTTL: year, MaxTTL: year}, 0},
		{"Expires", 200, map[string]string{"Expires": "Wed, 02 Jan 2030 03:04:35 GMT"}, edge.CachePolicy{MaxTTL: year}, 30 * time.Second},
		{"Expires in the past", 200, map[string]string{"Expires": "0"}, edge.CachePolicy{DefaultTTL: year, MaxTTL: year}, 0},
		{"nonsense", 200, map[string]string{"Cache-Control": "max-age=soon"}, edge.CachePolicy{DefaultTTL: year, MaxTTL: year}, 0},
		{"redirect", 302, map[string]string{"Cache-Control": "max-age=9", "Location": "/x"}, optimized, 9 * time.Second},
		{"partial", 206, map[string]string{"Cache-Control": "max-age=9"}, optimized, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSite(t, func(d *edge.Distribution) { d.Behaviors[0].Cache = c.policy })
			s.origin.set(answer(c.status, c.header, "body"))
			if g := s.get("/o"); g.status != c.status || g.cached() || g.header.Get("X-Cache") != "Miss from cloudfront" {
				t.Fatalf("first: %d %v", g.status, g.header)
			}
			if c.want > 0 {
				s.clock.advance(c.want - time.Second)
				if g := s.get("/o"); g.status != c.status || !g.cached() || g.header.Get("X-Cache") != "Hit from cloudfront" || g.body != "body" {
					t.Fatalf("1 s before the end: %d %v", g.status, g.header)
				}
				s.clock.advance(time.Second)
			}
			if g := s.get("/o"); g.cached() {
				t.Errorf("after %s it is still cached", c.want)
			}
		})
	}
}

func TestCacheKey(t *testing.T) {
	s := newSite(t, func(d *edge.Distribution) {
		d.Behaviors[0].Cache = edge.CachePolicy{DefaultTTL: time.Hour, MaxTTL: time.Hour, Headers: edge.Selection{Names: []string{"X-Lang"}},
			Cookies: edge.Selection{Names: []string{"k"}}, Query: edge.Selection{Names: []string{"q"}}}
	})
	s.get("/o?q=1", "X-Lang", "fr", "Cookie", "k=1")
	for _, c := range []struct {
		path   string
		header []string
		cached bool
	}{
		{"/o?q=1", []string{"X-Lang", "fr", "Cookie", "k=1"}, true},
		{"/o?other=2&q=1", []string{"X-Lang", "fr", "Cookie", "k=1; z=9", "X-Other", "1"}, true},
		{"/o?q=2", []string{"X-Lang", "fr", "Cookie", "k=1"}, false},
		{"/o?q=1", []string{"X-Lang", "de", "Cookie", "k=1"}, false},
		{"/o?q=1", []string{"X-Lang", "fr", "Cookie", "k=2"}, false},
		{"/p?q=1", []string{"X-Lang", "fr", "Cookie", "k=1"}, false},
		{"/O?q=1", []string{"X-Lang", "fr", "Cookie", "k=1"}, false},
	} {
		if g := s.get(c.path, c.header...); g.cached() != c.cached {
			t.Errorf("%s %v: cached %t, want %t", c.path, c.header, g.cached(), c.cached)
		}
	}
	if g := s.do("HEAD", "/o?q=1", "", "X-Lang", "fr", "Cookie", "k=1"); !g.cached() || g.body != "" || g.header.Get("Content-Length") != "5" {
		t.Errorf("HEAD from GET: %v", g.header)
	}
}

func TestRevalidation(t *testing.T) {
	s := newSite(t, func(d *edge.Distribution) { d.Behaviors[0].Cache = optimized })
	s.origin.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=10")
		w.Header().Set("ETag", `"v1"`)
		if r.Header.Get("If-None-Match") == `"v1"` {
			w.WriteHeader(304)
			return
		}
		w.Write([]byte("version 1"))
	})
	s.get("/o")
	s.clock.advance(time.Minute)
	if g := s.get("/o"); g.status != 200 || g.body != "version 1" || g.header.Get("X-Cache") != "RefreshHit from cloudfront" {
		t.Errorf("expired: %d %s %v", g.status, g.body, g.header)
	}
	if g := s.get("/o"); g.header.Get("X-Cache") != "Hit from cloudfront" || s.origin.requests() != 2 {
		t.Errorf("after that: %v", g.header)
	}
	if g := s.get("/o", "If-None-Match", `"v1"`); g.status != 304 {
		t.Errorf("a viewer who has it: %d", g.status)
	}
	if g := s.get("/o", "Range", "bytes=0-3"); g.status != 206 || g.body != "vers" {
		t.Errorf("a part: %d %s", g.status, g.body)
	}
}

func TestBehaviors(t *testing.T) {
	s := newSite(t, func(d *edge.Distribution) {
		b := d.Behaviors[0]
		assets, secure := b, b
		assets.Pattern, assets.Methods, assets.Cache = "*.css", []string{"GET", "HEAD"}, optimized
		secure.Pattern, secure.ViewerProtocol = "/secure/*", "https-only"
		d.Behaviors = []edge.Behavior{assets, secure, b}
		d.DefaultRootObject = "index.html"
	})
	for _, c := range []struct {
		method, path string
		header       []string
		status       int
	}{
		{"GET", "/a/b.css", nil, 200},
		{"POST", "/a/b.css", nil, 403},
		{"POST", "/a/b.CSS", nil, 200},
		{"BREW", "/", nil, 403},
		{"GET", "/secure/x", nil, 200},
		{"GET", "/secure/x", []string{"X-Forwarded-Proto", "http"}, 403},
		{"GET", "/open?a=1", []string{"X-Forwarded-Proto", "http"}, 301},
		{"POST", "/open", []string{"X-Forwarded-Proto", "http"}, 307},
		{"GET", "/" + strings.Repeat("x", 9000), nil, 414},
	} {
		if g := s.do(c.method, c.path, "", c.header...); g.status != c.status {
			t.Errorf("%s %.40s %v: %d, want %d", c.method, c.path, c.header, g.status, c.status)
		} else if c.status == 301 && g.header.Get("Location") != "https://site.example/open?a=1" {
			t.Errorf("redirected to %s", g.header.Get("Location"))
		}
	}
	if g := s.do("GET", "/", "body"); g.status != 403 {
		t.Errorf("GET with a body: %d", g.status)
	}
	s.get("/")
	if r, _ := s.origin.seen(); r.URL.Path != "/index.html" {
		t.Errorf("default root object: %s", r.URL.Path)
	}
}

func TestResponseHeadersPolicy(t *testing.T) {
	s := newSite(t, func(d *edge.Distribution) {
		d.Behaviors[0].Response = &edge.ResponsePolicy{
			Set: []edge.HeaderField{
				{Name: "Strict-Transport-Security", Value: "max-age=1", Override: true},
				{Name: "X-Frame-Options", Value: "DENY"},
			},
			Remove: []string{"X-Powered-By"},
			CORS:   &edge.CORS{Origins: []string{"https://*.example"}, Methods: []string{"GET"}, Credentials: true, MaxAge: time.Minute},
		}
	})
	s.origin.set(answer(500, map[string]string{"X-Powered-By": "x", "X-Frame-Options": "SAMEORIGIN", "Strict-Transport-Security": "no"}, ""))
	for _, what := range []string{"fresh", "cached"} {
		g := s.get("/", "Origin", "https://app.example")
		for name, want := range map[string]string{
			"Strict-Transport-Security": "max-age=1", "X-Frame-Options": "SAMEORIGIN", "X-Powered-By": "",
			"Access-Control-Allow-Origin": "https://app.example", "Access-Control-Allow-Credentials": "true", "Access-Control-Allow-Methods": "",
		} {
			if got := g.header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", what, name, got, want)
			}
		}
	}
	if g := s.do("OPTIONS", "/", "", "Origin", "https://app.example"); g.header.Get("Access-Control-Allow-Methods") != "GET" || g.header.Get("Access-Control-Max-Age") != "60" {
		t.Errorf("preflight: %v", g.header)
	}
	if g := s.get("/", "Origin", "https://evil.test"); g.header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another origin: %v", g.header)
	}
}

func TestCompression(t *testing.T) {
	s := newSite(t, func(d *edge.Distribution) { d.Behaviors[0].Cache, d.Behaviors[0].Compress = optimized, true })
	text := strings.Repeat("plan-charge ", 200)
	s.origin.set(answer(200, map[string]string{"Content-Type": "text/html; charset=utf-8", "ETag": `"1"`}, text))
	if g := s.get("/", "Accept-Encoding", "br, gzip"); g.header.Get("Content-Encoding") != "gzip" || len(g.body) >= len(text) || g.header.Get("ETag") != `W/"1"` {
		t.Errorf("%v, %d bytes", g.header, len(g.body))
	}
	if r, _ := s.origin.seen(); r.Header.Get("Accept-Encoding") != "gzip" {
		t.Errorf("the origin was asked for %q", r.Header.Get("Accept-Encoding"))
	}
	if g := s.get("/"); g.header.Get("Content-Encoding") != "" || g.body != text {
		t.Errorf("a viewer without gzip: %v", g.header)
	}
}

func TestHosts(t *testing.T) {
	s := newSite(t)
	for _, host := range []string{"site.example", "SITE.example:4580", "d111.cloudfront.net", "d111.localhost:4580", "127.0.0.1:4580", "anything"} {
		if g := s.get("/", "Host", host); g.status != 200 {
			t.Errorf("%s, one distribution: %d", host, g.status)
		}
	}
	second := newOrigin(t)
	second.set(answer(201, nil, "second"))
	s.api.change(func(f *fakeAPI) {
		d := f.distributions[0]
		o := d.Origins["lb"]
		o.Port = second.port(t)
		f.distributions = append(f.distributions, edge.Distribution{ID: "E2", Domain: "d222.cloudfront.net", Version: "1", Aliases: []string{"*.wild.example"},
			Enabled: true, Deployed: true, Origins: map[string]edge.Origin{"lb": o}, Behaviors: d.Behaviors})
	})
	if err := s.edge.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"site.example": 200, "d111.localhost": 200, "d222.localhost": 201, "a.wild.example": 201, "a.b.wild.example": 201,
		"wild.example": 403, "127.0.0.1": 403, "d222.cloudfront.net.": 201, "[::1]:80": 403,
	} {
		if g := s.get("/", "Host", host); g.status != want {
			t.Errorf("%s, two distributions: %d, want %d", host, g.status, want)
		}
	}
	s.reconfigure(func(d *edge.Distribution) { d.Enabled = false })
	if g := s.get("/"); g.status != 403 {
		t.Errorf("disabled: %d", g.status)
	}
}

func TestInvalidation(t *testing.T) {
	for _, c := range []struct {
		path    string
		dropped []string
	}{
		{"/c", nil},
		{"/*", []string{"/a/1", "/a/2?q=1", "/b"}},
		{"/a/*", []string{"/a/1", "/a/2?q=1"}},
		{"/a/1", []string{"/a/1"}},
		{"b", []string{"/b"}},
		{"/a/2", nil},
		{"/a/2?q=1", []string{"/a/2?q=1"}},
		{"/A/*", nil},
	} {
		t.Run(c.path, func(t *testing.T) {
			s := newSite(t, func(d *edge.Distribution) { d.Behaviors[0].Cache.Query = all })
			s.origin.set(answer(500, nil, "broken"))
			paths := []string{"/a/1", "/a/2?q=1", "/b"}
			for _, p := range paths {
				s.get(p)
			}
			s.origin.set(answer(200, nil, "mended"))
			s.api.change(func(f *fakeAPI) {
				f.invalidations = map[string][]edge.Invalidation{"E1": {{ID: "I1", Paths: []string{c.path}}}}
			})
			// No refresh in between: a hit has to ask first.
			for _, p := range paths {
				want := 500
				for _, d := range c.dropped {
					if d == p {
						want = 200
					}
				}
				if g := s.get(p); g.status != want {
					t.Errorf("%s: %d, want %d", p, g.status, want)
				}
			}
		})
	}
}

func TestLastGoodConfigurationStays(t *testing.T) {
	s := newSite(t)
	s.origin.set(answer(500, nil, "broken"))
	s.get("/")
	s.api.change(func(f *fakeAPI) { f.down = true })
	if err := s.edge.Refresh(context.Background()); err == nil {
		t.Error("a failed refresh says nothing")
	}
	if g := s.get("/"); g.status != 500 || !g.cached() {
		t.Errorf("with the API away: %d %v", g.status, g.header)
	}
	if g := s.get("/other"); g.status != 500 || g.cached() {
		t.Errorf("with the API away: %d", g.status)
	}
	s.api.change(func(f *fakeAPI) { f.down = false })
	s.reconfigure(func(d *edge.Distribution) { d.Deployed = false; d.Aliases = nil; d.Enabled = false })
	if g := s.get("/other2"); g.status != 500 {
		t.Errorf("while a change is being deployed the old configuration serves: %d", g.status)
	}
	s.reconfigure(func(d *edge.Distribution) { d.Deployed = true })
	if g := s.get("/other2"); g.status != 403 {
		t.Errorf("deployed: %d", g.status)
	}
}

func TestBeforeTheFirstConfiguration(t *testing.T) {
	e, err := edge.New(edge.Options{Listen: "127.0.0.1:0", Balancers: "http://127.0.0.1:9", Source: &fakeAPI{down: true}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	resp, err := http.Get("http://" + e.Addr())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 503 {
		t.Errorf("%d, want 503", resp.StatusCode)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []edge.Options{
		{Listen: "127.0.0.1:0"},
		{Listen: "127.0.0.1:0", AWSEndpoint: "127.0.0.1:4566"},
		{Listen: "127.0.0.1:0", AWSEndpoint: "http://127.0.0.1:4566", Balancers: "https://x"},
		{Listen: "nowhere", AWSEndpoint: "http://127.0.0.1:4566"},
	} {
		if _, err := edge.New(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}

func TestRequestInFlightFinishesAtTheEnd(t *testing.T) {
	o := newOrigin(t)
	arrived := make(chan struct{})
	o.set(func(w http.ResponseWriter, r *http.Request) {
		close(arrived)
		select {
		case <-time.After(300 * time.Millisecond):
		case <-r.Context().Done():
		}
		w.Write([]byte("done"))
	})
	api := &fakeAPI{distributions: []edge.Distribution{{ID: "E1", Enabled: true, Deployed: true,
		Origins:   map[string]edge.Origin{"o": {Domain: "127.0.0.1", Port: o.port(t), ConnectTimeout: time.Second, ReadTimeout: time.Second}},
		Behaviors: []edge.Behavior{{Pattern: "*", Origin: "o", Methods: everyMethod}}}}}
	e, err := edge.New(edge.Options{Listen: "127.0.0.1:0", Balancers: "http://127.0.0.1:9", Source: api})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	go func() { <-arrived; cancel() }()
	resp, err := http.Get("http://" + e.Addr())
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("%d", resp.StatusCode)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestBalancers checks how load balancers are reached: at the gateway, named by a header, with the viewer's Host.
func TestBalancers(t *testing.T) {
	gateway := newOrigin(t)
	api := &fakeAPI{distributions: []edge.Distribution{{ID: "E1", Enabled: true, Deployed: true,
		Origins:   map[string]edge.Origin{"o": {Domain: "lb-1.eu-west-3.elb.amazonaws.com", Port: 80, ConnectTimeout: time.Second, ReadTimeout: time.Second}},
		Behaviors: []edge.Behavior{{Pattern: "*", Origin: "o", Methods: everyMethod, Request: allViewer}}}}}
	e, err := edge.New(edge.Options{Listen: "127.0.0.1:0", AWSEndpoint: gateway.URL, Source: api})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	s := &site{T: t, base: "http://" + e.Addr()}
	if g := s.get("/x", "X-Sandbox-Load-Balancer", "forged"); g.status != 200 {
		t.Fatalf("%d %s", g.status, g.body)
	}
	r, _ := gateway.seen()
	if r.Host != "site.example" || r.Header.Get("X-Sandbox-Load-Balancer") != "lb-1.eu-west-3.elb.amazonaws.com:80" {
		t.Errorf("Host %s, header %v", r.Host, r.Header)
	}
	gateway.set(answer(502, map[string]string{"X-Sandbox-Error": "no load balancer"}, "internals"))
	if g := s.get("/y"); g.status != 502 || !strings.Contains(g.body, "request could not be satisfied") || strings.Contains(g.body, "internals") {
		t.Errorf("no such load balancer: %d %s", g.status, g.body)
	}
}

func TestInvalidationOfAnotherDistribution(t *testing.T) {
	s := newSite(t)
	s.api.change(func(f *fakeAPI) {
		f.distributions = append(f.distributions, edge.Distribution{ID: "E2", Domain: "d222.cloudfront.net", Version: "1"})
	})
	s.origin.set(answer(500, nil, "broken"))
	s.get("/a")
	s.api.change(func(f *fakeAPI) {
		f.invalidations = map[string][]edge.Invalidation{"E2": {{ID: "I1", Paths: []string{"/*"}}}}
	})
	if g := s.get("/a"); !g.cached() {
		t.Error("the invalidation of another distribution dropped it")
	}
}

// TestOriginThatClosesIdleConnections: a POST cannot be sent again, so it must not go to a connection that may be closed.
func TestOriginThatClosesIdleConnections(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { // one answer a connection, which it then closes without having said so
				defer conn.Close()
				in := bufio.NewReader(conn)
				if r, err := http.ReadRequest(in); err == nil {
					io.Copy(io.Discard, r.Body)
					io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					in.ReadByte()
				}
			}()
		}
	}()
	s := newSite(t, func(d *edge.Distribution) {
		o := d.Origins["lb"]
		o.Port = l.Addr().(*net.TCPAddr).Port
		d.Origins["lb"] = o
	})
	for range 5 {
		if g := s.do("POST", "/", "body"); g.status != 200 {
			t.Errorf("%d %s", g.status, g.body)
		}
	}
}
