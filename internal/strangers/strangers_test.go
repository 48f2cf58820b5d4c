package strangers_test

import (
	"context"
	"encoding/xml"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go"

	"plan-charge/internal/awsquery"
	"plan-charge/internal/strangers"
)

const (
	balancer = "arn:aws:elasticloadbalancing:eu-west-3:123456789012:loadbalancer/app/prod-alb/50dc6c495c0c9188"
	listener = "arn:aws:elasticloadbalancing:eu-west-3:123456789012:listener/app/prod-alb/50dc6c495c0c9188/0467ef3c8400ae65"
	rule     = "arn:aws:elasticloadbalancing:eu-west-3:123456789012:listener-rule/app/prod-alb/50dc6c495c0c9188/0467ef3c8400ae65/9683b2d02a6cabee"
)

func owned() strangers.Owned {
	return strangers.Owned{
		SecurityGroups: []string{"sg-1 prod-database", "sg-2 prod-tasks"},
		Rules: []string{
			strangers.Rule("sg-1", "ingress", "tcp", 5432, 5432, "sg-2"), strangers.Rule("sg-2", "egress", "-1", 0, 0, "0.0.0.0/0"),
			strangers.Rule("sg-2", "ingress", "tcp", 8000, 8000, "pl-1"),
		},
		Roles:         []string{"prod-task"},
		Policies:      []string{strangers.Policy("prod-task", "ecs-exec")},
		LoadBalancers: []string{balancer}, Listeners: []string{listener}, ListenerRules: []string{rule + " http-header X-Origin"},
	}
}

// account answers as AWS documents it, and notes what is taken away.
type account struct {
	answers map[string]string
	removed []string
	err     map[string]error
}

func (a *account) Call(_ context.Context, s awsquery.Service, action string, form url.Values, out any) error {
	if err := a.err[action]; err != nil {
		return err
	}
	if out == nil {
		keys := []string{}
		for key, values := range form {
			keys = append(keys, key+"="+values[0])
		}
		slices.Sort(keys)
		a.removed = append(a.removed, s.Name+" "+action+" "+strings.Join(keys, " "))
		return nil
	}
	answer, more := a.answers[action+" "+form.Get("NextToken")+form.Get("Marker")+form.Get("ListenerArn")]
	if !more {
		answer = a.answers[action]
	}
	return xml.Unmarshal([]byte(answer), out)
}

const (
	ourGroupRules = `<item><securityGroupRuleId>sgr-1</securityGroupRuleId><groupId>sg-1</groupId><isEgress>false</isEgress><ipProtocol>tcp</ipProtocol>
			<fromPort>5432</fromPort><toPort>5432</toPort><referencedGroupInfo><groupId>sg-2</groupId><userId>1</userId></referencedGroupInfo></item>
		<item><securityGroupRuleId>sgr-2</securityGroupRuleId><groupId>sg-2</groupId><isEgress>true</isEgress><ipProtocol>-1</ipProtocol>
			<fromPort>-1</fromPort><toPort>-1</toPort><cidrIpv4>0.0.0.0/0</cidrIpv4></item>
		<item><securityGroupRuleId>sgr-3</securityGroupRuleId><groupId>sg-2</groupId><isEgress>false</isEgress><ipProtocol>tcp</ipProtocol>
			<fromPort>8000</fromPort><toPort>8000</toPort><prefixListId>pl-1</prefixListId></item>`
	ourRules = `<member><RuleArn>` + rule + `</RuleArn><Priority>1</Priority><IsDefault>false</IsDefault><Conditions><member><Field>http-header</Field>
			<HttpHeaderConfig><HttpHeaderName>X-Origin</HttpHeaderName><Values><member>hush</member></Values></HttpHeaderConfig></member></Conditions></member>
		<member><RuleArn>default</RuleArn><Priority>default</Priority><IsDefault>true</IsDefault></member>`
)

func ours() map[string]string {
	return map[string]string{
		"DescribeSecurityGroupRules": groupRules(ourGroupRules, ""),
		"ListRolePolicies":           `<R><ListRolePoliciesResult><PolicyNames><member>ecs-exec</member></PolicyNames><IsTruncated>false</IsTruncated></ListRolePoliciesResult></R>`,
		"ListAttachedRolePolicies":   `<R><ListAttachedRolePoliciesResult><AttachedPolicies/><IsTruncated>false</IsTruncated></ListAttachedRolePoliciesResult></R>`,
		"DescribeListeners":          listeners(""),
		"DescribeRules":              rules(ourRules),
	}
}

func groupRules(items, next string) string {
	return `<R><securityGroupRuleSet>` + items + `</securityGroupRuleSet><nextToken>` + next + `</nextToken></R>`
}

