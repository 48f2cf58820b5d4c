// Package strangers finds what somebody added by hand to what a program owns in AWS, and takes it away again: rules of
// security groups, rights of roles, listeners of load balancers and their rules.
package strangers

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"plan-charge/internal/awsquery"
)

// Owned is what the program declares. Whatever else is on these things is a stranger.
type Owned struct {
	// SecurityGroups are ids, each followed by a space and the name by which people know it.
	SecurityGroups []string
	// Rules are as Rule writes them.
	Rules []string
	// Roles are names.
	Roles []string
	// Policies are as Policy writes them.
	Policies []string
	// LoadBalancers and Listeners are ARNs.
	LoadBalancers, Listeners []string
	// ListenerRules are ARNs, each followed by a space and its conditions as people are told them: fields, and names of
	// headers, never their values.
	ListenerRules []string
}

// Rule writes down a rule of a security group: its id, ingress or egress, the protocol (-1 is every one), the ports (which
// mean nothing then), and a CIDR block, the id of a group or of a prefix list at the other end.
func Rule(group, direction, protocol string, from, to int, other string) string {
	return group + " " + traffic(direction, protocol, from, to, other)
}

func traffic(direction, protocol string, from, to int, other string) string {
	words := []string{direction, protocol}
	if protocol == "-1" {
		words[1] = "all"
	} else {
		ports := strconv.Itoa(from)
		if to != from {
			ports += "-" + strconv.Itoa(to)
		}
		words = append(words, ports)
	}
	return strings.Join(append(words, map[string]string{"egress": "to"}[direction]+map[string]string{"ingress": "from"}[direction], other), " ")
}

// Policy writes down a right of a role: the name of an inline policy, or the ARN of an attached one.
func Policy(role, policy string) string { return role + " " + policy }

// Stranger is one thing that nobody declared.
type Stranger struct {
	// Name says what it is and on what, for people.
	Name   string
	remove func(context.Context) error
}

// Remove takes it away. One that has gone meanwhile is no error.
func (s Stranger) Remove(ctx context.Context) error {
	err := s.remove(ctx)
	if code := awsquery.Code(err); code == "NoSuchEntity" || strings.HasSuffix(code, "NotFound") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("remove %s: %w", s.Name, err)
	}
	return nil
}

// Caller makes calls of AWS.
type Caller interface {
	Call(ctx context.Context, s awsquery.Service, action string, form url.Values, out any) error
}

// Unseen is a kind of things that could not be looked at.
type Unseen struct {
	Kind string
	Err  error
}

// Found is what a look came upon.
type Found struct {
	Strangers []Stranger // sorted by name
	Unseen    []Unseen
	// Notes say in clear what the program's own resource cannot say of itself: the conditions of a listener rule are all
	// secret where one value is.
	Notes []string
}

// Look finds the strangers, and says what it could not look at.
func Look(ctx context.Context, aws Caller, o Owned) Found {
	l := &look{Caller: aws, Owned: o}
	kinds := []struct {
		kind string
		find func(context.Context) ([]Stranger, error)
	}{{"security groups", l.securityGroups}, {"roles", l.roles}, {"load balancers", l.loadBalancers}}
	found, errs := make([][]Stranger, len(kinds)), make([]error, len(kinds))
	var all sync.WaitGroup
	for i, k := range kinds {
		all.Go(func() { found[i], errs[i] = k.find(ctx) })
	}
	all.Wait()
	for i, err := range errs {
		if err != nil {
			found[i], l.found.Unseen = nil, append(l.found.Unseen, Unseen{kinds[i].kind, err})
		}
	}
	l.found.Strangers = slices.Concat(found...)
	slices.SortFunc(l.found.Strangers, func(a, b Stranger) int { return cmp.Compare(a.Name, b.Name) })
	return l.found
}

type look struct {
	Caller
	Owned
	found Found
}

// groupRule is a rule of a security group: one source or destination.
type groupRule struct {
	ID     string `xml:"securityGroupRuleId"`
	Group  string `xml:"groupId"`
	Egress bool   `xml:"isEgress"`

	Protocol string `xml:"ipProtocol"`
	From     int    `xml:"fromPort"`
	To       int    `xml:"toPort"`

	IPv4       string `xml:"cidrIpv4"`
	IPv6       string `xml:"cidrIpv6"`
	PrefixList string `xml:"prefixListId"`
	Other      string `xml:"referencedGroupInfo>groupId"`
}

