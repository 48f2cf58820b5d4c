package infra

import (
	"crypto/sha256"
	"fmt"

	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/appautoscaling"
	"github.com/pulumi/pulumi-aws/sdk/v6/go/aws/ecs"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/config"
	"plan-charge/internal/announce"
	"plan-charge/internal/awsclient"
	"plan-charge/internal/order"
	"plan-charge/served/served"
)

// ServiceArgs are the inputs of a Service.
type ServiceArgs struct {
	Settings TaskSettings
	Service  config.Service
	AWS      awsclient.Settings // with which a rollout is followed
	Network  *Network
	Cluster  *Cluster
	Balancer *Balancer
	Database *Database
	Alarms   *Alarms
	Site     string // see Site
	// After is what has to be true before a new version may start.
	After []pulumi.CustomResource
}

// Service is the application as it answers requests.
type Service struct {
	pulumi.ResourceState

	Name              pulumi.StringOutput
	TaskDefinitionARN pulumi.StringOutput
	SecretARN         pulumi.StringOutput // of the app's DATABASE_URL
	LogGroup          pulumi.StringOutput
	ExecCommand       pulumi.StringOutput // a shell in a running task
	Owned             Owned

	service  *ecs.Service
	rollout  *served.Rollout
	capacity *served.Capacity
}

// Ready is the service, rolled out and with tasks enough.
func (s *Service) Ready() []pulumi.CustomResource {
	return []pulumi.CustomResource{s.service, s.rollout, s.capacity}
}

// ServiceName is the name of the service in its cluster.
func ServiceName(names config.Names) string { return names.Name("backend") }

