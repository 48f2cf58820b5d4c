package gateway

import (
	"net/url"
	"strings"
	"testing"
)

func TestWhatNoLoadBalancerHereDoesIsRefusedByName(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"Conditions.member.1.Field", "http-header", ""},
		{"Conditions.member.2.Field", "path-pattern", "path-pattern"},
		{"Actions.member.1.Type", "forward", ""},
		{"DefaultActions.member.1.Type", "fixed-response", ""},
		{"DefaultActions.member.1.Type", "redirect", "redirect"},
		{"Actions.member.1.ForwardConfig.TargetGroups.member.2.Weight", "10", "Weight"},
		{"HealthCheckEnabled", "false", "HealthCheckEnabled"},
		{"HealthCheckPort", "9000", "HealthCheckPort"},
		{"Matcher.HttpCode", "200-299", "200-299"},
		{"Matcher.HttpCode", "200", ""},
	} {
		call := &call{service: "elasticloadbalancing", action: "CreateRule", protocol: queryProtocol, form: url.Values{c.key: {c.value}}}
		got := ""
		if r := refuse(call); r != nil {
			got = string(r.body)
		}
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s=%s: answered %q, want %q in it", c.key, c.value, got, c.want)
		}
	}
}

func TestOnlyAlarmsOfTheProgramsKindAreEvaluated(t *testing.T) {
	good := alarm{
		Namespace: balancerMetrics, MetricName: targetErrors, Statistic: "Sum", ComparisonOperator: "GreaterThanOrEqualToThreshold",
		TreatMissingData: "notBreaching", Period: 60, EvaluationPeriods: 3,
	}
	for name, c := range map[string]struct {
		change func(*alarm)
		want   bool
	}{
		"the program's":    {func(*alarm) {}, true},
		"maximum":          {func(a *alarm) { a.Statistic = "Maximum" }, true},
		"average":          {func(a *alarm) { a.Statistic = "Average" }, false},
		"another metric":   {func(a *alarm) { a.MetricName = "RequestCount" }, false},
		"of a database":    {func(a *alarm) { a.Namespace = "AWS/RDS" }, false},
		"below":            {func(a *alarm) { a.ComparisonOperator = "LessThanThreshold" }, false},
		"missing is bad":   {func(a *alarm) { a.TreatMissingData = "breaching" }, false},
		"two of three":     {func(a *alarm) { a.DatapointsToAlarm = 2 }, false},
		"three of three":   {func(a *alarm) { a.DatapointsToAlarm = 3 }, true},
		"period not known": {func(a *alarm) { a.Period = 0 }, false},
	} {
		a := good
		c.change(&a)
		if got := a.evaluated(); got != c.want {
			t.Errorf("%s: evaluated %v, want %v", name, got, c.want)
		}
	}
}

func TestPatternsOfRules(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"let-me-in", "Let-Me-In", true}, {"let-me-in", "let-me-in2", false}, {"let*", "let-me/in", true}, {"l?t", "lt", false}, {"a.c", "abc", false},
	} {
		if got := glob(c.pattern, c.text); got != c.want {
			t.Errorf("%q for %q: %v", c.pattern, c.text, got)
		}
	}
}