func (r groupRule) direction() string {
	if r.Egress {
		return "egress"
	}
	return "ingress"
}

func (r groupRule) other() string { return cmp.Or(r.IPv4, r.IPv6, r.PrefixList, r.Other) }

func (l *look) securityGroups(ctx context.Context) ([]Stranger, error) {
	if len(l.SecurityGroups) == 0 {
		return nil, nil
	}
	form, names := url.Values{"Filter.1.Name": {"group-id"}, "MaxResults": {"1000"}}, map[string]string{}
	for i, group := range l.SecurityGroups {
		id, name, _ := strings.Cut(group, " ")
		form.Set(fmt.Sprintf("Filter.1.Value.%d", i+1), id)
		names[id] = cmp.Or(name, id)
	}
	var found []Stranger
	for {
		var out struct {
			Rules []groupRule `xml:"securityGroupRuleSet>item"`
			Next  string      `xml:"nextToken"`
		}
		if err := l.Call(ctx, awsquery.EC2, "DescribeSecurityGroupRules", form, &out); err != nil {
			return nil, err
		}
		for _, r := range out.Rules {
			if slices.Contains(l.Rules, Rule(r.Group, r.direction(), r.Protocol, r.From, r.To, r.other())) {
				continue
			}
			name := fmt.Sprintf("security group %s: %s", names[r.Group], traffic(r.direction(), r.Protocol, r.From, r.To, r.other()))
			found = append(found, Stranger{name, l.revoke(r)})
		}
		if out.Next == "" {
			return found, nil
		}
		form.Set("NextToken", out.Next)
	}
}

func (l *look) revoke(r groupRule) func(context.Context) error {
	action := map[bool]string{false: "RevokeSecurityGroupIngress", true: "RevokeSecurityGroupEgress"}[r.Egress]
	return l.calls(awsquery.EC2, action, url.Values{"GroupId": {r.Group}, "SecurityGroupRuleId.1": {r.ID}})
}

func (l *look) calls(s awsquery.Service, action string, form url.Values) func(context.Context) error {
	return func(ctx context.Context) error { return l.Call(ctx, s, action, form, nil) }
}

func (l *look) roles(ctx context.Context) ([]Stranger, error) {
	var found []Stranger
	for _, role := range l.Roles {
		inline, err := l.inline(ctx, role)
		if err != nil {
			return nil, err
		}
		attached, err := l.attached(ctx, role)
		if err != nil {
			return nil, err
		}
		found = slices.Concat(found, inline, attached)
	}
	return found, nil
}

func (l *look) inline(ctx context.Context, role string) ([]Stranger, error) {
	var found []Stranger
	form := url.Values{"RoleName": {role}}
	for {
		var out struct {
			Names  []string `xml:"ListRolePoliciesResult>PolicyNames>member"`
			More   bool     `xml:"ListRolePoliciesResult>IsTruncated"`
			Marker string   `xml:"ListRolePoliciesResult>Marker"`
		}
		if err := l.Call(ctx, awsquery.IAM, "ListRolePolicies", form, &out); err != nil {
			return nil, err
		}
		for _, policy := range out.Names {
			if !slices.Contains(l.Policies, Policy(role, policy)) {
				found = append(found, Stranger{
					fmt.Sprintf("role %s: inline policy %s", role, policy),
					l.calls(awsquery.IAM, "DeleteRolePolicy", url.Values{"RoleName": {role}, "PolicyName": {policy}}),
				})
			}
		}
		if !out.More {
			return found, nil
		}
		form.Set("Marker", out.Marker)
	}
}

func (l *look) attached(ctx context.Context, role string) ([]Stranger, error) {
	var found []Stranger
	form := url.Values{"RoleName": {role}}
	for {
		var out struct {
			ARNs   []string `xml:"ListAttachedRolePoliciesResult>AttachedPolicies>member>PolicyArn"`
			More   bool     `xml:"ListAttachedRolePoliciesResult>IsTruncated"`
			Marker string   `xml:"ListAttachedRolePoliciesResult>Marker"`
		}
		if err := l.Call(ctx, awsquery.IAM, "ListAttachedRolePolicies", form, &out); err != nil {
			return nil, err
		}
		for _, arn := range out.ARNs {
			if !slices.Contains(l.Policies, Policy(role, arn)) {
				found = append(found, Stranger{
					fmt.Sprintf("role %s: attached policy %s", role, arn),
					l.calls(awsquery.IAM, "DetachRolePolicy", url.Values{"RoleName": {role}, "PolicyArn": {arn}}),
				})
			}
		}
		if !out.More {
			return found, nil
		}
		form.Set("Marker", out.Marker)
	}
}

