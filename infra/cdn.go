package infra

import (
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudfront"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
)

// Policies that AWS manages.
const (
	cachingDisabled = "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"
	allViewer       = "216adef6-5c7f-47e4-b989-5492eafa07d3"
)

// ErrorCodes are all the statuses whose caching CloudFront lets us set. What
// is not set is cached for ten seconds, whatever the origin or the cache
// policy says.
var ErrorCodes = []int{400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504}

// CDNArgs are the inputs of a CDN.
type CDNArgs struct {
	Names    config.Names
	Settings config.CDN
	Balancer *Balancer
}

// CDN is the distribution in front of the load balancer. It caches nothing,
// errors included.
type CDN struct {
	pulumi.ResourceState

	ID      pulumi.StringOutput
	Domain  pulumi.StringOutput
	ZoneID  pulumi.StringOutput // of the domain, for alias records
	SiteURL pulumi.StringOutput
	Version pulumi.StringOutput // changes with the distribution's configuration

	distribution *cloudfront.Distribution
}

// Ready is the distribution, deployed to all edges.
func (c *CDN) Ready() []pulumi.CustomResource { return []pulumi.CustomResource{c.distribution} }

// Site is what the site can be found by before its distribution is made: its address, or the distribution's comment.
func Site(names config.Names, settings config.CDN) string {
	if settings.Alias != "" {
		return "https://" + settings.Alias
	}
	return distributionComment(names)
}

func distributionComment(names config.Names) string { return names.Name("site") }

