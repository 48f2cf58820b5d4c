package edge_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront/types"

	"plan-charge/sandbox/edge"
	"plan-charge/sandbox/emulator"
)

// startEmulator runs MiniStack for one test and returns its URL.
func startEmulator(t *testing.T) string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	venv, err := emulator.Ensure(ctx, os.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	e, err := emulator.New(emulator.Options{Venv: venv, Port: port, StateDir: t.TempDir(), DockerHost: "unix:///nowhere.sock", Region: "eu-west-3"})
	if err != nil {
		t.Fatal(err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- e.Run(ctx, func() { close(ready) }) }()
	t.Cleanup(func() { cancel(); <-ended })
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	case <-time.After(time.Minute):
		t.Fatal("the emulator does not get ready")
	}
	return e.URL()
}

// TestDistributionOfTheEmulator configures a distribution through the real API and looks at what the edge makes of it.
func TestDistributionOfTheEmulator(t *testing.T) {
	if testing.Short() {
		t.Skip("starts the emulator")
	}
	endpoint := startEmulator(t)
	o := newOrigin(t)
	api := cloudfront.New(cloudfront.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(endpoint),
		Credentials: credentials.NewStaticCredentialsProvider("test", "test", ""),
	})
	ctx := context.Background()

	policy, err := api.CreateResponseHeadersPolicy(ctx, &cloudfront.CreateResponseHeadersPolicyInput{
		ResponseHeadersPolicyConfig: &types.ResponseHeadersPolicyConfig{
			Name: aws.String("security"),
			SecurityHeadersConfig: &types.ResponseHeadersPolicySecurityHeadersConfig{
				StrictTransportSecurity: &types.ResponseHeadersPolicyStrictTransportSecurity{AccessControlMaxAgeSec: aws.Int32(63072000), IncludeSubdomains: aws.Bool(true), Override: aws.Bool(true)},
				FrameOptions:            &types.ResponseHeadersPolicyFrameOptions{FrameOption: types.FrameOptionsListDeny, Override: aws.Bool(true)},
				ContentTypeOptions:      &types.ResponseHeadersPolicyContentTypeOptions{Override: aws.Bool(true)},
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var errorResponses []types.CustomErrorResponse
	for _, code := range settable {
		errorResponses = append(errorResponses, types.CustomErrorResponse{ErrorCode: aws.Int32(int32(code)), ErrorCachingMinTTL: aws.Int64(0)})
	}
	config := &types.DistributionConfig{
		CallerReference: aws.String("test"), Comment: aws.String(""), Enabled: aws.Bool(true),
		Aliases: &types.Aliases{Quantity: aws.Int32(1), Items: []string{"site.example"}},
		Origins: &types.Origins{Quantity: aws.Int32(1), Items: []types.Origin{{
			Id: aws.String("lb"), DomainName: aws.String("localhost"), ConnectionAttempts: aws.Int32(2), ConnectionTimeout: aws.Int32(3),
			CustomHeaders: &types.CustomHeaders{Quantity: aws.Int32(1), Items: []types.OriginCustomHeader{{HeaderName: aws.String("X-Origin-Verify"), HeaderValue: aws.String("secret")}}},
			CustomOriginConfig: &types.CustomOriginConfig{
				HTTPPort: aws.Int32(int32(o.port(t))), HTTPSPort: aws.Int32(443), OriginProtocolPolicy: types.OriginProtocolPolicyHttpOnly,
				OriginReadTimeout: aws.Int32(20), OriginSslProtocols: &types.OriginSslProtocols{Quantity: aws.Int32(1), Items: []types.SslProtocol{types.SslProtocolTLSv12}},
			},
		}}},
		DefaultCacheBehavior: &types.DefaultCacheBehavior{
			TargetOriginId: aws.String("lb"), ViewerProtocolPolicy: types.ViewerProtocolPolicyRedirectToHttps, Compress: aws.Bool(true),
			AllowedMethods: &types.AllowedMethods{
				Quantity: aws.Int32(7), Items: types.MethodGet.Values(),
				CachedMethods: &types.CachedMethods{Quantity: aws.Int32(2), Items: []types.Method{types.MethodGet, types.MethodHead}},
			},
			CachePolicyId:           aws.String("4135ea2d-6df8-44a3-9df3-4b5a84be39ad"), // CachingDisabled
			OriginRequestPolicyId:   aws.String("216adef6-5c7f-47e4-b989-5492eafa07d3"), // AllViewer
			ResponseHeadersPolicyId: policy.ResponseHeadersPolicy.Id,
		},
		CacheBehaviors: &types.CacheBehaviors{Quantity: aws.Int32(1), Items: []types.CacheBehavior{{
			PathPattern: aws.String("/assets/*"), TargetOriginId: aws.String("lb"), ViewerProtocolPolicy: types.ViewerProtocolPolicyHttpsOnly,
			CachePolicyId:         aws.String("4135ea2d-6df8-44a3-9df3-4b5a84be39ad"),
			OriginRequestPolicyId: aws.String("216adef6-5c7f-47e4-b989-5492eafa07d3"),
		}}},
		CustomErrorResponses: &types.CustomErrorResponses{Quantity: aws.Int32(11), Items: errorResponses},
	}
	created, err := api.CreateDistribution(ctx, &cloudfront.CreateDistributionInput{DistributionConfig: config})
	if err != nil {
		t.Fatal(err)
	}
	id, tag := created.Distribution.Id, created.ETag

	e, err := edge.New(edge.Options{Listen: "127.0.0.1:0", AWSEndpoint: endpoint, Log: os.Stdout})
	if err != nil {
		t.Fatal(err)
	}
	running, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- e.Run(running) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	if err := e.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	s := &site{T: t, base: "http://" + e.Addr(), origin: o}
	update := func() {
		t.Helper()
		out, err := api.UpdateDistribution(ctx, &cloudfront.UpdateDistributionInput{Id: id, IfMatch: tag, DistributionConfig: config})
		if err != nil {
			t.Fatal(err)
		}
		tag = out.ETag
		if err := e.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
	}

	g := s.do("POST", "/login?x=1", "{}", "X-Custom", "1")
	r, body := o.seen()
	if g.status != 200 || r.Host != "site.example" || r.Header.Get("X-Origin-Verify") != "secret" || r.Header.Get("X-Custom") != "1" || r.URL.RawQuery != "x=1" || body != "{}" {
		t.Errorf("POST: %d, the origin got %s %s %v %s", g.status, r.Host, r.RequestURI, r.Header, body)
	}
	if g.header.Get("Strict-Transport-Security") != "max-age=63072000; includeSubDomains" || g.header.Get("X-Frame-Options") != "DENY" || g.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("response headers policy: %v", g.header)
	}
	s.get("/assets/a")
	if g := s.get("/assets/a", "Host", aws.ToString(created.Distribution.DomainName)); g.status != 200 || g.cached() {
		t.Errorf("CachingDisabled: %v", g.header)
	}
	if g := s.do("POST", "/assets/a", ""); g.status != http.StatusForbidden {
		t.Errorf("POST where only GET and HEAD are allowed: %d", g.status)
	}

	o.set(answer(500, nil, "broken"))
	s.get("/failing")
	if g := s.get("/failing"); g.status != 500 || g.cached() {
		t.Errorf("with the 11 codes at 0 the second answer is from the cache: %v", g.header)
	}
	config.CustomErrorResponses = &types.CustomErrorResponses{Quantity: aws.Int32(0)}
	update()
	s.get("/failing")
	if g := s.get("/failing"); g.status != 500 || !g.cached() {
		t.Errorf("with CloudFront's default the second answer is from the origin: %v", g.header)
	}
	o.set(answer(200, nil, "mended"))
	if _, err := api.CreateInvalidation(ctx, &cloudfront.CreateInvalidationInput{DistributionId: id, InvalidationBatch: &types.InvalidationBatch{
		CallerReference: aws.String("1"), Paths: &types.Paths{Quantity: aws.Int32(1), Items: []string{"/fail*"}},
	}}); err != nil {
		t.Fatal(err)
	}
	if g := s.get("/failing"); g.status != 200 {
		t.Errorf("right after the invalidation: %d", g.status)
	}

	assets := &config.CacheBehaviors.Items[0]
	assets.CachePolicyId = aws.String("658327ea-f89d-4fab-a63d-7e88639e58f6") // CachingOptimized
	update()
	g = s.get("/")
	for _, want := range []string{"distribution " + aws.ToString(id), "behavior /assets/*", "Managed-CachingOptimized (658327ea-f89d-4fab-a63d-7e88639e58f6)"} {
		if g.status != http.StatusNotImplemented || !strings.Contains(g.body, want) {
			t.Errorf("CachingOptimized: %d %s, want %q", g.status, g.body, want)
		}
	}
	assets.CachePolicyId = config.DefaultCacheBehavior.CachePolicyId
	update()
	if g := s.get("/"); g.status != 200 {
		t.Errorf("CachingDisabled again: %d %s", g.status, g.body)
	}

	config.Enabled = aws.Bool(false)
	update()
	if g := s.get("/"); g.status != http.StatusForbidden {
		t.Errorf("disabled: %d", g.status)
	}
	if _, err := api.DeleteDistribution(ctx, &cloudfront.DeleteDistributionInput{Id: id, IfMatch: tag}); err != nil {
		t.Fatal(err)
	}
	if err := e.Refresh(ctx); err != nil {
		t.Fatal(err)
	}
	if g := s.get("/"); g.status != http.StatusForbidden {
		t.Errorf("deleted: %d", g.status)
	}
}
