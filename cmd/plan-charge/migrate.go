package main

import (
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/migrate"
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
			}, os.Stderr)
			if err != nil {
				return err
			}
			fmt.Println(revision)
			return nil
		},
	}
	cmd.Flags().BoolVar(&unlessDone, "unless-done", false, "do nothing if the last migration had the same MIGRATE_KEY and its revision is still there")
	return cmd
}
