package infra

import (
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/cloudwatch"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/sns"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
)

// AlarmsArgs are the inputs of Alarms.
type AlarmsArgs struct {
	Names    config.Names
	Settings config.Alarms
	Balancer *Balancer
	Database *Database
}

// Alarms tell people when the site or the database is in trouble.
type Alarms struct {
	pulumi.ResourceState

	// Deployment lists the alarms during which a rollout has failed.
	Deployment pulumi.StringArray
}

// NewAlarms declares the alarms and the topic they go to.
func NewAlarms(ctx *pulumi.Context, name string, args *AlarmsArgs, opts ...pulumi.ResourceOption) (*Alarms, error) {
	a := &Alarms{}
	if err := ctx.RegisterComponentResource("plan-charge:infra:Alarms", name, a, opts...); err != nil {
		return nil, err
	}
	names, settings := args.Names, args.Settings
	topic, err := sns.NewTopic(ctx, name+"-topic", &sns.TopicArgs{Name: pulumi.String(names.Name("alarms"))}, pulumi.Parent(a))
	if err != nil {
		return nil, err
	}
	for i, email := range settings.Emails {
		_, err := sns.NewTopicSubscription(ctx, fmt.Sprintf("%s-email-%d", name, i+1), &sns.TopicSubscriptionArgs{
			Topic:    topic.Arn,
			Protocol: pulumi.String("email"),
			Endpoint: pulumi.String(email),
		}, pulumi.Parent(a))
		if err != nil {
			return nil, err
		}
	}

	site := pulumi.StringMap{"LoadBalancer": args.Balancer.Suffix}
	targets := pulumi.StringMap{"LoadBalancer": args.Balancer.Suffix, "TargetGroup": args.Balancer.TargetSuffix}
	database := pulumi.StringMap{"DBInstanceIdentifier": args.Database.Instance.Identifier}
	const elb, rds = "AWS/ApplicationELB", "AWS/RDS"
	for _, alarm := range []struct {
		thing, what, namespace, metric, statistic string
		dimensions                                pulumi.StringMap
		above                                     bool
		threshold                                 float64
		minutes                                   int // in a row
		deployment                                bool
	}{
		{"target-5xx", "The application answers with 5xx", elb, "HTTPCode_Target_5XX_Count", "Sum", targets, true, float64(settings.Errors5xx), 1, true},
		{"balancer-5xx", "The load balancer answers with 5xx", elb, "HTTPCode_ELB_5XX_Count", "Sum", site, true, float64(settings.Errors5xx), 1, false},
		{"unhealthy-hosts", "Tasks fail their health check", elb, "UnHealthyHostCount", "Maximum", targets, true, 1, 3, false},
		{"database-cpu", "The database's CPU is busy", rds, "CPUUtilization", "Average", database, true, float64(settings.CPUPercent), 10, false},
		{"database-storage", "The database's disk is nearly full", rds, "FreeStorageSpace", "Minimum", database, false, float64(settings.FreeStorageGiB) * (1 << 30), 5, false},
		{"database-connections", "The database has many connections", rds, "DatabaseConnections", "Maximum", database, true, float64(settings.Connections), 5, false},
	} {
		comparison := "LessThanThreshold"
		if alarm.above {
			comparison = "GreaterThanOrEqualToThreshold"
		}
		made, err := cloudwatch.NewMetricAlarm(ctx, name+"-"+alarm.thing, &cloudwatch.MetricAlarmArgs{
			Name:               pulumi.String(names.Name(alarm.thing)),
			AlarmDescription:   pulumi.String(alarm.what),
			Namespace:          pulumi.String(alarm.namespace),
			MetricName:         pulumi.String(alarm.metric),
			Dimensions:         alarm.dimensions,
			Statistic:          pulumi.String(alarm.statistic),
			ComparisonOperator: pulumi.String(comparison),
			Threshold:          pulumi.Float64(alarm.threshold),
			Period:             pulumi.Int(60),
			EvaluationPeriods:  pulumi.Int(alarm.minutes),
			// The load balancer reports nothing when nothing is wrong.
			TreatMissingData: pulumi.String("notBreaching"),
			AlarmActions:     pulumi.Array{topic.Arn},
			OkActions:        pulumi.Array{topic.Arn},
		}, pulumi.Parent(a))
		if err != nil {
			return nil, err
		}
		if alarm.deployment {
			a.Deployment = append(a.Deployment, made.Name)
		}
	}
	return a, ctx.RegisterResourceOutputs(a, pulumi.Map{"topicArn": topic.Arn})
}
