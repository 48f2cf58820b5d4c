package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one that an `up` has started. A PID alone may be used again.
type process struct {
	pid, parent int
	started     string // clock ticks after boot
	exe         string // path of the program
	program     bool   // the Pulumi program
}

func (p process) String() string { return fmt.Sprintf("%s (%d)", filepath.Base(p.exe), p.pid) }

// readProcess returns a living process.
func readProcess(pid int) (process, bool) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, false
	}
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // the name before it may hold spaces
	if len(fields) < 20 || fields[0] == "Z" {
		return process{}, false
	}
	parent, _ := strconv.Atoi(fields[1])
	exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)) // not readable for others' processes, which are not ours to kill
	return process{pid: pid, parent: parent, started: fields[19], exe: strings.TrimSuffix(exe, " (deleted)")}, true
}

func (p process) alive() bool {
	now, ok := readProcess(p.pid)
	return ok && now.started == p.started
}

// descendants are all processes below one.
func descendants(root int) []process {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	children := map[int][]process{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			children[p.parent] = append(children[p.parent], p)
		}
	}
	var all []process
	next := []int{root}
	for len(next) > 0 {
		for _, p := range children[next[0]] {
			p.program = p.isProgram()
			all = append(all, p)
			next = append(next, p.pid)
		}
		next = next[1:]
	}
	return all
}

// isProgram tells the Pulumi program by the variable with which it finds its engine.
func (p process) isProgram() bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
	return err == nil && slices.ContainsFunc(strings.Split(string(data), "\x00"), func(v string) bool { return strings.HasPrefix(v, "PULUMI_MONITOR=") })
}

// isProvider tells the provider of a package. Ours is built from the folder `provider`.
func (p process) isProvider(pkg string) bool {
	if pkg == "pgrows" {
		return strings.Contains(p.exe, "/provider-") || strings.Contains(filepath.Base(p.exe), "pgrows")
	}
	return filepath.Base(p.exe) == "pulumi-resource-"+pkg
}

// isHelper tells the programs that command resources run.
func (p process) isHelper() bool {
	name := filepath.Base(p.exe)
	return name == "migrate" || name == "verify"
}

// kill ends the processes that match, at once and without notice, and names them.
func kill(all []process, match func(process) bool) []string {
	var names []string
	for _, p := range all {
		if match(p) && p.alive() && syscall.Kill(p.pid, syscall.SIGKILL) == nil {
			names = append(names, p.String())
		}
	}
	return names
}

// slowDown lets a process and all below it run for a tenth of the time only.
func slowDown(ctx context.Context, root int, how time.Duration) {
	send := func(sig syscall.Signal) {
		syscall.Kill(root, sig)
		for _, p := range descendants(root) {
			syscall.Kill(p.pid, sig) // one that has ended needs none
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
