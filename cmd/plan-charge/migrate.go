package main

import (
	"context"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudfront"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/awsquery"
	"plan-charge/internal/migrate"
	"plan-charge/internal/verify"
)

func migrateCommand() *cobra.Command {
	var unlessDone bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Run the database migration as a one-off ECS task and print the revision that it left",
		Long: `Runs the database migration as a one-off ECS task and prints the revision that it left.

It is configured by MIGRATE_… variables and the usual AWS ones. Progress and the task's log go to standard error;
standard output is the revision and nothing else. Interrupting it stops the task.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, err := migrate.FromEnv(os.LookupEnv)
			if err != nil {
				return fmt.Errorf("the environment is not complete:\n%w", err)
			}
			settings.UnlessDone = unlessDone
			ctx := cmd.Context()
			cfg, err := awsclient.Load(ctx, awsclient.FromEnv())
			if err != nil {
				return err
			}
			revision, err := migrate.Run(ctx, settings, migrate.Clients{
				ECS:     ecs.NewFromConfig(cfg),
				Logs:    cloudwatchlogs.NewFromConfig(cfg),
				Secrets: secretsmanager.NewFromConfig(cfg),
				RDS:     awsquery.New(cfg),
			}, os.Stderr)
			if err != nil {
				return afterMigration(cmd.Context(), cfg, settings.Cluster, err)
			}
			fmt.Println(revision)
			return nil
		},
	}
	cmd.Flags().BoolVar(&unlessDone, "unless-done", false, "do nothing if the last migration had the same MIGRATE_KEY and its revision is still there")
	return cmd
}

// afterMigration adds to the error of a failed migration what became of the site. What the variables do not name is not
// looked at.
func afterMigration(ctx context.Context, cfg aws.Config, cluster string, err error) error {
	a := verify.Aftermath{
		Failed: "the migration; nothing after it was changed", Cluster: cluster, Service: os.Getenv("MIGRATE_SERVICE"), Site: os.Getenv("MIGRATE_SITE"),
		HealthPath: os.Getenv("MIGRATE_HEALTH_PATH"), ConnectTo: os.Getenv("PLAN_CHARGE_CONNECT_TO"),
		Next: "correct the image or what is named above, then `pulumi up`",
	}
	if a.Service == "" || a.Site == "" || a.HealthPath == "" {
		return err
	}
	return a.WithLastWords(ctx, verify.Clients{ECS: ecs.NewFromConfig(cfg), CloudFront: cloudfront.NewFromConfig(cfg)}, err)
}
