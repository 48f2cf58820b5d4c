package gateway

import (
	"context"
	"fmt"
	"html"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
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
	api *awsAPI
	log *slog.Logger

	dirty  atomic.Bool
	wake   chan struct{}
	loadMu sync.Mutex

	mu      sync.Mutex
	config  *config
	targets map[targetKey]*target
	metrics map[metricKey][]sample
	turn    atomic.Uint64
}

type config struct {
	byName map[string]*loadBalancer // lower-case DNS name
	groups map[string]*targetGroup  // ARN
}

type loadBalancer struct {
	arn, name, dns string
	listeners      []*listener
}

type listener struct {
	arn      string
	port     int
	protocol string
	rules    []*rule
}

type rule struct {
	priority   int
	conditions []condition
	actions    []action
}

type condition struct {
	Field  string
	Values []string `xml:"Values>member"`
	Header struct {
		Name   string   `xml:"HttpHeaderName"`
		Values []string `xml:"Values>member"`
	} `xml:"HttpHeaderConfig"`
	Path struct {
		Values []string `xml:"Values>member"`
	} `xml:"PathPatternConfig"`
	Host struct {
		Values []string `xml:"Values>member"`
	} `xml:"HostHeaderConfig"`
	Method struct {
		Values []string `xml:"Values>member"`
	} `xml:"HttpRequestMethodConfig"`
	Query struct {
		Values []struct{ Key, Value string } `xml:"Values>member"`
	} `xml:"QueryStringConfig"`
}

type action struct {
	Type           string
	Order          int
	TargetGroupArn string
	Forward        struct {
		Groups []forwardGroup `xml:"TargetGroups>member"`
	} `xml:"ForwardConfig"`
	Fixed struct {
		StatusCode, ContentType, MessageBody string
	} `xml:"FixedResponseConfig"`
	Redirect struct {
		Protocol, Host, Port, Path, Query, StatusCode string
	} `xml:"RedirectConfig"`
}

type forwardGroup struct {
	TargetGroupArn string
	Weight         int
}

type targetGroup struct {
	Arn          string   `xml:"TargetGroupArn"`
	Name         string   `xml:"TargetGroupName"`
	Port         int      `xml:"Port"`
	CheckPath    string   `xml:"HealthCheckPath"`
	CheckPort    string   `xml:"HealthCheckPort"`
	CheckEnabled string   `xml:"HealthCheckEnabled"`
	Interval     int      `xml:"HealthCheckIntervalSeconds"`
	Timeout      int      `xml:"HealthCheckTimeoutSeconds"`
	Healthy      int      `xml:"HealthyThresholdCount"`
	Unhealthy    int      `xml:"UnhealthyThresholdCount"`
	Codes        string   `xml:"Matcher>HttpCode"`
	Balancers    []string `xml:"-"` // the load balancers whose rules forward to it
	delay        time.Duration
}

type targetKey struct {
	group string
	ip    string
	port  int
}

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

