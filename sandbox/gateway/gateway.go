// Package gateway stands between everything that speaks AWS and the emulator. It passes calls through, and is the only
// place where the sandbox touches them: it hides dropped connections, refuses what policies do not allow, injects faults on request, and adds what the emulator lacks: services that roll out with health checks, circuit breaker and alarms, and load
// balancers that check, drain and count.
package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"plan-charge/sandbox/ssm"
	"plan-charge/sandbox/vpc"
)

// Options say how a Gateway runs.
type Options struct {
	// Listen is the address to listen on, such as 127.0.0.1:4566. Port 0 picks a free one, which Addr tells.
	Listen string
	// Upstream is the emulator's URL.
	Upstream string
	// Dir keeps the services' state.
	Dir string
	// DockerSocket is the unix socket on which the container engine answers. Health checks run through it.
	DockerSocket string
	// Region is where services and load balancers are looked for.
	Region string
	// Bake is how long a deployment with alarms is watched after its last task is healthy; 0 means 15 s.
	Bake time.Duration
	// Network is the private network that databases and tasks are in; nil: they are on this machine's loopback device, and
	// security groups filter nothing.
	Network *vpc.Network
	// Log receives what the gateway does; nil drops it.
	Log *slog.Logger
}

// Gateway is the reverse proxy in front of the emulator.
type Gateway struct {
	opt      Options
	upstream *url.URL
	forward  *http.Transport
	listener net.Listener

	faults    *faults
	access    *access
	ecs       *scheduler
	lb        *balancer
	mends     *mends
	endpoints *endpoints
	scale     *autoscaling
	ssm       *sessions
	groups    *groups // nil without a private network
}

// maxBody bounds a request that is kept in memory.
const maxBody = 64 << 20

// New prepares a gateway and binds its address, so that a port in use is found here.
func New(o Options) (*Gateway, error) {
	if o.Listen == "" || o.Upstream == "" || o.Dir == "" || o.Region == "" {
		return nil, errors.New("gateway: Listen, Upstream, Dir and Region are all needed")
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Bake == 0 {
		o.Bake = 15 * time.Second
	}
	upstream, err := url.Parse(o.Upstream)
	if err != nil {
		return nil, fmt.Errorf("gateway: the emulator's URL: %w", err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g := &Gateway{
		opt: o, upstream: upstream,
		// A new connection for each call: the emulator drops kept ones without notice, and a call that changes something
		// cannot be sent again. DisableKeepAlives would hide which headers the emulator's Connection names.
		forward: &http.Transport{
			MaxIdleConnsPerHost: -1, DisableCompression: true, MaxConnsPerHost: 64, ResponseHeaderTimeout: 10 * time.Minute,
		},
		faults: &faults{},
	}
	api := &awsAPI{upstream: o.Upstream, region: o.Region, client: &http.Client{Transport: g.forward}}
	if g.access, err = newAccess(o.Dir, api, o.Log); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if o.Network != nil {
		g.groups = newGroups(api, o.Log)
		o.Network.Enforce(g.groups.admit)
	}
	g.lb = newBalancer(api, o.Network, g.groups, o.Log)
	engine := newDocker(o.DockerSocket)
	if g.mends, err = newMends(filepath.Join(o.Dir, "exports.json"), api, engine, o.Log); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.endpoints, err = newEndpoints(filepath.Join(o.Dir, "endpoints.json"), o.Network, o.Log); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.ecs, err = newScheduler(filepath.Join(o.Dir, "services.json"), api, g.lb, engine, o.Bake, o.Log); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	if g.scale, err = newAutoscaling(filepath.Join(o.Dir, "autoscaling.json"), g.ecs); err != nil {
		return nil, fmt.Errorf("gateway: %w", err)
	}
	g.ecs.groups = g.groups
	g.ssm = newSessions(api, engine, o.Network, o.Log)
	if g.listener, err = net.Listen("tcp", o.Listen); err != nil {
		return nil, fmt.Errorf("gateway: %s is in use: stop what uses it or choose another port: %w", o.Listen, err)
	}
	return g, nil
}

// Addr is where the gateway listens.
func (g *Gateway) Addr() string { return g.listener.Addr().String() }

// URL is what AWS_ENDPOINT_URL has to be.
func (g *Gateway) URL() string { return "http://" + g.Addr() }

// Run serves until ctx ends.
func (g *Gateway) Run(ctx context.Context) error {
	background, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { g.ecs.run(background) })
	wg.Go(func() { g.lb.run(background) })
	wg.Go(func() { g.ssm.run(background) })
	srv := &http.Server{Handler: g, ReadHeaderTimeout: 20 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(g.listener) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		short, stop := context.WithTimeout(context.Background(), 2*time.Second)
		defer stop()
		_ = srv.Shutdown(short) // what is still open is closed below
	}
	err = errors.Join(err, srv.Close())
	cancel()
	wg.Wait()
	return err
}

// ServeHTTP answers one request: of a load balancer's client, of an administrator, or of an AWS client.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if target := r.Header.Get(BalancerHeader); target != "" {
		r.Header.Del(BalancerHeader)
		g.lb.serve(w, r, target)
		return
	}
	if isBalancerHost(r.Host) {
		g.lb.serve(w, r, r.Host)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/_sandbox/") {
		g.admin(w, r)
		return
	}
	if strings.HasPrefix(r.URL.Path, ssm.ChannelPath) {
		g.ssm.service.ServeHTTP(w, r)
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return // the client has gone
	}
	if len(body) > maxBody {
		http.Error(w, "request too large", http.StatusRequestEntityTooLarge)
		return
	}
	g.serveCall(w, r, identify(r, body))
}

