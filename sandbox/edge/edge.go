// Package edge answers for the CDN of a sandbox: an HTTP server that reads the distributions from the emulated
// CloudFront API and behaves as they say, because the emulator keeps their configuration and serves nothing like it.
//
// # What is emulated
//
//   - A distribution is chosen by the Host header: an alias (wildcards too), its domain dXXXX.cloudfront.net,
//     dXXXX.localhost for the same, or the only distribution there is. Disabled and unknown ones answer 403.
//   - Behaviors by path pattern, with their methods (403), viewer protocol policy, cache policy, origin request policy,
//     or the older ForwardedValues and TTLs; default root object, compression (gzip) of what is cached.
//   - Cache keys and what is sent to the origin: headers, cookies and query strings by policy, the origin's own headers
//     over the viewer's, the origin's path, X-Forwarded-For, Via, X-Amz-Cf-Id.
//   - Caching of objects: minimum, default and maximum TTL against Cache-Control and Expires, revalidation, conditional
//     requests, HEAD from GET.
//   - Caching of errors, as CloudFront does it (see errorTTL), 10 s unless a custom error response says otherwise; an
//     expired object instead of a 5xx; custom error pages and response codes.
//   - Origin timeouts and attempts: 504 for one that does not answer, 502 for one that cannot be reached.
//   - Response headers policies: security, CORS, custom and removed headers.
//   - Invalidations, also with a trailing wildcard. A hit is only served after the API was asked whether it still counts.
//   - X-Cache, Age, Via, X-Amz-Cf-Id, X-Amz-Cf-Pop.
//
// # What is different
//
//   - TLS is not emulated, on either side. A viewer counts as one that used HTTPS, unless it sends X-Forwarded-Proto:
//     http, which shows what the viewer protocol policy does.
//   - Origins on this machine (localhost, 127.0.0.0/8) are asked directly; every other one is taken for a load balancer of
//     the sandbox, which the gateway serves. Nothing outside this machine is ever asked.
//   - A change counts at once, not after minutes, and there is one edge location.
//   - Left out: functions, origin groups, signed URLs, geographic restrictions, WAF, WebSockets, request collapsing,
//     Brotli, logs, and headers that tell of the viewer's device and place.
package edge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

const (
	// refreshEvery is how often the configuration is read without being asked for.
	refreshEvery = time.Second
	// freshness bounds how long a cached answer waits for the API to say that it still counts.
	freshness = 500 * time.Millisecond
)

// Options configure an Edge.
type Options struct {
	// Listen is the address to serve on, such as 127.0.0.1:4580. Port 0 picks one.
	Listen string
	// AWSEndpoint is the URL of the API that knows the distributions.
	AWSEndpoint string
	// Balancers is the URL that load balancers are reached at, AWSEndpoint unless set.
	Balancers string
	// Log receives changes of the configuration and what could not be served; nil drops it.
	Log io.Writer

	// Source replaces the API as the place where configuration comes from, for tests.
	Source Source
	// Clock replaces time.Now, for tests of what expires.
	Clock func() time.Time
	// Resolve replaces how the origin of a name is reached, for tests: the address to connect to, and a header to add.
	Resolve func(origin Origin) (addr string, header http.Header)
}

// Edge is an HTTP server that stands for the CDN.
type Edge struct {
	source    Source
	clock     func() time.Time
	resolve   func(Origin) (string, http.Header)
	log       *logger
	listener  net.Listener
	cache     *cache
	transport *http.Transport

	mu    sync.RWMutex
	known []Distribution
	ready bool // the configuration was read at least once

	refreshing sync.Mutex      // one refresh at a time
	dropped    map[string]bool // invalidations that were carried out; guarded by refreshing

	waiting sync.Mutex
	next    chan struct{} // closed when the refresh that has not started yet is over; guarded by waiting
}

// New binds the address and returns an Edge that serves once Run is called.
func New(o Options) (*Edge, error) {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	e := &Edge{
		source: o.Source, clock: o.Clock, resolve: o.Resolve, log: &logger{w: o.Log},
		cache: newCache(), transport: newTransport(), dropped: map[string]bool{},
	}
	if e.source == nil {
		if err := checkURL("AWSEndpoint", o.AWSEndpoint); err != nil {
			return nil, err
		}
		e.source = newAWSSource(o.AWSEndpoint)
	}
	if e.resolve == nil {
		if o.Balancers == "" {
			o.Balancers = o.AWSEndpoint
		}
		if err := checkURL("Balancers", o.Balancers); err != nil {
			return nil, err
		}
		e.resolve = viaBalancers(o.Balancers)
	}
	var err error
	if e.listener, err = net.Listen("tcp", o.Listen); err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	return e, nil
}

