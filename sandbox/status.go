package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
)

// statusReport is what `status --json` prints.
type statusReport struct {
	Running  bool           `json:"running"`
	Edge     string         `json:"edge"`     // URL of the CDN edge
	AWS      string         `json:"aws"`      // URL of the AWS API
	Database string         `json:"database"` // URL of the database as its owner; without the password unless asked for; "" before the first up
	Outputs  map[string]any `json:"outputs"`  // the stack's outputs
}

// status tells what runs and where. It starts nothing.
func status(ctx context.Context, asJSON, showSecrets bool) error {
	project, err := projectDir()
	if err != nil {
		return err
	}
	box, err := setup(ctx, os.Stderr)
	if err != nil {
		return err
	}
	report, err := describe(ctx, box, project, showSecrets)
	if err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(report)
	}
	if !report.Running {
		fmt.Println("the sandbox does not run; 'go run ./sandbox up' starts it")
		return nil
	}
	fmt.Printf("%-10s %s\n%-10s %s\n%-10s %s\n", "edge", report.Edge, "aws", report.AWS, "database", report.Database)
	names := make([]string, 0, len(report.Outputs))
	for name := range report.Outputs {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Println("\noutputs of the stack 'sandbox':")
	for _, name := range names {
		fmt.Printf("  %-22s %v\n", name, report.Outputs[name])
	}
	return nil
}

func describe(ctx context.Context, box *sandbox, project string, showSecrets bool) (*statusReport, error) {
	s := box.state
	report := &statusReport{Running: answers(s), Edge: s.edgeURL(), AWS: s.gatewayURL()}
	var err error
	if report.Outputs, err = outputs(ctx, box, project); err != nil {
		return nil, err
	}
	if !report.Running || report.Outputs["databaseAddress"] == nil {
		return report, nil
	}
	owner, err := ownerURL(ctx, s, report.Outputs)
	if err != nil {
		return nil, err
	}
	if !showSecrets {
		u, err := url.Parse(owner)
		if err != nil {
			return nil, errors.New("the secret of the migrations is no URL")
		}
		u.User = url.User(u.User.Username())
		owner = u.String()
	}
	report.Database = owner
	return report, nil
}

// outputs are those of the stack 'sandbox', none before it exists.
func outputs(ctx context.Context, box *sandbox, project string) (map[string]any, error) {
	cmd := box.command(ctx, "pulumi", "stack", "output", "--json", "--stack", "sandbox")
	cmd.Dir, cmd.Stdout, cmd.Stderr = project, nil, nil
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && strings.Contains(string(exit.Stderr), "no stack named") {
		return map[string]any{}, nil
	}
	if err != nil {
		if exit != nil {
			return nil, fmt.Errorf("read the stack's outputs: %w\n%s", err, exit.Stderr)
		}
		return nil, err
	}
	values := map[string]any{}
	return values, json.Unmarshal(out, &values)
}

// ownerURL fetches the database owner's URL, which migrations use, from Secrets Manager.
func ownerURL(ctx context.Context, s *state, outputs map[string]any) (string, error) {
	arn, _ := outputs["migrationUrlSecret"].(string)
	if arn == "" {
		return "", errors.New("the stack has no output migrationUrlSecret: run 'go run ./sandbox up'")
	}
	cfg, err := awsConfig(ctx, s)
	if err != nil {
		return "", err
	}
	value, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(arn)})
	if err != nil {
		return "", fmt.Errorf("read the owner's database URL: %w", err)
	}
	return aws.ToString(value.SecretString), nil
}
