package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/awsquery"
	"plan-charge/internal/forge"
	"plan-charge/internal/pending"
	"plan-charge/internal/review"
)

// driftLabel marks the one issue.
const driftLabel = "drift"

func driftCommand() *cobra.Command {
	var stack, config, file, deployments string
	var issue bool
	var where forgeFlags
	cmd := &cobra.Command{
		Use:   "drift --stack STACK [--json FILE] [--issue]",
		Short: "Say what was changed by hand, and keep the one issue about it",
		Long: `Runs 'pulumi refresh --preview-only' and says what differs from what was deployed: resource, property, declared, found.
Nothing is changed. What could not be looked at, what nobody can look at, and what waits for the database's maintenance
window is said apart.

With --issue the drift is one issue, found by its first line, label and author: it opens at the first drift, is edited while
the same differs, gets a comment when that changes, opens again when it was closed too early, and closes when all was looked
at and is as declared. GITHUB_TOKEN needs the permission issues: write. While a workflow named by --deployments runs, nothing
is looked at, which is said.

Exit codes: 0 all was seen and is as declared, or waits for a window (or a deployment runs), 7 drift, 8 no drift, but not all was seen, 1 it failed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			run := fromActions(os.Getenv)
			if issue || deployments != "" {
				if busy, err := deploying(cmd, &where, deployments); err != nil || busy {
					return err
				}
			}
			f := stackFlags{stack: stack, config: config}
			d, err := look(cmd, f)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), d.Table())
			if err := errors.Join(writeJSON(file, d), run.say("### "+review.Plain(d.IssueTitle()+": "+d.Summary())+"\n\n"+d.List())); err != nil {
				return err
			}
			if issue {
				if err := keepIssue(cmd, &where, d, run); err != nil {
					return err
				}
			}
			if code := d.Exit(); code != review.ExitClean {
				return exitf(code, "%s", d.Summary())
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&stack, "stack", "", "the stack, for example prod")
	flags.StringVar(&config, "config-file", "", "the stack's configuration; empty: Pulumi.STACK.yaml")
	flags.StringVar(&file, "json", "", "file to write what was found to, as JSON")
	flags.BoolVar(&issue, "issue", false, "keep the issue")
	flags.StringVar(&deployments, "deployments", "", "file name of the workflow that deploys, for example deploy.yml")
	if err := cmd.MarkFlagRequired("stack"); err != nil {
		panic(err)
	}
	where.add(cmd)
	return cmd
}

// deploying says whether a deployment is under way, whose changes would look like drift.
func deploying(cmd *cobra.Command, where *forgeFlags, workflow string) (bool, error) {
	if workflow == "" {
		return false, nil
	}
	client, err := where.client()
	if err != nil {
		return false, err
	}
	url, err := client.Runs(cmd.Context(), workflow)
	if err != nil || url == "" {
		return false, err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "skipped: a deployment is under way: %s\n", url)
	return true, nil
}

func look(cmd *cobra.Command, f stackFlags) (*review.Drift, error) {
	project, err := projectName()
	if err != nil {
		return nil, err
	}
	plan, err := f.engine(cmd.ErrOrStderr()).Drift(cmd.Context())
	if err != nil {
		return nil, err
	}
	d := review.NewDrift(plan)
	d.Project, d.Stack = project, f.stack
	if !d.Failed {
		waiting(cmd.Context(), plan.Account, d)
	}
	return d, nil
}

// waiting asks which changes of the databases wait for a maintenance window. What does not answer was not seen.
func waiting(ctx context.Context, a review.Account, d *review.Drift) {
	if len(a.Instances) == 0 {
		return
	}
	cfg, err := awsclient.Load(ctx, awsclient.Settings{Region: a.Region, Profile: a.Profile, Role: a.Role})
	for _, i := range a.Instances {
		if slices.ContainsFunc(d.Drift, func(x review.Differs) bool { return x.URN == i.URN && x.Property == "" }) {
			continue // it is gone
		}
		var changes []pending.Change
		if err == nil {
			changes, err = pending.Of(ctx, awsquery.New(cfg), i.Identifier)
		}
		if err != nil {
			d.Unseen = append(d.Unseen, review.Problem{URN: i.URN, Message: "what waits for the maintenance window: " + err.Error()})
			return
		}
		for _, c := range changes {
			p := review.Pending{Property: c.Setting, Found: c.Now, Then: c.Then, Until: c.Window}
			if c.Then == "" {
				p.Found, p.Then = "(a password)", "(another)"
			}
			d.Wait(i, p)
		}
	}
}

func writeJSON(path string, d *review.Drift) error {
	if path == "" {
		return nil
	}
	data, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// keepIssue opens, edits or closes the issue. After a look that failed, or did not see all, an open one stays as it is.
func keepIssue(cmd *cobra.Command, where *forgeFlags, d *review.Drift, run actions) error {
	client, err := where.client()
	if err != nil {
		return err
	}
	marker := review.DriftMarker(d.Project, d.Stack)
	var url string
	switch d.Exit() {
	case review.ExitDrift:
		url, err = client.OpenIssue(cmd.Context(), forge.Issue{
			Marker: marker, Label: driftLabel, Title: d.IssueTitle(), Body: d.IssueBody(run.RunURL),
			Fingerprint: d.Fingerprint(), Changed: "What differs has changed:\n\n" + d.List(),
		})
	case review.ExitClean:
		url, err = client.CloseIssue(cmd.Context(), marker, driftLabel, "All was looked at, and is as declared.")
	default:
		url, err = client.FindIssue(cmd.Context(), marker, driftLabel)
	}
	if url != "" {
		fmt.Fprintln(cmd.OutOrStdout(), url)
	}
	return err
}
