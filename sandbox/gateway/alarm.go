package gateway

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Alarms on load balancers are evaluated here: the emulator looks neither at an alarm's dimensions nor at missing data,
// so that one stack's errors would ring another's alarm, and no alarm would ever end.

const (
	balancerMetrics = "AWS/ApplicationELB"
	// Metrics that are counted.
	targetErrors     = "HTTPCode_Target_5XX_Count"
	balancerErrors   = "HTTPCode_ELB_5XX_Count"
	unhealthyTargets = "UnHealthyHostCount"
	// keepSamples is how far back alarms can look.
	keepSamples = 30 * time.Minute
)

// metricKey is a metric of a load balancer; with a group, of that target group behind it.
type metricKey struct{ balancer, group, name string }

// sample is what was seen of a metric within a second.
type sample struct {
	second   int64
	sum, max float64
}

// count notes an error, of a load balancer and, unless it is its own, of a group behind it.
func (b *balancer) count(lb, group, name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(metricKey{lb, "", name}, 1)
	if group != "" {
		b.add(metricKey{lb, group, name}, 1)
	}
}

// add notes a value. b.mu is held.
func (b *balancer) add(key metricKey, value float64) {
	now := time.Now().Unix()
	list := b.metrics[key]
	if n := len(list); n > 0 && list[n-1].second == now {
		s := &list[n-1]
		s.sum, s.max = s.sum+value, max(s.max, value)
		return
	}
	oldest := now - int64(keepSamples/time.Second)
	for len(list) > 0 && list[0].second < oldest {
		list = list[1:]
	}
	b.metrics[key] = append(list, sample{now, value, value})
}

// gauges notes how many targets are unhealthy. b.mu is held.
func (b *balancer) gauges() {
	unhealthy := map[string]float64{}
	for key, t := range b.targets {
		if state, _, _ := t.get(); state == "unhealthy" {
			unhealthy[key.group]++
		}
	}
	for arn, g := range b.config.groups {
		for _, lb := range g.Balancers {
			b.add(metricKey{lb, arn, unhealthyTargets}, unhealthy[arn])
		}
	}
}

// alarm is a metric alarm as the emulator keeps it in JSON, and as AWS tells it in XML.
type alarm struct {
	AlarmName, AlarmArn, AlarmDescription string
	ActionsEnabled                        bool
	OKActions                             []string `xml:"OKActions>member"`
	AlarmActions                          []string `xml:"AlarmActions>member"`
	InsufficientDataActions               []string `xml:"InsufficientDataActions>member"`
	StateValue, StateReason               string
	MetricName, Namespace, Statistic      string
	Dimensions                            []dimension `xml:"Dimensions>member"`
	Period                                int
	Unit                                  string `xml:",omitempty"`
	EvaluationPeriods                     int
	DatapointsToAlarm                     int `xml:",omitempty"`
	Threshold                             float64
	ComparisonOperator, TreatMissingData  string
}

type dimension struct{ Name, Value string }

// evaluated tells whether an alarm is of the kind that the program declares; the state of others stays as it is.
func (a *alarm) evaluated() bool {
	return a.Namespace == balancerMetrics && slices.Contains([]string{targetErrors, balancerErrors, unhealthyTargets}, a.MetricName) &&
		(a.Statistic == "Sum" || a.Statistic == "Maximum") && a.ComparisonOperator == "GreaterThanOrEqualToThreshold" &&
		a.TreatMissingData == "notBreaching" && a.Period > 0 && a.EvaluationPeriods > 0 &&
		(a.DatapointsToAlarm == 0 || a.DatapointsToAlarm == a.EvaluationPeriods)
}

// alarms reads alarms with everything the emulator knows of them; no names means all.
func (a *awsAPI) alarms(ctx context.Context, names []string) ([]alarm, error) {
	var all []alarm
	token := ""
	for {
		in := map[string]any{"MaxRecords": 100}
		if len(names) > 0 {
			in["AlarmNames"] = names
		}
		if token != "" {
			in["NextToken"] = token
		}
		var out struct {
			MetricAlarms []alarm
			NextToken    string
		}
		if err := a.json(ctx, "monitoring", "GraniteServiceVersion20100801.DescribeAlarms", in, &out); err != nil {
			return nil, err
		}
		all = append(all, out.MetricAlarms...)
		if token = out.NextToken; token == "" {
			return all, nil
		}
	}
}

