package edge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
)

// awsSource reads the distributions from the CloudFront API.
type awsSource struct {
	api *cloudfront.Client
	// What cannot change is kept: policies that AWS manages by ID, invalidations by ID, configurations by ETag.
	cachePolicies    map[string]CachePolicy
	requestPolicies  map[string]RequestPolicy
	responsePolicies map[string]*ResponsePolicy
	paths            map[string][]string
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
		cachePolicies:    map[string]CachePolicy{},
		requestPolicies:  map[string]RequestPolicy{},
		responsePolicies: map[string]*ResponsePolicy{},
		paths:            map[string][]string{},
	}
}

// reading is one pass over the API, in which each policy is asked for once.
type reading struct {
	*awsSource
	responses map[string]*ResponsePolicy
	caches    map[string]CachePolicy
	requests  map[string]RequestPolicy
}

func (s *awsSource) Distributions(ctx context.Context) ([]Distribution, error) {
	r := &reading{s, map[string]*ResponsePolicy{}, map[string]CachePolicy{}, map[string]RequestPolicy{}}
	var all []Distribution
	pages := cloudfront.NewListDistributionsPaginator(s.api, &cloudfront.ListDistributionsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, item := range page.DistributionList.Items {
			d, err := r.distribution(ctx, item)
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

func (r *reading) distribution(ctx context.Context, item types.DistributionSummary) (Distribution, error) {
	out, err := r.api.GetDistributionConfig(ctx, &cloudfront.GetDistributionConfigInput{Id: item.Id})
	if err != nil {
		return Distribution{}, err
	}
	c := out.DistributionConfig
	d := Distribution{
		ID: aws.ToString(item.Id), Domain: aws.ToString(item.DomainName), Version: aws.ToString(out.ETag),
		Enabled: aws.ToBool(c.Enabled), Deployed: aws.ToString(item.Status) != "InProgress",
		DefaultRootObject: strings.TrimPrefix(aws.ToString(c.DefaultRootObject), "/"),
		Origins:           map[string]Origin{}, Errors: map[int]ErrorResponse{},
	}
	if c.Aliases != nil {
		d.Aliases = c.Aliases.Items
	}
	if c.Origins != nil {
		for _, o := range c.Origins.Items {
			d.Origins[aws.ToString(o.Id)] = originOf(o)
		}
	}
	if c.CacheBehaviors != nil {
		for _, b := range c.CacheBehaviors.Items {
			behavior, err := r.behavior(ctx, b)
			if err != nil {
				return d, err
			}
			d.Behaviors = append(d.Behaviors, behavior)
		}
	}
	if b := c.DefaultCacheBehavior; b != nil {
		behavior, err := r.behavior(ctx, types.CacheBehavior{
			PathPattern: aws.String("*"), TargetOriginId: b.TargetOriginId, ViewerProtocolPolicy: b.ViewerProtocolPolicy,
			AllowedMethods: b.AllowedMethods, Compress: b.Compress, CachePolicyId: b.CachePolicyId,
			OriginRequestPolicyId: b.OriginRequestPolicyId, ResponseHeadersPolicyId: b.ResponseHeadersPolicyId,
			ForwardedValues: b.ForwardedValues, MinTTL: b.MinTTL, DefaultTTL: b.DefaultTTL, MaxTTL: b.MaxTTL,
		})
		if err != nil {
			return d, err
		}
		d.Behaviors = append(d.Behaviors, behavior)
	}
	if c.CustomErrorResponses != nil {
		for _, e := range c.CustomErrorResponses.Items {
			response := ErrorResponse{MinTTL: defaultErrorTTL, Page: aws.ToString(e.ResponsePagePath)}
			if e.ErrorCachingMinTTL != nil {
				response.MinTTL = seconds(e.ErrorCachingMinTTL)
			}
			response.Code, _ = strconv.Atoi(aws.ToString(e.ResponseCode)) // absent: the origin's own
			d.Errors[int(aws.ToInt32(e.ErrorCode))] = response
		}
	}
	return d, nil
}

func originOf(o types.Origin) Origin {
	origin := Origin{
		Domain: aws.ToString(o.DomainName), Path: aws.ToString(o.OriginPath), Port: 80,
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

func (r *reading) behavior(ctx context.Context, b types.CacheBehavior) (Behavior, error) {
	out := Behavior{
		Pattern: aws.ToString(b.PathPattern), Origin: aws.ToString(b.TargetOriginId),
		Methods: []string{http.MethodGet, http.MethodHead}, ViewerProtocol: string(b.ViewerProtocolPolicy), Compress: aws.ToBool(b.Compress),
	}
	if m := b.AllowedMethods; m != nil {
		out.Methods = nil
		for _, name := range m.Items {
			out.Methods = append(out.Methods, string(name))
		}
		if m.CachedMethods != nil {
			for _, name := range m.CachedMethods.Items {
				out.CachesOptions = out.CachesOptions || name == types.MethodOptions
			}
		}
	}
	var err error
	if id := aws.ToString(b.CachePolicyId); id != "" {
		if out.Cache, err = r.cachePolicy(ctx, id); err != nil {
			return out, fmt.Errorf("cache policy %s: %w", id, err)
		}
	} else {
		out.Cache, out.Request = forwardedValues(b)
	}
	if id := aws.ToString(b.OriginRequestPolicyId); id != "" {
		if out.Request, err = r.requestPolicy(ctx, id); err != nil {
			return out, fmt.Errorf("origin request policy %s: %w", id, err)
		}
	}
	if id := aws.ToString(b.ResponseHeadersPolicyId); id != "" {
		if out.Response, err = r.responsePolicy(ctx, id); err != nil {
			return out, fmt.Errorf("response headers policy %s: %w", id, err)
		}
	}
	return out, nil
}

// forwardedValues reads the settings from before there were policies.
func forwardedValues(b types.CacheBehavior) (CachePolicy, RequestPolicy) {
	c := CachePolicy{MinTTL: seconds(b.MinTTL), DefaultTTL: 24 * time.Hour, MaxTTL: 365 * 24 * time.Hour, Gzip: aws.ToBool(b.Compress)}
	if b.DefaultTTL != nil {
		c.DefaultTTL = seconds(b.DefaultTTL)
	}
	if b.MaxTTL != nil {
		c.MaxTTL = seconds(b.MaxTTL)
	}
	// Without a policy most headers go to the origin anyhow; these go only where they are listed.
	r := RequestPolicy{Headers: Selection{All: true, Names: []string{
		"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Authorization", "Cookie", "Host", "Referer", "User-Agent"}}}
	v := b.ForwardedValues
	if v == nil {
		return c, r
	}
	if aws.ToBool(v.QueryString) {
		c.Query = Selection{All: true}
		if k := v.QueryStringCacheKeys; k != nil && len(k.Items) > 0 {
			c.Query, r.Query = Selection{Names: k.Items}, Selection{All: true}
		}
	}
	if v.Headers != nil {
		c.Headers = Selection{Names: v.Headers.Items}
		if (Selection{Names: v.Headers.Items}).includes("*", false) {
			c = CachePolicy{Query: c.Query} // all headers: nothing is cached
			r.Headers = Selection{All: true}
		}
	}
	if v.Cookies != nil {
		switch v.Cookies.Forward {
		case types.ItemSelectionAll:
			c.Cookies = Selection{All: true}
		case types.ItemSelectionWhitelist:
			if v.Cookies.WhitelistedNames != nil {
				c.Cookies = Selection{Names: v.Cookies.WhitelistedNames.Items}
			}
		}
	}
	return c, r
}

func (r *reading) cachePolicy(ctx context.Context, id string) (CachePolicy, error) {
	for _, known := range []map[string]CachePolicy{r.cachePolicies, r.caches} {
		if p, ok := known[id]; ok {
			return p, nil
		}
	}
	out, err := r.api.GetCachePolicy(ctx, &cloudfront.GetCachePolicyInput{Id: aws.String(id)})
	if err != nil {
		return CachePolicy{}, err
	}
	c := out.CachePolicy.CachePolicyConfig
	p := CachePolicy{MinTTL: seconds(c.MinTTL), DefaultTTL: 24 * time.Hour, MaxTTL: 365 * 24 * time.Hour}
	if c.DefaultTTL != nil {
		p.DefaultTTL = seconds(c.DefaultTTL)
	}
	if c.MaxTTL != nil {
		p.MaxTTL = seconds(c.MaxTTL)
	}
	if k := c.ParametersInCacheKeyAndForwardedToOrigin; k != nil {
		p.Gzip = aws.ToBool(k.EnableAcceptEncodingGzip)
		if h := k.HeadersConfig; h != nil && h.Headers != nil {
			p.Headers = Selection{Names: h.Headers.Items}
		}
		if h := k.CookiesConfig; h != nil {
			p.Cookies = selection(string(h.CookieBehavior), nil)
			if h.Cookies != nil {
				p.Cookies = selection(string(h.CookieBehavior), h.Cookies.Items)
			}
		}
		if q := k.QueryStringsConfig; q != nil {
			p.Query = selection(string(q.QueryStringBehavior), nil)
			if q.QueryStrings != nil {
				p.Query = selection(string(q.QueryStringBehavior), q.QueryStrings.Items)
			}
		}
	}
	r.caches[id] = p
	if managed(c.Name) {
		r.cachePolicies[id] = p
	}
	return p, nil
}

func (r *reading) requestPolicy(ctx context.Context, id string) (RequestPolicy, error) {
	for _, known := range []map[string]RequestPolicy{r.requestPolicies, r.requests} {
		if p, ok := known[id]; ok {
			return p, nil
		}
	}
	out, err := r.api.GetOriginRequestPolicy(ctx, &cloudfront.GetOriginRequestPolicyInput{Id: aws.String(id)})
	if err != nil {
		return RequestPolicy{}, err
	}
	c := out.OriginRequestPolicy.OriginRequestPolicyConfig
	var p RequestPolicy
	if h := c.HeadersConfig; h != nil {
		var names []string
		if h.Headers != nil {
			names = h.Headers.Items
		}
		p.Headers = selection(string(h.HeaderBehavior), names)
		if h.HeaderBehavior == types.OriginRequestPolicyHeaderBehaviorAllViewerAndWhitelistCloudFront ||
			h.HeaderBehavior == types.OriginRequestPolicyHeaderBehaviorWhitelist {
			p.Generated = names
		}
	}
	if k := c.CookiesConfig; k != nil {
		p.Cookies = selection(string(k.CookieBehavior), nil)
		if k.Cookies != nil {
			p.Cookies = selection(string(k.CookieBehavior), k.Cookies.Items)
		}
	}
	if q := c.QueryStringsConfig; q != nil {
		p.Query = selection(string(q.QueryStringBehavior), nil)
		if q.QueryStrings != nil {
			p.Query = selection(string(q.QueryStringBehavior), q.QueryStrings.Items)
		}
	}
	r.requests[id] = p
	if managed(c.Name) {
		r.requestPolicies[id] = p
	}
	return p, nil
}

func (r *reading) responsePolicy(ctx context.Context, id string) (*ResponsePolicy, error) {
	for _, known := range []map[string]*ResponsePolicy{r.responsePolicies, r.responses} {
		if p, ok := known[id]; ok {
			return p, nil
		}
	}
	out, err := r.api.GetResponseHeadersPolicy(ctx, &cloudfront.GetResponseHeadersPolicyInput{Id: aws.String(id)})
	if err != nil {
		return nil, err
	}
	c := out.ResponseHeadersPolicy.ResponseHeadersPolicyConfig
	p := responsePolicyOf(c)
	r.responses[id] = p
	if managed(c.Name) {
		r.responsePolicies[id] = p
	}
	return p, nil
}

func responsePolicyOf(c *types.ResponseHeadersPolicyConfig) *ResponsePolicy {
	p := &ResponsePolicy{}
	set := func(name, value string, override *bool) {
		p.Set = append(p.Set, HeaderField{Name: name, Value: value, Override: aws.ToBool(override)})
	}
	if c.CustomHeadersConfig != nil {
		for _, h := range c.CustomHeadersConfig.Items {
			set(aws.ToString(h.Header), aws.ToString(h.Value), h.Override)
		}
	}
	if s := c.SecurityHeadersConfig; s != nil {
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
		if h := s.ContentSecurityPolicy; h != nil {
			set("Content-Security-Policy", aws.ToString(h.ContentSecurityPolicy), h.Override)
		}
		if h := s.XSSProtection; h != nil {
			value := "0"
			if aws.ToBool(h.Protection) {
				value = "1"
				if aws.ToBool(h.ModeBlock) {
					value += "; mode=block"
				} else if uri := aws.ToString(h.ReportUri); uri != "" {
					value += "; report=" + uri
				}
			}
			set("X-XSS-Protection", value, h.Override)
		}
	}
	if c.RemoveHeadersConfig != nil {
		for _, h := range c.RemoveHeadersConfig.Items {
			p.Remove = append(p.Remove, aws.ToString(h.Header))
		}
	}
	if k := c.CorsConfig; k != nil {
		p.CORS = &CORS{
			Credentials: aws.ToBool(k.AccessControlAllowCredentials), Override: aws.ToBool(k.OriginOverride),
			MaxAge: time.Duration(aws.ToInt32(k.AccessControlMaxAgeSec)) * time.Second,
		}
		if k.AccessControlAllowOrigins != nil {
			p.CORS.Origins = k.AccessControlAllowOrigins.Items
		}
		if k.AccessControlAllowHeaders != nil {
			p.CORS.Headers = k.AccessControlAllowHeaders.Items
		}
		if k.AccessControlExposeHeaders != nil {
			p.CORS.Expose = k.AccessControlExposeHeaders.Items
		}
		if k.AccessControlAllowMethods != nil {
			for _, m := range k.AccessControlAllowMethods.Items {
				p.CORS.Methods = append(p.CORS.Methods, string(m))
			}
		}
	}
	return p
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

// selection reads the behavior values that all policies share.
func selection(behavior string, names []string) Selection {
	switch behavior {
	case "all", "allViewer", "allViewerAndWhitelistCloudFront":
		return Selection{All: true}
	case "allExcept":
		return Selection{All: true, Names: names}
	case "whitelist":
		return Selection{Names: names}
	default:
		return Selection{}
	}
}

// managed tells whether a policy is one of AWS's own, which nobody can change.
func managed(name *string) bool { return strings.HasPrefix(aws.ToString(name), "Managed-") }

func seconds(n *int64) time.Duration { return time.Duration(aws.ToInt64(n)) * time.Second }
