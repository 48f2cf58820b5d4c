package verify

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/smithy-go"

	"plan-charge/internal/testkit"
)

var errFailed = errors.New("exited with code 1")

func aftermath(c *cdn) Aftermath {
	return Aftermath{Failed: "the migration", Next: "`pulumi up`", Cluster: "cluster", Service: "backend", Site: site, HealthPath: "/health", ConnectTo: c.URL}
}

func TestLastWords(t *testing.T) {
	refused := &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no right"}
	for name, tc := range map[string]struct {
		set  func(*Aftermath, *account)
		want []string
	}{
		"the old version serves": {func(*Aftermath, *account) {}, []string{
			"exited with code 1\n\n  failed   the migration\n  serves   backend:1, image backend:1.0.0: 2 of 2 tasks run\n",
			"  site     https://site.example answers GET /health with 200\n  next     `pulumi up`",
		}},
		"by its distribution": {func(a *Aftermath, _ *account) { a.Site = "prod-site" }, []string{"site     https://site.example answers"}},
		"no distribution yet": {func(a *Aftermath, _ *account) { a.Site = "none" }, []string{"site     not asked: there is no distribution none"}},
		"nobody answers": {func(a *Aftermath, _ *account) { a.ConnectTo = "http://127.0.0.1:1" }, []string{
			"site     https://site.example does not answer GET /health: connection refused",
		}},
		"answers otherwise": {func(a *Aftermath, _ *account) { a.HealthPath = "/nowhere" }, []string{"answers GET /nowhere with 404"}},
		"no service yet":    {func(_ *Aftermath, a *account) { a.states = nil }, []string{"serves   nothing yet, there is no service backend"}},
		"no right to see":   {func(_ *Aftermath, a *account) { a.errs = []error{refused} }, []string{"serves   not seen: AccessDeniedException: no right", "answers GET /health with 200"}},
	} {
		t.Run(name, func(t *testing.T) {
			a := &account{states: []types.Service{running(oldDefinition, 2, 2)}}
			words := aftermath(newCDN(t))
			tc.set(&words, a)
			err := words.WithLastWords(context.Background(), a.clients(), errFailed)
			if !errors.Is(err, errFailed) {
				t.Errorf("the cause is lost: %v", err)
			}
			testkit.Contains(t, "error", err.Error(), tc.want...)
		})
	}
	if err := aftermath(newCDN(t)).WithLastWords(context.Background(), Clients{}, nil); err != nil {
		t.Error(err)
	}
	err := Aftermath{Site: "prod-site", Failed: "x"}.WithLastWords(context.Background(), Clients{}, errFailed)
	testkit.Contains(t, "without AWS", err.Error(), "serves   not seen: AWS is not reached", "site     not asked: AWS is not reached")
}

// A deployment that was cancelled is spoken of as well, and a site that hangs holds up nobody for long.
func TestLastWordsAreBounded(t *testing.T) {
	c := newCDN(t)
	c.mu.Lock()
	release := time.AfterFunc(20*time.Second, c.mu.Unlock)
	defer func() {
		if release.Stop() {
			c.mu.Unlock()
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	began := time.Now()
	text := aftermath(c).look(ctx, (&account{states: []types.Service{running(oldDefinition, 2, 2)}}).clients(), 200*time.Millisecond)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	testkit.Contains(t, "last words", text, "2 of 2 tasks run", "does not answer GET /health: nothing in time")
}
