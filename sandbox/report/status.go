// Package report looks at a sandbox from outside: what runs, what is deployed and what of it works.
package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os/exec"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"plan-charge/sandbox/box"
)

// Status is what `status --json` prints.
type Status struct {
	Running  bool           `json:"running"`
	Edge     string         `json:"edge"`     // URL of the CDN edge
	AWS      string         `json:"aws"`      // URL of the AWS API
	Database string         `json:"database"` // URL of the database as its owner; without the password unless asked for; "" before the first up
	Outputs  map[string]any `json:"outputs"`  // the stack's outputs
}

// JSON writes the status for programs.
func (s *Status) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(s)
}

// Print writes the status for people.
func (s *Status) Print(w io.Writer) {
	if !s.Running {
		fmt.Fprintln(w, "the sandbox does not run; 'go run ./sandbox up' starts it")
		return
	}
	fmt.Fprintf(w, "%-10s %s\n%-10s %s\n%-10s %s\n", "edge", s.Edge, "aws", s.AWS, "database", s.Database)
	fmt.Fprintln(w, "\noutputs of the stack 'sandbox':")
	for _, name := range slices.Sorted(maps.Keys(s.Outputs)) {
		fmt.Fprintf(w, "  %-22s %v\n", name, s.Outputs[name])
	}
}

// Output is one of the stack's outputs, "" where it has no text of that name.
func (s *Status) Output(name string) string {
	text, _ := s.Outputs[name].(string)
	return text
}

// Look tells what runs and where, with the owner's password if it is asked for. It starts nothing; b is prepared.
func Look(ctx context.Context, b *box.Box, showSecrets bool) (*Status, error) {
	s := &Status{Running: b.Running(), Edge: b.EdgeURL(), AWS: b.GatewayURL()}
	var err error
	if s.Outputs, err = outputs(ctx, b); err != nil {
		return nil, err
	}
	if !s.Running || s.Outputs["databaseAddress"] == nil {
		return s, nil
	}
	owner, err := s.ownerURL(ctx, b)
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
	s.Database = owner
	return s, nil
}

// outputs are those of the stack 'sandbox', none before it exists.
func outputs(ctx context.Context, b *box.Box) (map[string]any, error) {
	cmd := b.Pulumi(ctx, "stack", "output", "--json", "--stack", "sandbox")
	cmd.Stdout, cmd.Stderr = nil, nil
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
func (s *Status) ownerURL(ctx context.Context, b *box.Box) (string, error) {
	arn := s.Output("migrationUrlSecret")
	if arn == "" {
		return "", errors.New("the stack has no output migrationUrlSecret: run 'go run ./sandbox up'")
	}
	cfg, err := b.AWS(ctx)
	if err != nil {
		return "", err
	}
	value, err := secretsmanager.NewFromConfig(cfg).GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: aws.String(arn)})
	if err != nil {
		return "", fmt.Errorf("read the owner's database URL: %w", err)
	}
	return aws.ToString(value.SecretString), nil
}
