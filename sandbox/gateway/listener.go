package gateway

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"plan-charge/sandbox/vpc"
)

type config struct {
	byName map[string]*loadBalancer // lower-case DNS name
	groups map[string]*targetGroup  // ARN
}

type loadBalancer struct {
	arn, name, dns string
	groups         []string // security groups
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

// condition holds for a request with one of the values in a header.
type condition struct {
	Field  string
	Header struct {
		Name   string   `xml:"HttpHeaderName"`
		Values []string `xml:"Values>member"`
	} `xml:"HttpHeaderConfig"`
}

type action struct {
	Type           string
	TargetGroupArn string
	Fixed          struct {
		StatusCode, ContentType, MessageBody string
	} `xml:"FixedResponseConfig"`
}

func newConfig() *config {
	return &config{byName: map[string]*loadBalancer{}, groups: map[string]*targetGroup{}}
}

func (b *balancer) load(ctx context.Context) (*config, map[targetKey]*targetGroup, error) {
	cfg := newConfig()
	registered := map[targetKey]*targetGroup{}
	var lbs struct {
		Members []struct {
			LoadBalancerArn, LoadBalancerName, DNSName string
			Groups                                     []string `xml:"SecurityGroups>member"`
		} `xml:"DescribeLoadBalancersResult>LoadBalancers>member"`
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
		lb := &loadBalancer{arn: m.LoadBalancerArn, name: m.LoadBalancerName, dns: strings.ToLower(m.DNSName), groups: m.Groups}
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
				g.Balancers, g.groups = append(g.Balancers, lb.arn), append(g.groups, lb.groups...)
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
				if a.TargetGroupArn == group {
					return true
				}
			}
		}
	}
	return false
}

// limits are the settings of which the data plane does no more than what is written here.
var limits = []struct{ key, value *regexp.Regexp }{
	{regexp.MustCompile(`^Conditions\.member\.\d+\.Field$`), regexp.MustCompile(`^http-header$`)},
	{regexp.MustCompile(`^(Default)?Actions\.member\.\d+\.Type$`), regexp.MustCompile(`^(forward|fixed-response)$`)},
	{regexp.MustCompile(`\.ForwardConfig\.`), regexp.MustCompile(`^$`)},
	{regexp.MustCompile(`^HealthCheckEnabled$`), regexp.MustCompile(`^true$`)},
	{regexp.MustCompile(`^HealthCheckPort$`), regexp.MustCompile(`^traffic-port$`)},
	{regexp.MustCompile(`^Matcher\.HttpCode$`), regexp.MustCompile(`^\d+$`)},
}

// refuse names what a call asks of a load balancer that this one would not do; nil lets it pass.
func refuse(c *call) *response {
	var problems []string
	for _, key := range slices.Sorted(maps.Keys(c.form)) {
		for _, limit := range limits {
			if value := c.form.Get(key); limit.key.MatchString(key) && !limit.value.MatchString(value) {
				problems = append(problems, fmt.Sprintf("%s is %q, allowed is %s", key, value, limit.value))
			}
		}
	}
	if len(problems) == 0 {
		return nil
	}
	return c.failure(http.StatusBadRequest, "InvalidConfigurationRequest", "the sandbox's load balancers do not do this: "+strings.Join(problems, "; "))
}

// unansweredFor bounds how long a client that is not admitted waits for nothing.
const unansweredFor = time.Minute

var balancerHost = regexp.MustCompile(`(?i)^[a-z0-9-]+\.(alb\.localhost|[a-z0-9-]+\.elb\.(amazonaws\.com|localhost))(:\d+)?$`)

func isBalancerHost(host string) bool { return balancerHost.MatchString(host) }

