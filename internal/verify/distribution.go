package verify

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront/types"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/env"
	"plan-charge/internal/progress"
	"plan-charge/internal/wait"
)

// CloudFront is the part of the CloudFront client that is used.
type CloudFront interface {
	GetDistributionConfig(context.Context, *cloudfront.GetDistributionConfigInput, ...func(*cloudfront.Options)) (*cloudfront.GetDistributionConfigOutput, error)
	ListDistributions(context.Context, *cloudfront.ListDistributionsInput, ...func(*cloudfront.Options)) (*cloudfront.ListDistributionsOutput, error)
	CreateInvalidation(context.Context, *cloudfront.CreateInvalidationInput, ...func(*cloudfront.Options)) (*cloudfront.CreateInvalidationOutput, error)
	GetInvalidation(context.Context, *cloudfront.GetInvalidationInput, ...func(*cloudfront.Options)) (*cloudfront.GetInvalidationOutput, error)
}

// errorCodes are the statuses whose caching CloudFront lets one set.
var errorCodes = []int32{400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504}

// distribution reads the distribution's configuration back: requests alone cannot show that no error is ever cached.
func (v *verification) distribution(ctx context.Context) error {
	out, err := v.CloudFront.GetDistributionConfig(ctx, &cloudfront.GetDistributionConfigInput{Id: &v.DistributionID})
	if err != nil {
		return fmt.Errorf("read distribution %s: %w", v.DistributionID, wait.Cause(ctx, err))
	}
	ttl := map[int32]int64{}
	if out.DistributionConfig != nil && out.DistributionConfig.CustomErrorResponses != nil {
		for _, r := range out.DistributionConfig.CustomErrorResponses.Items {
			// Unset means CloudFront's own ten seconds.
			ttl[aws.ToInt32(r.ErrorCode)] = 10
			if r.ErrorCachingMinTTL != nil {
				ttl[aws.ToInt32(r.ErrorCode)] = *r.ErrorCachingMinTTL
			}
		}
	}
	var wrong []string
	for _, code := range errorCodes {
		if seconds, ok := ttl[code]; !ok {
			wrong = append(wrong, fmt.Sprintf("%d has no setting", code))
		} else if seconds != 0 {
			wrong = append(wrong, fmt.Sprintf("%d is cached for %d s", code, seconds))
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("distribution %s caches errors: expected a caching minimum of 0 s for all %d codes, came: %s",
			v.DistributionID, len(errorCodes), strings.Join(wrong, ", "))
	}
	fmt.Fprintf(v.out, "distribution %s keeps no errors: all %d codes are at 0 s\n", v.DistributionID, len(errorCodes))
	return nil
}

// Invalidation says what to remove from a distribution's caches.
type Invalidation struct {
	DistributionID string
	// Key makes it once: the same distribution and key are invalidated a single time, however often this is asked for.
	Key string
}

// InvalidationFromEnv reads an invalidation from INVALIDATE_… variables; the error names every mistake.
func InvalidationFromEnv(lookup func(string) (string, bool)) (Invalidation, error) {
	r := env.New(lookup)
	i := Invalidation{
		DistributionID: r.Required("INVALIDATE_DISTRIBUTION_ID", "a distribution's id", "E2QWRUHAPOMQZL"),
		Key:            r.Required("INVALIDATE_KEY", "a text that stands for the state of the distribution", "v1"),
	}
	return i, r.Err()
}

// everything is the path that an invalidation names.
const everything = "/*"

// Invalidate removes what the distribution has cached and waits until every edge has done so.
func Invalidate(ctx context.Context, i Invalidation, api CloudFront, out io.Writer) error {
	return invalidate(ctx, i, api, out, defaultPace())
}

func invalidate(ctx context.Context, i Invalidation, api CloudFront, out io.Writer, p pace) (err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, p.invalidation, fmt.Errorf("CloudFront has taken longer than %s", p.invalidation))
	defer cancel()
	// CloudFront answers a known reference with the invalidation that it already has.
	sum := sha256.Sum256([]byte(i.DistributionID + "\x00" + i.Key + "\x00" + everything))
	created, err := api.CreateInvalidation(ctx, &cloudfront.CreateInvalidationInput{
		DistributionId: &i.DistributionID,
		InvalidationBatch: &types.InvalidationBatch{
			CallerReference: aws.String(fmt.Sprintf("plan-charge-%x", sum[:16])),
			Paths:           &types.Paths{Items: []string{everything}, Quantity: aws.Int32(1)},
		},
	})
	if err != nil {
		return fmt.Errorf("invalidate distribution %s: %w", i.DistributionID, wait.Cause(ctx, err))
	}
	id, status := aws.ToString(created.Invalidation.Id), aws.ToString(created.Invalidation.Status)
	step := progress.Start(out, fmt.Sprintf("invalidation %s of %s in distribution %s", id, everything, i.DistributionID), time.Minute)
	defer func() { step.Done(err) }()
	for lastAnswer := time.Now(); status != "Completed"; {
		if err := wait.For(ctx, p.service); err != nil {
			return fmt.Errorf("invalidation %s of distribution %s is still %s: %w", id, i.DistributionID, status, err)
		}
		got, err := api.GetInvalidation(ctx, &cloudfront.GetInvalidationInput{DistributionId: &i.DistributionID, Id: &id})
		switch {
		case err == nil && got.Invalidation != nil:
			status, lastAnswer = aws.ToString(got.Invalidation.Status), time.Now()
		case err == nil:
			return errors.New("CloudFront answered without an invalidation")
		case ctx.Err() == nil && (awsclient.Permanent(err) || time.Since(lastAnswer) > p.aws):
			return fmt.Errorf("look at invalidation %s of distribution %s: %w", id, i.DistributionID, err)
		}
		step.Note(status)
	}
	return nil
}
