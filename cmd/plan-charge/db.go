package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/spf13/cobra"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/lifeline"
	"plan-charge/internal/session"
)

// dbOptions are the flags of `plan-charge db`.
type dbOptions struct {
	stack   string
	outputs string // file with the stack's outputs; empty: pulumi is asked
	as      string
	port    int
}

func dbCommand() *cobra.Command {
	var o dbOptions
	cmd := &cobra.Command{
		Use:   "db [flags] [-- COMMAND …]",
		Short: "Open the private database to a command, or to a port of this machine",
		Long: `Opens the private database to a command, which finds it by PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD and
PGSSLMODE in its environment, or without a command to a port of this machine, until it is interrupted.

The way leads through a one-off task in the stack's cluster; docs/database.md says how, and which rights it takes. What it
needs to know it takes from the outputs of the Pulumi stack.`,
		Example: `  plan-charge db -- psql
  plan-charge db --as owner -- pg_dump --schema-only
  plan-charge db --port 5433`,
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), args) },
	}
	cmd.Flags().StringVarP(&o.stack, "stack", "s", "", "the Pulumi stack (default: the selected one)")
	cmd.Flags().StringVar(&o.outputs, "outputs", "", "a file with what 'pulumi stack output --json' printed, to do without pulumi here")
	cmd.Flags().StringVar(&o.as, "as", "app", "whom to log in as: app (reads and writes rows) or owner (changes the schema, too)")
	cmd.Flags().IntVar(&o.port, "port", 0, "the port on 127.0.0.1 (default: a free one)")
	return cmd
}

// stackOutputs are those that lead to the database.
type stackOutputs struct {
	Access *struct {
		Name           string   `json:"name"`
		Region         string   `json:"region"`
		Profile        string   `json:"profile"`
		Role           string   `json:"role"`
		Cluster        string   `json:"cluster"`
		TaskDefinition string   `json:"taskDefinition"`
		Container      string   `json:"container"`
		Subnets        []string `json:"subnets"`
		SecurityGroups []string `json:"securityGroups"`
	} `json:"databaseAccess"`
	Address     string `json:"databaseAddress"`
	Port        int    `json:"databasePort"`
	AppSecret   string `json:"databaseUrlSecret"`
	OwnerSecret string `json:"migrationUrlSecret"`
}

func (o *dbOptions) run(ctx context.Context, command []string) error {
	if !slices.Contains([]string{"app", "owner"}, o.as) {
		return fmt.Errorf("--as: found %q; allowed: app or owner; example: --as app", o.as)
	}
	if len(command) > 0 {
		if _, err := exec.LookPath(command[0]); err != nil {
			return fmt.Errorf("%w: install it, or use 'plan-charge db' without a command and connect with what there is", err)
		}
	}
	out, err := o.read(ctx)
	if err != nil {
		return err
	}
	cfg, err := awsclient.Load(ctx, awsclient.Settings{Region: out.Access.Region, Profile: out.Access.Profile, Role: out.Access.Role})
	if err != nil {
		return err
	}
	secret := out.AppSecret
	if o.as == "owner" {
		secret = out.OwnerSecret
	}
	login, err := readLogin(ctx, secretsmanager.NewFromConfig(cfg), secret)
	if err != nil {
		return err
	}
	way, err := session.Open(ctx, cfg, session.Settings{
		Stack: out.Access.Name, Cluster: out.Access.Cluster, TaskDefinition: out.Access.TaskDefinition, Container: out.Access.Container,
		Subnets: out.Access.Subnets, SecurityGroups: out.Access.SecurityGroups, Host: out.Address, Port: out.Port,
	}, os.Stderr)
	if err != nil {
		return err
	}
	defer way.Close()
	port, err := way.Listen(o.port)
	if err != nil {
		return err
	}
	defer port.Close()
	if len(command) > 0 {
		return runWith(ctx, login.environment(os.Environ(), port.Port), command)
	}
	fmt.Printf(`%s is on 127.0.0.1:%d until this is interrupted (Ctrl-C):
  psql "host=127.0.0.1 port=%d dbname=%s user=%s sslmode=%s"
  its password is in the URL in secret %s
`, login.database, port.Port, port.Port, login.database, login.user, login.sslMode, secret)
	<-ctx.Done()
	if errors.Is(context.Cause(ctx), lifeline.ErrAbandoned) {
		return context.Cause(ctx)
	}
	return nil
}

