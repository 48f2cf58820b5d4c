package edge

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// BalancerHeader names the load balancer that a request to the gateway is for, as DNS-name:port, so that the Host
// header can stay the viewer's.
const BalancerHeader = "X-Sandbox-Load-Balancer"

// sandboxError marks answers of the gateway that stand for a network's, such as a load balancer that does not exist.
const sandboxError = "X-Sandbox-Error"

// forward sends a request to the origin and passes its answer on.
func (e *Edge) forward(w http.ResponseWriter, q *request) {
	w.Header()["Content-Type"] = nil // or one that the origin does not give would be guessed
	proxy := &httputil.ReverseProxy{
		Rewrite:        func(p *httputil.ProxyRequest) { e.rewrite(q, p) },
		Transport:      &originTransport{q.origin, e.from},
		FlushInterval:  -1,
		ErrorLog:       log.New(io.Discard, "", 0), // all it tells is who left while an answer was passed on
		ModifyResponse: func(resp *http.Response) error { return e.answered(q, resp) },
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, err error) { e.unreachable(w, q, err) },
	}
	proxy.ServeHTTP(w, q.viewer)
}

// rewrite makes the request to the origin out of the viewer's, as the origin request policy AllViewer has it. What is
// about one connection is gone already.
func (e *Edge) rewrite(q *request, p *httputil.ProxyRequest) {
	header := p.Out.Header
	for _, name := range []string{"Te", "Connection", "Upgrade"} {
		header.Del(name) // kept for trailers and WebSockets, which are not emulated
	}
	// The proxy takes these out of every request, for those who trust them.
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := p.In.Header[name]; ok && !httpguts.HeaderValuesContainsToken(p.In.Header["Connection"], name) {
			header[name] = values
		}
	}
	for name := range header {
		if strings.HasPrefix(name, "Cloudfront-") || strings.HasPrefix(name, "X-Amz-Cf-") || strings.HasPrefix(name, "X-Sandbox-") {
			delete(header, name) // only the edge may set these
		}
	}
	header.Set("User-Agent", cmp.Or(header.Get("User-Agent"), "Amazon CloudFront"))
	address, _, err := net.SplitHostPort(p.In.RemoteAddr)
	if err != nil {
		address = p.In.RemoteAddr
	}
	if before := header.Get("X-Forwarded-For"); before != "" {
		address = before + ", " + address
	}
	header.Set("X-Forwarded-For", address)
	header.Set("Via", strings.TrimPrefix(p.In.Proto, "HTTP/")+" "+viaName)
	header.Set("X-Amz-Cf-Id", requestID())
	for _, h := range q.origin.Header {
		header.Set(h.Name, h.Value)
	}

	p.Out.Host = cmp.Or(p.In.Host, q.origin.Domain)
	p.Out.URL.Scheme, p.Out.URL.RawQuery = "http", p.In.URL.RawQuery
	p.Out.URL.Host = net.JoinHostPort(q.origin.Domain, strconv.Itoa(q.origin.Port))
	if !q.origin.local() {
		header.Set(BalancerHeader, q.origin.Domain+":"+strconv.Itoa(q.origin.Port))
		p.Out.URL.Host = e.balancers
	}
}

// local tells whether an origin is on this machine. Every other one is taken for a load balancer.
func (o *Origin) local() bool {
	return o.Domain == "localhost" || net.ParseIP(o.Domain).IsLoopback()
}

// answered looks at the origin's answer on its way to the viewer, and keeps an error that CloudFront would keep.
func (e *Edge) answered(q *request, resp *http.Response) error {
	if resp.StatusCode >= 400 && q.cacheable() {
		a, err := readAnswer(resp)
		if err != nil {
			return fmt.Errorf("the origin's answer broke off: %w", err)
		}
		if a != nil {
			e.keep(q, a)
		}
	}
	decorate(resp.Header, q.behavior, resp.StatusCode)
	return nil
}

// readAnswer reads a whole answer, which can still be passed on then. It is nil for one too large to be kept.
func readAnswer(resp *http.Response) (*answer, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxObject+1))
	if err != nil {
		return nil, err
	}
	rest := resp.Body
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), rest), rest}
	if len(body) > maxObject {
		return nil, nil
	}
	if resp.Request.Method != http.MethodHead {
		resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
	}
	return &answer{status: resp.StatusCode, header: resp.Header.Clone(), body: body}, nil
}

// keep keeps an error for as long as CloudFront does.
func (e *Edge) keep(q *request, a *answer) {
	ttl := errorTTL(a.status, a.header, q.distribution.errorMinTTL(a.status))
	if ttl <= 0 || !q.cacheable() {
		return
	}
	a.stored = e.clock()
	a.expires = a.stored.Add(ttl)
	e.cache.put(q.key(q.viewer.Method), a)
}

// unreachable answers for an origin that gave no answer.
func (e *Edge) unreachable(w http.ResponseWriter, q *request, err error) {
	if q.viewer.Context().Err() != nil {
		panic(http.ErrAbortHandler) // it is the viewer who left: that tells nothing about the origin
	}
	status := http.StatusBadGateway
	if timedOut(err) {
		status = http.StatusGatewayTimeout
	}
	e.log.Printf("%s %s of %s: origin %s: %v (%d)", q.viewer.Method, q.path, q.distribution.ID, q.origin.Domain, err, status)
	page := errorPage(status, "The origin could not be reached, or did not answer in time.")
	e.keep(q, page)
	reply(w, q.viewer, q.behavior, page)
}

// originTransport sends requests to one origin, as often as its connection attempts allow: again when it could not
// connect, and for GET and HEAD also when no answer came in time.
type originTransport struct {
	origin Origin
	from   net.IP
}

func (t *originTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	transport := &http.Transport{
		DialContext:        t.dial,
		DisableCompression: true,
		// One connection a request: a kept one that the origin closes under a POST would make a 502 of nothing.
		DisableKeepAlives: true,
	}
	for left := t.origin.Attempts - 1; ; left-- {
		attempt := r.WithContext(r.Context())
		if r.Body != nil {
			attempt.Body = io.NopCloser(r.Body) // an attempt that fails closes its body
		}
		resp, err := transport.RoundTrip(attempt)
		if err == nil {
			return checked(resp)
		}
		var dial *net.OpError
		again := errors.As(err, &dial) && dial.Op == "dial" ||
			timedOut(err) && (r.Method == http.MethodGet || r.Method == http.MethodHead)
		if !again || left <= 0 || r.Context().Err() != nil {
			return nil, err
		}
	}
}

// checked turns an answer of the gateway that stands for a network's into the error that it means.
func checked(resp *http.Response) (*http.Response, error) {
	reason := resp.Header.Get(sandboxError)
	if reason == "" {
		return resp, nil
	}
	_ = resp.Body.Close() // nothing of it is read
	return nil, errors.New(reason)
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

func (t *originTransport) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: t.origin.ConnectTimeout}
	if t.from != nil {
		dialer.LocalAddr = &net.TCPAddr{IP: t.from}
	}
	conn, err := dialer.DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &watchedConn{conn, t.origin.ReadTimeout}, nil
}

// watchedConn gives up when nothing goes either way for a while.
type watchedConn struct {
	net.Conn
	limit time.Duration
}

func (c *watchedConn) Read(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *watchedConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(c.limit)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
