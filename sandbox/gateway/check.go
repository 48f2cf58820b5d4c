package gateway

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// check asks a target again and again until ctx ends.
func (b *balancer) check(ctx context.Context, t *target) {
	var successes, failures int
	var failingSince time.Time
	ever := false
	for {
		t.mu.Lock()
		g := *t.group
		t.mu.Unlock()
		interval := time.Duration(max(1, g.Interval)) * time.Second
		reason, detail := b.probe(ctx, t.key, &g)
		if ctx.Err() != nil {
			return
		}
		if reason == "" {
			successes, failures, failingSince = successes+1, 0, time.Time{}
			// The first success is enough for a new target; one that was unhealthy has to prove itself.
			if state, _, _ := t.get(); state == "initial" || successes >= max(1, g.Healthy) {
				t.set("healthy", "", "")
				ever = true
			}
		} else {
			if failingSince.IsZero() {
				failingSince = time.Now()
			}
			successes, failures = 0, failures+1
			threshold := max(1, g.Unhealthy)
			state, _, _ := t.get()
			switch {
			case state == "initial" && time.Since(failingSince) < time.Duration(threshold-1)*interval+interval/2:
				t.set("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
			case state == "initial" || failures >= threshold:
				t.set("unhealthy", reason, detail)
			}
		}
		wait := interval
		if !ever && wait > eagerProbe {
			wait = eagerProbe
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// probe makes one health check. An empty reason means success.
func (b *balancer) probe(ctx context.Context, key targetKey, g *targetGroup) (reason, detail string) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(max(1, g.Timeout))*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(as(ctx, g.groups), http.MethodGet, "http://"+key.address()+cmp.Or(g.CheckPath, "/"), nil)
	if err != nil {
		return "Target.FailedHealthChecks", "Health checks failed"
	}
	req.Header.Set("User-Agent", "ELB-HealthChecker/2.0")
	resp, err := b.targetTransport.RoundTrip(req)
	if err != nil {
		if ctx.Err() == context.DeadlineExceeded {
			return "Target.Timeout", "Request timed out"
		}
		return "Target.FailedHealthChecks", "Health checks failed"
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 1<<20)) // only the status counts
	resp.Body.Close()
	if strconv.Itoa(resp.StatusCode) != cmp.Or(g.Codes, "200") {
		return "Target.ResponseCodeMismatch", fmt.Sprintf("Health checks failed with these codes: [%d]", resp.StatusCode)
	}
	return "", ""
}