func listeners(more string) string {
	return `<R><DescribeListenersResult><Listeners><member><ListenerArn>` + listener + `</ListenerArn><Port>80</Port><Protocol>HTTP</Protocol></member>` + more + `</Listeners></DescribeListenersResult></R>`
}

func rules(members string) string {
	return `<R><DescribeRulesResult><Rules>` + members + `</Rules></DescribeRulesResult></R>`
}

func names(found strangers.Found) string {
	var list []string
	for _, s := range found.Strangers {
		list = append(list, s.Name)
	}
	for _, u := range found.Unseen {
		list = append(list, "unseen "+u.Kind+": "+u.Err.Error())
	}
	return strings.Join(append(list, found.Notes...), "\n")
}

func TestWhatIsDeclaredIsNoStranger(t *testing.T) {
	if got := names(strangers.Look(t.Context(), &account{answers: ours()}, owned())); got != "" {
		t.Errorf("got %s", got)
	}
	if got := names(strangers.Look(t.Context(), &account{}, strangers.Owned{})); got != "" {
		t.Errorf("of nothing at all: %s", got)
	}
}

func TestEachStrangerIsNamedAndRemoved(t *testing.T) {
	const from = `<fromPort>5432</fromPort><toPort>5432</toPort>`
	for name, tc := range map[string]struct{ action, answer, found, removed string }{
		"the whole world": {
			"DescribeSecurityGroupRules", groupRules(ourGroupRules+`<item><securityGroupRuleId>sgr-9</securityGroupRuleId><groupId>sg-1</groupId><isEgress>false</isEgress><ipProtocol>tcp</ipProtocol>`+from+`<cidrIpv4>0.0.0.0/0</cidrIpv4></item>`, ""),
			"security group prod-database: ingress tcp 5432 from 0.0.0.0/0", "ec2 RevokeSecurityGroupIngress GroupId=sg-1 SecurityGroupRuleId.1=sgr-9",
		},
		"all ports, by IPv6": {
			"DescribeSecurityGroupRules", groupRules(ourGroupRules+`<item><securityGroupRuleId>sgr-9</securityGroupRuleId><groupId>sg-2</groupId><isEgress>true</isEgress><ipProtocol>udp</ipProtocol><fromPort>1</fromPort><toPort>9</toPort><cidrIpv6>::/0</cidrIpv6></item>`, ""),
			"security group prod-tasks: egress udp 1-9 to ::/0", "ec2 RevokeSecurityGroupEgress GroupId=sg-2 SecurityGroupRuleId.1=sgr-9",
		},
		"an inline policy": {
			"ListRolePolicies", `<R><ListRolePoliciesResult><PolicyNames><member>ecs-exec</member><member>all</member></PolicyNames></ListRolePoliciesResult></R>`,
			"role prod-task: inline policy all", "iam DeleteRolePolicy PolicyName=all RoleName=prod-task",
		},
		"an attached policy": {
			"ListAttachedRolePolicies", `<R><ListAttachedRolePoliciesResult><AttachedPolicies><member><PolicyName>AdministratorAccess</PolicyName><PolicyArn>arn:aws:iam::aws:policy/AdministratorAccess</PolicyArn></member></AttachedPolicies></ListAttachedRolePoliciesResult></R>`,
			"role prod-task: attached policy arn:aws:iam::aws:policy/AdministratorAccess", "iam DetachRolePolicy PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess RoleName=prod-task",
		},
		"a listener": {
			"DescribeListeners", listeners(`<member><ListenerArn>other</ListenerArn><Port>8080</Port><Protocol>HTTP</Protocol></member>`),
			"load balancer prod-alb: listener HTTP 8080", "elasticloadbalancing DeleteListener ListenerArn=other",
		},
		"a rule": {
			"DescribeRules", rules(ourRules + `<member><RuleArn>other</RuleArn><Priority>5</Priority><IsDefault>false</IsDefault><Conditions><member><Field>path-pattern</Field><Values><member>/admin/*</member></Values>
				<PathPatternConfig><Values><member>/admin/*</member></Values></PathPatternConfig></member></Conditions></member>`),
			"load balancer prod-alb: rule 5 of listener HTTP 80 (path-pattern /admin/*)", "elasticloadbalancing DeleteRule RuleArn=other",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &account{answers: ours()}
			a.answers[tc.action] = tc.answer
			found := strangers.Look(t.Context(), a, owned())
			if names(found) != tc.found {
				t.Fatalf("got %q, want %q", names(found), tc.found)
			}
			if err := found.Strangers[0].Remove(t.Context()); err != nil || strings.Join(a.removed, "\n") != tc.removed {
				t.Errorf("removed %q, %v, want %q", a.removed, err, tc.removed)
			}
			action := strings.Fields(tc.removed)[1]
			for _, gone := range []string{"NoSuchEntity", "RuleNotFound", "InvalidSecurityGroupRuleId.NotFound"} {
				a.err = map[string]error{action: &smithy.GenericAPIError{Code: gone}}
				if err := found.Strangers[0].Remove(t.Context()); err != nil {
					t.Errorf("one that has gone already: %v", err)
				}
			}
			a.err = map[string]error{action: &smithy.GenericAPIError{Code: "AccessDenied"}}
			if err := found.Strangers[0].Remove(t.Context()); err == nil || !strings.Contains(err.Error(), "remove "+tc.found) {
				t.Errorf("one that may not be removed: %v", err)
			}
		})
	}
}

