package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"plan-charge/internal/engine"
	"plan-charge/internal/migrationsql"
	"plan-charge/internal/review"
)

// Files that a preview leaves in its folder.
const (
	reviewFile  = "review.json"
	commentFile = "comment.md"
)

// stackFlags are which stack is meant, and which commits.
type stackFlags struct {
	stack, config, head, base, out string
	source                         migrationsql.Source // of the application; without a folder it is not at hand
}

func (f *stackFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.stack, "stack", "", "the stack, for example prod")
	flags.StringVar(&f.config, "config-file", "", "the stack's configuration; empty: Pulumi.STACK.yaml")
	flags.StringVar(&f.head, "head", os.Getenv("GITHUB_SHA"), "the commit that is previewed")
	flags.StringVar(&f.base, "base", "", "the commit of main that it stands on")
	flags.StringVar(&f.out, "out", "", "folder for "+reviewFile+" and "+commentFile+"; empty: none are written")
	flags.StringVar(&f.source.Dir, "migrations", "", "folder with the application's source, which is asked for a migration's SQL; empty: it is not at hand")
	flags.StringVar(&f.source.Command, "migrations-sql", migrationsql.DefaultCommand, "command that prints the SQL, called there without a shell and the environment's credentials; {from} is the database's revision, {image} the image")
	if err := cmd.MarkFlagRequired("stack"); err != nil {
		panic(err)
	}
}

func (f *stackFlags) engine(out io.Writer) *engine.Stack {
	return &engine.Stack{Name: f.stack, Config: f.config, Out: out}
}

// preview foresees a deployment and says where it comes from.
func (f *stackFlags) preview(cmd *cobra.Command, run actions) (*review.Review, error) {
	project, err := projectName()
	if err != nil {
		return nil, err
	}
	if f.source.Dir != "" {
		if err := f.source.Check(); err != nil {
			return nil, err
		}
	}
	began, stack := time.Now(), f.engine(cmd.ErrOrStderr())
	plan, err := stack.Preview(cmd.Context())
	defer func() {
		own := time.Since(began) - stack.Took
		fmt.Fprintf(cmd.ErrOrStderr(), "pulumi took %s, the rest of the preview %s\n", stack.Took.Round(time.Millisecond), own.Round(time.Millisecond))
	}()
	if err != nil {
		// It is told in the pull request as any other failure is.
		plan = &review.Plan{Failed: true, Errors: []review.Problem{{Message: err.Error()}}}
	}
	if m := plan.Migration; m != nil && m.Passed == "" && f.source.Dir != "" {
		f.source.Tell(cmd.Context(), m)
	}
	return review.NewReview(review.Meta{
		Project: project, Stack: f.stack, Head: f.head, Base: f.base, Backend: backend(),
		Run: run.Run, Attempt: run.Attempt, RunURL: run.RunURL, Time: time.Now().UTC(),
	}, plan)
}

// write leaves a review in the folder, for people and for the job that comments.
func (f *stackFlags) write(r *review.Review) error {
	if f.out == "" {
		return nil
	}
	text, err := r.Render(review.Budget)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(filepath.Join(f.out, reviewFile), append(data, '\n'), 0o644),
		os.WriteFile(filepath.Join(f.out, commentFile), []byte(text), 0o644))
}

// projectName is the project's, in whose folder the command is called.
func projectName() (string, error) {
	data, err := os.ReadFile("Pulumi.yaml")
	if err != nil {
		return "", fmt.Errorf("call it in the project's folder: %w", err)
	}
	var project struct{ Name string }
	if err := yaml.Unmarshal(data, &project); err != nil {
		return "", fmt.Errorf("Pulumi.yaml: %w", err)
	}
	return project.Name, nil
}

// backend tells where the state is without saying it: two stacks of one name may be in two places.
func backend() string {
	url := os.Getenv("PULUMI_BACKEND_URL")
	if url == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(url))
	return hex.EncodeToString(sum[:4])
}

func previewCommand() *cobra.Command {
	var f stackFlags
	cmd := &cobra.Command{
		Use:   "preview --stack STACK [--out FOLDER]",
		Short: "Foresee a deployment and say it for a pull request",
		Long: `Runs 'pulumi preview' and says what comes of it: as Markdown on standard output, and with --out in two files, comment.md
and review.json. Nothing is written anywhere else. Where the database cannot be reached, the preview is made without a
refresh, and says what it did not see.

With --migrations the application's source says by which SQL a migration goes on from the database's revision; squawk, where
it is on the PATH, says which statements keep others from a table. The source has to be that of the image.

Exit codes: 0 it was foreseen, 1 the preview failed; its files say why.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			run := fromActions(os.Getenv)
			r, err := f.preview(cmd, run)
			if err != nil {
				return err
			}
			text, err := r.Render(review.Budget)
			if err != nil {
				return err
			}
			fmt.Fprint(cmd.OutOrStdout(), text)
			if err := errors.Join(f.write(r), run.say(text)); err != nil {
				return err
			}
			if r.Plan.Failed {
				return errors.New(failure(r.Plan))
			}
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

// failure is why a plan failed, in one text.
func failure(p *review.Plan) string {
	if len(p.Errors) == 0 {
		return "it failed, and nothing said why"
	}
	e := p.Errors[0]
	if e.Name() != "" {
		return e.Name() + ": " + e.Message
	}
	return e.Message
}

func commentCommand() *cobra.Command {
	var file string
	var pull int
	var where forgeFlags
	cmd := &cobra.Command{
		Use:   "comment --pull NUMBER --review FILE",
		Short: "Say a preview in its pull request",
		Long: `Writes the one comment that a pull request has for a stack, from a preview's review.json: made once, found again by its
first line and its author, and edited from then on. A preview that failed, or changes nothing, is said too. GITHUB_TOKEN
needs the permission pull-requests: write. The text is made here from the review's values, so that who writes the file
writes no Markdown.

A comment of a later run is left as it is, which is an error.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := readReview(file)
			if err != nil {
				return err
			}
			client, err := where.client()
			if err != nil {
				return err
			}
			text, err := r.Render(review.Budget)
			if err != nil {
				return err
			}
			url, err := client.PutComment(cmd.Context(), pull, review.Marker(r.Meta.Project, r.Meta.Stack), text, r.Overwrites)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), url)
			fmt.Fprintf(cmd.ErrOrStderr(), "it stands there %s after the preview was made\n", time.Since(r.Meta.Time).Round(time.Second))
			return nil
		},
	}
	cmd.Flags().StringVar(&file, "review", reviewFile, "the file that a preview wrote")
	cmd.Flags().IntVar(&pull, "pull", 0, "number of the pull request")
	if err := cmd.MarkFlagRequired("pull"); err != nil {
		panic(err)
	}
	where.add(cmd)
	return cmd
}

// largestReview bounds what is read, in bytes: another job wrote it.
const largestReview = 64 << 20

// readReview reads what a preview left, and trusts none of it: names and digest are checked again.
func readReview(path string) (*review.Review, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var r review.Review
	if err := json.NewDecoder(io.LimitReader(file, largestReview)).Decode(&r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if r.Plan == nil {
		return nil, fmt.Errorf("%s: found no plan in it; `plan-charge preview --out` writes one", path)
	}
	checked, err := review.NewReview(r.Meta, r.Plan)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return checked, nil
}