// NewCDN declares the distribution.
func NewCDN(ctx *pulumi.Context, name string, args *CDNArgs, opts ...pulumi.ResourceOption) (*CDN, error) {
	c := &CDN{}
	if err := ctx.RegisterComponentResource("plan-charge:infra:CDN", name, c, opts...); err != nil {
		return nil, err
	}
	names, settings := args.Names, args.Settings

	headers, err := cloudfront.NewResponseHeadersPolicy(ctx, name+"-headers", &cloudfront.ResponseHeadersPolicyArgs{
		Name:    pulumi.String(names.Name("security-headers")),
		Comment: pulumi.String("Security headers on every response"),
		SecurityHeadersConfig: &cloudfront.ResponseHeadersPolicySecurityHeadersConfigArgs{
			StrictTransportSecurity: &cloudfront.ResponseHeadersPolicySecurityHeadersConfigStrictTransportSecurityArgs{
				AccessControlMaxAgeSec: pulumi.Int(31536000),
				IncludeSubdomains:      pulumi.Bool(true),
				Preload:                pulumi.Bool(false),
				Override:               pulumi.Bool(true),
			},
			ContentTypeOptions: &cloudfront.ResponseHeadersPolicySecurityHeadersConfigContentTypeOptionsArgs{Override: pulumi.Bool(true)},
			FrameOptions: &cloudfront.ResponseHeadersPolicySecurityHeadersConfigFrameOptionsArgs{
				FrameOption: pulumi.String("DENY"),
				Override:    pulumi.Bool(true),
			},
			ReferrerPolicy: &cloudfront.ResponseHeadersPolicySecurityHeadersConfigReferrerPolicyArgs{
				ReferrerPolicy: pulumi.String("strict-origin-when-cross-origin"),
				Override:       pulumi.Bool(true),
			},
		},
	}, pulumi.Parent(c))
	if err != nil {
		return nil, err
	}

	var aliases pulumi.StringArray
	// The default certificate is for the distribution's own domain; with it
	// CloudFront sets the lowest TLS version itself.
	viewer := &cloudfront.DistributionViewerCertificateArgs{CloudfrontDefaultCertificate: pulumi.Bool(true)}
	if settings.Alias != "" {
		aliases = pulumi.StringArray{pulumi.String(settings.Alias)}
		viewer = &cloudfront.DistributionViewerCertificateArgs{
			AcmCertificateArn:      pulumi.String(settings.CertificateARN),
			MinimumProtocolVersion: pulumi.String("TLSv1.2_2021"),
			SslSupportMethod:       pulumi.String("sni-only"),
		}
	}
	protocol := "http-only"
	if args.Balancer.Encrypted {
		protocol = "https-only"
	}
	var errors cloudfront.DistributionCustomErrorResponseArray
	for _, code := range ErrorCodes {
		errors = append(errors, &cloudfront.DistributionCustomErrorResponseArgs{
			ErrorCode:          pulumi.Int(code),
			ErrorCachingMinTtl: pulumi.Int(0),
		})
	}
	every := pulumi.ToStringArray([]string{"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
	cached := pulumi.ToStringArray([]string{"GET", "HEAD"})
	const origin = "backend"

	distribution, err := cloudfront.NewDistribution(ctx, name+"-distribution", &cloudfront.DistributionArgs{
		Enabled:       pulumi.Bool(true),
		Comment:       pulumi.String(distributionComment(names)),
		Aliases:       aliases,
		HttpVersion:   pulumi.String("http2and3"),
		IsIpv6Enabled: pulumi.Bool(true),
		PriceClass:    pulumi.String(settings.PriceClass),
		Origins: cloudfront.DistributionOriginArray{
			&cloudfront.DistributionOriginArgs{
				OriginId:   pulumi.String(origin),
				DomainName: args.Balancer.DNSName,
				CustomHeaders: cloudfront.DistributionOriginCustomHeaderArray{
					&cloudfront.DistributionOriginCustomHeaderArgs{Name: pulumi.String(OriginHeader), Value: args.Balancer.OriginSecret},
				},
				CustomOriginConfig: &cloudfront.DistributionOriginCustomOriginConfigArgs{
					HttpPort:             pulumi.Int(80),
					HttpsPort:            pulumi.Int(443),
					OriginProtocolPolicy: pulumi.String(protocol),
					OriginSslProtocols:   pulumi.ToStringArray([]string{"TLSv1.2"}),
				},
			},
		},
		DefaultCacheBehavior: &cloudfront.DistributionDefaultCacheBehaviorArgs{
			TargetOriginId:          pulumi.String(origin),
			ViewerProtocolPolicy:    pulumi.String("redirect-to-https"),
			AllowedMethods:          every,
			CachedMethods:           cached,
			Compress:                pulumi.Bool(true),
			CachePolicyId:           pulumi.String(cachingDisabled),
			OriginRequestPolicyId:   pulumi.String(allViewer),
			ResponseHeadersPolicyId: headers.ID(),
		},
		OrderedCacheBehaviors: cloudfront.DistributionOrderedCacheBehaviorArray{
			&cloudfront.DistributionOrderedCacheBehaviorArgs{
				PathPattern:    pulumi.String("/api/*"),
				TargetOriginId: pulumi.String(origin),
				// A redirected POST loses its body: refuse plain HTTP instead.
				ViewerProtocolPolicy:    pulumi.String("https-only"),
				AllowedMethods:          every,
				CachedMethods:           cached,
				Compress:                pulumi.Bool(true),
				CachePolicyId:           pulumi.String(cachingDisabled),
				OriginRequestPolicyId:   pulumi.String(allViewer),
				ResponseHeadersPolicyId: headers.ID(),
			},
		},
		CustomErrorResponses: errors,
		Restrictions: &cloudfront.DistributionRestrictionsArgs{
			GeoRestriction: &cloudfront.DistributionRestrictionsGeoRestrictionArgs{RestrictionType: pulumi.String("none")},
		},
		ViewerCertificate: viewer,
	}, pulumi.Parent(c), pulumi.AdditionalSecretOutputs([]string{"origins"}))
	if err != nil {
		return nil, err
	}

	c.distribution = distribution
	c.ID = distribution.ID().ToStringOutput()
	c.Domain, c.ZoneID = distribution.DomainName, distribution.HostedZoneId
	c.Version = distribution.Etag
	c.SiteURL = pulumi.Sprintf("https://%s", c.Domain)
	if settings.Alias != "" {
		c.SiteURL = pulumi.String("https://" + settings.Alias).ToStringOutput()
	}
	return c, ctx.RegisterResourceOutputs(c, pulumi.Map{"siteUrl": c.SiteURL})
}
