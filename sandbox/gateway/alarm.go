package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Alarms on load balancers are evaluated here: the emulator looks neither at an alarm's dimensions nor at missing data,
// so that one stack's errors would ring another's alarm, and no alarm would ever end.

const (
	balancerMetrics = "AWS/ApplicationELB"
	// keepSamples is how far back alarms can look.
	keepSamples = 30 * time.Minute
)

// metricKey is a metric of a load balancer; with a group, of that target group behind it.
type metricKey struct{ balancer, group, name string }

// sample is what was seen of a metric within a second.
type sample struct {
	second        int64
	sum, min, max float64
	count         int
}

func (b *balancer) count(lb, group, name string, value float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(metricKey{lb, "", name}, value)
	if group != "" {
		b.add(metricKey{lb, group, name}, value)
	}
}

// add notes a value. b.mu is held.
func (b *balancer) add(key metricKey, value float64) {
	now := time.Now().Unix()
	list := b.metrics[key]
	if n := len(list); n > 0 && list[n-1].second == now {
		s := &list[n-1]
		s.sum, s.count, s.min, s.max = s.sum+value, s.count+1, min(s.min, value), max(s.max, value)
		return
	}
	oldest := now - int64(keepSamples/time.Second)
	for len(list) > 0 && list[0].second < oldest {
		list = list[1:]
	}
	b.metrics[key] = append(list, sample{now, value, value, value, 1})
}

// gauges notes how many targets are healthy. b.mu is held.
func (b *balancer) gauges() {
	for arn, g := range b.config.groups {
		healthy, unhealthy := 0, 0
		for key, t := range b.targets {
			if key.group != arn {
				continue
			}
			switch state, _, _ := t.get(); state {
			case "healthy":
				healthy++
			case "unhealthy":
				unhealthy++
			}
		}
		for _, lb := range g.Balancers {
			b.add(metricKey{lb, arn, "HealthyHostCount"}, float64(healthy))
			b.add(metricKey{lb, arn, "UnHealthyHostCount"}, float64(unhealthy))
		}
	}
}

// alarm is a metric alarm as the emulator keeps it.
type alarm struct {
	AlarmName, AlarmArn, AlarmDescription, MetricName, Namespace, Statistic string
	ExtendedStatistic, ComparisonOperator, TreatMissingData, Unit           string
	StateValue, StateReason                                                 string
	Period, EvaluationPeriods                                               int
	DatapointsToAlarm                                                       *int
	Threshold                                                               float64
	ActionsEnabled                                                          bool
	AlarmActions, OKActions, InsufficientDataActions                        []string
	Dimensions                                                              []struct{ Name, Value string }
	StateUpdatedTimestamp, AlarmConfigurationUpdatedTimestamp               float64
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
		body, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		data, err := a.do(ctx, "monitoring", "application/x-amz-json-1.0", "GraniteServiceVersion20100801.DescribeAlarms", body)
		if err != nil {
			return nil, err
		}
		var out struct {
			MetricAlarms []alarm
			NextToken    string
		}
		if err := json.Unmarshal(data, &out); err != nil {
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
		if a.Namespace != balancerMetrics {
			continue
		}
		state, reason := b.state(a, time.Now())
		if state == "" || state == a.StateValue {
			continue
		}
		b.log.Info("an alarm changed", "alarm", a.AlarmName, "state", state, "reason", reason)
		form := url.Values{"AlarmName": {a.AlarmName}, "StateValue": {state}, "StateReason": {reason}}
		if err := b.api.cloudwatch(ctx, "SetAlarmState", form, nil); err != nil {
			b.log.Warn("set an alarm's state", "alarm", a.AlarmName, "error", err)
		}
	}
}

// state decides an alarm's state; an empty one means that it stays.
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

	period := int64(max(1, a.Period))
	breaching, missing := 0, 0
	last := 0.0
	for n := range int64(max(1, a.EvaluationPeriods)) {
		end := now.Unix() + 1 - n*period
		value, ok := statistic(samples, end-period, end, a.Statistic)
		switch {
		case ok && compare(value, a.ComparisonOperator, a.Threshold):
			breaching++
			last = value
		case !ok && a.TreatMissingData == "breaching":
			breaching++
		case !ok:
			missing++
		}
	}
	needed := max(1, a.EvaluationPeriods)
	if a.DatapointsToAlarm != nil && *a.DatapointsToAlarm > 0 {
		needed = *a.DatapointsToAlarm
	}
	switch {
	case breaching >= needed:
		return "ALARM", fmt.Sprintf("Threshold Crossed: %d datapoints were %s %v, the most recent %v.", breaching, a.ComparisonOperator, a.Threshold, last)
	case missing < max(1, a.EvaluationPeriods) || a.TreatMissingData == "notBreaching":
		return "OK", "Threshold not crossed."
	case a.TreatMissingData == "ignore":
		return "", ""
	}
	return "INSUFFICIENT_DATA", "Insufficient data."
}

