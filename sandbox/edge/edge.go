// Package edge answers for the CDN of a sandbox: an HTTP server that reads the distributions from the emulated
// CloudFront API and behaves as they say, because the emulator keeps their configuration and serves nothing like it.
//
// # What is emulated
//
//   - A distribution is chosen by the Host header: an alias, its domain dXXXX.cloudfront.net, dXXXX.localhost for the same,
//     or the only distribution there is. Disabled and unknown ones answer 403.
//   - Behaviors by path pattern, with their methods (403) and viewer protocol policy, under the policies CachingDisabled
//     and AllViewer: the origin's own headers over the viewer's, X-Forwarded-For, Via, X-Amz-Cf-Id.
//   - Caching of errors, as CloudFront does it (see errorTTL), 10 s unless a custom error response says otherwise.
//   - Origin timeouts and attempts: 504 for one that does not answer, 502 for one that cannot be reached.
//   - Response headers policies: security headers.
//   - Invalidations, also with a trailing wildcard. A kept error is only served after the API was asked whether it still
//     counts.
//   - X-Cache, Age, Via, X-Amz-Cf-Id, X-Amz-Cf-Pop.
//
// # What is refused
//
// A distribution with any other cache policy, which would keep objects, answers 501 and says which behavior and policy
// it is, so that nobody takes a cached object for tested. So does one with settings that infra's never has: another
// origin request policy, cached OPTIONS, other response headers, a default root object, an origin's path, error pages,
// wildcard aliases.
//
// # What is different
//
//   - TLS is not emulated, on either side. A viewer counts as one that used HTTPS, unless it sends X-Forwarded-Proto:
//     http, which shows what the viewer protocol policy does.
//   - Origins on this machine (localhost, 127.0.0.0/8) are asked directly; every other one is taken for a load balancer of
//     the sandbox, which the gateway serves. Nothing outside this machine is ever asked.
//   - A change counts at once, not after minutes, and there is one edge location.
//   - Left out without a word: functions, origin groups, signed URLs, geographic restrictions, WAF, WebSockets, request
//     collapsing, logs, and headers that tell of the viewer's device and place.
package edge

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"slices"
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
	// From is the loopback address that origins are asked from, any unless set: it stands for CloudFront's addresses.
	From string
	// Log receives changes of the configuration and what could not be served; nil drops it.
	Log io.Writer

	// Source replaces the API as the place where configuration comes from, for tests.
	Source Source
	// Clock replaces time.Now, for tests of what expires.
	Clock func() time.Time
}

// Edge is an HTTP server that stands for the CDN.
type Edge struct {
	source    Source
	clock     func() time.Time
	balancers string // host and port
	from      net.IP // nil: any
	log       *log.Logger
	listener  net.Listener
	cache     *cache

	mu    sync.RWMutex
	known []Distribution
	ready bool // the configuration was read at least once

	refreshing sync.Mutex      // one refresh at a time; guards the rest
	began      time.Time       // the last refresh
	dropped    map[string]bool // invalidations that were carried out
	failing    bool            // the last refresh failed, which was logged
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
		source: o.Source, clock: o.Clock, from: net.ParseIP(o.From), log: log.New(o.Log, "edge: ", 0),
		cache: &cache{kept: map[cacheKey]*answer{}}, dropped: map[string]bool{},
	}
	if e.source == nil {
		if _, err := hostOf("AWSEndpoint", o.AWSEndpoint); err != nil {
			return nil, err
		}
		e.source = newAWSSource(o.AWSEndpoint)
	}
	var err error
	if e.balancers, err = hostOf("Balancers", cmp.Or(o.Balancers, o.AWSEndpoint)); err != nil {
		return nil, err
	}
	if e.listener, err = net.Listen("tcp", o.Listen); err != nil {
		return nil, fmt.Errorf("edge: %w", err)
	}
	return e, nil
}

// hostOf is the host and port of a URL that an option gives.
func hostOf(name, value string) (string, error) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" || u.Host == "" {
		return "", fmt.Errorf("edge: %s is %q, but must be a URL such as http://127.0.0.1:4566", name, value)
	}
	return u.Host, nil
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
	asked, done := time.Now(), make(chan struct{})
	go func() {
		defer close(done)
		e.refreshing.Lock()
		defer e.refreshing.Unlock()
		if e.began.Before(asked) {
			_ = e.refresh(context.WithoutCancel(ctx)) // logged
		}
	}()
	soon, cancel := context.WithTimeout(ctx, freshness)
	defer cancel()
	select {
	case <-done:
	case <-soon.Done():
	}
}

// refresh does what Refresh says. e.refreshing is held.
func (e *Edge) refresh(ctx context.Context) (err error) {
	e.began = time.Now()
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	defer func() {
		if err != nil && !e.failing && !errors.Is(ctx.Err(), context.Canceled) {
			e.log.Printf("the CloudFront API cannot be read, the last known configuration stays: %v", err)
		}
		e.failing = err != nil
	}()
	distributions, err := e.source.Distributions(ctx)
	if err != nil {
		return fmt.Errorf("read distributions: %w", err)
	}
	first := !e.isReady()
	e.adopt(distributions)
	seen := map[string]bool{}
	for _, d := range distributions {
		invalidations, err := e.source.Invalidations(ctx, d.ID)
		if err != nil {
			return fmt.Errorf("read invalidations of %s: %w", d.ID, err)
		}
		for _, i := range invalidations {
			key := d.ID + " " + i.ID
			seen[key] = true
			if !first && !e.dropped[key] {
				e.log.Printf("invalidation %s of %s: %d cached answers dropped", i.ID, d.ID, e.cache.invalidate(d.ID, i.Paths))
			}
			e.dropped[key] = true
		}
	}
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
			e.log.Printf("distribution %s: %s %v, enabled %t", d.ID, d.Domain, d.Aliases, d.Enabled)
		case old.Version != d.Version:
			e.log.Printf("distribution %s has changed", d.ID)
		}
		if len(d.Refused) > 0 && !slices.Equal(d.Refused, old.Refused) {
			e.log.Print(d.refusal())
		}
		next = append(next, d)
	}
	for id := range before {
		e.log.Printf("distribution %s is gone", id)
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
