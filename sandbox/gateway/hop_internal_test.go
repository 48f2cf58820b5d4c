package gateway

import (
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A header that Connection names is for the next hop alone: neither the emulator nor a target may see a client's, and no
// client one of theirs.
func TestHeadersOfOneHopStayBehind(t *testing.T) {
	var seen http.Header
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r.Header.Clone()
		conn, _, err := http.NewResponseController(w).Hijack() // the server would rewrite Connection
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: X-Back\r\nX-Back: one hop\r\nKeep-Alive: timeout=5\r\n"+
			"X-Whole: all the way\r\nContent-Length: 8\r\n\r\nanswered")
	}))
	defer upstream.Close()
	g, err := New(Options{Listen: "127.0.0.1:0", Upstream: upstream.URL, Dir: t.TempDir(), Region: "eu-west-3"})
	if err != nil {
		t.Fatal(err)
	}
	defer g.listener.Close()
	g.lb = oneTarget(t, upstream.URL)
	for name, header := range map[string]http.Header{
		"to the emulator":         {"X-Amz-Target": {"AmazonEC2ContainerServiceV20141113.ListClusters"}},
		"through a load balancer": {BalancerHeader: {"site.example:80"}, "X-Secret": {"let-me-in"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
			maps.Copy(r.Header, header)
			r.Header["Connection"] = []string{"keep-alive, X-Hop", "x-other"}
			for _, name := range []string{"X-Hop", "X-Other", "Keep-Alive", "X-Whole"} {
				r.Header.Set(name, "sent")
			}
			w := httptest.NewRecorder()
			seen = nil
			g.ServeHTTP(w, r)
			if w.Code != http.StatusOK || w.Body.String() != "answered" {
				t.Fatalf("answered %d %q", w.Code, w.Body)
			}
			for _, name := range []string{"X-Hop", "X-Other", "Keep-Alive"} {
				if seen.Get(name) != "" {
					t.Errorf("%s was passed on", name)
				}
			}
			for _, name := range []string{"X-Back", "Keep-Alive", "Connection"} {
				if w.Header().Get(name) != "" {
					t.Errorf("the answer's %s was passed on", name)
				}
			}
			if seen.Get("X-Whole") != "sent" || w.Header().Get("X-Whole") != "all the way" {
				t.Errorf("an ordinary header was lost: sent %v, answered %v", slices.Sorted(maps.Keys(seen)), w.Header())
			}
		})
	}
}

// oneTarget is a load balancer named site.example, which forwards what has its secret to the server at address.
func oneTarget(t *testing.T, address string) *balancer {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	b := newBalancer(nil, nil, nil, slog.New(slog.DiscardHandler))
	key := targetKey{"group", u.Hostname(), port}
	b.targets[key] = &target{key: key, state: "healthy", group: &targetGroup{}}
	secret := condition{Field: "http-header"}
	secret.Header.Name, secret.Header.Values = "X-Secret", []string{"let-me-in"}
	b.config.byName["site.example"] = &loadBalancer{arn: "lb", listeners: []*listener{{
		port: 80, protocol: "HTTP",
		rules: []*rule{{conditions: []condition{secret}, actions: []action{{Type: "forward", TargetGroupArn: "group"}}}},
	}}}
	return b
}
