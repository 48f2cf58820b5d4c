package toolchain

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// answers stands for a network whose bytes come one by one, the given time apart, and then no more; none at all is
// silence.
type answers struct {
	ctx   context.Context
	waits []time.Duration
	ends  bool
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.ctx = r.Context()
	if len(a.waits) == 0 {
		<-a.ctx.Done()
		return nil, a.ctx.Err()
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(a), Request: r}, nil
}

func (a *answers) Read(p []byte) (int, error) {
	if len(a.waits) == 0 {
		if a.ends {
			return 0, io.EOF
		}
		<-a.ctx.Done()
		return 0, a.ctx.Err()
	}
	wait := time.After(a.waits[0])
	a.waits = a.waits[1:]
	select {
	case <-wait:
		return copy(p, "x"), nil
	case <-a.ctx.Done():
		return 0, a.ctx.Err()
	}
}

// A download may take its time, and no pause in it may.
func TestPatience(t *testing.T) {
	const s = time.Second
	for name, tt := range map[string]struct {
		answers answers
		took    time.Duration
		err     string
	}{
		"steady":    {answers{waits: []time.Duration{4 * s, 4 * s, 4 * s, 4 * s}, ends: true}, 16 * s, ""},
		"silent":    {answers{}, 5 * s, "could not be reached (nothing came for 5s)"},
		"no byte":   {answers{waits: []time.Duration{9 * s}}, 5 * s, "broke off after 0.0 MB (nothing came for 5s)"},
		"falls off": {answers{waits: []time.Duration{2 * s, 2 * s}}, 9 * s, "broke off after 0.0 MB (nothing came for 5s)"},
	} {
		t.Run(name, func(t *testing.T) {
			kept := http.DefaultTransport
			http.DefaultTransport = &tt.answers
			defer func() { http.DefaultTransport = kept }()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				var got strings.Builder
				err := fetch(t.Context(), "http://publisher/file", patience, &got)
				if took := time.Since(began); took != tt.took {
					t.Errorf("it took %s, want %s", took, tt.took)
				}
				if tt.err != "" {
					wantError(t, err, tt.err)
				} else if err != nil || got.String() != "xxxx" {
					t.Errorf("got %q, %v", &got, err)
				}
			})
		})
	}
}
