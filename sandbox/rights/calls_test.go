package rights

import (
	"context"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// cloud has a tagged VPC, and a task definition with two roles.
var cloud = Cloud{
	Region: "r", Account: "1", UserID: "u",
	Tags: func(_ context.Context, id string) map[string]string {
		if id == "vpc-1" {
			return map[string]string{"Project": "p", "Stack": "s", "Name": "n"}
		}
		return nil
	},
	Roles: func(context.Context, string) []string {
		return []string{"arn:aws:iam::1:role/a", "arn:aws:iam::1:role/b"}
	},
}

func TestNeeds(t *testing.T) {
	const listener = "arn:aws:elasticloadbalancing:r:1:listener/app/lb/1/2"
	tags := map[string]string{"Project": "p", "Stack": "s"}
	for _, tc := range []struct {
		call string // service, action and parameters
		tags map[string]string
		want []string
	}{
		{"rds DescribeDBInstances", nil, []string{"rds:DescribeDBInstances arn:aws:rds:r:1:db:*"}},
		{"rds ModifyDBInstance DBInstanceIdentifier=one", nil, []string{"rds:ModifyDBInstance arn:aws:rds:r:1:db:one"}},
		{"rds ModifyDBInstance DBInstanceIdentifier=one&DBParameterGroupName=pg", nil, []string{"rds:ModifyDBInstance arn:aws:rds:r:1:db:one", "rds:ModifyDBInstance arn:aws:rds:r:1:pg:pg"}},
		{"rds CreateDBParameterGroup DBParameterGroupName=pg", tags, []string{"rds:CreateDBParameterGroup arn:aws:rds:r:1:pg:pg", "rds:AddTagsToResource arn:aws:rds:r:1:pg:pg"}},
		{"rds ListTagsForResource ResourceName=arn:aws:rds:r:1:db:one", nil, []string{"rds:ListTagsForResource arn:aws:rds:r:1:db:one"}},
		{"monitoring DescribeAlarms AlarmNames=a&AlarmNames=b", nil, []string{"cloudwatch:DescribeAlarms arn:aws:cloudwatch:r:1:alarm:a", "cloudwatch:DescribeAlarms arn:aws:cloudwatch:r:1:alarm:b"}},
		{"ec2 DescribeAnythingAtAll", nil, []string{"ec2:DescribeAnythingAtAll *"}},
		{"ec2 CreateVpc", tags, []string{
			"ec2:CreateVpc arn:aws:ec2:r:1:vpc/* aws:RequestTag/Project=p aws:RequestTag/Stack=s",
			"ec2:CreateTags arn:aws:ec2:r:1:vpc/* aws:RequestTag/Project=p aws:RequestTag/Stack=s ec2:CreateAction=CreateVpc",
		}},
		{"ec2 DeleteVpc VpcId=vpc-1", nil, []string{"ec2:DeleteVpc arn:aws:ec2:r:1:vpc/vpc-1 aws:ResourceTag/Project=p aws:ResourceTag/Stack=s"}},
		{"ec2 DeleteVpc VpcId=vpc-2", nil, []string{"ec2:DeleteVpc arn:aws:ec2:r:1:vpc/vpc-2"}},
		{"ec2 CreateTags ResourceId=vpc-1&ResourceId=igw-1", nil, []string{
			"ec2:CreateTags arn:aws:ec2:r:1:vpc/vpc-1 aws:ResourceTag/Project=p aws:ResourceTag/Stack=s", "ec2:CreateTags arn:aws:ec2:r:1:internet-gateway/igw-1",
		}},
		{"iam GetRole RoleName=a", nil, []string{"iam:GetRole arn:aws:iam::1:role/a"}},
		{"ecs DescribeServices cluster=arn:aws:ecs:r:1:cluster/c&services=s", nil, []string{"ecs:DescribeServices arn:aws:ecs:r:1:service/c/s"}},
		{"ecs DescribeTasks cluster=c&tasks=arn:aws:ecs:r:1:task/c/t", nil, []string{"ecs:DescribeTasks arn:aws:ecs:r:1:task/c/t"}},
		{"ecs ListTasks cluster=c", nil, []string{"ecs:ListTasks * ecs:cluster=arn:aws:ecs:r:1:cluster/c"}},
		{"ecs RunTask cluster=c&taskDefinition=t&propagateTags=TASK_DEFINITION", nil, []string{
			"ecs:RunTask arn:aws:ecs:r:1:task-definition/t:* ecs:cluster=arn:aws:ecs:r:1:cluster/c",
			"ecs:TagResource arn:aws:ecs:r:1:task/c/* ecs:CreateAction=RunTask",
			"iam:PassRole arn:aws:iam::1:role/a iam:PassedToService=ecs-tasks.amazonaws.com",
			"iam:PassRole arn:aws:iam::1:role/b iam:PassedToService=ecs-tasks.amazonaws.com",
		}},
		{"ecs RegisterTaskDefinition family=f&executionRoleArn=arn:aws:iam::1:role/e", nil, []string{
			"ecs:RegisterTaskDefinition *", "iam:PassRole arn:aws:iam::1:role/e iam:PassedToService=ecs-tasks.amazonaws.com",
		}},
		{"ssm StartSession Target=ecs:my_cluster_task_runtime&DocumentName=d", nil, []string{
			"ssm:StartSession arn:aws:ecs:r:1:task/my_cluster/task", "ssm:StartSession arn:aws:ssm:r::document/d",
			"ssmmessages:OpenDataChannel arn:aws:ssm:r:1:session/u-*",
			"ssm:ResumeSession arn:aws:ssm:r:1:session/u-*", "ssm:TerminateSession arn:aws:ssm:r:1:session/u-*",
		}},
		{"ssm TerminateSession SessionId=x-1", nil, []string{"ssm:TerminateSession arn:aws:ssm:r:1:session/x-1"}},
		{"secretsmanager GetSecretValue SecretId=a/b", nil, []string{"secretsmanager:GetSecretValue arn:aws:secretsmanager:r:1:secret:a/b-*"}},
		{"secretsmanager GetSecretValue SecretId=arn:aws:secretsmanager:r:1:secret:a/b-XyZ", nil, []string{"secretsmanager:GetSecretValue arn:aws:secretsmanager:r:1:secret:a/b-XyZ"}},
		{"elasticloadbalancing CreateRule ListenerArn=" + listener, tags, []string{
			"elasticloadbalancing:CreateRule " + listener,
			"elasticloadbalancing:AddTags arn:aws:elasticloadbalancing:r:1:listener-rule/app/lb/1/2/* elasticloadbalancing:CreateAction=CreateRule",
		}},
		{"cloudfront GET|/2020-05-31/distribution/E1/config", nil, []string{"cloudfront:GetDistributionConfig arn:aws:cloudfront::1:distribution/*"}},
		{"cloudfront POST|/2020-05-31/tagging Operation=Tag&Resource=arn:aws:cloudfront::1:distribution/E1", nil, []string{"cloudfront:TagResource arn:aws:cloudfront::1:distribution/E1"}},
		{"sns GetTopicAttributes TopicArn=arn:aws:sns:r:1:alarms", nil, []string{"sns:GetTopicAttributes arn:aws:sns:r:1:alarms"}},
		{"sts GetCallerIdentity", nil, nil},
	} {
		needs, known := needs(t, tc.call, tc.tags)
		var got []string
		for _, n := range needs {
			got = append(got, n.String())
		}
		if !known || !slices.Equal(got, tc.want) {
			t.Errorf("%s (known: %v)\ngot  %q\nwant %q", tc.call, known, got, tc.want)
		}
	}
}

func needs(t *testing.T, text string, tags map[string]string) ([]Request, bool) {
	t.Helper()
	words := strings.Split(text, " ")
	values := url.Values{}
	if len(words) > 2 {
		var err error
		if values, err = url.ParseQuery(words[2]); err != nil {
			t.Fatal(err)
		}
	}
	call := Call{Service: words[0], Action: strings.Replace(words[1], "|", " ", 1), Value: func(name string) []string { return values[name] }, Tags: tags}
	return Needs(t.Context(), call, cloud)
}

// A call that nobody knows must not pass for one that needs nothing.
func TestACallThatNobodyKnows(t *testing.T) {
	for _, call := range []string{"rds DeleteEverything", "s3 GET|/bucket/key", "kms Decrypt", "cloudfront DELETE|/2020-05-31/cache-policy/x", "ecs DescribeCapacityProviders"} {
		if got, known := needs(t, call, nil); known || got != nil {
			t.Errorf("%s needs %v, known: %v", call, got, known)
		}
	}
}

// What is written wrong in the table would allow or refuse something else than is meant.
func TestTheTableIsWellFormed(t *testing.T) {
	right := regexp.MustCompile(`^([a-z0-9-]+:[A-Z][A-Za-z]+ )?\S+( (new|own|tagged|creating|cluster))*$`)
	for call, entry := range table {
		if service, action, ok := strings.Cut(call, " "); !ok || service == "" || action == "" {
			t.Errorf("%q is no call", call)
		}
		for one := range strings.SplitSeq(entry, " | ") {
			if entry != "" && !right.MatchString(one) {
				t.Errorf("%s: %q is no right", call, one)
			}
		}
	}
}

func TestGeneral(t *testing.T) {
	stack := Stack{Region: "eu-west-3", Account: "000000000000", Project: "plan-charge", Stack: "sandbox"}
	for right, want := range map[string]string{
		"ec2:DeleteVpc arn:aws:ec2:eu-west-3:000000000000:vpc/vpc-1 aws:ResourceTag/Project=plan-charge aws:ResourceTag/Stack=sandbox":                                                    "ec2:DeleteVpc arn:aws:ec2:REGION:ACCOUNT:vpc/* aws:ResourceTag/Project=PROJECT aws:ResourceTag/Stack=STACK",
		"ec2:CreateTags arn:aws:ec2:eu-west-3:000000000000:vpc/* ec2:CreateAction=CreateVpc":                                                                                              "ec2:CreateTags arn:aws:ec2:REGION:ACCOUNT:vpc/* ec2:CreateAction=*",
		"rds:CreateDBSnapshot arn:aws:rds:eu-west-3:000000000000:snapshot:plan-charge-sandbox-db-final-1a2b":                                                                              "rds:CreateDBSnapshot arn:aws:rds:REGION:ACCOUNT:snapshot:PROJECT-STACK-*",
		"secretsmanager:DescribeSecret arn:aws:secretsmanager:eu-west-3:000000000000:secret:plan-charge-sandbox/database-url-AbCdEf":                                                      "secretsmanager:DescribeSecret arn:aws:secretsmanager:REGION:ACCOUNT:secret:PROJECT-STACK/*",
		"ecs:RunTask arn:aws:ecs:eu-west-3:000000000000:task-definition/plan-charge-sandbox-access:12 ecs:cluster=arn:aws:ecs:eu-west-3:000000000000:cluster/plan-charge-sandbox-cluster": "ecs:RunTask arn:aws:ecs:REGION:ACCOUNT:task-definition/PROJECT-STACK-access:* ecs:cluster=arn:aws:ecs:REGION:ACCOUNT:cluster/PROJECT-STACK-cluster",
		"iam:PassRole arn:aws:iam::000000000000:role/plan-charge-sandbox-access-task iam:PassedToService=ecs-tasks.amazonaws.com":                                                         "iam:PassRole arn:aws:iam::ACCOUNT:role/PROJECT-STACK-access-task iam:PassedToService=ecs-tasks.amazonaws.com",
		"iam:GetRole arn:aws:iam::000000000000:role/plan-charge-sandbox-access-task":                                                                                                      "iam:GetRole arn:aws:iam::ACCOUNT:role/PROJECT-STACK-*",
		"ssm:ResumeSession arn:aws:ssm:eu-west-3:000000000000:session/sandbox-abc":                                                                                                        "ssm:ResumeSession arn:aws:ssm:REGION:ACCOUNT:session/${aws:userid}-*",
		"rds:DescribeDBInstances arn:aws:rds:eu-west-3:000000000000:db:db-70EDEB14E095418A8816":                                                                                           "rds:DescribeDBInstances arn:aws:rds:REGION:ACCOUNT:db:*",
		"logs:DescribeLogGroups arn:aws:logs:eu-west-3:000000000000:log-group:*":                                                                                                          "logs:DescribeLogGroups arn:aws:logs:REGION:ACCOUNT:log-group:*",
	} {
		if got := stack.General(right); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if got := ParseRequest(want).String(); got != want {
			t.Errorf("read and written again: got %s, want %s", got, want)
		}
	}
	if got := stack.Fill("arn:aws:rds:REGION:ACCOUNT:db:PROJECT-STACK-*"); got != "arn:aws:rds:eu-west-3:000000000000:db:plan-charge-sandbox-*" {
		t.Error(got)
	}
}
