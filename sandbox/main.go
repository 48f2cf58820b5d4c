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
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"

	"plan-charge/sandbox/box"
	"plan-charge/sandbox/cloud"
	"plan-charge/sandbox/report"
	"plan-charge/test/replay"
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
PLAN_CHARGE_NETWORK=open makes a sandbox whose database and tasks everybody on this machine reaches, unlike in AWS.
PLAN_CHARGE_POSTGRES names a folder whose bin holds PostgreSQL's programs, to use those instead of fetched ones.
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
		b, err := box.Open()
		if err != nil {
			return err
		}
		return b.Prepare(ctx, os.Stdout)
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
		return replayIncident(ctx, *picture)
	case "image":
		return imageCommand(ctx, rest)
	case "stop":
		b, err := box.Open()
		if err != nil {
			return err
		}
		return b.Stop(ctx, os.Stdout)
	case "serve": // the background process; not for people
		b, err := box.Open()
		if err != nil {
			return err
		}
		return cloud.Serve(ctx, b)
	}
	return errUsage
}

// start opens the sandbox, makes sure that everything it needs is there and that it runs.
func start(ctx context.Context, w io.Writer) (*box.Box, error) {
	b, err := box.Open()
	if err != nil {
		return nil, err
	}
	if err := b.Prepare(ctx, w); err != nil {
		return nil, err
	}
	return b, b.Start(ctx, w)
}

// status tells what runs and where. It starts nothing.
func status(ctx context.Context, asJSON, showSecrets bool) error {
	b, err := box.Open()
	if err != nil {
		return err
	}
	if err := b.Prepare(ctx, os.Stderr); err != nil {
		return err
	}
	s, err := report.Look(ctx, b, showSecrets)
	if err != nil {
		return err
	}
	if asJSON {
		return s.JSON(os.Stdout)
	}
	s.Print(os.Stdout)
	return nil
}

// replayIncident makes sure that something that works is deployed before it is broken.
func replayIncident(ctx context.Context, picture string) error {
	b, err := start(ctx, os.Stdout)
	if err != nil {
		return err
	}
	s, err := report.Look(ctx, b, false)
	if err != nil {
		return err
	}
	if s.Outputs["verification"] == nil {
		fmt.Println("Nothing that works is deployed, so that comes first.")
		if err := up(ctx); err != nil { // a replay that failed leaves its faults, and this sees them
			return err
		}
	}
	return replay.Run(ctx, b, cmp.Or(picture, b.File("replay.svg")))
}

// run executes a command with the sandbox's environment, starting the sandbox where it does not run.
func run(ctx context.Context, args []string) error {
	b, err := start(ctx, os.Stderr)
	if err != nil {
		return err
	}
	return b.Command(ctx, args[0], args[1:]...).Run()
}

// printEnv prints export lines; progress goes to stderr, so that eval sees nothing else.
func printEnv(ctx context.Context) error {
	b, err := start(ctx, os.Stderr)
	if err != nil {
		return err
	}
	for _, v := range b.Env() {
		key, value, _ := strings.Cut(v, "=")
		fmt.Printf("export %s='%s'\n", key, strings.ReplaceAll(value, "'", `'\''`))
	}
	return nil
}
