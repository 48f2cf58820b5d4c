package gateway

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"plan-charge/sandbox/vpc"
)

// EdgeAddress is where the CDN edge connects from, which stands for CloudFront's addresses: the last byte is theirs, too.
const EdgeAddress = "127.192.0.2"

// elsewhere is an address of the internet that no rule names.
var elsewhere = netip.MustParseAddr("203.0.113.1")

// noteWait is how long a connection waits to be told which task it comes from: a task may be faster than RunTask's answer.
const noteWait = 10 * time.Second

// groups decides by security groups who may connect to whom, in a private network.
type groups struct {
	api *awsAPI
	log *slog.Logger

	mu        sync.Mutex
	known     map[string]*group   // by id; nil: to be read
	databases map[string][]string // the groups of instances, by identifier; nil: to be read
	tasks     map[string][]string // those of tasks, by ARN
	noted     chan struct{}       // closed and replaced when a task is noted
	changes   int                 // counts what may have changed groups or instances
}

// group is one security group.
type group struct {
	ID  string      `xml:"groupId"`
	In  []groupRule `xml:"ipPermissions>item"`
	Out []groupRule `xml:"ipPermissionsEgress>item"`
}

// groupRule admits connections from, or to, what it lists.
type groupRule struct {
	Protocol string   `xml:"ipProtocol"`
	From     *int     `xml:"fromPort"`
	To       *int     `xml:"toPort"`
	Groups   []string `xml:"groups>item>groupId"`
	CIDRs    []string `xml:"ipRanges>item>cidrIp"`
	IPv6     []string `xml:"ipv6Ranges>item>cidrIpv6"`
}

func newGroups(api *awsAPI, log *slog.Logger) *groups {
	return &groups{api: api, log: log, tasks: map[string][]string{}, noted: make(chan struct{})}
}

// admit says whether both ends' groups let one connect to the other, by TCP.
func (g *groups) admit(ctx context.Context, from, to vpc.Party, port int) bool {
	ctx, cancel := context.WithTimeout(ctx, noteWait)
	defer cancel()
	source, err := g.of(ctx, from)
	if err != nil {
		g.log.Warn("which security groups has it?", "task", from.Task, "database", from.Database, "error", err)
		return false
	}
	target, err := g.of(ctx, to)
	if err != nil {
		g.log.Warn("which security groups has it?", "task", to.Task, "database", to.Database, "error", err)
		return false
	}
	known, err := g.all(ctx)
	if err != nil {
		g.log.Warn("read the security groups", "error", err)
		return false
	}
	in := slices.ContainsFunc(target, func(id string) bool {
		return known[id] != nil && slices.ContainsFunc(known[id].In, func(r groupRule) bool { return r.admits(port, from.Address, source) })
	})
	out := len(source) == 0 || slices.ContainsFunc(source, func(id string) bool { // what is outside has no groups
		return known[id] != nil && slices.ContainsFunc(known[id].Out, func(r groupRule) bool { return r.admits(port, to.Address, target) })
	})
	return in && out
}

// admits says whether a rule names the port and the other end.
func (r groupRule) admits(port int, other netip.Addr, groups []string) bool {
	switch {
	case r.Protocol == "-1":
	case r.Protocol != "tcp" && r.Protocol != "6":
		return false
	case r.From == nil || r.To == nil || port < *r.From || port > *r.To:
		return false
	}
	// The emulator leaves prefix lists out. There is no other one than CloudFront's, and no rule without any other end.
	edge := len(r.Groups)+len(r.CIDRs)+len(r.IPv6) == 0
	return slices.ContainsFunc(r.Groups, func(id string) bool { return slices.Contains(groups, id) }) ||
		slices.ContainsFunc(r.CIDRs, func(cidr string) bool { return inside(other, cidr) }) ||
		edge && slices.ContainsFunc(edgeCIDRs, func(cidr string) bool { return inside(other, cidr) })
}

func inside(address netip.Addr, cidr string) bool {
	prefix, err := netip.ParsePrefix(cidr)
	return err == nil && prefix.Contains(address)
}

// of returns a party's groups.
func (g *groups) of(ctx context.Context, p vpc.Party) ([]string, error) {
	switch {
	case p.Task != "":
		return g.ofTask(ctx, p.Task)
	case p.Database != "":
		return g.ofDatabase(ctx, p.Database)
	}
	return p.Groups, nil
}