// statistic sums up the samples of [from, to); ok is false without any.
func statistic(samples []sample, from, to int64, name string) (value float64, ok bool) {
	var all sample
	for _, s := range samples {
		if s.second < from || s.second >= to {
			continue
		}
		if all.count == 0 {
			all.min, all.max = s.min, s.max
		}
		all.sum, all.count, all.min, all.max = all.sum+s.sum, all.count+s.count, min(all.min, s.min), max(all.max, s.max)
	}
	if all.count == 0 {
		return 0, false
	}
	switch name {
	case "Sum":
		return all.sum, true
	case "Minimum":
		return all.min, true
	case "Maximum":
		return all.max, true
	case "SampleCount":
		return float64(all.count), true
	}
	return all.sum / float64(all.count), true
}

func compare(value float64, operator string, threshold float64) bool {
	switch operator {
	case "GreaterThanOrEqualToThreshold":
		return value >= threshold
	case "GreaterThanThreshold":
		return value > threshold
	case "LessThanThreshold":
		return value < threshold
	case "LessThanOrEqualToThreshold":
		return value <= threshold
	}
	return false
}

// describeAlarms completes the emulator's XML answer, which leaves most of an alarm's fields out.
func (m *mends) describeAlarms(ctx context.Context, c *call, r *response) {
	if r.status != http.StatusOK || c.form.Get("NextToken") != "" {
		return
	}
	var names []string
	for i := 1; c.form.Has(fmt.Sprintf("AlarmNames.member.%d", i)); i++ {
		names = append(names, c.form.Get(fmt.Sprintf("AlarmNames.member.%d", i)))
	}
	if len(names) == 0 {
		return
	}
	alarms, err := m.api.alarms(ctx, names)
	if err != nil {
		return
	}
	var s strings.Builder
	field := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&s, "<%s>%s</%s>", name, escape(value), name)
		}
	}
	list := func(name string, values []string) {
		fmt.Fprintf(&s, "<%s>", name)
		for _, v := range values {
			field("member", v)
		}
		fmt.Fprintf(&s, "</%s>", name)
	}
	for _, a := range alarms {
		if state := c.form.Get("StateValue"); state != "" && state != a.StateValue {
			continue
		}
		s.WriteString("<member>")
		field("AlarmName", a.AlarmName)
		field("AlarmArn", a.AlarmArn)
		field("AlarmDescription", a.AlarmDescription)
		field("ActionsEnabled", strconv.FormatBool(a.ActionsEnabled))
		list("OKActions", a.OKActions)
		list("AlarmActions", a.AlarmActions)
		list("InsufficientDataActions", a.InsufficientDataActions)
		field("StateValue", a.StateValue)
		field("StateReason", a.StateReason)
		field("MetricName", a.MetricName)
		field("Namespace", a.Namespace)
		if a.ExtendedStatistic == "" {
			field("Statistic", a.Statistic)
		}
		field("ExtendedStatistic", a.ExtendedStatistic)
		s.WriteString("<Dimensions>")
		for _, d := range a.Dimensions {
			s.WriteString("<member>")
			field("Name", d.Name)
			field("Value", d.Value)
			s.WriteString("</member>")
		}
		s.WriteString("</Dimensions>")
		field("Period", strconv.Itoa(a.Period))
		field("Unit", a.Unit)
		field("EvaluationPeriods", strconv.Itoa(a.EvaluationPeriods))
		if a.DatapointsToAlarm != nil && *a.DatapointsToAlarm > 0 {
			field("DatapointsToAlarm", strconv.Itoa(*a.DatapointsToAlarm))
		}
		field("Threshold", strconv.FormatFloat(a.Threshold, 'f', -1, 64))
		field("ComparisonOperator", a.ComparisonOperator)
		field("TreatMissingData", a.TreatMissingData)
		s.WriteString("</member>")
	}
	r.body = fmt.Appendf(nil, `<DescribeAlarmsResponse xmlns="http://monitoring.amazonaws.com/doc/2010-08-01/"><DescribeAlarmsResult><MetricAlarms>%s</MetricAlarms><CompositeAlarms/></DescribeAlarmsResult><ResponseMetadata><RequestId>sandbox</RequestId></ResponseMetadata></DescribeAlarmsResponse>`, s.String())
}
