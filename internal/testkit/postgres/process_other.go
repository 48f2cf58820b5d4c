//go:build !linux

package postgres

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

func mayWalk(*syscall.SysProcAttr) error {
	return errors.New("only Linux can allow that for one process")
}

func endWithParent(*syscall.SysProcAttr) {}

// serversIn returns the postmaster that a data folder names, when it is alive.
func serversIn(dataDir string) ([]int, error) {
	text, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid"))
	if err != nil {
		if os.IsNotExist(err) {
			return nil, nil
		}
		return nil, err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 || syscall.Kill(pid, 0) != nil {
		return nil, nil
	}
	return []int{pid}, nil
}
