package infra

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/iam"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
)

// statement is one right in an IAM policy.
type statement struct {
	Effect    string
	Principal map[string]string            `json:",omitempty"`
	Action    []string                     `json:",omitempty"`
	Resource  []string                     `json:",omitempty"`
	Condition map[string]map[string]string `json:",omitempty"`
}

func policy(statements ...statement) string {
	text, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		panic(err) // statements are plain strings
	}
	return string(text)
}

func allow(actions []string, resources ...string) statement {
	return statement{Effect: "Allow", Action: actions, Resource: resources}
}

// newTaskRole makes a role that ECS tasks of this account can take.
func newTaskRole(ctx *pulumi.Context, name, roleName string, cluster pulumi.StringOutput, opts ...pulumi.ResourceOption) (*iam.Role, error) {
	trust := cluster.ApplyT(func(arn string) string {
		s := allow([]string{"sts:AssumeRole"})
		s.Principal = map[string]string{"Service": "ecs-tasks.amazonaws.com"}
		// Without it a task of another account could be used to borrow the role.
		if account := accountOf(arn); account != "" {
			s.Condition = map[string]map[string]string{"StringEquals": {"aws:SourceAccount": account}}
		}
		return policy(s)
	}).(pulumi.StringOutput)
	// Its rights are resources of their own, and what somebody adds to them is named one by one by the strangers.
	opts = append(opts, pulumi.IgnoreChanges([]string{"inlinePolicies", "managedPolicyArns"}))
	return iam.NewRole(ctx, name, &iam.RoleArgs{
		Name:             pulumi.String(roleName),
		AssumeRolePolicy: trust,
	}, opts...)
}

// newExecRights lets a role's tasks carry an exec agent, and do nothing else.
func newExecRights(ctx *pulumi.Context, name string, role *iam.Role, opts ...pulumi.ResourceOption) (*iam.RolePolicy, error) {
	return iam.NewRolePolicy(ctx, name, &iam.RolePolicyArgs{
		Name: pulumi.String("ecs-exec"),
		Role: role.ID(),
		Policy: pulumi.String(policy(allow([]string{
			"ssmmessages:CreateControlChannel",
			"ssmmessages:CreateDataChannel",
			"ssmmessages:OpenControlChannel",
			"ssmmessages:OpenDataChannel",
		}, "*"))),
	}, opts...)
}

// newExecutionRole makes the role with which ECS starts a task: it can read
// the given secrets, write to the given log group and pull the image, and
// nothing else. Wait for its policy before starting a task.
func newExecutionRole(ctx *pulumi.Context, name, roleName, image string, cluster, logGroup pulumi.StringOutput, secrets pulumi.StringArray, opts ...pulumi.ResourceOption) (*iam.Role, *iam.RolePolicy, error) {
	role, err := newTaskRole(ctx, name, roleName, cluster, opts...)
	if err != nil {
		return nil, nil, err
	}
	document := pulumi.All(logGroup, secrets).ApplyT(func(v []any) string {
		statements := []statement{
			allow([]string{"secretsmanager:GetSecretValue"}, v[1].([]string)...),
			allow([]string{"logs:CreateLogStream", "logs:PutLogEvents"}, strings.TrimSuffix(v[0].(string), ":*")+":*"),
		}
		return policy(append(statements, pullRights(image)...)...)
	}).(pulumi.StringOutput)
	rights, err := iam.NewRolePolicy(ctx, name+"-rights", &iam.RolePolicyArgs{
		Name:   pulumi.String("start-tasks"),
		Role:   role.ID(),
		Policy: document,
	}, opts...)
	return role, rights, err
}

var ecrImage = regexp.MustCompile(`^([0-9]{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com/([^:@]+)`)

// pullRights lets the image's own repository be read, if it is in ECR.
func pullRights(image string) []statement {
	m := ecrImage.FindStringSubmatch(image)
	if m == nil {
		return nil
	}
	return []statement{
		allow([]string{"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"},
			fmt.Sprintf("arn:aws:ecr:%s:%s:repository/%s", m[2], m[1], m[3])),
		allow([]string{"ecr:GetAuthorizationToken"}, "*"), // takes no resource
	}
}

// accountOf reads the account out of an ARN.
func accountOf(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	return parts[4]
}
