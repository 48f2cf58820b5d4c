package rights

import (
	"context"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Call is a call of AWS, as far as rights go by it.
type Call struct {
	Service string // signing name
	Action  string // of REST services the method and path
	// Value are the values of a parameter: one, a list's, or none. Parameters of a query are parameters.
	Value func(name string) []string
	// Tags are those that the call sets.
	Tags map[string]string
}

// Cloud is what has to be known of an account to tell what a call needs.
type Cloud struct {
	Region, Account string
	// UserID is the caller's, with which the ids of their sessions begin.
	UserID string
	// Tags are those of something in EC2, by its id.
	Tags func(ctx context.Context, id string) map[string]string
	// Roles are those of a task definition.
	Roles func(ctx context.Context, definition string) []string
}

// Condition keys.
const (
	requestTag   = "aws:RequestTag/"
	resourceTag  = "aws:ResourceTag/"
	ecsCluster   = "ecs:cluster"
	passedTo     = "iam:PassedToService"
	ecsCreating  = "ecs:CreateAction"
	elbCreating  = "elasticloadbalancing:CreateAction"
	ec2Creating  = "ec2:CreateAction"
	containers   = "ecs-tasks.amazonaws.com"
	linkedRole   = "iam:CreateServiceLinkedRole"
	signedAsSelf = "sts GetCallerIdentity" // needs no right, and no policy can take it away
)

// owning are the tags by which it is told whose something is: the program sets them on all that can carry them.
var owning = []string{"Project", "Stack"}

// table says which rights a call needs, separated by |: an action where it is another than the call's own, a resource
// without the beginning of its ARN (* where the action takes none), and flags:
//
//	new      the tags that the call sets are in the request (aws:RequestTag)
//	own      the tags of the resource count (aws:ResourceTag)
//	tagged   only for a call that sets tags
//	creating the right to tag something while it is made (…:CreateAction)
//	cluster  the cluster counts (ecs:cluster)
//
// In a resource {x} is a parameter, and * where the call has none; {x?} lets the right go with it. An ARN stays as it is.
// {x>kind} is what is made under the load balancer or listener x, or the task that x leads into. Some rights are in no
// call's name: those for what AWS does on the caller's behalf, such as passing a role, and those that a session takes once it broke.
var table = map[string]string{
	"application-autoscaling DeleteScalingPolicy":       "* | cloudwatch:DeleteAlarms alarm:TargetTracking-{ResourceId}-*",
	"application-autoscaling DeregisterScalableTarget":  "* | cloudwatch:DeleteAlarms alarm:TargetTracking-{ResourceId}-*",
	"application-autoscaling DescribeScalableTargets":   "*",
	"application-autoscaling DescribeScalingPolicies":   "*",
	"application-autoscaling ListTagsForResource":       "{ResourceARN}",
	"application-autoscaling PutScalingPolicy":          "* | cloudwatch:PutMetricAlarm alarm:TargetTracking-{ResourceId}-*",
	"application-autoscaling RegisterScalableTarget":    "* | application-autoscaling:TagResource scalable-target/* tagged | " + linkedRole + " role/aws-service-role/ecs.application-autoscaling.amazonaws.com/AWSServiceRoleForApplicationAutoScaling_ECSService",
	"application-autoscaling TagResource":               "{ResourceARN}",
	"application-autoscaling UntagResource":             "{ResourceARN}",
	"cloudfront DELETE distribution/*":                  "cloudfront:DeleteDistribution distribution/*",
	"cloudfront DELETE response-headers-policy/*":       "cloudfront:DeleteResponseHeadersPolicy response-headers-policy/*",
	"cloudfront GET distribution":                       "cloudfront:ListDistributions *",
	"cloudfront GET distribution/*":                     "cloudfront:GetDistribution distribution/*",
	"cloudfront GET distribution/*/config":              "cloudfront:GetDistributionConfig distribution/*",
	"cloudfront GET distribution/*/invalidation":        "cloudfront:ListInvalidations distribution/*",
	"cloudfront GET distribution/*/invalidation/*":      "cloudfront:GetInvalidation distribution/*",
	"cloudfront GET response-headers-policy/*":          "cloudfront:GetResponseHeadersPolicy response-headers-policy/*",
	"cloudfront GET tagging":                            "cloudfront:ListTagsForResource {Resource}",
	"cloudfront POST distribution":                      "cloudfront:CreateDistribution distribution/* | cloudfront:TagResource distribution/*",
	"cloudfront POST distribution/*/invalidation":       "cloudfront:CreateInvalidation distribution/*",
	"cloudfront POST response-headers-policy":           "cloudfront:CreateResponseHeadersPolicy response-headers-policy/*",
	"cloudfront POST tagging Tag":                       "cloudfront:TagResource {Resource}",
	"cloudfront POST tagging Untag":                     "cloudfront:UntagResource {Resource}",
	"cloudfront PUT distribution/*/config":              "cloudfront:UpdateDistribution distribution/*",
	"cloudfront PUT response-headers-policy/*":          "cloudfront:UpdateResponseHeadersPolicy response-headers-policy/*",
	"ec2 AllocateAddress":                               "elastic-ip/* new | ec2:CreateTags elastic-ip/* creating",
	"ec2 AssociateRouteTable":                           "route-table/{RouteTableId} own | subnet/{SubnetId} own",
	"ec2 AttachInternetGateway":                         "internet-gateway/{InternetGatewayId} own | vpc/{VpcId} own",
	"ec2 AuthorizeSecurityGroupEgress":                  "security-group/{GroupId} own",
	"ec2 AuthorizeSecurityGroupIngress":                 "security-group/{GroupId} own",
	"ec2 CreateInternetGateway":                         "internet-gateway/* new | ec2:CreateTags internet-gateway/* creating",
	"ec2 CreateNatGateway":                              "natgateway/* new | elastic-ip/{AllocationId} own | subnet/{SubnetId} own | ec2:CreateTags natgateway/* creating",
	"ec2 CreateRoute":                                   "route-table/{RouteTableId} own",
	"ec2 CreateRouteTable":                              "route-table/* new | vpc/{VpcId} own | ec2:CreateTags route-table/* creating",
	"ec2 CreateSecurityGroup":                           "security-group/* new | vpc/{VpcId} | ec2:CreateTags security-group/* creating",
	"ec2 CreateSubnet":                                  "subnet/* new | vpc/{VpcId} own | ec2:CreateTags subnet/* creating",
	"ec2 CreateTags":                                    "{ResourceId} own",
	"ec2 CreateVpc":                                     "vpc/* new | ec2:CreateTags vpc/* creating",
	"ec2 DeleteInternetGateway":                         "internet-gateway/{InternetGatewayId} own",
	"ec2 DeleteNatGateway":                              "natgateway/{NatGatewayId} own",
	"ec2 DeleteRoute":                                   "route-table/{RouteTableId} own",
	"ec2 DeleteRouteTable":                              "route-table/{RouteTableId} own",
	"ec2 DeleteSecurityGroup":                           "security-group/{GroupId} own",
	"ec2 DeleteSubnet":                                  "subnet/{SubnetId} own",
	"ec2 DeleteTags":                                    "{ResourceId} own",
	"ec2 DeleteVpc":                                     "vpc/{VpcId} own",
	"ec2 Describe*":                                     "*",
	"ec2 DetachInternetGateway":                         "internet-gateway/{InternetGatewayId} own | vpc/{VpcId} own",
	"ec2 DisassociateRouteTable":                        "route-table/{AssociationId} own",
	"ec2 GetManagedPrefixListEntries":                   "*",
	"ec2 ModifySubnetAttribute":                         "subnet/{SubnetId} own",
	"ec2 ModifyVpcAttribute":                            "vpc/{VpcId} own",
	"ec2 ReleaseAddress":                                "elastic-ip/{AllocationId} own",
	"ec2 ReplaceRoute":                                  "route-table/{RouteTableId} own",
	"ec2 RevokeSecurityGroupEgress":                     "security-group/{GroupId} own",
	"ec2 RevokeSecurityGroupIngress":                    "security-group/{GroupId} own",
	"ecs CreateCluster":                                 "* new | ecs:TagResource cluster/{clusterName} tagged creating | " + linkedRole + " role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS",
	"ecs CreateService":                                 "service/{cluster}/{serviceName} | ecs:TagResource service/{cluster}/{serviceName} tagged creating",
	"ecs DeleteCluster":                                 "cluster/{cluster}",
	"ecs DeleteService":                                 "service/{cluster}/{service}",
	"ecs DeregisterTaskDefinition":                      "*",
	"ecs DescribeClusters":                              "cluster/{clusters}",
	"ecs DescribeServices":                              "service/{cluster}/{services}",
	"ecs DescribeTaskDefinition":                        "*",
	"ecs DescribeTasks":                                 "task/{cluster}/{tasks}",
	"ecs ListTagsForResource":                           "{resourceArn}",
	"ecs ListTasks":                                     "* cluster",
	"ecs PutClusterCapacityProviders":                   "cluster/{cluster}",
	"ecs RegisterTaskDefinition":                        "* new | ecs:TagResource task-definition/{family}:* tagged creating | iam:PassRole {executionRoleArn?} | iam:PassRole {taskRoleArn?}",
	"ecs RunTask":                                       "task-definition/{taskDefinition} cluster | ecs:TagResource task/{cluster}/* tagged creating",
	"ecs StopTask":                                      "task/{cluster}/{task}",
	"ecs TagResource":                                   "{resourceArn}",
	"ecs UntagResource":                                 "{resourceArn}",
	"ecs UpdateCluster":                                 "cluster/{cluster}",
	"ecs UpdateService":                                 "service/{cluster}/{service}",
	"elasticloadbalancing AddTags":                      "{ResourceArns}",
	"elasticloadbalancing CreateListener":               "{LoadBalancerArn} | elasticloadbalancing:AddTags {LoadBalancerArn>listener} tagged creating",
	"elasticloadbalancing CreateLoadBalancer":           "loadbalancer/app/{Name}/* | elasticloadbalancing:AddTags loadbalancer/app/{Name}/* tagged creating | ec2:DescribeAccountAttributes * | ec2:DescribeInternetGateways * | ec2:DescribeSecurityGroups * | ec2:DescribeSubnets * | ec2:DescribeVpcs * | " + linkedRole + " role/aws-service-role/elasticloadbalancing.amazonaws.com/AWSServiceRoleForElasticLoadBalancing",
	"elasticloadbalancing CreateRule":                   "{ListenerArn} | elasticloadbalancing:AddTags {ListenerArn>listener-rule} tagged creating",
	"elasticloadbalancing CreateTargetGroup":            "targetgroup/{Name}/* | elasticloadbalancing:AddTags targetgroup/{Name}/* tagged creating",
	"elasticloadbalancing DeleteListener":               "{ListenerArn}",
	"elasticloadbalancing DeleteLoadBalancer":           "{LoadBalancerArn}",
	"elasticloadbalancing DeleteRule":                   "{RuleArn}",
	"elasticloadbalancing DeleteTargetGroup":            "{TargetGroupArn}",
	"elasticloadbalancing Describe*":                    "*",
	"elasticloadbalancing ModifyListener":               "{ListenerArn}",
	"elasticloadbalancing ModifyListenerAttributes":     "{ListenerArn}",
	"elasticloadbalancing ModifyLoadBalancerAttributes": "{LoadBalancerArn}",
	"elasticloadbalancing ModifyRule":                   "{RuleArn}",
	"elasticloadbalancing ModifyTargetGroup":            "{TargetGroupArn}",
	"elasticloadbalancing ModifyTargetGroupAttributes":  "{TargetGroupArn}",
	"elasticloadbalancing RemoveTags":                   "{ResourceArns}",
	"elasticloadbalancing SetSecurityGroups":            "{LoadBalancerArn}",
	"elasticloadbalancing SetSubnets":                   "{LoadBalancerArn}",
	"iam CreateRole":                                    "role/{RoleName} | iam:TagRole role/{RoleName} tagged",
	"iam DeleteRole":                                    "role/{RoleName}",
	"iam DeleteRolePolicy":                              "role/{RoleName}",
	"iam DetachRolePolicy":                              "role/{RoleName}",
	"iam GetRole":                                       "role/{RoleName}",
	"iam GetRolePolicy":                                 "role/{RoleName}",
	"iam ListAttachedRolePolicies":                      "role/{RoleName}",
	"iam ListInstanceProfilesForRole":                   "role/{RoleName}",
	"iam ListRolePolicies":                              "role/{RoleName}",
	"iam PutRolePolicy":                                 "role/{RoleName}",
	"iam TagRole":                                       "role/{RoleName}",
	"iam UntagRole":                                     "role/{RoleName}",
	"iam UpdateAssumeRolePolicy":                        "role/{RoleName}",
	"iam UpdateRole":                                    "role/{RoleName}",
	"logs CreateLogGroup":                               "log-group:{logGroupName}:* | logs:TagResource log-group:{logGroupName}:* tagged",
	"logs DeleteLogGroup":                               "log-group:{logGroupName}:*",
	"logs DescribeLogGroups":                            "log-group:*",
	"logs DescribeLogStreams":                           "log-group:{logGroupName}:*",
	"logs FilterLogEvents":                              "log-group:{logGroupName}:*",
	"logs GetLogEvents":                                 "log-group:{logGroupName}:*",
	"logs ListTagsForResource":                          "{resourceArn}",
	"logs ListTagsLogGroup":                             "log-group:{logGroupName}:*",
	"logs PutRetentionPolicy":                           "log-group:{logGroupName}:*",
	"logs TagResource":                                  "{resourceArn}",
	"logs UntagResource":                                "{resourceArn}",
	"monitoring DeleteAlarms":                           "alarm:{AlarmNames}",
	"monitoring DescribeAlarms":                         "alarm:{AlarmNames}",
	"monitoring ListTagsForResource":                    "{ResourceARN}",
	"monitoring PutMetricAlarm":                         "alarm:{AlarmName} | cloudwatch:TagResource alarm:{AlarmName} tagged",
	"monitoring TagResource":                            "{ResourceARN}",
	"monitoring UntagResource":                          "{ResourceARN}",
	"rds AddTagsToResource":                             "{ResourceName}",
	"rds CreateDBInstance":                              "db:{DBInstanceIdentifier} | og:default:* | pg:{DBParameterGroupName?} | subgrp:{DBSubnetGroupName?} | rds:AddTagsToResource db:{DBInstanceIdentifier} tagged | " + linkedRole + " role/aws-service-role/rds.amazonaws.com/AWSServiceRoleForRDS",
	"rds CreateDBParameterGroup":                        "pg:{DBParameterGroupName} | rds:AddTagsToResource pg:{DBParameterGroupName} tagged",
	"rds CreateDBSnapshot":                              "db:{DBInstanceIdentifier} | snapshot:{DBSnapshotIdentifier}",
	"rds CreateDBSubnetGroup":                           "subgrp:{DBSubnetGroupName} | rds:AddTagsToResource subgrp:{DBSubnetGroupName} tagged",
	"rds DeleteDBInstance":                              "db:{DBInstanceIdentifier} | rds:CreateDBSnapshot snapshot:{FinalDBSnapshotIdentifier?} | rds:CreateDBSnapshot db:{DBInstanceIdentifier} | rds:AddTagsToResource snapshot:{FinalDBSnapshotIdentifier?}",
	"rds DeleteDBParameterGroup":                        "pg:{DBParameterGroupName}",
	"rds DeleteDBSubnetGroup":                           "subgrp:{DBSubnetGroupName}",
	"rds DescribeDBInstances":                           "db:{DBInstanceIdentifier}",
	"rds DescribeDBParameterGroups":                     "pg:{DBParameterGroupName}",
	"rds DescribeDBParameters":                          "pg:{DBParameterGroupName}",
	"rds DescribeDBSnapshots":                           "db:{DBInstanceIdentifier?} | snapshot:{DBSnapshotIdentifier}",
	"rds DescribeDBSubnetGroups":                        "subgrp:{DBSubnetGroupName}",
	"rds ListTagsForResource":                           "{ResourceName}",
	"rds ModifyDBInstance":                              "db:{DBInstanceIdentifier} | pg:{DBParameterGroupName?}",
	"rds ModifyDBParameterGroup":                        "pg:{DBParameterGroupName}",
	"rds ModifyDBSubnetGroup":                           "subgrp:{DBSubnetGroupName}",
	"rds RebootDBInstance":                              "db:{DBInstanceIdentifier}",
	"rds RemoveTagsFromResource":                        "{ResourceName}",
	"secretsmanager CreateSecret":                       "secret:{Name}-* | secretsmanager:TagResource secret:{Name}-* tagged",
	"secretsmanager DeleteSecret":                       "secret:{SecretId}",
	"secretsmanager DescribeSecret":                     "secret:{SecretId}",
	"secretsmanager GetResourcePolicy":                  "secret:{SecretId}",
	"secretsmanager GetSecretValue":                     "secret:{SecretId}",
	"secretsmanager ListSecretVersionIds":               "secret:{SecretId}",
	"secretsmanager PutSecretValue":                     "secret:{SecretId}",
	"secretsmanager TagResource":                        "secret:{SecretId}",
	"secretsmanager UntagResource":                      "secret:{SecretId}",
	"secretsmanager UpdateSecret":                       "secret:{SecretId}",
	"secretsmanager UpdateSecretVersionStage":           "secret:{SecretId}",
	"sns CreateTopic":                                   "{Name} | sns:TagResource {Name} tagged",
	"sns DeleteTopic":                                   "{TopicArn}",
	"sns GetSubscriptionAttributes":                     "*",
	"sns GetTopicAttributes":                            "{TopicArn}",
	"sns ListSubscriptionsByTopic":                      "{TopicArn}",
	"sns ListTagsForResource":                           "{ResourceArn}",
	"sns SetSubscriptionAttributes":                     "*",
	"sns SetTopicAttributes":                            "{TopicArn}",
	"sns Subscribe":                                     "{TopicArn}",
	"sns TagResource":                                   "{ResourceArn}",
	"sns Unsubscribe":                                   "*",
	"sns UntagResource":                                 "{ResourceArn}",
	"ssm DescribeSessions":                              "*",
	"ssm ResumeSession":                                 "session/{SessionId}",
	"ssm StartSession":                                  "{Target>task} | arn:aws:ssm:REGION::document/{DocumentName} | ssmmessages:OpenDataChannel arn:aws:ssm:REGION:ACCOUNT:session/USERID-* | ssm:ResumeSession session/USERID-* | ssm:TerminateSession session/USERID-*",
	"ssm TerminateSession":                              "session/{SessionId}",
	signedAsSelf:                                        "",
}

// isAction tells an action from a resource.
var isAction = regexp.MustCompile(`^[a-z0-9-]+:[A-Z][A-Za-z]+$`)

// prefixes are those of IAM's actions, where a service signs by another name.
var prefixes = map[string]string{"monitoring": "cloudwatch"}

// kinds are EC2's, by how their ids begin.
var kinds = map[string]string{
	"eipalloc": "elastic-ip", "igw": "internet-gateway", "nat": "natgateway", "rtb": "route-table", "sg": "security-group",
	"sgr": "security-group-rule", "subnet": "subnet", "vpc": "vpc",
}

// Needs are the rights that a call needs; known is false for a call that the table does not know.
func Needs(ctx context.Context, c Call, in Cloud) (needs []Request, known bool) {
	prefix := c.Service
	if other := prefixes[c.Service]; other != "" {
		prefix = other
	}
	action := c.action()
	entry, known := table[c.Service+" "+action]
	if !known {
		entry, known = table[c.Service+" Describe*"]
		known = known && strings.HasPrefix(action, "Describe")
	}
	if !known || entry == "" {
		return nil, known
	}
	for right := range strings.SplitSeq(entry, " | ") {
		words := strings.Fields(right)
		own := prefix + ":" + action
		if isAction.MatchString(words[0]) {
			own, words = words[0], words[1:]
		}
		flags := words[1:]
		if slices.Contains(flags, "tagged") && len(c.Tags) == 0 && len(c.Value("propagateTags")) == 0 {
			continue
		}
		for _, resource := range in.resources(own[:strings.Index(own, ":")], words[0], c) {
			needs = append(needs, Request{own, resource, in.context(ctx, c, own, resource, action, flags)})
		}
	}
	if c.Service == "ecs" && action == "RunTask" {
		for _, role := range in.Roles(ctx, first(c.Value("taskDefinition"))) {
			needs = append(needs, Request{"iam:PassRole", role, map[string]string{passedTo: containers}})
		}
	}
	return needs, true
}

var restPath = regexp.MustCompile(`^([A-Z]+) /[0-9-]+/(.*)$`)

// action is the call's name in the table.
func (c Call) action() string {
	m := restPath.FindStringSubmatch(c.Action)
	if m == nil {
		return c.Action
	}
	segments := strings.Split(m[2], "/")
	for i := 1; i < len(segments); i += 2 {
		segments[i] = "*"
	}
	return strings.TrimSpace(m[1] + " " + strings.Join(segments, "/") + " " + first(c.Value("Operation")))
}

var parameter = regexp.MustCompile(`\{([A-Za-z]+)(\?|>[a-z-]+)?\}`)

// resources are the ARNs that a resource of the table means in a call.
func (in Cloud) resources(prefix, text string, c Call) []string {
	texts := []string{text}
	for _, m := range parameter.FindAllStringSubmatch(text, -1) {
		values := c.Value(m[1])
		if len(values) == 0 && m[2] != "?" {
			values = []string{"*"}
		}
		var next []string
		for _, t := range texts {
			for _, value := range values {
				next = append(next, in.put(t, m[0], value, strings.TrimLeft(m[2], ">?")))
			}
		}
		texts = next
	}
	var arns []string
	for _, t := range texts {
		t = strings.NewReplacer("REGION", in.Region, "ACCOUNT", in.Account, "USERID", in.UserID).Replace(t)
		if t != "*" && !strings.HasPrefix(t, "arn:") {
			region := in.Region
			if prefix == "iam" || prefix == "cloudfront" {
				region = ""
			}
			t = "arn:aws:" + prefix + ":" + region + ":" + in.Account + ":" + t
		}
		arns = append(arns, t)
	}
	return arns
}

// put replaces a parameter by its value. The last one of a resource may be an ARN, and is then the whole; before it only
// an ARN's name counts.
func (in Cloud) put(text, at, value, under string) string {
	last := strings.HasSuffix(text, at) || strings.HasSuffix(text, at+":*")
	switch {
	case under == "task": // ecs:CLUSTER_TASK_RUNTIME
		parts := strings.Split(strings.TrimPrefix(value, "ecs:"), "_")
		if len(parts) < 3 {
			return "*"
		}
		return "arn:aws:ecs:" + in.Region + ":" + in.Account + ":task/" + strings.Join(parts[:len(parts)-2], "_") + "/" + parts[len(parts)-2]
	case under != "":
		made := strings.NewReplacer(":loadbalancer/", ":"+under+"/", ":listener/", ":"+under+"/").Replace(value)
		return made + "/*"
	case strings.HasPrefix(value, "arn:") && last:
		return value
	case strings.HasPrefix(value, "arn:"):
		value = path.Base(value)
	case text == "{ResourceId}": // of anything in EC2
		kind, _, _ := strings.Cut(value, "-")
		value = kinds[kind] + "/" + value
	case strings.HasPrefix(text, "secret:"):
		value += "-*"
	case strings.HasPrefix(text, "task-definition/") && !strings.Contains(value, ":"):
		value += ":*"
	}
	return strings.Replace(text, at, value, 1)
}

// context is what conditions may ask of a right.
func (in Cloud) context(ctx context.Context, c Call, right, resource, action string, flags []string) map[string]string {
	found := map[string]string{}
	with := func(key string, tags map[string]string) {
		for _, name := range owning {
			if value, ok := tags[name]; ok {
				found[key+name] = value
			}
		}
	}
	for _, flag := range flags {
		switch flag {
		case "new":
			with(requestTag, c.Tags)
		case "own":
			with(resourceTag, in.Tags(ctx, path.Base(resource)))
		case "cluster":
			found[ecsCluster] = in.resources("ecs", "cluster/{cluster}", c)[0]
		case "creating":
			key := map[string]string{"ec2": ec2Creating, "ecs": ecsCreating, "elasticloadbalancing": elbCreating}[c.Service]
			found[key] = action
			if c.Service == "ec2" {
				with(requestTag, c.Tags)
			}
		}
	}
	if right == "iam:PassRole" {
		found[passedTo] = containers
	}
	return found
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// String is a right in one line: action, resource and, sorted, what conditions may ask of it.
func (r Request) String() string {
	words := []string{r.Action, r.Resource}
	for _, key := range slices.Sorted(maps.Keys(r.Context)) {
		words = append(words, key+"="+r.Context[key])
	}
	return strings.Join(words, " ")
}