// serve answers a load balancer's client. name is its DNS name, with the listener's port unless that is 80.
func (b *balancer) serve(w http.ResponseWriter, r *http.Request, name string) {
	host, portText, _ := strings.Cut(strings.ToLower(name), ":")
	port, err := strconv.Atoi(portText)
	if err != nil {
		port = 80
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
	if l == nil && len(lb.listeners) == 1 && isBalancerHost(name) {
		l = lb.listeners[0] // asked for at the gateway's own port
	}
	if l == nil {
		w.Header().Set("X-Sandbox-Error", "no listener")
		http.Error(w, fmt.Sprintf("load balancer %s has no listener on port %d", lb.name, port), http.StatusBadGateway)
		return
	}
	if b.groups != nil && !b.groups.admit(r.Context(), viewer(r), vpc.Party{Groups: lb.groups}, l.port) {
		b.log.Warn("no security group of the load balancer admits it", "name", lb.name, "from", r.RemoteAddr)
		select { // as packets that are dropped: the client gives up
		case <-r.Context().Done():
		case <-time.After(unansweredFor):
		}
		cut(w)
		return
	}
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
	return c.Field == "http-header" && slices.ContainsFunc(r.Header.Values(c.Header.Name), func(have string) bool {
		return slices.ContainsFunc(c.Header.Values, func(pattern string) bool { return glob(pattern, have) })
	})
}

// glob matches * and ? in any case, as listener rules do.
func glob(pattern, text string) bool {
	quoted := strings.NewReplacer(`\*`, `.*`, `\?`, `.`).Replace(regexp.QuoteMeta(pattern))
	matched, err := regexp.MatchString(`(?is)^`+quoted+`$`, text)
	return err == nil && matched
}

func (b *balancer) act(w http.ResponseWriter, r *http.Request, lb *loadBalancer, l *listener, actions []action) {
	for _, a := range actions {
		switch a.Type {
		case "fixed-response":
			status, err := strconv.Atoi(a.Fixed.StatusCode)
			if err != nil {
				status = http.StatusOK
			}
			w.Header().Set("Server", "awselb/2.0")
			w.Header().Set("Content-Type", cmp.Or(a.Fixed.ContentType, "text/plain; charset=utf-8"))
			w.WriteHeader(status)
			_, _ = io.WriteString(w, a.Fixed.MessageBody) // a client that has gone needs no answer
			return
		case "forward":
			b.forwardTo(w, r, lb, l, a.TargetGroupArn)
			return
		}
	}
	b.fail(w, lb, http.StatusServiceUnavailable)
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

func (b *balancer) forwardTo(w http.ResponseWriter, r *http.Request, lb *loadBalancer, l *listener, group string) {
	t := b.pick(group)
	if t == nil {
		b.fail(w, lb, http.StatusServiceUnavailable)
		return
	}
	defer t.inFlight.Add(-1)
	proxy := httputil.ReverseProxy{
		Transport:     b.targetTransport,
		FlushInterval: -1, // what a target sends goes on as it comes
		ErrorLog:      slog.NewLogLogger(b.log.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.URL.RawQuery = "http", t.key.address(), p.In.URL.RawQuery
			for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host"} { // the proxy took them out
				p.Out.Header[name] = p.In.Header[name]
			}
			p.SetXForwarded()
			p.Out.Header["X-Forwarded-Host"] = p.In.Header["X-Forwarded-Host"] // a load balancer sets none
			p.Out.Header.Set("X-Forwarded-Proto", strings.ToLower(l.protocol))
			p.Out.Header.Set("X-Forwarded-Port", strconv.Itoa(l.port))
			if now := time.Now(); p.Out.Header.Get("X-Amzn-Trace-Id") == "" {
				p.Out.Header.Set("X-Amzn-Trace-Id", fmt.Sprintf("Root=1-%08x-%024x", now.Unix(), now.UnixNano()))
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			if resp.StatusCode >= 500 {
				b.count(lb.arn, group, targetErrors)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			var timeout net.Error
			switch {
			case r.Context().Err() != nil: // the client has gone
			case errors.As(err, &timeout) && timeout.Timeout():
				b.fail(w, lb, http.StatusGatewayTimeout)
			default:
				w.Header().Set("X-Sandbox-Error", err.Error())
				b.fail(w, lb, http.StatusBadGateway)
			}
		},
	}
	proxy.ServeHTTP(w, r.WithContext(as(r.Context(), lb.groups)))
}

// fail answers an error of the load balancer itself.
func (b *balancer) fail(w http.ResponseWriter, lb *loadBalancer, status int) {
	b.count(lb.arn, "", balancerErrors)
	w.Header().Set("Server", "awselb/2.0")
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(status)
	text := html.EscapeString(strconv.Itoa(status) + " " + http.StatusText(status))
	fmt.Fprintf(w, "<html>\r\n<head><title>%[1]s</title></head>\r\n<body>\r\n<center><h1>%[1]s</h1></center>\r\n</body>\r\n</html>\r\n", text)
}