// evaluate brings the state of the alarms on load balancers up to date.
func (b *balancer) evaluate(ctx context.Context) {
	b.mu.Lock()
	b.gauges()
	idle := len(b.config.byName) == 0
	b.mu.Unlock()
	if idle {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	alarms, err := b.api.alarms(ctx, nil)
	if err != nil {
		return // the emulator is away; the next round comes soon
	}
	for _, a := range alarms {
		if !a.evaluated() {
			continue
		}
		state, reason := b.state(a, time.Now())
		if state == a.StateValue {
			continue
		}
		b.log.Info("an alarm changed", "alarm", a.AlarmName, "state", state, "reason", reason)
		form := url.Values{"AlarmName": {a.AlarmName}, "StateValue": {state}, "StateReason": {reason}}
		if err := b.api.cloudwatch(ctx, "SetAlarmState", form, nil); err != nil {
			b.log.Warn("set an alarm's state", "alarm", a.AlarmName, "error", err)
		}
	}
}

// state decides an alarm's state: it rings when each of its periods, the last of which ends now, reaches the threshold.
func (b *balancer) state(a alarm, now time.Time) (state, reason string) {
	key := metricKey{name: a.MetricName}
	b.mu.Lock()
	for _, d := range a.Dimensions {
		switch d.Name {
		case "LoadBalancer":
			for _, lb := range b.config.byName {
				if strings.HasSuffix(lb.arn, ":loadbalancer/"+d.Value) {
					key.balancer = lb.arn
				}
			}
		case "TargetGroup":
			for arn := range b.config.groups {
				if strings.HasSuffix(arn, ":"+d.Value) {
					key.group = arn
				}
			}
		}
	}
	samples := slices.Clone(b.metrics[key])
	b.mu.Unlock()

	last := 0.0
	for n := range int64(a.EvaluationPeriods) {
		end := now.Unix() + 1 - n*int64(a.Period)
		value, ok := statistic(samples, end-int64(a.Period), end, a.Statistic)
		if !ok || value < a.Threshold {
			return "OK", "Threshold not crossed."
		}
		if n == 0 {
			last = value
		}
	}
	return "ALARM", fmt.Sprintf("Threshold Crossed: %d datapoints were %s %v, the most recent %v.", a.EvaluationPeriods, a.ComparisonOperator, a.Threshold, last)
}

// statistic is the sum or the maximum of the samples of [from, to); ok is false without any.
func statistic(samples []sample, from, to int64, name string) (value float64, ok bool) {
	for _, s := range samples {
		switch {
		case s.second < from || s.second >= to:
			continue
		case name == "Sum":
			value += s.sum
		default:
			value = max(value, s.max)
		}
		ok = true
	}
	return value, ok
}

// describeAlarms completes the emulator's XML answer, which leaves most of an alarm's fields out.
func (m *mends) describeAlarms(ctx context.Context, c *call, r *response) {
	if r.status != http.StatusOK || c.form.Get("NextToken") != "" {
		return
	}
	names := members(c.form, "AlarmNames.member.")
	if len(names) == 0 {
		return
	}
	alarms, err := m.api.alarms(ctx, names)
	if err != nil {
		return
	}
	var s strings.Builder
	for _, a := range alarms {
		if state := c.form.Get("StateValue"); state != "" && state != a.StateValue {
			continue
		}
		if err := xml.NewEncoder(&s).EncodeElement(a, xml.StartElement{Name: xml.Name{Local: "member"}}); err != nil {
			m.log.Error("tell an alarm", "alarm", a.AlarmName, "error", err)
			return
		}
	}
	r.body = c.result("http://monitoring.amazonaws.com/doc/2010-08-01/", "<MetricAlarms>"+s.String()+"</MetricAlarms><CompositeAlarms/>").body
}