// ofTask waits until a task was noted.
func (g *groups) ofTask(ctx context.Context, arn string) ([]string, error) {
	for {
		g.mu.Lock()
		ids, ok := g.tasks[arn]
		noted := g.noted
		g.mu.Unlock()
		if ok {
			return ids, nil
		}
		select {
		case <-noted:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (g *groups) ofDatabase(ctx context.Context, id string) ([]string, error) {
	g.mu.Lock()
	databases, changes := g.databases, g.changes
	g.mu.Unlock()
	if databases != nil {
		return databases[id], nil
	}
	var out struct {
		Instances []struct {
			ID     string   `xml:"DBInstanceIdentifier"`
			Groups []string `xml:"VpcSecurityGroups>VpcSecurityGroupMembership>VpcSecurityGroupId"`
		} `xml:"DescribeDBInstancesResult>DBInstances>DBInstance"`
	}
	if err := g.api.query(ctx, "rds", "2014-10-31", "DescribeDBInstances", url.Values{}, &out); err != nil {
		return nil, err
	}
	databases = map[string][]string{}
	for _, one := range out.Instances {
		databases[one.ID] = one.Groups
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if changes == g.changes { // otherwise it may be out of date
		g.databases = databases
	}
	return databases[id], nil
}

func (g *groups) all(ctx context.Context) (map[string]*group, error) {
	g.mu.Lock()
	known, changes := g.known, g.changes
	g.mu.Unlock()
	if known != nil {
		return known, nil
	}
	var out struct {
		Groups []*group `xml:"securityGroupInfo>item"`
	}
	if err := g.api.query(ctx, "ec2", "2016-11-15", "DescribeSecurityGroups", url.Values{}, &out); err != nil {
		return nil, err
	}
	known = map[string]*group{}
	for _, one := range out.Groups {
		known[one.ID] = one
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if changes == g.changes {
		g.known = known
	}
	return known, nil
}

// watch looks at a call that is about to be answered, and at its answer: it may change who is admitted.
func (g *groups) watch(c *call, next func(context.Context, *call, *response)) func(context.Context, *call, *response) {
	changes := (c.service == "ec2" || c.service == "rds") && !c.reads()
	runs := c.service == "ecs" && c.action == "RunTask"
	if g == nil || !changes && !runs {
		return next
	}
	return func(ctx context.Context, c *call, r *response) {
		if changes {
			g.mu.Lock()
			g.known, g.databases = nil, nil
			g.changes++
			g.mu.Unlock()
		}
		var out struct{ Tasks []*view }
		if runs && r.status < 300 && json.Unmarshal(r.body, &out) == nil {
			g.note(c.in()["networkConfiguration"], out.Tasks)
		}
		if next != nil {
			next(ctx, c, r)
		}
	}
}

// note remembers the groups of tasks that were started.
func (g *groups) note(network any, tasks []*view) {
	if g == nil {
		return
	}
	var in struct {
		AwsvpcConfiguration struct{ SecurityGroups []string }
	}
	if data, err := json.Marshal(network); err != nil || json.Unmarshal(data, &in) != nil {
		return // the emulator refuses what is no network configuration
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, t := range tasks {
		g.tasks[t.TaskArn] = in.AwsvpcConfiguration.SecurityGroups
	}
	close(g.noted)
	g.noted = make(chan struct{})
}

// viewer is who sends a request, as a security group sees it: the CDN's edge or somebody in the internet.
func viewer(r *http.Request) vpc.Party {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	if host == EdgeAddress {
		return vpc.Party{Address: netip.MustParseAddr("192.0.2" + host[strings.LastIndexByte(host, '.'):])}
	}
	return vpc.Party{Address: elsewhere}
}

type sourceKey struct{}

// as makes connections for a request come from load balancers with these security groups.
func as(ctx context.Context, groups []string) context.Context {
	return context.WithValue(ctx, sourceKey{}, vpc.Party{Groups: groups})
}

// dialTargets connects to targets as the load balancers do.
func dialTargets(n *vpc.Network) func(context.Context, string, string) (net.Conn, error) {
	if n == nil {
		return (&net.Dialer{Timeout: 10 * time.Second}).DialContext
	}
	return func(ctx context.Context, _, address string) (net.Conn, error) {
		from, _ := ctx.Value(sourceKey{}).(vpc.Party)
		return n.DialTo(ctx, from, address)
	}
}
