package gateway

import (
	"encoding/json"
	"io"
	"log/slog"
	"testing"
	"time"
)

// An alarm that rang before a deployment began says nothing about it. The deployment may begin between the moment at
// which alarms are looked at and the one at which that is judged.
func TestAlarmsAreThoseOfTheDeploymentThatWasLookedAt(t *testing.T) {
	const alarms = `{"alarms": {"alarmNames": ["errors"], "enable": true, "rollback": true}}`
	type step struct {
		watched string // the deployment whose alarms were looked at
		ringing string
	}
	for name, c := range map[string]struct {
		steps []step
		want  string
	}{
		"rings from the start":                           {[]step{{"new", "errors"}, {"new", "errors"}}, inProgress},
		"rings from the start, looked at for the former": {[]step{{"old", ""}, {"new", "errors"}}, inProgress},
		"rings from the start, looked at for none":       {[]step{{"", ""}, {"new", "errors"}}, inProgress},
		"rings after it was quiet":                       {[]step{{"new", ""}, {"new", "errors"}}, failed},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scheduler{log: slog.New(slog.NewTextHandler(io.Discard, nil)), outcomes: map[string]outcome{}}
			byName := map[string]*deployment{
				"new": {ID: "new", Status: "PRIMARY", State: inProgress, Desired: 1, next: time.Now().Add(time.Hour)}, // starts no task meanwhile
				"old": {ID: "old", Status: "ACTIVE", State: completed, Once: true},
			}
			svc := &service{
				Status: "ACTIVE", Desired: 1, Deployments: []*deployment{byName["new"], byName["old"]},
				Settings: map[string]json.RawMessage{"deploymentConfiguration": json.RawMessage(alarms)},
			}
			for _, step := range c.steps {
				s.plan(svc, nil, byName[step.watched], step.ringing)
			}
			if got := byName["new"].State; got != c.want {
				t.Errorf("the deployment is %s, want %s", got, c.want)
			}
		})
	}
}
