package infra_test

import (
	"fmt"
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
	checks := e["verification-checks"].Inputs
	s, err := verify.FromEnv(e["verification-checks"].Variables())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Checks) != 6 || s.Checks[5].Path != "/api/v1/ping" || s.TaskDefinition == "" || s.DistributionID != "E1" || s.Timeout != time.Minute {
		t.Errorf("settings: %+v", s)
	}
	list := checks["environment"].(map[string]any)["VERIFY_CHECKS"]
	triggers := []any{"https://site.example", "service", "arn:aws:ecs:eu-west-3:1:task-definition/backend:3", "E1", "etag-1", list}
	if !reflect.DeepEqual(checks["triggers"], triggers) {
		t.Errorf("triggers: %v, want %v", checks["triggers"], triggers)
	}
	invalidation := e["verification-invalidation"].Inputs
	i, err := verify.InvalidationFromEnv(e["verification-invalidation"].Variables())
	if err != nil || i.DistributionID != "E1" || i.Key != "etag-1" || fmt.Sprint(invalidation["triggers"]) != "[E1 etag-1]" {
		t.Errorf("invalidation: %+v, %v, %v", i, err, invalidation)
	}

	for _, name := range []string{"verification-checks", "verification-invalidation"} {
		is(t, e[name], "eu-west-3", "environment", "AWS_REGION")
		is(t, e[name], "arn:aws:iam::123456789012:role/deployer", "environment", "PLAN_CHARGE_AWS_ROLE")
	}

	args.Checks[0].Path = "ping"
	if _, err := testkit.Run(testkit.Stack{Project: "plan-charge", Name: "test"}, declare); !strings.Contains(fmt.Sprint(err), `path: found "ping"`) {
		t.Errorf("got %v", err)
	}
}
