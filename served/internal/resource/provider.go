// Package resource is the Pulumi provider served: whether a site answers as it should, whether its service runs what was
// deployed, with tasks enough, and whether nobody added to what a program owns, as resources.
package resource

import (
	"context"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/middleware/schema"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/awsquery"
	"plan-charge/internal/strangers"
	"plan-charge/internal/verify"
)

// Scaler says what a service runs, and how many tasks of it.
type Scaler interface {
	UpdateService(context.Context, *ecs.UpdateServiceInput, ...func(*ecs.Options)) (*ecs.UpdateServiceOutput, error)
}

// Clients are the AWS services as the resources use them.
type Clients struct {
	verify.Clients
	Scaler   Scaler
	Query    strangers.Caller
	Versions strangers.Secrets
}

// Open makes the clients of an AWS account.
func Open(ctx context.Context, s awsclient.Settings) (Clients, error) {
	cfg, err := awsclient.Load(ctx, s)
	if err != nil {
		return Clients{}, err
	}
	service, secrets := ecs.NewFromConfig(cfg), secretsmanager.NewFromConfig(cfg)
	return Clients{
		Clients: verify.Clients{
			ECS: service, Logs: cloudwatchlogs.NewFromConfig(cfg), Secrets: secrets, CloudFront: cloudfront.NewFromConfig(cfg),
		},
		Scaler:   service,
		Query:    awsquery.New(cfg),
		Versions: secrets,
	}, nil
}

// account opens the clients of each way to reach AWS once.
type account struct {
	open      func(context.Context, awsclient.Settings) (Clients, error)
	connectTo string // where requests to the site go instead of its own address, or ""

	mu   sync.Mutex
	made map[awsclient.Settings]Clients
}

func (a *account) clients(ctx context.Context, s awsclient.Settings) (Clients, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c, ok := a.made[s]; ok {
		return c, nil
	}
	c, err := a.open(ctx, s)
	if err == nil {
		a.made[s] = c
	}
	return c, err
}

// New returns the provider. AWS is opened with open once it is needed; requests to sites go to connectTo unless that is "".
func New(open func(context.Context, awsclient.Settings) (Clients, error), connectTo string) p.Provider {
	a := &account{open: open, connectTo: connectTo, made: map[awsclient.Settings]Clients{}}
	return infer.Provider(infer.Options{
		Metadata: schema.Metadata{
			DisplayName: "Served",
			Description: "Whether a site answers as it should, whether its service runs what was deployed, with tasks enough, and whether nobody added to what a program owns, as Pulumi resources.",
			Keywords:    []string{"aws", "ecs", "category/cloud", "kind/native"},
		},
		Resources: []infer.InferredResource{
			infer.Resource(&Verification{account: a}),
			infer.Resource(&Capacity{account: a}),
			infer.Resource(&Rollout{account: a}),
			infer.Resource(&Strangers{account: a}),
		},
	})
}
