package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
)

// The policies that a behavior must have: what others do is not emulated.
const (
	cachingDisabled = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
	allViewer       = "216adef6-5c7f-47e4-b989-5492eafa07d3"
)

// awsSource reads the distributions from the CloudFront API.
type awsSource struct {
	api   *cloudfront.Client
	paths map[string][]string // of invalidations by distribution and ID: they cannot change
}

func newAWSSource(endpoint string) *awsSource {
	return &awsSource{
		api: cloudfront.New(cloudfront.Options{
			Region:       "us-east-1",
			BaseEndpoint: aws.String(endpoint),
			Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
			HTTPClient:   &http.Client{Timeout: 3 * time.Second},
			Retryer:      aws.NopRetryer{}, // the next refresh is the retry
			AppID:        "plan-charge-edge",
		}),
		paths: map[string][]string{},
	}
}

func (s *awsSource) Distributions(ctx context.Context) ([]Distribution, error) {
	var all []Distribution
	pages := cloudfront.NewListDistributionsPaginator(s.api, &cloudfront.ListDistributionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, item := range page.DistributionList.Items {
			d, err := s.distribution(ctx, item)
			var gone *types.NoSuchDistribution
			if errors.As(err, &gone) { // deleted between the two calls
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("distribution %s: %w", aws.ToString(item.Id), err)
			}
			all = append(all, d)
		}
	}
	return all, nil
}

func (s *awsSource) distribution(ctx context.Context, item types.DistributionSummary) (Distribution, error) {
	out, err := s.api.GetDistributionConfig(ctx, &cloudfront.GetDistributionConfigInput{Id: item.Id})
	if err != nil {
		return Distribution{}, err
	}
	d := distributionOf(out.DistributionConfig)
	d.ID, d.Domain, d.Version = aws.ToString(item.Id), aws.ToString(item.DomainName), aws.ToString(out.ETag)
	d.Deployed = aws.ToString(item.Status) != "InProgress"
	for _, b := range behaviorsOf(out.DistributionConfig) {
		behavior, refused, err := s.behavior(ctx, b)
		if err != nil {
			return d, fmt.Errorf("behavior %s: %w", behavior.Pattern, err)
		}
		d.Behaviors = append(d.Behaviors, behavior)
		for _, setting := range refused {
			d.Refused = append(d.Refused, fmt.Sprintf("behavior %s: %s", behavior.Pattern, setting))
		}
	}
	return d, nil
}

// distributionOf reads what is not part of a behavior.
func distributionOf(c *types.DistributionConfig) Distribution {
	d := Distribution{Enabled: aws.ToBool(c.Enabled), Origins: map[string]Origin{}, ErrorMinTTL: map[int]time.Duration{}}
	refuse := func(format string, args ...any) { d.Refused = append(d.Refused, fmt.Sprintf(format, args...)) }
	if root := aws.ToString(c.DefaultRootObject); root != "" {
		refuse("default root object %s; allowed: none", root)
	}
	if c.Aliases != nil {
		d.Aliases = c.Aliases.Items
	}
	for _, alias := range d.Aliases {
		if strings.Contains(alias, "*") {
			refuse("alias %s; allowed: names without *", alias)
		}
	}
	if c.Origins != nil {
		for _, o := range c.Origins.Items {
			d.Origins[aws.ToString(o.Id)] = originOf(o)
			if path := aws.ToString(o.OriginPath); path != "" {
				refuse("origin %s: path %s; allowed: none", aws.ToString(o.Id), path)
			}
		}
	}
	if c.CustomErrorResponses != nil {
		for _, e := range c.CustomErrorResponses.Items {
			code := int(aws.ToInt32(e.ErrorCode))
			if e.ErrorCachingMinTTL != nil {
				d.ErrorMinTTL[code] = time.Duration(*e.ErrorCachingMinTTL) * time.Second
			}
			if page := aws.ToString(e.ResponsePagePath); page != "" {
				refuse("error page %s for %d; allowed: none", page, code)
			}
		}
	}
	return d
}

