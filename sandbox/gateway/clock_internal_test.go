package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestACallSignedByAnotherClockIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name  string
		ahead time.Duration
		code  string
	}{
		{"right", 0, ""},
		{"four minutes ahead", 4 * time.Minute, ""},
		{"four minutes behind", -4 * time.Minute, ""},
		{"ten minutes ahead", 10 * time.Minute, "InvalidSignatureException"},
		{"ten minutes behind", -10 * time.Minute, "InvalidSignatureException"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			emulator := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
			defer emulator.Close()
			g, err := New(Options{Listen: "127.0.0.1:0", Upstream: emulator.URL, Dir: t.TempDir(), Region: "eu-west-3"})
			if err != nil {
				t.Fatal(err)
			}
			defer g.listener.Close()
			if err := g.Inject(Fault{Kind: FaultClock, Ahead: int(tc.ahead / time.Second)}); err != nil {
				t.Fatal(err)
			}
			for range 2 { // it stays
				r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader("{}"))
				r.Header.Set("X-Amz-Target", "AmazonEC2ContainerServiceV20141113.ListTaskDefinitionFamilies")
				r.Header.Set("X-Amz-Date", time.Now().UTC().Format("20060102T150405Z"))
				w := httptest.NewRecorder()
				g.ServeHTTP(w, r)
				if got := w.Header().Get("X-Amzn-Errortype"); got != tc.code {
					t.Errorf("error %q, want %q", got, tc.code)
				}
				date, err := http.ParseTime(w.Header().Get("Date"))
				if tc.ahead != 0 && (err != nil || (time.Until(date)-tc.ahead).Abs() > 5*time.Second) {
					t.Errorf("dated %s (%v), want %s from now", date, err, tc.ahead)
				}
			}
		})
	}
}
