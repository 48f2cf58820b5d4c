// Package verify says whether what was deployed is what is served.
//
// It looks at three things: the ECS service runs the task definition that was asked for, which a service that was
// rolled back does not although it is steady; the distribution caches no errors; and the site answers, through the
// CDN, as it should.
package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"plan-charge/internal/redact"
	"plan-charge/internal/tasklog"
)

// Clients are what a verification talks to. Those of parts that are not verified may be nil.
type Clients struct {
	ECS        ECS
	Logs       tasklog.API
	Secrets    Secrets
	CloudFront CloudFront
	// Transport carries the requests to the site; nil is the usual one.
	Transport http.RoundTripper
}

// Run verifies and reports every request to out. The results are there after an error as well, as far as it came; the
// error says what was expected and what came, all of it.
func Run(ctx context.Context, s Settings, c Clients, out io.Writer) (Results, error) {
	return verified(ctx, s, c, out, defaultPace())
}

// Rollout follows the deployment of the wanted task definition until ECS has completed it or taken it back; it is the
// part of Run that needs no site. The error is a *RolloutError where the service runs another one.
func Rollout(ctx context.Context, s Settings, c Clients, out io.Writer) error {
	s.SiteURL, s.DistributionID = "", ""
	return run(ctx, s, c, out, defaultPace())
}

// pace is how often things are asked; tests make it fast.
type pace struct {
	service  time.Duration // between two looks at the service
	first    time.Duration // before the first repetition of a failed request; it doubles
	longest  time.Duration // between two repetitions
	patience int           // how often in a row another task definition must be seen to count
	aws      time.Duration // with an AWS service that does not answer
	// invalidation is for CloudFront to complete one, which usually takes a minute or two
	invalidation time.Duration
}

func defaultPace() pace {
	return pace{service: 3 * time.Second, first: time.Second, longest: 10 * time.Second, patience: 3, aws: time.Minute, invalidation: 15 * time.Minute}
}

func run(ctx context.Context, s Settings, c Clients, out io.Writer, p pace) error {
	_, err := verified(ctx, s, c, out, p)
	return err
}

func verified(ctx context.Context, s Settings, c Clients, out io.Writer, p pace) (Results, error) {
	hide := redact.New()
	clean := redact.NewWriter(out, hide)
	defer clean.Flush()
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("the time allowed by %s, %s, has run out", s.TimeoutKey, s.Timeout))
	defer cancel()
	v := &verification{Settings: s, Clients: c, out: clean, hide: hide, pace: p, results: Results{}}

	// What runs comes first: the site's answers mean nothing while the wrong version gives them.
	if s.Service != "" {
		if err := v.rollout(ctx); err != nil {
			v.results[ServiceResult] = "does not run " + Short(s.TaskDefinition)
			return v.results, hide.Error(err)
		}
		v.results[ServiceResult] = serves(s.TaskDefinition)
	}
	var errs []error
	if s.DistributionID != "" {
		errs = append(errs, v.distribution(ctx))
	}
	if s.SiteURL != "" {
		errs = append(errs, v.site(ctx))
	}
	return v.results, hide.Error(errors.Join(errs...))
}

type verification struct {
	Settings
	Clients
	out  io.Writer
	hide *redact.Redactor
	pace pace

	results Results
	told    map[string]string // how each request was answered the last time
}
