package testbed

import (
	"testing"
	"time"
)

func TestSilence(t *testing.T) {
	var s silence
	say := func(text string) { s.Write([]byte(text)) }
	say("building\n")
	s.last = time.Time{}
	say(" ~  aws:ecs:Service service-service updating (0s)\n")
	if s.last.IsZero() || s.longest != 0 {
		t.Fatalf("the first resource does not begin it: %+v", s)
	}
	s.last = s.last.Add(-20 * time.Second)
	say("@ updating....")
	say("..\n")
	if s.longest != 0 {
		t.Errorf("dots are taken for words: %s", s.longest)
	}
	say(" ~  aws:ecs:Service service-service updated\n")
	if s.longest < 20*time.Second {
		t.Errorf("silence of 20 s is measured as %s", s.longest)
	}
}
