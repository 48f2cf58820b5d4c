package testbed

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"plan-charge/sandbox/report"
)

const (
	// rate is how often the client outside asks.
	rate = 100 * time.Millisecond
	// GapAllowed is the longest time without a good answer that a loaded machine is granted.
	GapAllowed = 5 * time.Second
)

// Viewer is a client of the site that asks all the time, as users do, and remembers what it was told.
type Viewer struct {
	site   *report.Status
	client http.Client
	end    chan struct{}
	asking sync.WaitGroup

	mu       sync.Mutex
	statuses map[string]int // by request and status
	bad      []string       // the first answers that no user should get
	badCount int
	good     time.Time // when the last good answer came
	gap      time.Duration
	versions []string // in the order in which they first answered
	latest   string
}

// Watch starts a viewer of a site.
func Watch(site *report.Status) *Viewer {
	v := &Viewer{
		site: site, end: make(chan struct{}), statuses: map[string]int{}, good: time.Now(),
		client: http.Client{Timeout: 20 * time.Second},
	}
	v.asking.Go(func() {
		tick := time.NewTicker(rate)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-v.end:
				return
			case <-tick.C:
			}
			// Each request has its own goroutine: a slow one must not hide what the next would have met.
			if i%2 == 0 {
				v.asking.Go(func() { v.ask(http.MethodGet, "/health", "", 200) })
			} else {
				v.asking.Go(func() { v.ask(http.MethodPost, report.LoginPath, report.StructuredLogin, 400) })
			}
		}
	})
	return v
}

func (v *Viewer) ask(method, path, body string, want int) {
	began := time.Now()
	req, err := v.site.Request(context.Background(), method, path, body)
	if err != nil {
		panic(err) // the URL is a constant but for the edge's address
	}
	resp, err := v.client.Do(req)
	status, version := "no answer", ""
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		status, version = fmt.Sprint(resp.StatusCode), resp.Header.Get("X-Served-By")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.statuses[method+" "+status]++
	if version != "" {
		v.latest = version
		if !slices.Contains(v.versions, version) {
			v.versions = append(v.versions, version)
		}
	}
	if status != fmt.Sprint(want) {
		if v.badCount++; v.badCount <= 5 {
			v.bad = append(v.bad, fmt.Sprintf("%s %s %s: %s after %s %v", began.Format("15:04:05.0"), method, path, status, time.Since(began).Round(time.Millisecond), err))
		}
		return
	}
	v.gap = max(v.gap, time.Since(v.good))
	v.good = time.Now()
}

// Stop waits for what was asked.
func (v *Viewer) Stop() {
	close(v.end)
	v.asking.Wait()
	v.gap = max(v.gap, time.Since(v.good))
}

// Last is the version that answered last.
func (v *Viewer) Last() string { return v.latest }

// Ever tells whether a version answered.
func (v *Viewer) Ever(version string) bool { return slices.Contains(v.versions, version) }

// Versions are those that answered, in the order in which they first did.
func (v *Viewer) Versions() []string { return v.versions }

// Wrong counts the answers that no user should get, also while the viewer asks.
func (v *Viewer) Wrong() (wrong, asked int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, n := range v.statuses {
		asked += n
	}
	return v.badCount, asked
}

// WantUndisturbed fails the test for every user who was told anything but what was asked for.
func (v *Viewer) WantUndisturbed(t testing.TB, gap time.Duration) {
	t.Helper()
	if v.badCount > 0 {
		t.Errorf("the client outside got %d wrong answers, such as:\n%s", v.badCount, strings.Join(v.bad, "\n"))
	}
	if v.gap > gap {
		t.Errorf("the site was away for %s, allowed are %s", v.gap, gap)
	}
	if v.Ever("") || len(v.statuses) == 0 {
		t.Error("the client outside asked nothing")
	}
}

// Row is the log in cells: requests, statuses, longest gap, versions.
func (v *Viewer) Row() []string {
	var parts []string
	total := 0
	for what, n := range v.statuses {
		total += n
		parts = append(parts, fmt.Sprintf("%s: %d", what, n))
	}
	slices.Sort(parts)
	return []string{fmt.Sprint(total), strings.Join(parts, ", "), fmt.Sprintf("%d ms", v.gap.Milliseconds()), strings.Join(v.versions, ", ")}
}