type listener struct {
	ARN      string `xml:"ListenerArn"`
	Protocol string
	Port     int
}

func (l listener) String() string { return fmt.Sprintf("%s %d", l.Protocol, l.Port) }

func (l *look) loadBalancers(ctx context.Context) ([]Stranger, error) {
	var found []Stranger
	for _, balancer := range l.LoadBalancers {
		var out struct {
			Listeners []listener `xml:"DescribeListenersResult>Listeners>member"`
		}
		if err := l.Call(ctx, awsquery.ELB, "DescribeListeners", url.Values{"LoadBalancerArn": {balancer}, "PageSize": {"400"}}, &out); err != nil {
			return nil, err
		}
		for _, listening := range out.Listeners {
			if !slices.Contains(l.Listeners, listening.ARN) {
				found = append(found, Stranger{
					fmt.Sprintf("load balancer %s: listener %s", nameOf(balancer), listening),
					l.calls(awsquery.ELB, "DeleteListener", url.Values{"ListenerArn": {listening.ARN}}),
				})
				continue
			}
			rules, err := l.listenerRules(ctx, nameOf(balancer), listening)
			if err != nil {
				return nil, err
			}
			found = append(found, rules...)
		}
	}
	return found, nil
}

func (l *look) listenerRules(ctx context.Context, balancer string, on listener) ([]Stranger, error) {
	var out struct {
		Rules []listenerRule `xml:"DescribeRulesResult>Rules>member"`
	}
	if err := l.Call(ctx, awsquery.ELB, "DescribeRules", url.Values{"ListenerArn": {on.ARN}, "PageSize": {"400"}}, &out); err != nil {
		return nil, err
	}
	var found []Stranger
	for _, r := range out.Rules {
		name := fmt.Sprintf("load balancer %s: rule %s of listener %s", balancer, r.Priority, on)
		if declared, ours := l.declared(r.ARN); r.Default || ours {
			if ours && r.conditions() != declared {
				l.found.Notes = append(l.found.Notes, fmt.Sprintf("%s is for %s, declared is %s", name, r.conditions(), declared))
			}
			continue
		}
		found = append(found, Stranger{
			fmt.Sprintf("%s (%s)", name, r.conditions()),
			l.calls(awsquery.ELB, "DeleteRule", url.Values{"RuleArn": {r.ARN}}),
		})
	}
	return found, nil
}

// declared are the conditions of a rule of ours.
func (l *look) declared(arn string) (conditions string, ours bool) {
	for _, rule := range l.ListenerRules {
		if id, conditions, _ := strings.Cut(rule, " "); id == arn {
			return conditions, true
		}
	}
	return "", false
}

// listenerRule sends some requests elsewhere.
type listenerRule struct {
	ARN        string `xml:"RuleArn"`
	Priority   string
	Default    bool `xml:"IsDefault"`
	Conditions []struct {
		Field  string
		Header string   `xml:"HttpHeaderConfig>HttpHeaderName"`
		Paths  []string `xml:"PathPatternConfig>Values>member"`
		Hosts  []string `xml:"HostHeaderConfig>Values>member"`
	} `xml:"Conditions>member"`
}

// conditions says which requests a rule is for. A header's value may be the secret by which the distribution is known.
func (r listenerRule) conditions() string {
	var words []string
	for _, c := range r.Conditions {
		what := append(append([]string{}, c.Paths...), c.Hosts...)
		if c.Header != "" {
			what = append(what, c.Header)
		}
		words = append(words, strings.TrimSpace(c.Field+" "+strings.Join(what, " ")))
	}
	slices.Sort(words)
	return cmp.Or(strings.Join(words, ", "), "every request")
}

// nameOf reads a load balancer's name out of its ARN: …:loadbalancer/app/NAME/ID.
func nameOf(arn string) string {
	if parts := strings.Split(arn, "/"); len(parts) == 4 {
		return parts[2]
	}
	return arn
}