func originOf(o types.Origin) Origin {
	origin := Origin{
		Domain: aws.ToString(o.DomainName), Port: 80,
		ConnectTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, Attempts: 3,
	}
	if aws.ToInt32(o.ConnectionTimeout) > 0 {
		origin.ConnectTimeout = time.Duration(*o.ConnectionTimeout) * time.Second
	}
	if aws.ToInt32(o.ConnectionAttempts) > 0 {
		origin.Attempts = int(*o.ConnectionAttempts)
	}
	if o.CustomHeaders != nil {
		for _, h := range o.CustomHeaders.Items {
			origin.Header = append(origin.Header, HeaderField{Name: aws.ToString(h.HeaderName), Value: aws.ToString(h.HeaderValue), Override: true})
		}
	}
	if c := o.CustomOriginConfig; c != nil {
		// match-viewer means HTTPS here, as every viewer counts as one that used it.
		port := c.HTTPSPort
		if c.OriginProtocolPolicy == types.OriginProtocolPolicyHttpOnly {
			port = c.HTTPPort
		}
		if port != nil {
			origin.Port = int(*port)
		}
		if aws.ToInt32(c.OriginReadTimeout) > 0 {
			origin.ReadTimeout = time.Duration(*c.OriginReadTimeout) * time.Second
		}
	}
	return origin
}

// behaviorsOf returns the behaviors in order, the default one last.
func behaviorsOf(c *types.DistributionConfig) []types.CacheBehavior {
	var all []types.CacheBehavior
	if c.CacheBehaviors != nil {
		all = slices.Clone(c.CacheBehaviors.Items)
	}
	if b := c.DefaultCacheBehavior; b != nil {
		all = append(all, types.CacheBehavior{
			PathPattern: aws.String("*"), TargetOriginId: b.TargetOriginId, ViewerProtocolPolicy: b.ViewerProtocolPolicy,
			AllowedMethods: b.AllowedMethods, CachePolicyId: b.CachePolicyId,
			OriginRequestPolicyId: b.OriginRequestPolicyId, ResponseHeadersPolicyId: b.ResponseHeadersPolicyId,
		})
	}
	return all
}

// behavior reads one behavior; refused are its settings that the edge does not emulate.
func (s *awsSource) behavior(ctx context.Context, b types.CacheBehavior) (out Behavior, refused []string, err error) {
	out = Behavior{
		Pattern: aws.ToString(b.PathPattern), Origin: aws.ToString(b.TargetOriginId),
		Methods: []string{http.MethodGet, http.MethodHead}, ViewerProtocol: string(b.ViewerProtocolPolicy),
	}
	if m := b.AllowedMethods; m != nil {
		out.Methods = nil
		for _, name := range m.Items {
			out.Methods = append(out.Methods, string(name))
		}
		if m.CachedMethods != nil && slices.Contains(m.CachedMethods.Items, types.MethodOptions) {
			refused = append(refused, "cached method OPTIONS; allowed: GET, HEAD")
		}
	}
	if id := aws.ToString(b.CachePolicyId); id != cachingDisabled {
		name, err := s.cachePolicyName(ctx, id)
		if err != nil {
			return out, nil, fmt.Errorf("cache policy %s: %w", id, err)
		}
		refused = append(refused, fmt.Sprintf("%s, and objects are never cached here; allowed: Managed-CachingDisabled (%s)", name, cachingDisabled))
	}
	if id := aws.ToString(b.OriginRequestPolicyId); id != allViewer {
		refused = append(refused, fmt.Sprintf("origin request policy %q; allowed: Managed-AllViewer (%s)", id, allViewer))
	}
	if id := aws.ToString(b.ResponseHeadersPolicyId); id != "" {
		policy, err := s.api.GetResponseHeadersPolicy(ctx, &cloudfront.GetResponseHeadersPolicyInput{Id: aws.String(id)})
		if err != nil {
			return out, nil, fmt.Errorf("response headers policy %s: %w", id, err)
		}
		c := policy.ResponseHeadersPolicy.ResponseHeadersPolicyConfig
		out.Header = securityHeaders(c.SecurityHeadersConfig)
		for _, setting := range otherHeaders(c) {
			refused = append(refused, fmt.Sprintf("response headers policy %s: %s; allowed: HSTS, content type options, frame options, referrer policy",
				aws.ToString(c.Name), setting))
		}
	}
	return out, refused, nil
}

