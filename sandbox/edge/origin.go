package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// BalancerHeader names the load balancer that a request to the gateway is for, as DNS-name:port, so that the Host
// header can stay the viewer's.
const BalancerHeader = "X-Sandbox-Load-Balancer"

// sandboxError marks answers of the gateway that stand for a network's, such as a load balancer that does not exist.
const sandboxError = "X-Sandbox-Error"

// originError is an origin that gave no answer: status is what CloudFront answers instead.
type originError struct {
	status int
	reason string
}

func (e *originError) Error() string { return fmt.Sprintf("%s (%d)", e.reason, e.status) }

var (
	errConnectTimeout = errors.New("no connection within the origin's connection timeout")
	errReadTimeout    = errors.New("no answer within the origin's response timeout")
)

// viaBalancers reaches load balancers through the gateway, and origins on this machine directly.
func viaBalancers(gateway string) func(Origin) (string, http.Header) {
	u, err := url.Parse(gateway)
	if err != nil { // checked by New
		u = &url.URL{}
	}
	return func(o Origin) (string, http.Header) {
		port := strconv.Itoa(o.Port)
		if ip := net.ParseIP(o.Domain); ip != nil && ip.IsLoopback() || o.Domain == "localhost" {
			return net.JoinHostPort(o.Domain, port), nil
		}
		return u.Host, http.Header{BalancerHeader: {o.Domain + ":" + port}}
	}
}

type connectTimeout struct{}

func newTransport() *http.Transport {
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			limit, _ := ctx.Value(connectTimeout{}).(time.Duration)
			ctx, cancel := context.WithTimeoutCause(ctx, limit, errConnectTimeout)
			defer cancel()
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, &dialError{err, context.Cause(ctx) == errConnectTimeout}
			}
			return conn, nil
		},
		DisableCompression: true,
		// A kept connection that the origin closes under a POST would make a 502 of nothing.
		DisableKeepAlives: true,
	}
}

type dialError struct {
	err     error
	timeout bool
}

func (e *dialError) Error() string { return e.err.Error() }
func (e *dialError) Unwrap() error { return e.err }

// fetch sends a request to the origin, as often as its connection attempts allow: again when it could not connect, and
// for GET and HEAD also when no answer came in time.
func (e *Edge) fetch(ctx context.Context, o Origin, method, path, query, host string, header http.Header, body io.Reader, length int64) (*http.Response, error) {
	var err error
	for range max(1, o.Attempts) {
		var resp *http.Response
		resp, err = e.fetchOnce(ctx, o, method, path, query, host, header, body, length)
		if err == nil {
			return resp, nil
		}
		var dial *dialError
		again := errors.As(err, &dial) || errors.Is(err, errReadTimeout) && (method == http.MethodGet || method == http.MethodHead)
		if !again || ctx.Err() != nil {
			break
		}
	}
	return nil, asOriginError(err)
}

func asOriginError(err error) *originError {
	var known *originError
	var dial *dialError
	switch {
	case errors.As(err, &known):
		return known
	case errors.Is(err, errReadTimeout), errors.As(err, &dial) && dial.timeout:
		return &originError{http.StatusGatewayTimeout, err.Error()}
	default:
		return &originError{http.StatusBadGateway, err.Error()}
	}
}

func (e *Edge) fetchOnce(ctx context.Context, o Origin, method, path, query, host string, header http.Header, body io.Reader, length int64) (*http.Response, error) {
	addr, extra := e.resolve(o)
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, connectTimeout{}, o.ConnectTimeout))
	idle := newWatchdog(o.ConnectTimeout+o.ReadTimeout, o.ReadTimeout, func() { cancel(errReadTimeout) })
	decoded, err := url.PathUnescape(o.Path + path)
	if err != nil {
		decoded = o.Path + path
	}
	req := (&http.Request{
		Method: method,
		// RawPath keeps the viewer's encoding of the path.
		URL:        &url.URL{Scheme: "http", Host: addr, Path: decoded, RawPath: o.Path + path, RawQuery: query},
		Proto:      "HTTP/1.1",
		ProtoMajor: 1, ProtoMinor: 1,
		Header: header.Clone(), Host: host, ContentLength: length,
	}).WithContext(ctx)
	if req.Host == "" {
		req.Host = o.Domain
	}
	for name, values := range extra {
		req.Header[name] = values
	}
	if body != nil && length != 0 {
		req.Body = io.NopCloser(&watchedReader{body, idle})
	}
	resp, err := e.transport.RoundTrip(req)
	if err != nil {
		idle.stop()
		if cause := context.Cause(ctx); errors.Is(cause, errReadTimeout) {
			err = cause
		}
		cancel(nil)
		return nil, err
	}
	idle.reset()
	resp.Body = &watchedBody{resp.Body, idle, cancel}
	if reason := resp.Header.Get(sandboxError); reason != "" {
		resp.Body.Close()
		return nil, &originError{http.StatusBadGateway, reason}
	}
	return resp, nil
}

// watchdog calls bite when nothing happened for a while.
type watchdog struct {
	mu    sync.Mutex
	timer *time.Timer
	limit time.Duration
	done  bool
}

func newWatchdog(first, limit time.Duration, bite func()) *watchdog {
	return &watchdog{timer: time.AfterFunc(first, bite), limit: limit}
}

func (w *watchdog) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.done {
		w.timer.Reset(w.limit)
	}
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = true
	w.timer.Stop()
}

type watchedReader struct {
	r    io.Reader
	idle *watchdog
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.idle.reset()
	return n, err
}

type watchedBody struct {
	io.ReadCloser
	idle   *watchdog
	cancel context.CancelCauseFunc
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.idle.reset()
	return n, err
}

func (b *watchedBody) Close() error {
	b.idle.stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}

// dropPerConnection removes headers that are about one connection, those that Connection names included.
func dropPerConnection(header http.Header) {
	for _, line := range header.Values("Connection") {
		for _, name := range strings.Split(line, ",") {
			header.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range perConnection {
		header.Del(name)
	}
}
