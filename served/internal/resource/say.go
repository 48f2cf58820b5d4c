package resource

import (
	"context"
	"fmt"
	"strings"
	"time"

	p "github.com/pulumi/pulumi-go-provider"

	"plan-charge/internal/awsclient"
)

// progressLog shows each line that is written to it while an update runs.
type progressLog struct{ show func(string) }

// newProgressLog sends lines to the engine, which shows them beside the resource and does not repeat them at the end.
func newProgressLog(ctx context.Context) progressLog { return progressLog{p.GetLogger(ctx).InfoStatus} }

// Write takes whole lines.
func (l progressLog) Write(text []byte) (int, error) {
	for line := range strings.Lines(string(text)) {
		l.show(strings.TrimSuffix(line, "\n"))
	}
	return len(text), nil
}

// timeoutOf reads a timeout, which has to be above zero.
func timeoutOf(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("found %q; allowed: a duration above zero; for example 5m", text)
	}
	return d, nil
}

// refuse is a mistake in one input.
func refuse(key, format string, args ...any) p.CheckFailure {
	return p.CheckFailure{Property: key, Reason: fmt.Sprintf(format, args...)}
}

func settingsOf(region, profile, role *string) awsclient.Settings {
	return awsclient.Settings{Region: text(region), Profile: text(profile), Role: text(role)}
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
