// Sandbox is plan-charge's cloud on one machine: it starts an AWS emulator, a PostgreSQL, a CDN edge and the sample
// backend, and runs the ordinary Pulumi program against them.
//
//	go run ./sandbox up              start everything and run the first `pulumi up`
//	go run ./sandbox run -- COMMAND  run any command in the sandbox's environment
//	eval "$(go run ./sandbox env)"   give that environment to this shell
//	go run ./sandbox status [--json] [--show-secrets]
//	go run ./sandbox replay          build the incident on it by hand, and watch one `pulumi up` heal it
//	go run ./sandbox image add NAME:TAG --dir FOLDER   have an application of one's own to deploy
//	go run ./sandbox stop
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

const usage = `usage: go run ./sandbox COMMAND

  up                 start the sandbox and run 'pulumi up' on it; ends with a table of what works
  run -- COMMAND …   run a command in the sandbox's environment, for example: run -- pulumi refresh
  env                print that environment for a shell: eval "$(go run ./sandbox env)"
  status             what runs, and where [--json] [--show-secrets]
  replay             build the incident by hand, run 'pulumi up' on it and watch its faults disappear; the users in
                     the sandbox's database are lost [--svg FILE: where to draw the timeline of the run]
  image add NAME:TAG --dir FOLDER [--port N] [--workdir PATH] [--force] [-- COMMAND …]
                     make a folder an image that can be deployed: a Python project (requirements.txt or pyproject.toml)
                     or a command line; --port starts it once and checks that it listens there
  image list         images that were added
  image remove NAME:TAG
  stop               stop every process; what was deployed is kept for the next 'up'
  setup              fetch and build everything the sandbox needs, and start nothing

PLAN_CHARGE_CACHE, PLAN_CHARGE_STATE and PLAN_CHARGE_PORT_OFFSET move its cache, its state and its ports.
`

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	err := dispatch(ctx, os.Args[1:])
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.Is(err, errUsage):
		fmt.Fprint(os.Stderr, usage)
		os.Exit(2)
	case errors.As(err, &exit):
		os.Exit(max(exit.ExitCode(), 1)) // the command said itself what is wrong
	default:
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	command, rest := args[0], args[1:]
	flags := flag.NewFlagSet(command, flag.ContinueOnError)
	flags.Usage = func() {}
	switch command {
	case "up":
		if flags.Parse(rest) != nil || flags.NArg() > 0 {
			return errUsage
		}
		return up(ctx)
	case "setup":
		_, err := setup(ctx, os.Stdout)
		return err
	case "run":
		if len(rest) > 0 && rest[0] == "--" {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return errUsage
		}
		return run(ctx, rest)
	case "env":
		return printEnv(ctx)
	case "status":
		asJSON := flags.Bool("json", false, "")
		secrets := flags.Bool("show-secrets", false, "")
		if flags.Parse(rest) != nil || flags.NArg() > 0 {
			return errUsage
		}
		return status(ctx, *asJSON, *secrets)
	case "replay":
		picture := flags.String("svg", "", "")
		if flags.Parse(rest) != nil || flags.NArg() > 0 {
			return errUsage
		}
		return replay(ctx, *picture)
	case "image":
		return imageCommand(ctx, rest)
	case "stop":
		return stop(ctx)
	case "serve": // the background process; not for people
		return serve(ctx)
	}
	return errUsage
}

// run executes a command with the sandbox's environment, starting the sandbox where it does not run.
func run(ctx context.Context, args []string) error {
	box, err := start(ctx, os.Stderr)
	if err != nil {
		return err
	}
	return box.command(ctx, args[0], args[1:]...).Run()
}

// printEnv prints export lines; progress goes to stderr, so that eval sees nothing else.
func printEnv(ctx context.Context) error {
	box, err := start(ctx, os.Stderr)
	if err != nil {
		return err
	}
	for _, v := range box.variables {
		key, value, _ := strings.Cut(v, "=")
		fmt.Printf("export %s='%s'\n", key, strings.ReplaceAll(value, "'", `'\''`))
	}
	return nil
}
