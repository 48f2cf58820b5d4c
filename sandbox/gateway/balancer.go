package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"plan-charge/sandbox/vpc"
)

// BalancerHeader names the load balancer that a request is for, as DNS-name[:port]. With it the Host header stays what
// the viewer sent. It is removed before a target sees the request.
const BalancerHeader = "X-Sandbox-Load-Balancer"

const (
	// refreshEvery is how often the load balancers' configuration is read without having changed through the gateway.
	refreshEvery = 10 * time.Second
	// alarmsEvery is how often alarms are evaluated. AWS takes a minute; here they should not take so long.
	alarmsEvery = 2 * time.Second
	// eagerProbe is how often a target that was never healthy is asked, if its interval is longer.
	eagerProbe = time.Second
)

// balancer is the data plane of the load balancers: it answers their clients, checks their targets and counts.
type balancer struct {
	api             *awsAPI
	log             *slog.Logger
	groups          *groups // nil without a private network
	targetTransport *http.Transport

	dirty  atomic.Bool
	wake   chan struct{}
	loadMu sync.Mutex

	mu      sync.Mutex
	config  *config
	targets map[targetKey]*target
	metrics map[metricKey][]sample
	turn    atomic.Uint64
}

type targetGroup struct {
	Arn       string   `xml:"TargetGroupArn"`
	CheckPath string   `xml:"HealthCheckPath"`
	Interval  int      `xml:"HealthCheckIntervalSeconds"`
	Timeout   int      `xml:"HealthCheckTimeoutSeconds"`
	Healthy   int      `xml:"HealthyThresholdCount"`
	Unhealthy int      `xml:"UnhealthyThresholdCount"`
	Codes     string   `xml:"Matcher>HttpCode"`
	Balancers []string `xml:"-"` // the load balancers whose rules forward to it
	groups    []string // their security groups
	delay     time.Duration
}

type targetKey struct {
	group string
	ip    string
	port  int
}

func (k targetKey) address() string { return net.JoinHostPort(k.ip, strconv.Itoa(k.port)) }

// target is one registered address of a target group.
type target struct {
	key      targetKey
	cancel   context.CancelFunc
	inFlight atomic.Int64

	mu       sync.Mutex
	state    string // initial, healthy, unhealthy, draining
	reason   string
	detail   string
	draining bool
	group    *targetGroup
}

func (t *target) set(state, reason, detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.draining {
		t.state, t.reason, t.detail = state, reason, detail
	}
}

func (t *target) get() (state, reason, detail string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.state, t.reason, t.detail
}

func newBalancer(api *awsAPI, n *vpc.Network, g *groups, log *slog.Logger) *balancer {
	b := &balancer{
		api: api, log: log, groups: g,
		// A connection a request: a kept one that the target closes would make a 502 of nothing. DisableKeepAlives would hide
		// which headers a target's Connection names.
		targetTransport: &http.Transport{
			MaxIdleConnsPerHost: -1, DisableCompression: true, DialContext: dialTargets(n), ResponseHeaderTimeout: 60 * time.Second,
		},
		wake: make(chan struct{}, 1), config: newConfig(), targets: map[targetKey]*target{}, metrics: map[metricKey][]sample{},
	}
	b.dirty.Store(true)
	return b
}

// run keeps configuration and alarms current until ctx ends.
func (b *balancer) run(ctx context.Context) {
	refresh, alarms := time.NewTicker(refreshEvery), time.NewTicker(alarmsEvery)
	defer refresh.Stop()
	defer alarms.Stop()
	for {
		select {
		case <-ctx.Done():
			b.mu.Lock()
			for _, t := range b.targets {
				t.cancel()
			}
			b.mu.Unlock()
			return
		case <-refresh.C:
			b.dirty.Store(true)
			b.refresh(ctx)
		case <-b.wake:
			b.refresh(ctx)
		case <-alarms.C:
			b.evaluate(ctx)
		}
	}
}

