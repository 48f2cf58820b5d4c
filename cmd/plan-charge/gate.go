package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"plan-charge/internal/forge"
	"plan-charge/internal/review"
)

// reviewedFlags are which pull request was reviewed.
type reviewedFlags struct {
	pull  int
	where forgeFlags
}

func (f *reviewedFlags) add(cmd *cobra.Command) {
	cmd.Flags().IntVar(&f.pull, "pull", 0, "number of the pull request that was reviewed; 0: the one that --head came with")
	f.where.add(cmd)
}

// reviewed is what people saw before they agreed.
type reviewed struct {
	client *forge.Client
	pull   int // 0: there is none
	marker string
	hidden review.Hidden
	steps  []string
	why    string // nothing was reviewed
}

func (f *reviewedFlags) read(cmd *cobra.Command, stack stackFlags) (*reviewed, error) {
	project, err := projectName()
	if err != nil {
		return nil, err
	}
	client, err := f.where.client()
	if err != nil {
		return nil, err
	}
	r := &reviewed{client: client, pull: f.pull, marker: review.Marker(project, stack.stack)}
	if r.pull == 0 {
		if r.pull, err = client.PullOf(cmd.Context(), stack.head); err != nil {
			return nil, err
		}
	}
	if r.pull == 0 {
		r.why = fmt.Sprintf("commit %s came with no pull request", stack.head)
		return r, nil
	}
	comment, err := client.FindComment(cmd.Context(), r.pull, r.marker)
	switch {
	case err != nil:
		return nil, err
	case comment == nil:
		r.why = fmt.Sprintf("pull request %d has no preview of this stack", r.pull)
		return r, nil
	}
	r.hidden, r.steps, err = review.ReadComment(comment.Body)
	switch {
	case err != nil:
		r.why = fmt.Sprintf("pull request %d: %v", r.pull, err)
	case r.hidden.Failed:
		r.why = fmt.Sprintf("the last preview of pull request %d failed", r.pull)
	}
	return r, nil
}

// verdict says whether what would happen now is what was reviewed. Only the same digest is.
func (r *reviewed) verdict(now *review.Review) (equal bool, markdown string) {
	if r.why != "" {
		return false, fmt.Sprintf("### Not reviewed\n\n%s. What would happen now:\n\n%s", review.Plain(r.why), review.SideBySide(nil, now.Plan.Canonical()))
	}
	if r.hidden.Digest == now.Digest {
		return true, fmt.Sprintf("### As reviewed\n\nThe %d steps are those of pull request %d.", len(now.Plan.Steps), r.pull)
	}
	text := fmt.Sprintf("### Not what was reviewed in pull request %d\n\n", r.pull)
	if r.hidden.Base != "" && now.Meta.Base != "" && r.hidden.Base != now.Meta.Base {
		text += fmt.Sprintf("The preview was made on main at %s; main was at %s when this was merged.\n\n", review.Plain(short(r.hidden.Base)), review.Plain(short(now.Meta.Base)))
	}
	if r.steps == nil {
		text += "The comment had no room for the steps, so only what would happen now is listed.\n\n"
	}
	return false, text + review.SideBySide(r.steps, now.Plan.Canonical())
}

func short(commit string) string { return commit[:min(12, len(commit))] }