// read finds the stack's outputs.
func (o *dbOptions) read(ctx context.Context) (*stackOutputs, error) {
	if o.outputs != "" {
		text, err := os.ReadFile(o.outputs)
		if err != nil {
			return nil, fmt.Errorf("--outputs: %w", err)
		}
		return parseOutputs(text)
	}
	args := []string{"stack", "output", "--json"}
	if o.stack != "" {
		args = append(args, "--stack", o.stack)
	}
	pulumi := exec.CommandContext(ctx, "pulumi", args...)
	text, err := pulumi.Output()
	var failed *exec.ExitError
	switch {
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("pulumi is not on PATH: install it, or give --outputs a file with what 'pulumi stack output --json' printed elsewhere")
	case errors.As(err, &failed):
		return nil, fmt.Errorf("pulumi %s: %s", strings.Join(args, " "), bytes.TrimSpace(failed.Stderr))
	case err != nil:
		return nil, err
	}
	return parseOutputs(text)
}

func parseOutputs(text []byte) (*stackOutputs, error) {
	var out stackOutputs
	if err := json.Unmarshal(text, &out); err != nil {
		return nil, fmt.Errorf("the stack's outputs are no JSON: %w", err)
	}
	if out.Access == nil || out.Address == "" || out.AppSecret == "" || out.OwnerSecret == "" {
		return nil, errors.New("the stack's outputs lead to no database (databaseAccess, databaseAddress, databaseUrlSecret, migrationUrlSecret): 'pulumi up' makes them")
	}
	return &out, nil
}

// login is how to connect. It never prints.
type login struct{ user, password, database, sslMode string }

// readLogin takes it from the URL in a secret.
func readLogin(ctx context.Context, api *secretsmanager.Client, secret string) (*login, error) {
	out, err := api.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &secret})
	if err != nil {
		return nil, fmt.Errorf("read the login from %s, which takes the right secretsmanager:GetSecretValue on it: %w", secret, err)
	}
	u, err := url.Parse(aws.ToString(out.SecretString))
	if err != nil || u.User == nil {
		return nil, fmt.Errorf("secret %s holds no database URL: 'pulumi up --refresh' writes it again", secret) // err would repeat it
	}
	password, _ := u.User.Password()
	return &login{u.User.Username(), password, strings.TrimPrefix(u.Path, "/"), u.Query().Get("sslmode")}, nil
}

// environment adds the login to a command's environment, in place of what leads elsewhere.
func (l *login) environment(inherited []string, port int) []string {
	kept := slices.DeleteFunc(slices.Clone(inherited), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.Contains([]string{"PGHOST", "PGHOSTADDR", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGPASSFILE", "PGSERVICE", "PGSSLMODE"}, name)
	})
	return append(kept, "PGHOST=127.0.0.1", fmt.Sprintf("PGPORT=%d", port), "PGUSER="+l.user, "PGDATABASE="+l.database,
		"PGPASSWORD="+l.password, "PGSSLMODE="+l.sslMode)
}

// runWith runs a command to its end. An interrupt is the command's own affair, as psql cancels a query by it; other signals
// are passed on.
func runWith(ctx context.Context, environment, command []string) error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = environment, os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = endWithUs() // without the way to the database it is of no use
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	abandoned := ctx.Done()
	for {
		select {
		case err := <-ended:
			return err
		case s := <-signals:
			_ = cmd.Process.Signal(s) // it may have ended
		case <-abandoned:
			abandoned = nil
			if errors.Is(context.Cause(ctx), lifeline.ErrAbandoned) {
				_ = cmd.Process.Signal(syscall.SIGTERM)
			}
		}
	}
}
