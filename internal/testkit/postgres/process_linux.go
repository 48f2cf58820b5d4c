package postgres

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// capDACReadSearch lets a process walk through folders that are closed to its user, such as /root, and nothing more than
// read there.
const capDACReadSearch = 2

// mayWalk lets the process reach its data below folders that are closed to its user.
func mayWalk(attr *syscall.SysProcAttr) error {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(status)) {
		hex, ok := strings.CutPrefix(line, "CapPrm:")
		if !ok {
			continue
		}
		permitted, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		if err != nil {
			return err
		}
		if permitted&(1<<capDACReadSearch) == 0 {
			return fmt.Errorf("this process lacks CAP_DAC_READ_SEARCH")
		}
		attr.AmbientCaps = []uintptr{capDACReadSearch}
		return nil
	}
	return fmt.Errorf("no capabilities are known")
}

// endWithParent asks for PostgreSQL's fast shutdown when the thread that started the process ends.
func endWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGINT }

// serversIn lists the PostgreSQL processes, postmaster or child, that work in a data folder. Every one of them has it as
// working directory.
func serversIn(dataDir string) ([]int, error) {
	real, err := filepath.EvalSymlinks(dataDir)
	if err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cwd, err := os.Readlink(filepath.Join("/proc", e.Name(), "cwd"))
		if err != nil || cwd != real {
			continue
		}
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err != nil || filepath.Base(exe) != "postgres" {
			continue
		}
		pids = append(pids, pid)
	}
	return pids, nil
}
