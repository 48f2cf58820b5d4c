package replay

import (
	"bytes"
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// scripted is a symptom that looks as the script says, and then stays as it was last.
func scripted(what string, script ...bool) (*symptom, *atomic.Int64) {
	var looks atomic.Int64
	return &symptom{what: what, fault: true, look: func(context.Context) (string, bool) {
		n := min(int(looks.Add(1)), len(script)) - 1
		if script[n] {
			return "well", true
		}
		return "ill", false
	}}, &looks
}

func await(t *testing.T, looks *atomic.Int64, n int64) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); looks.Load() < n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d looks in 10 s, want %d", looks.Load(), n)
		}
	}
}

func TestWatchTakesTheLastRecovery(t *testing.T) {
	healed, looks := scripted("comes back once", false, true, false, true)
	never, _ := scripted("stays", true, false)
	for _, s := range []*symptom{healed, never} {
		s.observe(t.Context())
	}
	var out bytes.Buffer
	began := time.Now()
	stop := watch(t.Context(), &out, []*symptom{healed})
	await(t, looks, 6)
	stop()
	seen, since := healed.result()
	if since.Sub(began) < watchEvery || seen != "well" || healed.before != "ill" {
		t.Errorf("good since %s, seen %q, before %q", since.Sub(began), seen, healed.before)
	}
	if n := strings.Count(out.String(), "comes back once: well"); n != 2 {
		t.Errorf("said %d times that it went, want 2:\n%s", n, out.String())
	}

	never.observe(t.Context())
	if err := left([]*symptom{healed}); err != nil {
		t.Error(err)
	}
	// A fault that was gone for a while and is back has not disappeared.
	if err := left([]*symptom{healed, never}); err == nil || !strings.Contains(err.Error(), "stays (ill)") {
		t.Errorf("got %v", err)
	}
	out.Reset()
	printReplay(&out, []*symptom{healed, never}, began)
	for _, want := range []string{"✓ comes back once", "✗ stays", "never"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the table has no %q:\n%s", want, out.String())
		}
	}
}

func TestAwaitAllNamesWhatIsNot(t *testing.T) {
	bad, _ := scripted("bad", false)
	late, _ := scripted("late", false, false, true)
	if err := awaitAll(t.Context(), []*symptom{late}, true, 10*time.Second); err != nil {
		t.Error(err)
	}
	err := awaitAll(t.Context(), []*symptom{bad, late}, true, 3*watchEvery)
	if err == nil || err.Error() != "bad: ill" {
		t.Errorf("got %v", err)
	}
}
