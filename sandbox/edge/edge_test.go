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
	viewer := []string{
		"Accept-Language", "fr", "Accept-Encoding", "br, gzip", "X-Custom", "1", "Cookie", "a=1; b=2; c=3", "User-Agent", "probe", "Authorization", "Bearer x",
		"X-Origin-Verify", "forged", "Cloudfront-Forwarded-Proto", "forged", "X-Amz-Cf-Id", "forged", "X-Sandbox-Load-Balancer", "forged",
		"X-Forwarded-For", "10.0.0.1", "X-Forwarded-Host", "other.example", "X-Forwarded-Proto", "https", "Forwarded", "for=10.0.0.1", "Via", "forged",
	}
	want := map[string]string{
		"Accept-Language": "fr", "Accept-Encoding": "br, gzip", "X-Custom": "1", "Cookie": "a=1; b=2; c=3", "User-Agent": "probe", "Authorization": "Bearer x",
		"X-Origin-Verify": "secret", "Cloudfront-Forwarded-Proto": "", "X-Sandbox-Load-Balancer": "",
		"X-Forwarded-For": "10.0.0.1, 127.0.0.1", "X-Forwarded-Host": "other.example", "X-Forwarded-Proto": "https", "Forwarded": "for=10.0.0.1",
		"Via": "1.1 sandbox.cloudfront.net (CloudFront)",
	}
	for _, method := range []string{"GET", "HEAD", "POST"} {
		s := newSite(t)
		body := ""
		if method == "POST" {
			body = "payload"
		}
		s.do(method, "/a%2Fb/c%20d?b=2&a=1%20x&a=3;%zz", body, viewer...)
		r, sent := s.origin.seen()
		if r.Method != method || r.Host != "site.example" || r.RequestURI != "/a%2Fb/c%20d?b=2&a=1%20x&a=3;%zz" || sent != body {
			t.Errorf("%s: the origin got %s %s of %s with body %q", method, r.Method, r.RequestURI, r.Host, sent)
		}
		for name, want := range want {
			if got := r.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", method, name, got, want)
			}
		}
		if id := r.Header.Get("X-Amz-Cf-Id"); id == "" || id == "forged" {
			t.Errorf("%s: X-Amz-Cf-Id is %q", method, id)
		}
	}
	s := newSite(t)
	s.get("/", "User-Agent", "")
	if r, _ := s.origin.seen(); r.Header.Get("User-Agent") != "Amazon CloudFront" {
		t.Errorf("a viewer that does not say who it is: %q", r.Header.Get("User-Agent"))
	}
}

// TestWhatIsNotEmulatedIsRefused: nobody may take a cached object for tested.
func TestWhatIsNotEmulatedIsRefused(t *testing.T) {
	s := newSite(t, func(d *edge.Distribution) {
		d.Refused = []string{"behavior /assets/*: cache policy x", "alias *.example"}
	})
	for range 2 {
		g := s.get("/anything")
		if g.status != 501 || g.cached() || g.header.Get("X-Sandbox-Error") == "" || s.origin.requests() != 0 {
			t.Errorf("%d %v, %d requests at the origin", g.status, g.header, s.origin.requests())
		}
		for _, want := range []string{"distribution E1", "behavior /assets/*: cache policy x", "alias *.example"} {
			if !strings.Contains(g.body, want) {
				t.Errorf("%q is not in %s", want, g.body)
			}
		}
		s.reconfigure(func(*edge.Distribution) {})
	}
	if n := strings.Count(s.log.String(), "cache policy x"); n != 1 {
		t.Errorf("logged %d times, want once:\n%s", n, s.log)
	}
	s.reconfigure(func(d *edge.Distribution) { d.Refused = nil })
	if g := s.get("/anything"); g.status != 200 {
		t.Errorf("after the settings were taken back: %d %s", g.status, g.body)
	}
}

func TestResponseHeadersPolicy(t *testing.T) {
	s := newSite(t, func(d *edge.Distribution) {
		d.Behaviors[0].Header = []edge.HeaderField{
			{Name: "Strict-Transport-Security", Value: "max-age=1", Override: true},
			{Name: "X-Frame-Options", Value: "DENY"},
			{Name: "Referrer-Policy", Value: "same-origin"},
		}
	})
	for _, status := range []int{200, 500} {
		s.origin.set(answer(status, map[string]string{"X-Frame-Options": "SAMEORIGIN", "Strict-Transport-Security": "no"}, ""))
		for _, what := range []string{"fresh", "again"} {
			g := s.get("/")
			if g.status != status || g.cached() != (what == "again" && status == 500) {
				t.Errorf("%d %s: %d, cached %t", status, what, g.status, g.cached())
			}
			for name, want := range map[string]string{"Strict-Transport-Security": "max-age=1", "X-Frame-Options": "SAMEORIGIN", "Referrer-Policy": "same-origin"} {
				if got := g.header.Get(name); got != want {
					t.Errorf("%d %s: %s is %q, want %q", status, what, name, got, want)
				}
			}
		}
	}
}

func TestBehaviors(t *testing.T) {
	s := newSite(t, func(d *edge.Distribution) {
		b := d.Behaviors[0]
		assets, secure := b, b
		assets.Pattern, assets.Methods = "*.css", []string{"GET", "HEAD"}
		secure.Pattern, secure.ViewerProtocol = "/secure/*", "https-only"
		d.Behaviors = []edge.Behavior{assets, secure, b}
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
		f.distributions = append(f.distributions, edge.Distribution{
			ID: "E2", Domain: "d222.cloudfront.net", Version: "1", Aliases: []string{"Second.example"},
			Enabled: true, Deployed: true, Origins: map[string]edge.Origin{"lb": o}, Behaviors: d.Behaviors,
		})
	})
	if err := s.edge.Refresh(context.Background()); err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]int{
		"site.example": 200, "d111.localhost": 200, "d222.localhost": 201, "second.example": 201,
		"a.second.example": 403, "127.0.0.1": 403, "d222.cloudfront.net.": 201, "[::1]:80": 403,
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
		{"/*", []string{"/a/1", "/a/2", "/b"}},
		{"/a/*", []string{"/a/1", "/a/2"}},
		{"/a/1", []string{"/a/1"}},
		{"b", []string{"/b"}},
		{"/a", nil},
		{"/A/*", nil},
	} {
		t.Run(c.path, func(t *testing.T) {
			s := newSite(t)
			s.origin.set(answer(500, nil, "broken"))
			paths := []string{"/a/1", "/a/2", "/b"}
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
	api := &fakeAPI{distributions: []edge.Distribution{{
		ID: "E1", Enabled: true, Deployed: true,
		Origins:   map[string]edge.Origin{"o": {Domain: "127.0.0.1", Port: o.port(t), ConnectTimeout: time.Second, ReadTimeout: time.Second}},
		Behaviors: []edge.Behavior{{Pattern: "*", Origin: "o", Methods: everyMethod}},
	}}}
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
	api := &fakeAPI{distributions: []edge.Distribution{{
		ID: "E1", Enabled: true, Deployed: true,
		Origins:   map[string]edge.Origin{"o": {Domain: "lb-1.eu-west-3.elb.amazonaws.com", Port: 80, ConnectTimeout: time.Second, ReadTimeout: time.Second}},
		Behaviors: []edge.Behavior{{Pattern: "*", Origin: "o", Methods: everyMethod}},
	}}}
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