func newBalancer(api *awsAPI, log *slog.Logger) *balancer {
	b := &balancer{
		api: api, log: log, wake: make(chan struct{}, 1),
		config: &config{byName: map[string]*loadBalancer{}, groups: map[string]*targetGroup{}}, targets: map[targetKey]*target{}, metrics: map[metricKey][]sample{},
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
		t = &target{key: key, cancel: cancel, state: "initial", reason: "Elb.RegistrationInProgress", detail: "Target registration is in progress", group: group}
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
	if t.draining {
		t.mu.Unlock()
		return
	}
	t.draining = true
	t.state, t.reason, t.detail = "draining", "Target.DeregistrationInProgress", "Target deregistration is in progress"
	delay := t.group.delay
	t.mu.Unlock()
	t.cancel()
	go func() {
		for end := time.Now().Add(delay); t.inFlight.Load() > 0 && time.Now().Before(end); {
			time.Sleep(20 * time.Millisecond)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.targets[t.key] == t {
			delete(b.targets, t.key)
		}
	}()
}

// withdraw takes an address out of a group at once and waits until its requests are over, at most the group's
// deregistration delay.
func (b *balancer) withdraw(ctx context.Context, group, ip string, port int) {
	key := targetKey{group, ip, port}
	b.mu.Lock()
	t := b.targets[key]
	if t != nil {
		b.drain(t)
	}
	b.mu.Unlock()
	if t == nil {
		return
	}
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

// ---- configuration

func (b *balancer) load(ctx context.Context) (*config, map[targetKey]*targetGroup, error) {
	cfg := &config{byName: map[string]*loadBalancer{}, groups: map[string]*targetGroup{}}
	registered := map[targetKey]*targetGroup{}
	var lbs struct {
		Members []struct{ LoadBalancerArn, LoadBalancerName, DNSName string } `xml:"DescribeLoadBalancersResult>LoadBalancers>member"`
	}
	if err := b.api.elb(ctx, "DescribeLoadBalancers", nil, &lbs); err != nil {
		return nil, nil, err
	}
	var groups struct {
		Members []*targetGroup `xml:"DescribeTargetGroupsResult>TargetGroups>member"`
	}
	if err := b.api.elb(ctx, "DescribeTargetGroups", nil, &groups); err != nil {
		return nil, nil, err
	}
	for _, m := range lbs.Members {
		lb := &loadBalancer{arn: m.LoadBalancerArn, name: m.LoadBalancerName, dns: strings.ToLower(m.DNSName)}
		if err := b.loadListeners(ctx, lb); err != nil {
			return nil, nil, err
		}
		cfg.byName[lb.dns] = lb
		cfg.byName[strings.ToLower(lb.name)+".alb.localhost"] = lb
	}
	for _, g := range groups.Members {
		g.delay = 300 * time.Second
		var attrs struct {
			Members []struct{ Key, Value string } `xml:"DescribeTargetGroupAttributesResult>Attributes>member"`
		}
		if err := b.api.elb(ctx, "DescribeTargetGroupAttributes", url.Values{"TargetGroupArn": {g.Arn}}, &attrs); err != nil {
			return nil, nil, err
		}
		for _, a := range attrs.Members {
			if seconds, err := strconv.Atoi(a.Value); err == nil && a.Key == "deregistration_delay.timeout_seconds" {
				g.delay = time.Duration(seconds) * time.Second
			}
		}
		var health struct {
			Members []struct {
				ID   string `xml:"Target>Id"`
				Port int    `xml:"Target>Port"`
			} `xml:"DescribeTargetHealthResult>TargetHealthDescriptions>member"`
		}
		if err := b.api.elb(ctx, "DescribeTargetHealth", url.Values{"TargetGroupArn": {g.Arn}}, &health); err != nil {
			return nil, nil, err
		}
		for _, lb := range cfg.byName {
			if lb.uses(g.Arn) && !slices.Contains(g.Balancers, lb.arn) {
				g.Balancers = append(g.Balancers, lb.arn)
			}
		}
		cfg.groups[g.Arn] = g
		for _, t := range health.Members {
			registered[targetKey{g.Arn, t.ID, t.Port}] = g
		}
	}
	return cfg, registered, nil
}

func (b *balancer) loadListeners(ctx context.Context, lb *loadBalancer) error {
	var listeners struct {
		Members []struct {
			ListenerArn, Protocol string
			Port                  int
			Actions               []action `xml:"DefaultActions>member"`
		} `xml:"DescribeListenersResult>Listeners>member"`
	}
	if err := b.api.elb(ctx, "DescribeListeners", url.Values{"LoadBalancerArn": {lb.arn}}, &listeners); err != nil {
		return err
	}
	for _, m := range listeners.Members {
		l := &listener{arn: m.ListenerArn, port: m.Port, protocol: m.Protocol}
		var rules struct {
			Members []struct {
				Priority   string
				IsDefault  bool
				Conditions []condition `xml:"Conditions>member"`
				Actions    []action    `xml:"Actions>member"`
			} `xml:"DescribeRulesResult>Rules>member"`
		}
		if err := b.api.elb(ctx, "DescribeRules", url.Values{"ListenerArn": {l.arn}}, &rules); err != nil {
			return err
		}
		const last = 1 << 30
		hasDefault := false
		for _, r := range rules.Members {
			priority, err := strconv.Atoi(r.Priority)
			if err != nil || r.IsDefault {
				priority, hasDefault = last, true
			}
			if len(r.Actions) == 0 {
				r.Actions = m.Actions
			}
			l.rules = append(l.rules, &rule{priority: priority, conditions: r.Conditions, actions: r.Actions})
		}
		if !hasDefault {
			l.rules = append(l.rules, &rule{priority: last, actions: m.Actions})
		}
		sort.SliceStable(l.rules, func(i, j int) bool { return l.rules[i].priority < l.rules[j].priority })
		lb.listeners = append(lb.listeners, l)
	}
	return nil
}

// uses tells whether any rule forwards to a target group.
func (lb *loadBalancer) uses(group string) bool {
	for _, l := range lb.listeners {
		for _, r := range l.rules {
			for _, a := range r.actions {
				if a.TargetGroupArn == group || slices.ContainsFunc(a.Forward.Groups, func(g forwardGroup) bool { return g.TargetGroupArn == group }) {
					return true
				}
			}
		}
	}
	return false
}

// ---- health checks

// check asks a target again and again until ctx ends.
func (b *balancer) check(ctx context.Context, t *target) {
	var successes, failures int
	var failingSince time.Time
	ever := false
	for {
		t.mu.Lock()
		g := *t.group
		t.mu.Unlock()
		if strings.EqualFold(g.CheckEnabled, "false") {
			t.set("healthy", "", "")
			return
		}
		interval := time.Duration(max(1, g.Interval)) * time.Second
		reason, detail := probe(ctx, t.key, &g)
		if ctx.Err() != nil {
			return
		}
		if reason == "" {
			successes, failures, failingSince = successes+1, 0, time.Time{}
			// The first success is enough for a new target; one that was unhealthy has to prove itself.
			if state, _, _ := t.get(); state == "initial" || successes >= max(1, g.Healthy) {
				t.set("healthy", "", "")
				ever = true
			}
		} else {
			if failingSince.IsZero() {
				failingSince = time.Now()
			}
			successes, failures = 0, failures+1
			threshold := max(1, g.Unhealthy)
			state, _, _ := t.get()
			switch {
			case state == "initial" && time.Since(failingSince) < time.Duration(threshold-1)*interval+interval/2:
				t.set("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
			case state == "initial" || failures >= threshold:
				t.set("unhealthy", reason, detail)
			}
		}
		wait := interval
		if !ever && wait > eagerProbe {
			wait = eagerProbe
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// probe makes one health check. An empty reason means success.
func probe(ctx context.Context, key targetKey, g *targetGroup) (reason, detail string) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(1, g.Timeout))*time.Second)
	defer cancel()
	port := key.port
	if p, err := strconv.Atoi(g.CheckPort); err == nil {
		port = p
	}
	checkPath := g.CheckPath
	if checkPath == "" {
		checkPath = "/"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(key.ip, strconv.Itoa(port))+checkPath, nil)
	if err != nil {
		return "Target.FailedHealthChecks", "Health checks failed"
	}
	req.Header.Set("User-Agent", "ELB-HealthChecker/2.0")
	resp, err := targetTransport.RoundTrip(req)
	if err != nil {
		if ctx.Err() == context.DeadlineExceeded {
			return "Target.Timeout", "Request timed out"
		}
		return "Target.FailedHealthChecks", "Health checks failed"
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // only the status counts
	resp.Body.Close()
	if !matchesCode(g.Codes, resp.StatusCode) {
		return "Target.ResponseCodeMismatch", fmt.Sprintf("Health checks failed with these codes: [%d]", resp.StatusCode)
	}
	return "", ""
}

// matchesCode understands "200", "200,202" and "200-299".
func matchesCode(codes string, status int) bool {
	if codes == "" {
		codes = "200"
	}
	for part := range strings.SplitSeq(codes, ",") {
		low, high, ranged := strings.Cut(strings.TrimSpace(part), "-")
		from, err := strconv.Atoi(low)
		if err != nil {
			continue
		}
		to := from
		if ranged {
			if to, err = strconv.Atoi(high); err != nil {
				continue
			}
		}
		if status >= from && status <= to {
			return true
		}
	}
	return false
}

// ---- data plane

// targetTransport opens a connection a request: a kept one that the target closes would make a 502 of nothing.
var targetTransport = &http.Transport{DisableKeepAlives: true, DisableCompression: true, DialContext: (&net.Dialer{Timeout: 10 * time.Second}).DialContext, ResponseHeaderTimeout: 60 * time.Second}

var balancerHost = regexp.MustCompile(`(?i)^[a-z0-9-]+\.(alb\.localhost|[a-z0-9-]+\.elb\.(amazonaws\.com|localhost))(:\d+)?$`)

func isBalancerHost(host string) bool { return balancerHost.MatchString(host) }

// serve answers a load balancer's client. name is its DNS name, with the listener's port unless that is 80.
func (b *balancer) serve(w http.ResponseWriter, r *http.Request, name string) {
	host, portText, found := strings.Cut(strings.ToLower(name), ":")
	port := 80
	if found {
		if p, err := strconv.Atoi(portText); err == nil {
			port = p
		}
	}
	find := func() *loadBalancer {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.config.byName[host]
	}
	lb := find()
	if lb == nil { // only then: clients must not wait for an emulator that is away
		b.refresh(r.Context())
		lb = find()
	}
	if lb == nil {
		w.Header().Set("X-Sandbox-Error", "no load balancer")
		http.Error(w, "no load balancer has the name "+host, http.StatusBadGateway)
		return
	}
	var l *listener
	for _, candidate := range lb.listeners {
		if candidate.port == port {
			l = candidate
		}
	}
	if l == nil && len(lb.listeners) == 1 && isBalancerHost(name) && r.Header.Get(BalancerHeader) == "" {
		l = lb.listeners[0] // asked for at the gateway's own port
	}
	if l == nil {
		w.Header().Set("X-Sandbox-Error", "no listener")
		http.Error(w, fmt.Sprintf("load balancer %s has no listener on port %d", lb.name, port), http.StatusBadGateway)
		return
	}
	b.count(lb.arn, "", "RequestCount", 1)
	for _, rule := range l.rules {
		if rule.matches(r) {
			b.act(w, r, lb, l, rule.actions)
			return
		}
	}
	b.fail(w, lb, http.StatusServiceUnavailable)
}

func (rl *rule) matches(r *http.Request) bool {
	for _, c := range rl.conditions {
		if !c.matches(r) {
			return false
		}
	}
	return true
}

func (c *condition) matches(r *http.Request) bool {
	values := append(append(append(append([]string(nil), c.Values...), c.Path.Values...), c.Host.Values...), c.Method.Values...)
	switch c.Field {
	case "path-pattern":
		return anyGlob(values, r.URL.Path, false)
	case "host-header":
		host, _, _ := strings.Cut(r.Host, ":")
		return anyGlob(values, host, true)
	case "http-request-method":
		for _, v := range values {
			if v == r.Method {
				return true
			}
		}
		return false
	case "http-header":
		for _, have := range r.Header.Values(c.Header.Name) {
			if anyGlob(append(c.Header.Values, c.Values...), have, true) {
				return true
			}
		}
		return false
	case "query-string":
		query := r.URL.Query()
		for _, want := range c.Query.Values {
			for key, list := range query {
				for _, have := range list {
					if (want.Key == "" || glob(want.Key, key, true)) && glob(want.Value, have, true) {
						return true
					}
				}
			}
		}
		return false
	case "source-ip":
		return true // every client is this machine
	}
	return false
}

func anyGlob(patterns []string, text string, fold bool) bool {
	for _, p := range patterns {
		if glob(p, text, fold) {
			return true
		}
	}
	return false
}

// glob matches * and ?, over slashes too.
func glob(pattern, text string, fold bool) bool {
	if fold {
		pattern, text = strings.ToLower(pattern), strings.ToLower(text)
	}
	if !strings.ContainsAny(pattern, "*?") {
		return pattern == text
	}
	// Backtracking over the last star, which is all that is needed.
	p, t, star, mark := 0, 0, -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]) && pattern[p] != '*':
			p, t = p+1, t+1
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

func (b *balancer) act(w http.ResponseWriter, r *http.Request, lb *loadBalancer, l *listener, actions []action) {
	sort.SliceStable(actions, func(i, j int) bool { return actions[i].Order < actions[j].Order })
	for _, a := range actions {
		switch a.Type {
		case "fixed-response":
			status, err := strconv.Atoi(a.Fixed.StatusCode)
			if err != nil {
				status = http.StatusOK
			}
			contentType := a.Fixed.ContentType
			if contentType == "" {
				contentType = "text/plain; charset=utf-8"
			}
			w.Header().Set("Server", "awselb/2.0")
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, a.Fixed.MessageBody) // a client that has gone needs no answer
			return
		case "redirect":
			redirect(w, r, l, a)
			return
		case "forward":
			group := a.TargetGroupArn
			if group == "" && len(a.Forward.Groups) > 0 {
				group = b.weighted(a)
			}
			b.forwardTo(w, r, lb, l, group)
			return
		}
	}
	b.fail(w, lb, http.StatusServiceUnavailable)
}

func (b *balancer) weighted(a action) string {
	total := 0
	for _, g := range a.Forward.Groups {
		total += g.Weight
	}
	if total == 0 {
		return a.Forward.Groups[0].TargetGroupArn
	}
	n := int(b.turn.Add(1) % uint64(total))
	for _, g := range a.Forward.Groups {
		if n -= g.Weight; n < 0 {
			return g.TargetGroupArn
		}
	}
	return a.Forward.Groups[0].TargetGroupArn
}

func redirect(w http.ResponseWriter, r *http.Request, l *listener, a action) {
	host, _, _ := strings.Cut(r.Host, ":")
	or := func(value, otherwise string) string {
		if value == "" {
			return otherwise
		}
		return value
	}
	fill := strings.NewReplacer("#{protocol}", strings.ToLower(l.protocol), "#{host}", host, "#{port}", strconv.Itoa(l.port),
		"#{path}", strings.TrimPrefix(r.URL.Path, "/"), "#{query}", r.URL.RawQuery)
	location := strings.ToLower(fill.Replace(or(a.Redirect.Protocol, "#{protocol}"))) + "://" + fill.Replace(or(a.Redirect.Host, "#{host}")) +
		":" + fill.Replace(or(a.Redirect.Port, "#{port}")) + path.Clean("/"+fill.Replace(or(a.Redirect.Path, "/#{path}")))
	if query := fill.Replace(or(a.Redirect.Query, "#{query}")); query != "" {
		location += "?" + query
	}
	w.Header().Set("Server", "awselb/2.0")
	w.Header().Set("Location", location)
	status := http.StatusMovedPermanently
	if strings.HasSuffix(a.Redirect.StatusCode, "302") {
		status = http.StatusFound
	}
	w.WriteHeader(status)
}

// pick chooses the next healthy target. When all are unhealthy every one of them is used, as the load balancer does.
func (b *balancer) pick(group string) *target {
	b.mu.Lock()
	defer b.mu.Unlock()
	var healthy, unhealthy []*target
	for key, t := range b.targets {
		if key.group != group {
			continue
		}
		switch state, _, _ := t.get(); state {
		case "healthy":
			healthy = append(healthy, t)
		case "unhealthy":
			unhealthy = append(unhealthy, t)
		}
	}
	if len(healthy) == 0 {
		healthy = unhealthy
	}
	if len(healthy) == 0 {
		return nil
	}
	sort.Slice(healthy, func(i, j int) bool { return healthy[i].key.ip < healthy[j].key.ip })
	t := healthy[int(b.turn.Add(1)%uint64(len(healthy)))]
	t.inFlight.Add(1) // under the lock, so that draining cannot miss it
	return t
}

var hopHeaders = []string{"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

func (b *balancer) forwardTo(w http.ResponseWriter, r *http.Request, lb *loadBalancer, l *listener, group string) {
	t := b.pick(group)
	if t == nil {
		b.fail(w, lb, http.StatusServiceUnavailable)
		return
	}
	defer t.inFlight.Add(-1)
	started := time.Now()
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host = "http", net.JoinHostPort(t.key.ip, strconv.Itoa(t.key.port))
	out.RequestURI = ""
	for _, name := range hopHeaders {
		out.Header.Del(name)
	}
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = "127.0.0.1"
	}
	if prior := out.Header.Get("X-Forwarded-For"); prior != "" {
		client = prior + ", " + client
	}
	out.Header.Set("X-Forwarded-For", client)
	out.Header.Set("X-Forwarded-Proto", strings.ToLower(l.protocol))
	out.Header.Set("X-Forwarded-Port", strconv.Itoa(l.port))
	if out.Header.Get("X-Amzn-Trace-Id") == "" {
		out.Header.Set("X-Amzn-Trace-Id", fmt.Sprintf("Root=1-%08x-%024x", started.Unix(), started.UnixNano()))
	}
	resp, err := targetTransport.RoundTrip(out)
	if err != nil {
		if r.Context().Err() != nil {
			return
		}
		status := http.StatusBadGateway
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			status = http.StatusGatewayTimeout
		}
		b.fail(w, lb, status)
		return
	}
	defer resp.Body.Close()
	b.count(lb.arn, group, fmt.Sprintf("HTTPCode_Target_%dXX_Count", resp.StatusCode/100), 1)
	b.count(lb.arn, group, "TargetResponseTime", time.Since(started).Seconds())
	for _, name := range hopHeaders {
		resp.Header.Del(name)
	}
	stream(w, resp)
}

// fail answers an error of the load balancer itself.
func (b *balancer) fail(w http.ResponseWriter, lb *loadBalancer, status int) {
	b.count(lb.arn, "", "HTTPCode_ELB_5XX_Count", 1)
	w.Header().Set("Server", "awselb/2.0")
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	text := html.EscapeString(strconv.Itoa(status) + " " + http.StatusText(status))
	fmt.Fprintf(w, "<html>\r\n<head><title>%[1]s</title></head>\r\n<body>\r\n<center><h1>%[1]s</h1></center>\r\n</body>\r\n</html>\r\n", text)
}

func afterLast(text, sep string) string {
	if i := strings.LastIndex(text, sep); i >= 0 {
		return text[i+len(sep):]
	}
	return text
}

// ---- API

// handle answers DescribeTargetHealth, because only the data plane knows.
func (b *balancer) handle(ctx context.Context, c *call) *response {
	if c.service != "elasticloadbalancing" || c.action != "DescribeTargetHealth" {
		return nil
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
		fmt.Fprintf(&s, "<member><HealthCheckPort>%d</HealthCheckPort><Target><Id>%s</Id><Port>%d</Port></Target><TargetHealth><State>%s</State>",
			t.key.port, escape(t.key.ip), t.key.port, state)
		if reason != "" {
			fmt.Fprintf(&s, "<Reason>%s</Reason><Description>%s</Description>", reason, escape(detail))
		}
		s.WriteString("</TargetHealth></member>")
	}
	body := fmt.Sprintf(`<DescribeTargetHealthResponse xmlns="http://elasticloadbalancing.amazonaws.com/doc/2015-12-01/"><DescribeTargetHealthResult><TargetHealthDescriptions>%s</TargetHealthDescriptions></DescribeTargetHealthResult><ResponseMetadata><RequestId>sandbox</RequestId></ResponseMetadata></DescribeTargetHealthResponse>`, s.String())
	return &response{http.StatusOK, http.Header{"Content-Type": {"text/xml"}}, []byte(body)}
}

// after notes that the configuration may have changed.
func (b *balancer) after(c *call) func(context.Context, *call, *response) {
	if c.service != "elasticloadbalancing" || c.reads() {
		return nil
	}
	return func(context.Context, *call, *response) { b.changed() }
}
