package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/verify"
)

func verifyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "verify",
		Short: "Look whether what was deployed is what is served",
		Long: `Looks whether what was deployed is what is served: at the service, the distribution and the site.

It is configured by VERIFY_… variables and the usual AWS ones. Every request is reported on standard error; standard
output is one line about what was found.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := verify.FromEnv(os.LookupEnv)
			if err != nil {
				return fmt.Errorf("the environment is not complete:\n%w", err)
			}
			clients, err := verifyClients(cmd.Context(), settings)
			if err != nil {
				return err
			}
			if _, err := verify.Run(cmd.Context(), settings, clients, os.Stderr); err != nil {
				return err
			}
			fmt.Printf("%s: %d checks passed\n", settings.SiteURL, len(settings.Checks))
			return nil
		},
	}
}

// verifyClients are none where the site alone is looked at, which needs no AWS account.
func verifyClients(ctx context.Context, settings verify.Settings) (verify.Clients, error) {
	if settings.Service == "" && settings.DistributionID == "" {
		return verify.Clients{}, nil
	}
	cfg, err := awsclient.Load(ctx, awsclient.FromEnv())
	if err != nil {
		return verify.Clients{}, err
	}
	return verify.Clients{
		ECS:        ecs.NewFromConfig(cfg),
		Logs:       cloudwatchlogs.NewFromConfig(cfg),
		Secrets:    secretsmanager.NewFromConfig(cfg),
		CloudFront: cloudfront.NewFromConfig(cfg),
	}, nil
}

func invalidateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "invalidate",
		Short: "Remove what a distribution has cached",
		Long:  "Removes what a distribution has cached, once for each key. It is configured by INVALIDATE_… variables and the usual AWS ones.",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			what, err := verify.InvalidationFromEnv(os.LookupEnv)
			if err != nil {
				return fmt.Errorf("the environment is not complete:\n%w", err)
			}
			cfg, err := awsclient.Load(cmd.Context(), awsclient.FromEnv())
			if err != nil {
				return err
			}
			if err := verify.Invalidate(cmd.Context(), what, cloudfront.NewFromConfig(cfg), os.Stderr); err != nil {
				return err
			}
			fmt.Printf("%s: invalidated\n", what.DistributionID)
			return nil
		},
	}
}
