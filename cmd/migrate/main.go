// Command migrate runs the database migration as a one-off ECS task and prints the revision that it left.
//
//	migrate               migrate, whatever was done before
//	migrate -unless-done  do nothing if the last migration had the same MIGRATE_KEY and its revision is still there
//
// It is configured by MIGRATE_… variables and the usual AWS ones. Progress and the task's log go to standard error;
// standard output is the revision and nothing else. Interrupting it stops the task.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/lifeline"
	"plan-charge/internal/migrate"
)

func main() {
	unlessDone := flag.Bool("unless-done", false, "do nothing if the last migration had the same MIGRATE_KEY and its revision is still there")
	flag.Parse()
	if err := run(*unlessDone); err != nil {
		fmt.Fprintln(os.Stderr, "migrate:", err)
		os.Exit(1)
	}
}

func run(unlessDone bool) error {
	settings, err := migrate.FromEnv(os.LookupEnv)
	if err != nil {
		return fmt.Errorf("the environment is not complete:\n%w", err)
	}
	settings.UnlessDone = unlessDone
	ctx, done := lifeline.Context(context.Background())
	defer done()
	cfg, err := awsclient.Load(ctx)
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
}
