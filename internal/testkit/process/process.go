// Package process looks at the machine's processes. It is Linux's alone, as is the sandbox.
package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Info is what a process keeps for as long as it lives. A PID alone may be used again.
type Info struct {
	PID, Parent int
	// Started is in clock ticks after boot: a date would move with the clock.
	Started uint64
}

// Read returns a living process; a zombie has ended.
func Read(pid int) (Info, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Info{}, err
	}
	text := string(data)
	fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // the name before it may hold spaces
	if len(fields) < 20 || fields[0] == "Z" {
		return Info{}, fmt.Errorf("process %d has ended", pid)
	}
	parent, err := strconv.Atoi(fields[1])
	if err != nil {
		return Info{}, err
	}
	started, err := strconv.ParseUint(fields[19], 10, 64)
	return Info{PID: pid, Parent: parent, Started: started}, err
}

// Alive says whether that very process still runs.
func (i Info) Alive() bool {
	now, err := Read(i.PID)
	return err == nil && now.Started == i.Started
}

// Below lists the living processes below one, the nearest first.
func Below(root int) []Info {
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	children := map[int][]Info{}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if p, err := Read(pid); err == nil {
			children[p.Parent] = append(children[p.Parent], p)
		}
	}
	var all []Info
	for next := []int{root}; len(next) > 0; next = next[1:] {
		for _, p := range children[next[0]] {
			all = append(all, p)
			next = append(next, p.PID)
		}
	}
	return all
}
