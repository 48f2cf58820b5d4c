// Package proc looks at processes through Linux's /proc.
package proc

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process is one that lived when it was found. A PID alone may be used again.
type Process struct {
	PID, Parent int
	Started     uint64 // clock ticks after boot
}

// Find returns a living process. One that has ended and waits for its parent to notice is no longer alive.
func Find(pid int) (Process, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Process{}, err
	}
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // the name before it may hold anything
	if len(fields) < 20 || fields[0] == "Z" {
		return Process{}, fmt.Errorf("process %d has ended", pid)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return Process{}, err
	}
	started, err := strconv.ParseUint(fields[19], 10, 64)
	return Process{PID: pid, Parent: parent, Started: started}, err
}

// Alive tells whether this very process still runs.
func (p Process) Alive() bool {
	now, err := Find(p.PID)
	return err == nil && now.Started == p.Started
}

// Below returns all processes below one, each after its parent.
func Below(root int) []Process {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well formed
	children := map[int][]Process{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if p, err := Find(pid); err == nil { // or it has ended meanwhile
			children[p.Parent] = append(children[p.Parent], p)
		}
	}
	all := children[root]
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i].PID]...)
	}
	return all
}