// NewService declares the app's DATABASE_URL, the task definition and the
// Fargate service, and follows the rollout of the new version.
func NewService(ctx *pulumi.Context, name string, args *ServiceArgs, opts ...pulumi.ResourceOption) (*Service, error) {
	s := &Service{}
	if err := ctx.RegisterComponentResource("plan-charge:infra:Service", name, s, opts...); err != nil {
		return nil, err
	}
	names, svc, parent := args.Settings.Names, args.Service, pulumi.Parent(s)

	role, err := newTaskRole(ctx, name+"-role", names.Name("backend-task"), args.Cluster.ARN, parent)
	if err != nil {
		return nil, err
	}
	shell, err := newExecRights(ctx, name+"-shell", role, parent)
	if err != nil {
		return nil, err
	}
	made, err := (&task{
		settings:   args.Settings,
		cluster:    args.Cluster,
		thing:      "backend",
		secretName: "database-url",
		secretWhat: "Database URL of the app: reads and writes rows",
		url:        args.Database.URL(args.Database.App),
		cpu:        svc.CPU,
		memory:     svc.Memory,
		taskRole:   role,
		container: map[string]any{
			"portMappings": []any{map[string]any{"containerPort": svc.Port, "hostPort": svc.Port, "protocol": "tcp"}},
			"healthCheck": map[string]any{
				"command":     healthCommand(svc),
				"interval":    svc.HealthSeconds,
				"timeout":     5,
				"retries":     3,
				"startPeriod": min(svc.GraceSeconds, 300),
			},
		},
		kept:          true,
		after:         args.After,
		parent:        s,
		componentName: name,
	}).declare(ctx)
	if err != nil {
		return nil, err
	}

	after := append([]pulumi.CustomResource{made.rights, shell}, args.After...)
	after = append(after, args.Balancer.Forwarding...)
	after = append(after, args.Network.Egress...)
	settings := &ecs.ServiceArgs{
		Name:                            pulumi.String(ServiceName(names)),
		Cluster:                         args.Cluster.ARN,
		TaskDefinition:                  made.definition.Arn,
		LaunchType:                      pulumi.String("FARGATE"),
		PlatformVersion:                 pulumi.String("1.4.0"), // the first with ECS Exec
		DesiredCount:                    pulumi.Int(svc.Min),
		DeploymentMinimumHealthyPercent: pulumi.Int(100),
		DeploymentMaximumPercent:        pulumi.Int(200),
		DeploymentCircuitBreaker: &ecs.ServiceDeploymentCircuitBreakerArgs{
			Enable:   pulumi.Bool(true),
			Rollback: pulumi.Bool(true),
		},
		Alarms: &ecs.ServiceAlarmsArgs{
			Enable:     pulumi.Bool(true),
			Rollback:   pulumi.Bool(true),
			AlarmNames: args.Alarms.Deployment,
		},
		EnableExecuteCommand:          pulumi.Bool(true),
		HealthCheckGracePeriodSeconds: pulumi.Int(svc.GraceSeconds),
		NetworkConfiguration: &ecs.ServiceNetworkConfigurationArgs{
			Subnets:        args.Network.PrivateSubnetIDs,
			SecurityGroups: pulumi.StringArray{args.Network.TasksGroupID},
			AssignPublicIp: pulumi.Bool(false),
		},
		LoadBalancers: ecs.ServiceLoadBalancerArray{
			&ecs.ServiceLoadBalancerArgs{
				TargetGroupArn: args.Balancer.TargetGroupARN,
				ContainerName:  pulumi.String(Container),
				ContainerPort:  pulumi.Int(svc.Port),
			},
		},
		PropagateTags:      pulumi.String("SERVICE"),
		WaitForSteadyState: pulumi.Bool(false), // the provider says nothing while it waits, and a rollback is steady to it
	}
	service, err := ecs.NewService(ctx, name+"-service", settings, parent,
		order.After(after...),
		pulumi.IgnoreChanges([]string{
			"desiredCount",                    // autoscaling's to set, within the bounds that the capacity keeps
			"taskDefinition", "loadBalancers", // the rollout's: what ECS takes back would be a change of the service for good
		}))
	if err != nil {
		return nil, err
	}

	said, err := announce.Hooks(ctx, name, s, func(c announce.Change) string { return announce.Rollout(c, svc.Min) })
	if err != nil {
		return nil, err
	}
	rollout, err := served.NewRollout(ctx, name+"-rollout", &served.RolloutArgs{
		Cluster:        args.Cluster.Name,
		Service:        service.Name,
		TaskDefinition: made.definition.Arn,
		TargetGroup:    args.Balancer.TargetGroupARN,
		Container:      pulumi.String(Container),
		Port:           pulumi.Int(svc.Port),
		Settings:       digest(*settings),
		Site:           pulumi.String(args.Site),
		HealthPath:     pulumi.String(svc.HealthPath),
		Timeout:        pulumi.String(svc.Timeout.String()),
		TimeoutKey:     pulumi.String("service.timeout"),
		Region:         given(args.AWS.Region),
		Profile:        given(args.AWS.Profile),
		Role:           given(args.AWS.Role),
	}, parent, order.After(service), pulumi.ResourceHooks(&pulumi.ResourceHookBinding{BeforeUpdate: said}))
	if err != nil {
		return nil, err
	}

	resource := pulumi.Sprintf("service/%s/%s", args.Cluster.Name, service.Name)
	bounds, err := appautoscaling.NewTarget(ctx, name+"-bounds", &appautoscaling.TargetArgs{
		ServiceNamespace:  pulumi.String("ecs"),
		ScalableDimension: pulumi.String("ecs:service:DesiredCount"),
		ResourceId:        resource,
		MinCapacity:       pulumi.Int(svc.Min),
		MaxCapacity:       pulumi.Int(svc.Max),
	}, parent)
	if err != nil {
		return nil, err
	}
	_, err = appautoscaling.NewPolicy(ctx, name+"-scaling", &appautoscaling.PolicyArgs{
		Name:              pulumi.String(names.Name("backend-cpu")),
		PolicyType:        pulumi.String("TargetTrackingScaling"),
		ServiceNamespace:  bounds.ServiceNamespace,
		ScalableDimension: bounds.ScalableDimension,
		ResourceId:        bounds.ResourceId,
		TargetTrackingScalingPolicyConfiguration: &appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationArgs{
			TargetValue:      pulumi.Float64(float64(svc.CPUTarget)),
			ScaleInCooldown:  pulumi.Int(300),
			ScaleOutCooldown: pulumi.Int(60),
			PredefinedMetricSpecification: &appautoscaling.PolicyTargetTrackingScalingPolicyConfigurationPredefinedMetricSpecificationArgs{
				PredefinedMetricType: pulumi.String("ECSServiceAverageCPUUtilization"),
			},
		},
	}, parent)
	if err != nil {
		return nil, err
	}

	capacity, err := served.NewCapacity(ctx, name+"-capacity", &served.CapacityArgs{
		Cluster:        args.Cluster.Name,
		Service:        service.Name,
		TaskDefinition: made.definition.Arn,
		Minimum:        pulumi.Int(svc.Min),
		Timeout:        pulumi.String(svc.Timeout.String()),
		TimeoutKey:     pulumi.String("service.timeout"),
		Region:         given(args.AWS.Region),
		Profile:        given(args.AWS.Profile),
		Role:           given(args.AWS.Role),
	}, parent, order.After(rollout, bounds))
	if err != nil {
		return nil, err
	}

	s.service, s.rollout, s.capacity = service, rollout, capacity
	s.Name, s.TaskDefinitionARN = service.Name, made.definition.Arn
	s.SecretARN, s.LogGroup = made.secretARN, made.logGroup
	s.Owned.right(role, shell)
	s.Owned.add(&made.owned)
	s.ExecCommand = pulumi.All(args.Cluster.Name, service.Name).ApplyT(func(v []any) string {
		cluster, service := v[0].(string), v[1].(string)
		return fmt.Sprintf(`aws ecs execute-command --region %[1]s --cluster %[2]s --container %[4]s --interactive --command /bin/sh `+
			`--task "$(aws ecs list-tasks --region %[1]s --cluster %[2]s --service-name %[3]s --desired-status RUNNING --query 'taskArns[0]' --output text)"`,
			args.Settings.Region, cluster, service, Container)
	}).(pulumi.StringOutput)
	return s, ctx.RegisterResourceOutputs(s, pulumi.Map{"name": s.Name})
}

// digest changes with any setting of the service but what is the rollout's and what is autoscaling's.
func digest(settings ecs.ServiceArgs) pulumi.StringOutput {
	settings.TaskDefinition, settings.LoadBalancers, settings.DesiredCount = nil, nil, nil
	return pulumi.JSONMarshal(settings).ApplyT(func(text string) string {
		return fmt.Sprintf("%x", sha256.Sum256([]byte(text)))[:12]
	}).(pulumi.StringOutput)
}

// healthCommand is the configured one, or a request by python3, which the
// image has because the application is written in it.
func healthCommand(svc config.Service) []string {
	if len(svc.HealthCommand) > 0 {
		return svc.HealthCommand
	}
	return []string{"CMD-SHELL", `python3 -c 'import os, urllib.request as r; r.urlopen("http://127.0.0.1:" + os.environ["PORT"] + "` + svc.HealthPath + `", timeout=4)'`}
}
