package e2e

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"plan-charge/internal/awsquery"
	"plan-charge/test/testbed"
)

// strangers adds by hand, through the AWS API and SQL, what nobody declared.
func strangers(t *testing.T, b *box) {
	ctx, client, conn := context.Background(), awsquery.New(b.AWS()), b.Connect()
	call := func(s awsquery.Service, action string, out any, form ...string) {
		t.Helper()
		values := url.Values{}
		for _, pair := range form {
			key, value, _ := strings.Cut(pair, "=")
			values.Set(key, value)
		}
		if err := client.Call(ctx, s, action, values, out); err != nil {
			t.Fatal(err)
		}
	}
	var group struct {
		ID string `xml:"securityGroupInfo>item>groupId"`
	}
	call(awsquery.EC2, "DescribeSecurityGroups", &group, "Filter.1.Name=group-name", "Filter.1.Value.1=plan-charge-sandbox-database")
	var balancer struct {
		ARN string `xml:"DescribeLoadBalancersResult>LoadBalancers>member>LoadBalancerArn"`
	}
	call(awsquery.ELB, "DescribeLoadBalancers", &balancer, "Names.member.1=plan-charge-sandbox-alb")
	var listener struct {
		ARN string `xml:"DescribeListenersResult>Listeners>member>ListenerArn"`
	}
	call(awsquery.ELB, "DescribeListeners", &listener, "LoadBalancerArn="+balancer.ARN)

	const action = "Actions.member.1.Type=fixed-response"
	call(awsquery.EC2, "AuthorizeSecurityGroupIngress", nil, "GroupId="+group.ID, "IpPermissions.1.IpProtocol=tcp", "IpPermissions.1.FromPort=5432", "IpPermissions.1.ToPort=5432", "IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0")
	call(awsquery.IAM, "PutRolePolicy", nil, "RoleName=plan-charge-sandbox-backend-task", "PolicyName=all", `PolicyDocument={"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	call(awsquery.IAM, "AttachRolePolicy", nil, "RoleName=plan-charge-sandbox-backend-execution", "PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess")
	call(awsquery.ELB, "CreateListener", nil, "LoadBalancerArn="+balancer.ARN, "Port=8080", "Protocol=HTTP", "Default"+action, "DefaultActions.member.1.FixedResponseConfig.StatusCode=200")
	call(awsquery.ELB, "CreateRule", nil, "ListenerArn="+listener.ARN, "Priority=5", action, "Actions.member.1.FixedResponseConfig.StatusCode=200",
		"Conditions.member.1.Field=http-header", "Conditions.member.1.HttpHeaderConfig.HttpHeaderName=X-Other", "Conditions.member.1.HttpHeaderConfig.Values.member.1=1")
	for _, sql := range []string{`GRANT SELECT ON users TO PUBLIC`, `GRANT TRUNCATE ON users TO plan_charge_app`} {
		if _, err := conn.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	secret := b.Site().Output(t, "databaseUrlSecret")
	_, err := secretsmanager.NewFromConfig(b.AWS()).PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{SecretId: &secret, SecretString: aws.String("by hand")})
	if err != nil {
		t.Fatal(err)
	}

	b.wantDrift(
		"security group plan-charge-sandbox-database: ingress tcp 5432 from 0.0.0.0/0",
		"role plan-charge-sandbox-backend-task: inline policy all",
		"role plan-charge-sandbox-backend-execution: attached policy arn:aws:iam::aws:policy/AdministratorAccess",
		"load balancer plan-charge-sandbox-alb: listener HTTP 8080",
		"load balancer plan-charge-sandbox-alb: rule 5 of listener HTTP 80 (http-header X-Other)",
		"PUBLIC: SELECT on table public.users",
		"plan_charge_app: TRUNCATE on table public.users",
		"secret plan-charge-sandbox/database-url: its current value is not the one that tasks are given",
	)
	b.Must(b.Pulumi("up", "--yes", "--skip-preview"))
	b.WantNoDrift() // the secret is a warning, no drift
	var may bool
	if err := conn.QueryRow(ctx, `SELECT has_table_privilege('plan_charge_app', 'users', 'TRUNCATE') OR NOT has_table_privilege('plan_charge_app', 'users', 'SELECT')`).Scan(&may); err != nil || may {
		t.Errorf("the app's rights are not as they were: %v, %v", may, err)
	}
	var left struct {
		Ports []int `xml:"DescribeListenersResult>Listeners>member>Port"`
	}
	call(awsquery.ELB, "DescribeListeners", &left, "LoadBalancerArn="+balancer.ARN)
	if len(left.Ports) != 1 {
		t.Errorf("listeners are left on ports %v", left.Ports)
	}
	if r := b.Site().Get(t, "/health"); r.StatusCode != 200 {
		t.Errorf("the site answers %s", r.Status)
	}
	testbed.WantIn(t, b.Must(b.Pulumi("preview")).Out, "its current value is not the one that tasks are given")
}
