// Command plan-charge is the one program beside the deployment: the commands that an update runs, and those for people.
// `plan-charge help` lists them. What is found goes to standard output, how it goes to standard error.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"

	"github.com/spf13/cobra"

	"plan-charge/internal/lifeline"
)

func main() {
	ctx, done := lifeline.Context(context.Background())
	cmd, err := root().ExecuteContextC(ctx)
	done()
	var ended *exec.ExitError
	if errors.As(err, &ended) && cmd.Name() == "db" {
		os.Exit(max(1, ended.ExitCode())) // the command that it ran has said why
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", cmd.Name(), err)
		os.Exit(exitCode(err))
	}
}

// root is the program with all its commands.
func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "plan-charge",
		Short: "Migrates the database, opens it to people, looks whether the site is served, and says what a deployment will change",
		Long: `Migrates the database, opens it to people, looks whether the site is served, and says what a deployment will change.

An update runs migrate, invalidate and verify by itself and gives them what they need in variables; each command's help
names those. db is for people; preview, comment, gate, deploy and drift are for people and workflows (docs/github.md). Exit
codes: 0 it is done, 1 it failed and says why; db ends with its command's, and those of the others stand in their help.`,
		SilenceUsage:  true, // a failed migration is no wrong usage
		SilenceErrors: true, // main says it
	}
	cmd.AddCommand(migrateCommand(), verifyCommand(), invalidateCommand(), dbCommand())
	cmd.AddCommand(previewCommand(), commentCommand(), gateCommand(), deployCommand(), driftCommand())
	return cmd
}