func gateCommand() *cobra.Command {
	var stack stackFlags
	var f reviewedFlags
	var ask bool
	cmd := &cobra.Command{
		Use:   "gate --stack STACK (--pull NUMBER | --head COMMIT)",
		Short: "Hold what a deployment would do against what was reviewed",
		Long: `Previews once more and compares the steps with those in the pull request's comment: operation, resource, the properties
that force a replacement, old and new values that are no secret. What differs is shown side by side, on standard output
and on the run's page. In a workflow it hands on digest and environment: production where the steps are equal,
production-approval where somebody has to agree first.

Exit codes: 0 equal, 7 different or never reviewed (0 with --ask), 1 it failed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			was, err := f.read(cmd, stack)
			if err != nil {
				return err
			}
			run := fromActions(os.Getenv)
			now, err := stack.preview(cmd, run)
			if err != nil {
				return err
			}
			if now.Plan.Failed {
				return errors.New(failure(now.Plan))
			}
			equal, text := was.verdict(now)
			if len(now.Plan.Unseen) > 0 {
				text += "\n\n**Not all was seen**, so the deployment will find the same out of reach and stop: " + review.Plain(now.Plan.Unseen[0].Message)
			}
			environment := "production"
			if !equal {
				environment = "production-approval"
			}
			fmt.Fprintln(cmd.OutOrStdout(), text)
			if err := errors.Join(stack.write(now), run.say(text), run.set("digest", now.Digest), run.set("environment", environment)); err != nil {
				return err
			}
			if !equal && !ask {
				return exitf(exitDiffers, "what would happen is not what was reviewed")
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&ask, "ask", false, "exit with 0 where the steps differ, so that the next job can ask somebody")
	stack.add(cmd)
	f.add(cmd)
	return cmd
}

func deployCommand() *cobra.Command {
	var stack stackFlags
	var f reviewedFlags
	var digest string
	cmd := &cobra.Command{
		Use:   "deploy --stack STACK (--pull NUMBER | --head COMMIT) [--digest DIGEST]",
		Short: "Deploy what was reviewed, and nothing else",
		Long: `Previews once more, and deploys only where the digest of the steps is the one given: --digest, which a gate printed and
somebody agreed to, or else the one in the pull request's comment. Then the comment ends with what came of it.

Exit codes: 0 deployed, 7 not what was agreed to, so nothing was changed, 1 it failed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			was, err := f.read(cmd, stack)
			if err != nil {
				return err
			}
			run := fromActions(os.Getenv)
			now, err := stack.preview(cmd, run)
			if err != nil {
				return err
			}
			if now.Plan.Failed {
				return errors.New(failure(now.Plan))
			}
			if err := agreed(digest, was, now, run); err != nil {
				return err
			}
			now.Outcome = outcome(cmd, stack, run)
			if err := was.finish(cmd, now); err != nil {
				fmt.Fprintln(cmd.ErrOrStderr(), "the comment does not say it:", err)
			}
			fmt.Fprintln(cmd.OutOrStdout(), now.Outcome.Text())
			if err := run.say(now.Outcome.Text()); err != nil {
				return err
			}
			if !now.Outcome.Deployed {
				return errors.New(now.Outcome.Why)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&digest, "digest", "", "what somebody agreed to, as the gate printed it")
	stack.add(cmd)
	f.add(cmd)
	return cmd
}

// agreed says whether somebody agreed to what would happen now.
func agreed(digest string, was *reviewed, now *review.Review, run actions) error {
	equal, text := was.verdict(now)
	if digest != "" {
		equal = digest == now.Digest
	}
	if equal {
		return nil
	}
	if err := run.say(text); err != nil {
		return err
	}
	return exitf(exitDiffers, "nothing was changed: what would happen now is not what was agreed to\n%s", strings.TrimSpace(text))
}

// outcome deploys and says what came of it.
func outcome(cmd *cobra.Command, stack stackFlags, run actions) *review.Outcome {
	o := &review.Outcome{Run: run.Run, RunURL: run.RunURL, Next: "pulumi up --stack " + stack.stack}
	done, err := stack.engine(cmd.ErrOrStderr()).Up(cmd.Context())
	if err != nil {
		o.Why, o.Serves = err.Error(), "Which version serves is not known; pulumi refresh --preview-only says it."
		return o
	}
	o.Serves = done.Serves()
	if done.Failed {
		o.Why = failure(done)
		return o
	}
	o.Deployed, o.Next = true, ""
	return o
}

// finish ends the pull request's comment with the outcome. It stays the comment of its own run and commits.
func (r *reviewed) finish(cmd *cobra.Command, now *review.Review) error {
	if r.pull == 0 {
		return nil
	}
	if r.why == "" {
		now.Meta.Run, now.Meta.Attempt = r.hidden.Run, r.hidden.Attempt
		now.Meta.Head, now.Meta.Base = r.hidden.Head, r.hidden.Base
	}
	text, err := now.Render(review.Budget)
	if err != nil {
		return err
	}
	_, err = r.client.PutComment(cmd.Context(), r.pull, r.marker, text, now.Overwrites)
	return err
}
