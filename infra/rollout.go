package infra

import (
	"fmt"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/verify"
)

// rolloutHook fails an update of the service that ECS has rolled back: to the AWS provider such a service is steady.
// The verification would say so too, but has no reason to run when an `up` only takes back what was changed by hand.
func rolloutHook(ctx *pulumi.Context, name string, settings awsclient.Settings, timeout time.Duration) (pulumi.ResourceOption, error) {
	hook, err := ctx.RegisterResourceHook(name, func(args *pulumi.ResourceHookArgs) error {
		wanted := verify.Settings{Timeout: timeout, TimeoutKey: "service.timeout"}
		for key, value := range map[resource.PropertyKey]*string{
			"cluster": &wanted.Cluster, "name": &wanted.Service, "taskDefinition": &wanted.TaskDefinition,
		} {
			if *value = text(args.NewInputs[key]); *value == "" {
				return fmt.Errorf("the service has no %s to look at", key)
			}
		}
		cfg, err := awsclient.Load(ctx.Context(), settings)
		if err != nil {
			return err
		}
		return verify.Rollout(ctx.Context(), wanted, verify.Clients{
			ECS: ecs.NewFromConfig(cfg), Logs: cloudwatchlogs.NewFromConfig(cfg), Secrets: secretsmanager.NewFromConfig(cfg),
		}, io.Discard)
	}, nil)
	if err != nil {
		return nil, err
	}
	return pulumi.ResourceHooks(&pulumi.ResourceHookBinding{AfterUpdate: []*pulumi.ResourceHook{hook}}), nil
}

// text is a property's string, "" where it has none.
func text(v resource.PropertyValue) string {
	for {
		switch {
		case v.IsSecret():
			v = v.SecretValue().Element
		case v.IsOutput():
			v = v.OutputValue().Element
		case v.IsString():
			return v.StringValue()
		default:
			return ""
		}
	}
}