// changed says that the configuration has to be read again.
func (b *balancer) changed() {
	b.dirty.Store(true)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// refresh reads the configuration if something changed. On failure the known one stays: the emulator may be starting.
func (b *balancer) refresh(ctx context.Context) {
	b.loadMu.Lock()
	defer b.loadMu.Unlock()
	if !b.dirty.Swap(false) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	cfg, registered, err := b.load(ctx)
	if err != nil {
		b.dirty.Store(true)
		if ctx.Err() == nil {
			b.log.Debug("read the load balancers", "error", err)
		}
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.config = cfg
	for key, group := range registered {
		t := b.targets[key]
		if t != nil && !t.draining {
			t.mu.Lock()
			t.group = group
			t.mu.Unlock()
			continue
		}
		check, cancel := context.WithCancel(context.Background())
		t = &target{key: key, cancel: cancel, group: group}
		t.set("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
		b.targets[key] = t
		go b.check(check, t)
	}
	for key, t := range b.targets {
		if _, ok := registered[key]; !ok {
			b.drain(t)
		}
	}
}

// drain takes a target out of service and forgets it when its last request is over. b.mu is held.
func (b *balancer) drain(t *target) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.draining {
		return
	}
	t.draining = true
	t.state, t.reason, t.detail = "draining", "Target.DeregistrationInProgress", "Target deregistration is in progress"
	t.cancel()
	go func() {
		t.quiet(context.Background())
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.targets[t.key] == t {
			delete(b.targets, t.key)
		}
	}()
}

// withdraw takes an address out of a group at once and waits until its requests are over.
func (b *balancer) withdraw(ctx context.Context, group, ip string, port int) {
	b.mu.Lock()
	t := b.targets[targetKey{group, ip, port}]
	if t != nil {
		b.drain(t)
	}
	b.mu.Unlock()
	if t != nil {
		t.quiet(ctx)
	}
}

// quiet waits until a target's requests are over, at most its group's deregistration delay.
func (t *target) quiet(ctx context.Context) {
	t.mu.Lock()
	delay := t.group.delay
	t.mu.Unlock()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(delay); t.inFlight.Load() > 0 && time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// health tells what is known of a target: state, reason code and description. An unknown target is "unused".
func (b *balancer) health(group, ip string, port int) (state, reason, detail string) {
	b.mu.Lock()
	t := b.targets[targetKey{group, ip, port}]
	b.mu.Unlock()
	if t == nil {
		return "unused", "Target.NotRegistered", "Target is not registered to the target group"
	}
	return t.get()
}

// handle answers DescribeTargetHealth, because only the data plane knows, and refuses what the data plane does not do.
func (b *balancer) handle(ctx context.Context, c *call) *response {
	if c.service != "elasticloadbalancing" {
		return nil
	}
	if c.action != "DescribeTargetHealth" {
		return refuse(c)
	}
	b.refresh(ctx)
	group := c.form.Get("TargetGroupArn")
	b.mu.Lock()
	g := b.config.groups[group]
	var targets []*target
	for key, t := range b.targets {
		if key.group == group {
			targets = append(targets, t)
		}
	}
	b.mu.Unlock()
	if g == nil {
		return nil // the emulator knows the right error
	}
	asked := map[string]bool{}
	for i := 1; c.form.Has(fmt.Sprintf("Targets.member.%d.Id", i)); i++ {
		asked[c.form.Get(fmt.Sprintf("Targets.member.%d.Id", i))] = true
	}
	sort.Slice(targets, func(i, j int) bool { return targets[i].key.ip < targets[j].key.ip })
	var s strings.Builder
	for _, t := range targets {
		if len(asked) > 0 && !asked[t.key.ip] {
			continue
		}
		state, reason, detail := t.get()
		fmt.Fprintf(&s, "<member><HealthCheckPort>%[1]d</HealthCheckPort><Target><Id>%[2]s</Id><Port>%[1]d</Port></Target><TargetHealth><State>%[3]s</State>",
			t.key.port, escape(t.key.ip), state)
		if reason != "" {
			fmt.Fprintf(&s, "<Reason>%s</Reason><Description>%s</Description>", reason, escape(detail))
		}
		s.WriteString("</TargetHealth></member>")
	}
	return c.result("http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/", "<TargetHealthDescriptions>"+s.String()+"</TargetHealthDescriptions>")
}

// after notes that the configuration may have changed.
func (b *balancer) after(c *call) func(context.Context, *call, *response) {
	if c.service != "elasticloadbalancing" || c.reads() {
		return nil
	}
	return func(context.Context, *call, *response) { b.changed() }
}
