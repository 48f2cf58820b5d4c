package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// TestAlarmRollsBack deploys a version that is healthy and answers its clients with errors: only the alarm can tell.
func TestAlarmRollsBack(t *testing.T) {
	c := start(t)
	s := c.site(t, "alarmed", "1", map[string]any{
		"deploymentConfiguration": map[string]any{
			"deploymentCircuitBreaker": map[string]bool{"enable": true, "rollback": true},
			"alarms":                   map[string]any{"enable": true, "rollback": true, "alarmNames": []string{"alarmed-5xx"}},
		},
	})
	dimension := func(arn, kind string) string { return arn[strings.LastIndex(arn, kind)+len(kind):] }
	c.query(t, "monitoring", "2010-08-01", "PutMetricAlarm", map[string]string{
		"AlarmName": "alarmed-5xx", "Namespace": "AWS/ApplicationELB", "MetricName": "HTTPCode_Target_5XX_Count", "Statistic": "Sum", "Period": "60",
		"EvaluationPeriods": "1", "Threshold": "5", "ComparisonOperator": "GreaterThanOrEqualToThreshold", "TreatMissingData": "notBreaching",
		"AlarmDescription": "errors", "AlarmActions.member.1": "arn:aws:sns:eu-west-3:000000000000:none",
		"Dimensions.member.1.Name": "LoadBalancer", "Dimensions.member.1.Value": dimension(s.balancer, ":loadbalancer/"),
		"Dimensions.member.2.Name": "TargetGroup", "Dimensions.member.2.Value": "targetgroup/" + dimension(s.group, ":targetgroup/"),
	}, nil)
	s.awaitSteady(t)
	old := s.service(t).TaskDefinition
	client := s.client("/any")
	defer client.stop()
	wanted := s.version(t, "broken-later")
	s.json(t, "ecs", "UpdateService", map[string]any{"cluster": s.name, "service": s.name, "taskDefinition": wanted}, nil)
	reason := ""
	eventually(t, 60*time.Second, "the deployment is rolled back", func() (bool, string) {
		v := s.service(t)
		for _, d := range v.Deployments {
			if d.TaskDefinition == wanted && d.RolloutState == "FAILED" {
				reason = d.RolloutStateReason
			}
		}
		shown, _ := json.Marshal(v)
		return v.steady() && v.TaskDefinition == old, string(shown)
	})
	client.stop()
	t.Logf("statuses %v, versions %v", client.statuses, client.versions)
	if !strings.Contains(reason, "alarm detected") || !strings.Contains(reason, "alarmed-5xx") {
		t.Errorf("the deployment failed with %q, want the alarm", reason)
	}
	var alarms struct {
		Alarm struct {
			Period      int
			Statistic   string
			Description string   `xml:"AlarmDescription"`
			Actions     []string `xml:"AlarmActions>member"`
			Dimensions  []string `xml:"Dimensions>member>Name"`
			Missing     string   `xml:"TreatMissingData"`
		} `xml:"DescribeAlarmsResult>MetricAlarms>member"`
	}
	c.query(t, "monitoring", "2010-08-01", "DescribeAlarms", map[string]string{"AlarmNames.member.1": "alarmed-5xx"}, &alarms)
	a := alarms.Alarm
	if a.Period != 60 || a.Statistic != "Sum" || a.Description != "errors" || len(a.Actions) != 1 || len(a.Dimensions) != 2 || a.Missing != "notBreaching" {
		t.Errorf("the alarm is told back as %+v", a)
	}
}