// cachePolicyName says what decides about caching, for people.
func (s *awsSource) cachePolicyName(ctx context.Context, id string) (string, error) {
	if id == "" {
		return "no cache policy but ForwardedValues", nil
	}
	out, err := s.api.GetCachePolicy(ctx, &cloudfront.GetCachePolicyInput{Id: aws.String(id)})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("cache policy %s (%s)", aws.ToString(out.CachePolicy.CachePolicyConfig.Name), id), nil
}

// securityHeaders are the headers that a response headers policy sets.
func securityHeaders(s *types.ResponseHeadersPolicySecurityHeadersConfig) []HeaderField {
	if s == nil {
		return nil
	}
	var all []HeaderField
	set := func(name, value string, override *bool) {
		all = append(all, HeaderField{Name: name, Value: value, Override: aws.ToBool(override)})
	}
	if h := s.StrictTransportSecurity; h != nil {
		value := fmt.Sprintf("max-age=%d", aws.ToInt32(h.AccessControlMaxAgeSec))
		if aws.ToBool(h.IncludeSubdomains) {
			value += "; includeSubDomains"
		}
		if aws.ToBool(h.Preload) {
			value += "; preload"
		}
		set("Strict-Transport-Security", value, h.Override)
	}
	if h := s.ContentTypeOptions; h != nil {
		set("X-Content-Type-Options", "nosniff", h.Override)
	}
	if h := s.FrameOptions; h != nil {
		set("X-Frame-Options", string(h.FrameOption), h.Override)
	}
	if h := s.ReferrerPolicy; h != nil {
		set("Referrer-Policy", string(h.ReferrerPolicy), h.Override)
	}
	return all
}

// otherHeaders names what else a response headers policy does.
func otherHeaders(c *types.ResponseHeadersPolicyConfig) []string {
	var found []string
	if k := c.CorsConfig; k != nil && k.AccessControlAllowOrigins != nil && len(k.AccessControlAllowOrigins.Items) > 0 {
		found = append(found, "CORS")
	}
	if h := c.CustomHeadersConfig; h != nil && len(h.Items) > 0 {
		found = append(found, "custom headers")
	}
	if h := c.RemoveHeadersConfig; h != nil && len(h.Items) > 0 {
		found = append(found, "removed headers")
	}
	if s := c.SecurityHeadersConfig; s != nil && s.ContentSecurityPolicy != nil {
		found = append(found, "content security policy")
	}
	if s := c.SecurityHeadersConfig; s != nil && s.XSSProtection != nil {
		found = append(found, "XSS protection")
	}
	return found
}

func (s *awsSource) Invalidations(ctx context.Context, distributionID string) ([]Invalidation, error) {
	var all []Invalidation
	pages := cloudfront.NewListInvalidationsPaginator(s.api, &cloudfront.ListInvalidationsInput{DistributionId: aws.String(distributionID)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, item := range page.InvalidationList.Items {
			id := aws.ToString(item.Id)
			paths, known := s.paths[distributionID+" "+id]
			if !known {
				out, err := s.api.GetInvalidation(ctx, &cloudfront.GetInvalidationInput{DistributionId: aws.String(distributionID), Id: item.Id})
				if err != nil {
					return nil, err
				}
				if batch := out.Invalidation.InvalidationBatch; batch != nil && batch.Paths != nil {
					paths = batch.Paths.Items
				}
				s.paths[distributionID+" "+id] = paths
			}
			all = append(all, Invalidation{ID: id, Paths: paths})
		}
	}
	return all, nil
}
