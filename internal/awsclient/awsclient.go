// Package awsclient makes the AWS configuration that the small commands share, and tells errors that pass
// from errors that stay.
package awsclient

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
)

// Load reads credentials, region and endpoint from the environment and shared files, as every AWS tool does.
// Throttled calls and reset connections are tried again, up to ten times.
func Load(ctx context.Context) (aws.Config, error) {
	// What the SDK logs is about attempts that it makes again; callers report what fails for good.
	quiet := config.WithLogger(logging.Nop{})
	cfg, err := config.LoadDefaultConfig(ctx, quiet, config.WithRetryer(func() aws.Retryer {
		return retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts = 10
			o.MaxBackoff = 10 * time.Second
			// The token bucket would give up early when many calls of a long outage fail in a row.
			o.RateLimiter = ratelimit.None
		})
	}))
	if err != nil {
		return cfg, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if cfg.Region == "" {
		return cfg, errors.New("no AWS region: set AWS_REGION, for example AWS_REGION=eu-west-3")
	}
	return cfg, nil
}

// Permanent reports whether an AWS call would fail the same way if it were made again: the service understood
// the request and refused it. Throttling, server faults and broken connections are not permanent.
func Permanent(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	if api.ErrorFault() == smithy.FaultServer {
		return false
	}
	for _, check := range retry.DefaultThrottles {
		if check.IsErrorThrottle(err) == aws.TrueTernary {
			return false
		}
	}
	for _, check := range retry.DefaultRetryables {
		if check.IsErrorRetryable(err) == aws.TrueTernary {
			return false
		}
	}
	return true
}
