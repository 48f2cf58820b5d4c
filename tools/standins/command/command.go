package main

import (
	"context"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

var (
	_ infer.CustomResource[CommandArgs, CommandState] = (*Command)(nil)
	_ infer.CustomCheck[CommandArgs]                  = (*Command)(nil)
	_ infer.CustomUpdate[CommandArgs, CommandState]   = (*Command)(nil)
	_ infer.CustomDelete[CommandState]                = (*Command)(nil)
	_ infer.Annotated                                 = (*CommandArgs)(nil)
)

// Command is command:local:Command. A secret input stays secret in the state, but what the command writes does not
// become secret by it: as with the official plugin, additionalSecretOutputs says so where it must.
type Command struct{}

// Annotate gives the resource its official name.
func (c *Command) Annotate(a infer.Annotator) {
	a.Describe(&c, "A command that runs on this machine as part of the resource's life.")
	a.SetToken("local", "Command")
}

// CommandArgs are the inputs. A change of triggers replaces the resource, any other change updates it.
type CommandArgs struct {
	Interpreter            *[]string          `pulumi:"interpreter,optional"`
	Dir                    *string            `pulumi:"dir,optional"`
	Environment            *map[string]string `pulumi:"environment,optional"`
	Stdin                  *string            `pulumi:"stdin,optional"`
	Logging                *Logging           `pulumi:"logging,optional"`
	AddPreviousOutputInEnv *bool              `pulumi:"addPreviousOutputInEnv,optional"`
	AssetPaths             *[]string          `pulumi:"assetPaths,optional"`
	ArchivePaths           *[]string          `pulumi:"archivePaths,optional"`

	Triggers *[]any  `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Create   *string `pulumi:"create,optional"`
	Update   *string `pulumi:"update,optional"`
	Delete   *string `pulumi:"delete,optional"`
}

// CommandState is what is kept: the inputs, and what the last create or update wrote, without its last line feed.
type CommandState struct {
	CommandArgs
	Stdout string `pulumi:"stdout"`
	Stderr string `pulumi:"stderr"`
}

// Logging says which of a command's outputs the engine shows while it runs. Both are kept as outputs in any case.
type Logging string

// What Logging can be; both streams are shown when it is not set.
const (
	LogStdout          Logging = "stdout"
	LogStderr          Logging = "stderr"
	LogStdoutAndStderr Logging = "stdoutAndStderr"
	LogNone            Logging = "none"
)

// Values lists the allowed ones.
func (Logging) Values() []infer.EnumValue[Logging] {
	return []infer.EnumValue[Logging]{
		{Name: "stdout", Value: LogStdout, Description: "Show stdout but not stderr"},
		{Name: "stderr", Value: LogStderr, Description: "Show stderr but not stdout"},
		{Name: "stdoutAndStderr", Value: LogStdoutAndStderr, Description: "Show stdout and stderr"},
		{Name: "none", Value: LogNone, Description: "Show nothing"},
	}
}

func (l *Logging) stdout() bool { return l == nil || *l == LogStdout || *l == LogStdoutAndStderr }
func (l *Logging) stderr() bool { return l == nil || *l == LogStderr || *l == LogStdoutAndStderr }

// Annotate describes the inputs.
func (c *CommandArgs) Annotate(a infer.Annotator) {
	a.Describe(&c.Interpreter, `Program and arguments that get the command as their last argument; ["/bin/sh", "-c"] when not set.`)
	a.Describe(&c.Dir, "Folder to run in; the command fails when it does not exist.")
	a.Describe(&c.Environment, "Variables added to those of the plugin.")
	a.Describe(&c.Stdin, "Text passed as standard input.")
	a.Describe(&c.Logging, "Which outputs are shown while the command runs; both when not set.")
	a.Describe(&c.AddPreviousOutputInEnv, "Whether the command sees what the run before it wrote, as PULUMI_COMMAND_STDOUT and PULUMI_COMMAND_STDERR.")
	a.SetDefault(&c.AddPreviousOutputInEnv, true)
	a.Describe(&c.AssetPaths, "Not offered by this plugin.")
	a.Describe(&c.ArchivePaths, "Not offered by this plugin.")
	a.Describe(&c.Triggers, "Values of any kind; when one changes, the resource is replaced.")
	a.Describe(&c.Create, "Command to run on create.")
	a.Describe(&c.Update, "Command to run on update; create runs again when it is not set.")
	a.Describe(&c.Delete, "Command to run on delete.")
}

// Check refuses what only the official plugin can do, at preview already.
func (*Command) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[CommandArgs], error) {
	args, failures, err := infer.DefaultCheck[CommandArgs](ctx, req.NewInputs)
	for _, name := range []string{"assetPaths", "archivePaths"} {
		if _, set := req.NewInputs.GetOk(name); set {
			failures = append(failures, p.CheckFailure{
				Property: name, Reason: "this plugin stands in for the official one and does not collect files; write them from the program",
			})
		}
	}
	return infer.CheckResponse[CommandArgs]{Inputs: args, Failures: failures}, err
}

// Create runs the create command, if there is one. A failed command leaves no resource behind.
func (*Command) Create(ctx context.Context, req infer.CreateRequest[CommandArgs]) (infer.CreateResponse[CommandState], error) {
	state := CommandState{CommandArgs: req.Inputs}
	id, err := resource.NewUniqueHex(req.Name, 8, 0)
	if err != nil {
		return infer.CreateResponse[CommandState]{}, err
	}
	if !req.DryRun && req.Inputs.Create != nil {
		err = state.run(ctx, *req.Inputs.Create)
	}
	return infer.CreateResponse[CommandState]{ID: id, Output: state}, err
}

// Update runs the update command, or the create command where there is none.
func (*Command) Update(ctx context.Context, req infer.UpdateRequest[CommandArgs, CommandState]) (infer.UpdateResponse[CommandState], error) {
	state := CommandState{CommandArgs: req.Inputs, Stdout: req.State.Stdout, Stderr: req.State.Stderr}
	command := req.Inputs.Update
	if command == nil {
		command = req.Inputs.Create
	}
	var err error
	if !req.DryRun && command != nil {
		err = state.run(ctx, *command)
	}
	return infer.UpdateResponse[CommandState]{Output: state}, err
}

// Delete runs the delete command, if there is one.
func (*Command) Delete(ctx context.Context, req infer.DeleteRequest[CommandState]) (infer.DeleteResponse, error) {
	if req.State.Delete == nil {
		return infer.DeleteResponse{}, nil
	}
	return infer.DeleteResponse{}, req.State.run(ctx, *req.State.Delete)
}
