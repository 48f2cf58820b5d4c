package edge_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"sync"
	"testing"
	"time"

	"plan-charge/sandbox/edge"
)

// fakeAPI is a Source that a test can change.
type fakeAPI struct {
	mu            sync.Mutex
	distributions []edge.Distribution
	invalidations map[string][]edge.Invalidation // by distribution
	down          bool
	calls         int
}

func (f *fakeAPI) Distributions(context.Context) ([]edge.Distribution, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	if f.down {
		return nil, errors.New("connection refused")
	}
	return append([]edge.Distribution(nil), f.distributions...), nil
}

func (f *fakeAPI) Invalidations(_ context.Context, id string) ([]edge.Invalidation, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]edge.Invalidation(nil), f.invalidations[id]...), nil
}

func (f *fakeAPI) change(do func(*fakeAPI)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do(f)
}

// clock is a time that only moves when a test says so.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// origin answers as its handler says and counts.
type origin struct {
	*httptest.Server
	mu      sync.Mutex
	count   int
	last    *http.Request
	body    string
	handler http.HandlerFunc
}

func newOrigin(t *testing.T) *origin {
	o := &origin{handler: answer(200, nil, "hello")}
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		o.mu.Lock()
		o.count++
		o.last, o.body = r, string(data)
		handler := o.handler
		w.Header().Set("X-Count", strconv.Itoa(o.count))
		o.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(o.Close)
	return o
}

func (o *origin) set(h http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.handler = h
}

func (o *origin) requests() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.count
}

func (o *origin) seen() (*http.Request, string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.last, o.body
}

func (o *origin) port(t *testing.T) int {
	u, err := url.Parse(o.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func answer(status int, header map[string]string, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

// raw answers with these bytes: a server of Go's adds headers to what a handler says.
func raw(t *testing.T, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(conn, text)
		conn.Close()
	}
}

var everyMethod = []string{"GET", "HEAD", "OPTIONS", "PUT", "POST", "PATCH", "DELETE"}

// site is one distribution in front of one origin.
type site struct {
	*testing.T
	api    *fakeAPI
	clock  *clock
	origin *origin
	edge   *edge.Edge
	log    *syncBuffer
	base   string
}

func newSite(t *testing.T, change ...func(*edge.Distribution)) *site {
	t.Helper()
	s := &site{T: t, api: &fakeAPI{}, clock: &clock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}, origin: newOrigin(t), log: &syncBuffer{}}
	d := edge.Distribution{
		ID: "E1", Domain: "d111.cloudfront.net", Version: "1", Aliases: []string{"site.example"}, Enabled: true, Deployed: true,
		Origins: map[string]edge.Origin{"lb": {
			Domain: "localhost", Port: s.origin.port(t), Attempts: 2, ConnectTimeout: 2 * time.Second, ReadTimeout: 5 * time.Second,
			Header: []edge.HeaderField{{Name: "X-Origin-Verify", Value: "secret"}},
		}},
		Behaviors:   []edge.Behavior{{Pattern: "*", Origin: "lb", Methods: everyMethod, ViewerProtocol: "redirect-to-https"}},
		ErrorMinTTL: map[int]time.Duration{},
	}
	for _, c := range change {
		c(&d)
	}
	s.api.distributions = []edge.Distribution{d}
	var err error
	s.edge, err = edge.New(edge.Options{Listen: "127.0.0.1:0", Balancers: "http://127.0.0.1:9", Source: s.api, Clock: s.clock.Now, Log: s.log})
	if err != nil {
		t.Fatal(err)
	}
	s.base = "http://" + s.edge.Addr()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.edge.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if err := s.edge.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	return s
}

// syncBuffer is a buffer that one may read while others write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// reconfigure changes the distribution as an update through the API does.
func (s *site) reconfigure(change func(*edge.Distribution)) {
	s.Helper()
	s.api.change(func(f *fakeAPI) {
		d := f.distributions[0]
		d.Behaviors = append([]edge.Behavior(nil), d.Behaviors...)
		d.ErrorMinTTL, d.Origins = maps.Clone(d.ErrorMinTTL), maps.Clone(d.Origins)
		change(&d)
		d.Version += "+"
		f.distributions = []edge.Distribution{d}
	})
	if err := s.edge.Refresh(context.Background()); err != nil {
		s.Fatal(err)
	}
}

type got struct {
	status int
	header http.Header
	body   string
}

// cached tells whether the answer came out of the edge's cache.
func (g got) cached() bool { return g.header.Get("Age") != "" }

// do sends a request with headers given as name, value, name, value; "Host" is one of them.
func (s *site) do(method, path string, body string, header ...string) got {
	s.Helper()
	all := http.Header{"Accept-Encoding": {"identity"}}
	for i := 0; i < len(header); i += 2 {
		all.Set(header[i], header[i+1])
	}
	return s.send(method, path, body, all)
}

func (s *site) send(method, path, body string, header http.Header) got {
	s.Helper()
	req, err := http.NewRequest(method, s.base+path, bytes.NewReader([]byte(body)))
	if err != nil {
		s.Fatal(err)
	}
	req.Host = cmp.Or(header.Get("Host"), "site.example")
	header.Del("Host")
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		s.Fatal(err)
	}
	return got{resp.StatusCode, resp.Header, string(data)}
}

var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (s *site) get(path string, header ...string) got {
	s.Helper()
	return s.do("GET", path, "", header...)
}
