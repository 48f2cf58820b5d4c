package e2e

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

func runTaskInput(cluster, definition string, command []string, network *ecstypes.NetworkConfiguration) *ecs.RunTaskInput {
	return &ecs.RunTaskInput{
		Cluster: &cluster, TaskDefinition: &definition, LaunchType: ecstypes.LaunchTypeFargate, NetworkConfiguration: network,
		Overrides: &ecstypes.TaskOverride{ContainerOverrides: []ecstypes.ContainerOverride{{Name: aws.String("backend"), Command: command}}},
	}
}

// leftovers counts what belongs to the project and can still be seen through the API.
func leftovers(t *testing.T, ctx context.Context, cfg aws.Config) map[string]int {
	t.Helper()
	left := map[string]int{}
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	left["networks"] = countNetworks(t, ctx, cfg)
	clusters, err := ecs.NewFromConfig(cfg).DescribeClusters(ctx, &ecs.DescribeClustersInput{Clusters: []string{"plan-charge-sandbox-cluster", "plan-charge-second-cluster"}})
	check(err)
	for _, c := range clusters.Clusters {
		if aws.ToString(c.Status) == "ACTIVE" {
			left["clusters"]++
		}
	}
	balancers, err := elasticloadbalancingv2.NewFromConfig(cfg).DescribeLoadBalancers(ctx, &elasticloadbalancingv2.DescribeLoadBalancersInput{})
	check(err)
	left["load balancers"] = len(balancers.LoadBalancers)
	distributions, err := cloudfront.NewFromConfig(cfg).ListDistributions(ctx, &cloudfront.ListDistributionsInput{})
	check(err)
	left["distributions"] = len(distributions.DistributionList.Items)
	secrets, err := secretsmanager.NewFromConfig(cfg).ListSecrets(ctx, &secretsmanager.ListSecretsInput{})
	check(err)
	left["secrets"] = len(secrets.SecretList)
	groups, err := cloudwatchlogs.NewFromConfig(cfg).DescribeLogGroups(ctx, &cloudwatchlogs.DescribeLogGroupsInput{LogGroupNamePrefix: aws.String("/plan-charge")})
	check(err)
	left["log groups"] = len(groups.LogGroups)
	return left
}

// countNetworks asks without the EC2 client, which takes minutes to compile.
func countNetworks(t *testing.T, ctx context.Context, cfg aws.Config) int {
	t.Helper()
	form := url.Values{"Action": {"DescribeVpcs"}, "Version": {"2016-11-15"}, "Filter.1.Name": {"tag:Project"}, "Filter.1.Value.1": {"plan-charge"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, *cfg.BaseEndpoint, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-3/ec2/aws4_request, SignedHeaders=host, Signature=0")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("DescribeVpcs: %s %s %v", resp.Status, body, err)
	}
	return strings.Count(string(body), "<vpcId>")
}