// serveCall answers an AWS call.
func (g *Gateway) serveCall(w http.ResponseWriter, r *http.Request, c *call) {
	if ahead := g.faults.ahead(); ahead != 0 {
		now := time.Now().Add(ahead)
		w.Header().Set("Date", now.UTC().Format(http.TimeFormat)) // clients learn from it by how much they are wrong
		if refused := c.outOfTime(r.Header.Get("X-Amz-Date"), now); refused != nil {
			refused.write(w)
			return
		}
	}
	if refused := g.access.refuse(r.Context(), c); refused != nil {
		refused.write(w)
		return
	}
	fault := g.faults.take(c)
	if fault == FaultReset {
		cut(w)
		return
	}
	answer := g.own(r.Context(), c, r.Host)
	switch {
	case answer == nil:
		g.pass(w, r, c, fault)
	case fault == FaultLose:
		cut(w)
	default:
		unhurried(c, int64(len(answer.body)))
		answer.write(w)
	}
}

const (
	// atOnce is how much of an answer clients have when they begin to read it, in bytes.
	atOnce = 2 << 10
	// hurry is sooner than AWS can answer.
	hurry = 20 * time.Millisecond
)

// unhurried waits before an answer of that size, in bytes, or of an unknown one (-1). The AWS SDK for Go loses one that comes
// before it has looked for the end of its own request: smithy-go's reader gives io.EOF for an error once it is closed,
// whereupon net/http closes the connection ("use of closed network connection"). What clients have at once is not lost.
func unhurried(c *call, size int64) {
	if len(c.body) > 0 && (size < 0 || size > atOnce) {
		time.Sleep(hurry)
	}
}

// own answers calls that the emulator does not get to see; nil means that it does.
func (g *Gateway) own(ctx context.Context, c *call, host string) *response {
	if answer := g.ssm.handle(ctx, c, host); answer != nil {
		return answer
	}
	if answer := g.ecs.handle(ctx, c); answer != nil {
		return answer
	}
	if answer := g.lb.handle(ctx, c); answer != nil {
		return answer
	}
	if answer := g.scale.handle(c); answer != nil {
		return answer
	}
	g.endpoints.before(c)
	return g.mends.before(ctx, c)
}

// after returns what has to be changed in the emulator's answer, if anything.
func (g *Gateway) after(c *call) func(context.Context, *call, *response) {
	return g.groups.watch(c, g.endpoints.after(c, g.mend(c)))
}

// mend returns what has to be changed in the emulator's answer for itself.
func (g *Gateway) mend(c *call) func(context.Context, *call, *response) {
	if f := g.ecs.after(c); f != nil {
		return g.ssm.after(c, f)
	}
	if f := g.lb.after(c); f != nil {
		return f
	}
	return g.mends.after(c)
}

// response is an answer that is held in memory.
type response struct {
	status int
	header http.Header
	body   []byte
}

func (a *response) write(w http.ResponseWriter) {
	for name, values := range a.header {
		if name != "Content-Length" && name != "Transfer-Encoding" && name != "Date" {
			w.Header()[name] = values
		}
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // a client that has gone needs no answer
}
