package lifeline

import (
	"os"
	"slices"
	"strings"

	"github.com/shirou/gopsutil/v4/process"
)

// Engine is the Pulumi command that a process works for. A provider is told neither which it is nor whether it only
// previews, so the processes above are asked.
type Engine struct {
	PID  int // 0: there is none, or the system does not tell
	args []string
}

// FindEngine looks for the command among the processes above this one.
func FindEngine() Engine {
	chain := ancestors(os.Getppid(), find)
	if len(chain) == 0 || chain[len(chain)-1].name != engineName {
		return Engine{}
	}
	e := Engine{PID: chain[len(chain)-1].pid}
	if p, err := process.NewProcess(int32(e.PID)); err == nil {
		e.args, _ = p.CmdlineSlice() // without it, it is no preview
	}
	return e
}

// withValue are the CLI's flags before a command that are followed by a value, which might be called as a command is.
var withValue = []string{"-s", "--stack", "-C", "--cwd", "--color", "-v", "--verbose", "--tracing", "--profiling", "--otel-traces", "--memprofilerate"}

// Preview says whether the command is `pulumi preview`. A refresh is none, even one with --preview-only: who types it wants to
// know what is there.
func (e Engine) Preview() bool {
	for i := 1; i < len(e.args); i++ {
		switch arg := e.args[i]; {
		case slices.Contains(withValue, arg):
			i++
		case !strings.HasPrefix(arg, "-"):
			return arg == "preview" || arg == "pre"
		}
	}
	return false
}