func checkURL(name, value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return fmt.Errorf("edge: %s is %q, but must be a URL such as http://127.0.0.1:4566", name, value)
	}
	return nil
}

// Addr is the address that is served on.
func (e *Edge) Addr() string { return e.listener.Addr().String() }

// Run serves until ctx ends, then lets requests in flight finish for a few seconds.
func (e *Edge) Run(ctx context.Context) error {
	server := &http.Server{Handler: e, ReadHeaderTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(e.listener) }()
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	_ = e.Refresh(ctx) // logged; the API may still be starting
	for {
		select {
		case <-tick.C:
			_ = e.Refresh(ctx) // logged; the last good configuration stays
		case err := <-failed:
			return fmt.Errorf("edge: %w", err)
		case <-ctx.Done():
			grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			if err := server.Shutdown(grace); err != nil {
				return errors.Join(fmt.Errorf("edge: requests were cut off: %w", err), server.Close())
			}
			return nil
		}
	}
}

// Refresh reads the configuration and carries out invalidations now. When the API cannot be asked the last good
// configuration stays in force.
func (e *Edge) Refresh(ctx context.Context) error {
	e.refreshing.Lock()
	defer e.refreshing.Unlock()
	return e.refresh(ctx)
}

// freshen makes sure that what is known is not older than this call, if the API answers soon enough. All that wait at a
// time share one refresh.
func (e *Edge) freshen(ctx context.Context) {
	e.waiting.Lock()
	if e.next == nil {
		e.next = make(chan struct{})
		go func() {
			e.refreshing.Lock()
			defer e.refreshing.Unlock()
			e.waiting.Lock()
			done := e.next
			e.next = nil // whoever comes from here on needs another one
			e.waiting.Unlock()
			defer close(done)
			_ = e.refresh(context.WithoutCancel(ctx)) // logged
		}()
	}
	done := e.next
	e.waiting.Unlock()
	limit := time.NewTimer(freshness)
	defer limit.Stop()
	select {
	case <-done:
	case <-limit.C:
	case <-ctx.Done():
	}
}

func (e *Edge) refresh(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	distributions, err := e.source.Distributions(ctx)
	if err != nil {
		if ctx.Err() == nil || errors.Is(ctx.Err(), context.DeadlineExceeded) {
			e.log.once("the CloudFront API cannot be read, the last known configuration stays: %v", err)
		}
		return fmt.Errorf("read distributions: %w", err)
	}
	first := !e.isReady()
	e.adopt(distributions)
	seen := map[string]bool{}
	for _, d := range distributions {
		invalidations, err := e.source.Invalidations(ctx, d.ID)
		if err != nil {
			e.log.once("the invalidations of %s cannot be read: %v", d.ID, err)
			return fmt.Errorf("read invalidations of %s: %w", d.ID, err)
		}
		for _, i := range invalidations {
			key := d.ID + " " + i.ID
			seen[key] = true
			if !first && !e.dropped[key] {
				e.log.printf("invalidation %s of %s: %d cached answers dropped", i.ID, d.ID, e.cache.invalidate(d.ID, i.Paths))
			}
			e.dropped[key] = true
		}
	}
	e.log.forget()
	e.dropped = seen
	return nil
}

func (e *Edge) isReady() bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.ready
}

// adopt takes over what the API says. A distribution that is being deployed keeps what it had.
func (e *Edge) adopt(distributions []Distribution) {
	e.mu.Lock()
	defer e.mu.Unlock()
	before := map[string]Distribution{}
	for _, d := range e.known {
		before[d.ID] = d
	}
	next := make([]Distribution, 0, len(distributions))
	for _, d := range distributions {
		old, had := before[d.ID]
		delete(before, d.ID)
		switch {
		case had && !d.Deployed:
			d = old
		case !had:
			e.log.printf("distribution %s: %s %v, enabled %t", d.ID, d.Domain, d.Aliases, d.Enabled)
		case old.Version != d.Version:
			e.log.printf("distribution %s has changed", d.ID)
		}
		next = append(next, d)
	}
	for id := range before {
		e.log.printf("distribution %s is gone", id)
		e.cache.invalidate(id, []string{"/*"})
	}
	e.known, e.ready = next, true
}

// pick returns the distribution that a Host header names.
func (e *Edge) pick(host string) (d Distribution, found, ready bool) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	d, found = choose(e.known, host)
	return d, found, e.ready
}

// logger writes lines, and a complaint that repeats itself only once.
type logger struct {
	mu   sync.Mutex
	w    io.Writer
	last string
}

func (l *logger) printf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fmt.Fprintf(l.w, "edge: "+format+"\n", args...)
}

func (l *logger) once(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	l.mu.Lock()
	same := l.last == format
	l.last = format
	l.mu.Unlock()
	if !same {
		l.printf("%s", line)
	}
}

func (l *logger) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = ""
}
