package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"plan-charge/internal/testkit/process"
)

// program is a process that an `up` has started.
type program struct {
	process.Info
	exe    string // path of its file
	pulumi bool   // the Pulumi program
}

func (p program) String() string { return fmt.Sprintf("%s (%d)", filepath.Base(p.exe), p.PID) }

// descendants are all programs below a process.
func descendants(root int) []program {
	var all []program
	for _, info := range process.Below(root) {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", info.PID)) // not readable for others' processes, which are not ours to kill
		p := program{Info: info, exe: strings.TrimSuffix(exe, " (deleted)")}
		p.pulumi = p.isProgram()
		all = append(all, p)
	}
	return all
}

// isProgram tells the Pulumi program by the variable with which it finds its engine.
func (p program) isProgram() bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID))
	return err == nil && slices.ContainsFunc(strings.Split(string(data), "\x00"), func(v string) bool { return strings.HasPrefix(v, "PULUMI_MONITOR=") })
}

// folders are where our own providers are built from.
var folders = map[string]string{"pgrows": "provider", "served": "served"}

// isProvider tells the provider of a package.
func (p program) isProvider(pkg string) bool {
	if folder := folders[pkg]; folder != "" {
		return strings.Contains(p.exe, "/"+folder+"-") || strings.Contains(filepath.Base(p.exe), pkg)
	}
	return filepath.Base(p.exe) == "pulumi-resource-"+pkg
}

// isHelper tells the programs that command resources run.
func (p program) isHelper() bool {
	name := filepath.Base(p.exe)
	return name == "plan-charge" && !p.pulumi
}

// kill ends the processes that match, at once and without notice, and names them.
func kill(all []program, match func(program) bool) []string {
	var names []string
	for _, p := range all {
		if match(p) && p.Alive() && syscall.Kill(p.PID, syscall.SIGKILL) == nil {
			names = append(names, p.String())
		}
	}
	return names
}

// slowDown lets a process and all below it run for a tenth of the time only.
func slowDown(ctx context.Context, root int, how time.Duration) {
	send := func(sig syscall.Signal) {
		syscall.Kill(root, sig)
		for _, p := range process.Below(root) {
			syscall.Kill(p.PID, sig) // one that has ended needs none
		}
	}
	defer send(syscall.SIGCONT)
	for end := time.Now().Add(how); time.Now().Before(end) && ctx.Err() == nil; {
		send(syscall.SIGSTOP)
		time.Sleep(180 * time.Millisecond)
		send(syscall.SIGCONT)
		time.Sleep(20 * time.Millisecond)
	}
}
