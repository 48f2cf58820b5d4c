package toolchain

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestCutProvider cuts a small provider of the same shape: two services are asked for, one of which needs a third.
func TestCutProvider(t *testing.T) {
	src, dst := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"go.mod":                        "module " + awsModule + "\n",
		"go.sum":                        "",
		"main.go":                       "package main\n",
		"names/names.go":                "package names\n",
		"names/generate/main.go":        "package main\n",
		"version/version.go":            "package version\n",
		"xpprovider/x.go":               "package xpprovider\n",
		"internal/acctest/acctest.go":   "package acctest\n",
		"internal/tags/tags.go":         "package tags\n",
		"internal/tags/tags_test.go":    "package tags\n",
		"internal/tags/testdata/x.json": "{}",
		"internal/conns/conns.go":       "package conns\n\nfunc use(c *AWSClient) { c.S3Client() }\n",
		"internal/conns/awsclient_gen.go": `// Code generated.
package conns

import (
	ec2_sdkv2 "sdk/ec2"
	autoscaling_sdkv2 "sdk/autoscaling"
	applicationautoscaling_sdkv2 "sdk/applicationautoscaling"
	s3_sdkv2 "sdk/s3"
	sqs_sdkv2 "sdk/sqs"
)

func (c *AWSClient) AppAutoScalingClient() *applicationautoscaling_sdkv2.Client { return nil }

func (c *AWSClient) AutoScalingClient() *autoscaling_sdkv2.Client { return nil }

// EC2Client is used by the service.
func (c *AWSClient) EC2Client() *ec2_sdkv2.Client { return nil }

func (c *AWSClient) S3Client() *s3_sdkv2.Client { return nil }

func (c *AWSClient) SQSClient() *sqs_sdkv2.Client { return nil }
`,
		"internal/provider/service_packages_gen.go": `package provider

import (
	"context"
	"slices"

	"` + servicePath + `appautoscaling"
	"` + servicePath + `ec2"
	"` + servicePath + `organizations"
	"` + servicePath + `sqs"
)

func servicePackages(ctx context.Context) []conns.ServicePackage {
	v := []conns.ServicePackage{
		appautoscaling.ServicePackage(ctx),
		ec2.ServicePackage(ctx),
		organizations.ServicePackage(ctx),
		sqs.ServicePackage(ctx),
	}

	return slices.Clone(v)
}
`,
		"internal/service/ec2/ec2.go":                     "package ec2\n\nimport _ \"" + servicePath + "organizations\"\n\nfunc f(m any) { m.(*AWSClient).EC2Client() }\n",
		"internal/service/appautoscaling/a.go":            "package appautoscaling\n\nfunc f(c *AWSClient) { c.AppAutoScalingClient() }\n",
		"internal/service/organizations/organizations.go": "package organizations\n",
		"internal/service/sqs/sqs.go":                     "package sqs\n\nfunc f(c *AWSClient) { c.SQSClient() }\n",
	} {
		path := filepath.Join(src, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := cutProvider(src, dst, []string{"appautoscaling", "ec2"}); err != nil {
		t.Fatal(err)
	}

	var got []string
	if err := fs.WalkDir(os.DirFS(dst), ".", func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			got = append(got, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"go.mod", "go.sum", "internal/conns/awsclient_gen.go", "internal/conns/conns.go", "internal/provider/service_packages_gen.go",
		"internal/service/appautoscaling/a.go", "internal/service/ec2/ec2.go", "internal/service/organizations/organizations.go",
		"internal/tags/tags.go", "names/names.go", "version/version.go", "xpprovider/x.go",
	}
	if !slices.Equal(got, want) {
		t.Errorf("files:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	holds(t, dst, "internal/conns/awsclient_gen.go",
		[]string{"AppAutoScalingClient", "EC2Client", "S3Client", "applicationautoscaling_sdkv2 \"", "s3_sdkv2 \""},
		[]string{") AutoScalingClient", "\tautoscaling_sdkv2", "sqs", "SQS"})
	holds(t, dst, "internal/provider/service_packages_gen.go",
		[]string{"appautoscaling.ServicePackage", "ec2.ServicePackage", "slices.Clone", "\"slices\"", "\"context\""},
		[]string{"sqs", "organizations"}) // needed by ec2, but its resources are not served

	if err := cutProvider(src, t.TempDir(), []string{"nosuch"}); err == nil || !strings.Contains(err.Error(), "nosuch") {
		t.Errorf("unknown service: got %v", err)
	}
}

func holds(t *testing.T, dir, name string, with, without []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range with {
		if !strings.Contains(string(text), s) {
			t.Errorf("%s lacks %q:\n%s", name, s, text)
		}
	}
	for _, s := range without {
		if strings.Contains(string(text), s) {
			t.Errorf("%s still has %q:\n%s", name, s, text)
		}
	}
}
