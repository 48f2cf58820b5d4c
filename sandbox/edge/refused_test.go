package edge

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront/types"
)

// TestSettingsThatAreRefused reads settings that infra's distribution never has: all are named at once.
func TestSettingsThatAreRefused(t *testing.T) {
	d := distributionOf(&types.DistributionConfig{
		DefaultRootObject: aws.String("index.html"),
		Aliases:           &types.Aliases{Items: []string{"site.example", "*.example"}},
		Origins: &types.Origins{Items: []types.Origin{
			{Id: aws.String("a"), OriginPath: aws.String("")}, {Id: aws.String("b"), OriginPath: aws.String("/v2")},
		}},
		CustomErrorResponses: &types.CustomErrorResponses{Items: []types.CustomErrorResponse{
			{ErrorCode: aws.Int32(503), ErrorCachingMinTTL: aws.Int64(0)}, {ErrorCode: aws.Int32(500), ResponsePagePath: aws.String("/sorry.html")},
		}},
	})
	want := []string{"default root object index.html", "alias *.example", "origin b: path /v2", "error page /sorry.html for 500"}
	if !startsOf(d.Refused, want) {
		t.Errorf("%q, want %q", d.Refused, want)
	}
}

func TestBehaviorsThatAreRefused(t *testing.T) {
	// infra's: the API is not asked about policies that AWS manages.
	infra := types.CacheBehavior{
		CachePolicyId: aws.String(cachingDisabled), OriginRequestPolicyId: aws.String(allViewer),
		AllowedMethods: &types.AllowedMethods{Items: types.MethodGet.Values(), CachedMethods: &types.CachedMethods{Items: []types.Method{"GET", "HEAD"}}},
	}
	old := types.CacheBehavior{
		ForwardedValues: &types.ForwardedValues{}, MinTTL: aws.Int64(0), //nolint:staticcheck // deprecated, and refused for that
		AllowedMethods: &types.AllowedMethods{CachedMethods: &types.CachedMethods{Items: []types.Method{"GET", "HEAD", "OPTIONS"}}},
	}
	caching := infra
	caching.CachePolicyId = aws.String("own")
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/cache-policy/own") {
			t.Errorf("asked for %s", r.URL.Path)
		}
		w.Write([]byte(`<CachePolicy><Id>own</Id><CachePolicyConfig><Name>for-a-day</Name></CachePolicyConfig></CachePolicy>`))
	}))
	defer api.Close()
	for name, c := range map[string]struct {
		behavior types.CacheBehavior
		want     []string
	}{
		"infra's":         {infra, nil},
		"ForwardedValues": {old, []string{"cached method OPTIONS", "no cache policy but ForwardedValues", `origin request policy ""`}},
		"caching":         {caching, []string{"cache policy for-a-day (own)"}},
	} {
		_, refused, err := newAWSSource(api.URL).behavior(context.Background(), c.behavior)
		if err != nil || !startsOf(refused, c.want) {
			t.Errorf("%s: %q, %v, want %q", name, refused, err, c.want)
		}
	}
}

func TestResponseHeadersThatAreRefused(t *testing.T) {
	infra := &types.ResponseHeadersPolicySecurityHeadersConfig{FrameOptions: &types.ResponseHeadersPolicyFrameOptions{}}
	if found := otherHeaders(&types.ResponseHeadersPolicyConfig{SecurityHeadersConfig: infra}); len(found) > 0 {
		t.Errorf("infra's: %q", found)
	}
	found := otherHeaders(&types.ResponseHeadersPolicyConfig{
		CorsConfig:          &types.ResponseHeadersPolicyCorsConfig{AccessControlAllowOrigins: &types.ResponseHeadersPolicyAccessControlAllowOrigins{Items: []string{"*"}}},
		CustomHeadersConfig: &types.ResponseHeadersPolicyCustomHeadersConfig{Items: []types.ResponseHeadersPolicyCustomHeader{{}}},
		RemoveHeadersConfig: &types.ResponseHeadersPolicyRemoveHeadersConfig{Items: []types.ResponseHeadersPolicyRemoveHeader{{}}},
		SecurityHeadersConfig: &types.ResponseHeadersPolicySecurityHeadersConfig{
			ContentSecurityPolicy: &types.ResponseHeadersPolicyContentSecurityPolicy{}, XSSProtection: &types.ResponseHeadersPolicyXSSProtection{},
		},
	})
	if want := []string{"CORS", "custom headers", "removed headers", "content security policy", "XSS protection"}; !slices.Equal(found, want) {
		t.Errorf("%q, want %q", found, want)
	}
}

// startsOf tells whether each text starts with the wanted one of its place.
func startsOf(texts, want []string) bool {
	return slices.EqualFunc(texts, want, strings.HasPrefix)
}
