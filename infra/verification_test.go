package infra_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/infra"
	"plan-charge/internal/awsclient"
	"plan-charge/internal/probe"
	"plan-charge/internal/testkit"
	"plan-charge/internal/verify"
)

func TestVerification(t *testing.T) {
	args := &infra.VerificationArgs{
		SiteURL: pulumi.String("https://site.example"), Cluster: pulumi.String("cluster"), Service: pulumi.String("service"),
		TaskDefinition: pulumi.String("arn:aws:ecs:eu-west-3:1:task-definition/backend:3"), DistributionID: pulumi.String("E1"),
		DistributionVersion: pulumi.String("etag-1"), HealthPath: "/health", LoginPath: "/api/login",
		Checks: []probe.Check{{Method: "GET", Path: "/api/v1/ping", Status: probe.Code(204)}}, Timeout: time.Minute,
		AWS: awsclient.Settings{Region: "eu-west-3", Role: "arn:aws:iam::123456789012:role/deployer"},
	}
	declare := func(ctx *pulumi.Context) error {
		_, err := infra.NewVerification(ctx, "verification", args)
		return err
	}
	e, err := testkit.Run(testkit.Stack{Project: "plan-charge", Name: "test"}, declare)
	if err != nil {
		t.Fatal(err)
	}
	checks := maps.Clone(e["verification-checks"].Inputs)
	var list []probe.Check
	if err := json.Unmarshal([]byte(checks["checks"].(string)), &list); err != nil || len(list) != 6 || list[5].Path != "/api/v1/ping" {
		t.Errorf("checks: %+v, %v", list, err)
	}
	delete(checks, "checks")
	want := map[string]any{
		"siteUrl": "https://site.example", "cluster": "cluster", "service": "service", "taskDefinition": "arn:aws:ecs:eu-west-3:1:task-definition/backend:3",
		"distributionId": "E1", "distributionVersion": "etag-1", "timeout": "1m0s", "timeoutKey": "verification.timeout",
		"region": "eu-west-3", "role": "arn:aws:iam::123456789012:role/deployer",
	}
	if !reflect.DeepEqual(checks, want) {
		t.Errorf("inputs: %v, want %v", checks, want)
	}
	invalidation := e["verification-invalidation"].Inputs
	i, err := verify.InvalidationFromEnv(e["verification-invalidation"].Variables())
	if err != nil || i.DistributionID != "E1" || i.Key != "etag-1" || fmt.Sprint(invalidation["triggers"]) != "[E1 etag-1]" {
		t.Errorf("invalidation: %+v, %v, %v", i, err, invalidation)
	}

	is(t, e["verification-invalidation"], "eu-west-3", "environment", "AWS_REGION")
	is(t, e["verification-invalidation"], "arn:aws:iam::123456789012:role/deployer", "environment", "PLAN_CHARGE_AWS_ROLE")

	// Another version leaves the list as it is.
	args.Version = "1.4.2"
	if e, err = testkit.Run(testkit.Stack{Project: "plan-charge", Name: "test"}, declare); err != nil {
		t.Fatal(err)
	}
	is(t, e["verification-checks"], "1.4.2", "appVersion")
	if list := e["verification-checks"].Get("checks").(string); !strings.Contains(list, `"version":"{version}"`) || strings.Contains(list, "1.4.2") {
		t.Errorf("checks: %s", list)
	}

	args.Checks[0].Path = "ping"
	if _, err := testkit.Run(testkit.Stack{Project: "plan-charge", Name: "test"}, declare); !strings.Contains(fmt.Sprint(err), `path: found "ping"`) {
		t.Errorf("got %v", err)
	}
}
