// Command verify says whether what was deployed is what is served.
//
//	verify             check the service, the distribution and the site (VERIFY_… variables)
//	verify invalidate  remove what a distribution has cached (INVALIDATE_… variables)
//
// Every request is reported on standard error; standard output is one line about what was found.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/lifeline"
	"plan-charge/internal/verify"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	ctx, done := lifeline.Context(context.Background())
	defer done()
	switch {
	case len(args) == 0:
		return site(ctx)
	case len(args) == 1 && args[0] == "invalidate":
		return invalidate(ctx)
	}
	return fmt.Errorf("found %q; allowed: no argument, or invalidate", args)
}

func site(ctx context.Context) error {
	settings, err := verify.FromEnv(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("the environment is not complete:\n%w", err)
	}
	var clients verify.Clients
	// The site alone can be checked without an AWS account.
	if settings.Service != "" || settings.DistributionID != "" {
		cfg, err := awsclient.Load(ctx)
		if err != nil {
			return err
		}
		clients = verify.Clients{
			ECS:        ecs.NewFromConfig(cfg),
			Logs:       cloudwatchlogs.NewFromConfig(cfg),
			Secrets:    secretsmanager.NewFromConfig(cfg),
			CloudFront: cloudfront.NewFromConfig(cfg),
		}
	}
	if err := verify.Run(ctx, settings, clients, os.Stderr); err != nil {
		return err
	}
	fmt.Printf("%s: %d checks passed\n", settings.SiteURL, len(settings.Checks))
	return nil
}

func invalidate(ctx context.Context) error {
	what, err := verify.InvalidationFromEnv(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("the environment is not complete:\n%w", err)
	}
	cfg, err := awsclient.Load(ctx)
	if err != nil {
		return err
	}
	if err := verify.Invalidate(ctx, what, cloudfront.NewFromConfig(cfg), os.Stderr); err != nil {
		return err
	}
	fmt.Printf("%s: invalidated\n", what.DistributionID)
	return nil
}
