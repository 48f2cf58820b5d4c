package gateway

import "testing"

func TestAPartOfADeploymentConfigurationLeavesTheRest(t *testing.T) {
	for _, c := range []struct{ before, with, after string }{
		{"", `{"maximumPercent":150}`, `{"maximumPercent":150}`},
		{`{"alarms":{"enable":true},"maximumPercent":200}`, `{"maximumPercent":150}`, `{"alarms":{"enable":true},"maximumPercent":150}`},
		{`{"deploymentCircuitBreaker":{"enable":true,"rollback":true}}`, `{"deploymentCircuitBreaker":{"enable":false,"rollback":false}}`, `{"deploymentCircuitBreaker":{"enable":false,"rollback":false}}`},
	} {
		if got := string(merged([]byte(c.before), []byte(c.with))); got != c.after {
			t.Errorf("%s with %s: got %s, want %s", c.before, c.with, got, c.after)
		}
	}
}