func TestLongListsAreReadToTheirEnd(t *testing.T) {
	a := &account{answers: ours()}
	a.answers["DescribeSecurityGroupRules "] = groupRules("", "2")
	a.answers["DescribeSecurityGroupRules 2"] = groupRules(`<item><groupId>sg-1</groupId><ipProtocol>-1</ipProtocol><cidrIpv4>10.0.0.0/8</cidrIpv4></item>`, "")
	a.answers["ListRolePolicies "] = `<R><ListRolePoliciesResult><IsTruncated>true</IsTruncated><Marker>m</Marker></ListRolePoliciesResult></R>`
	a.answers["ListRolePolicies m"] = `<R><ListRolePoliciesResult><PolicyNames><member>all</member></PolicyNames></ListRolePoliciesResult></R>`
	a.answers["ListAttachedRolePolicies "] = `<R><ListAttachedRolePoliciesResult><IsTruncated>true</IsTruncated><Marker>m</Marker></ListAttachedRolePoliciesResult></R>`
	a.answers["ListAttachedRolePolicies m"] = `<R><ListAttachedRolePoliciesResult><AttachedPolicies><member><PolicyArn>arn</PolicyArn></member></AttachedPolicies></ListAttachedRolePoliciesResult></R>`
	want := "role prod-task: attached policy arn\nrole prod-task: inline policy all\nsecurity group prod-database: ingress all from 10.0.0.0/8"
	if got := names(strangers.Look(t.Context(), a, owned())); got != want {
		t.Errorf("got %s", got)
	}
}

func TestConditionsOfOurRuleAreToldInClear(t *testing.T) {
	a := &account{answers: ours()}
	a.answers["DescribeRules"] = rules(strings.Replace(ourRules, `<Conditions>`, `<Conditions><member><Field>path-pattern</Field><PathPatternConfig><Values><member>/x</member></Values></PathPatternConfig></member>`, 1))
	want := "load balancer prod-alb: rule 1 of listener HTTP 80 is for http-header X-Origin, path-pattern /x, declared is http-header X-Origin"
	if got := names(strangers.Look(t.Context(), a, owned())); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWhatCannotBeSeenIsSaid(t *testing.T) {
	a := &account{answers: ours(), err: map[string]error{"DescribeRules": errors.New("away"), "ListRolePolicies": errors.New("not you")}}
	if got := names(strangers.Look(t.Context(), a, owned())); got != "unseen roles: not you\nunseen load balancers: away" {
		t.Errorf("got %s", got)
	}
}

type secrets struct{ stages map[string][]string }

func (s secrets) DescribeSecret(context.Context, *secretsmanager.DescribeSecretInput, ...func(*secretsmanager.Options)) (*secretsmanager.DescribeSecretOutput, error) {
	if s.stages == nil {
		return nil, errors.New("away")
	}
	return &secretsmanager.DescribeSecretOutput{Name: aws.String("prod/url"), VersionIdsToStages: s.stages}, nil
}

func TestMovedSecret(t *testing.T) {
	for name, tc := range map[string]struct {
		stages map[string][]string
		want   string
	}{
		"as pinned": {map[string][]string{"v1": {"AWSCURRENT"}, "v0": {"AWSPREVIOUS"}}, ""},
		"another":   {map[string][]string{"v2": {"AWSCURRENT"}, "v1": {"AWSPREVIOUS"}}, "secret prod/url: its current value is not the one that tasks are given (version v1)"},
		"two later": {map[string][]string{"v3": {"AWSCURRENT"}}, "secret prod/url"},
	} {
		moved, err := strangers.Moved(t.Context(), secrets{tc.stages}, []string{"arn v1"})
		if got := strings.Join(moved, "\n"); err != nil || (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if _, err := strangers.Moved(t.Context(), secrets{}, []string{"arn v1"}); err == nil {
		t.Error("what could not be looked at is taken for current")
	}
}
