package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// diskSize holds the state's history of a run over every point, and is soon filled.
const diskSize = "2g"

// disk is a file system of the state's own, so that it can be full.
type disk struct{ dir string }

// mountDisk puts an empty disk in memory at a folder, or finds the one of an earlier run. It takes the right to mount.
func mountDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return nil, err
	}
	if exec.Command("mountpoint", "-q", dir).Run() == nil {
		return &disk{dir}, nil
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		return nil, errors.Join(err, fmt.Errorf("%s holds a state already", dir))
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "mode=0711,size="+diskSize, "plan-charge", dir).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("mount a disk in memory: %w %s", err, out)
	}
	return &disk{dir}, nil
}

func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill leaves no byte free.
func (d *disk) fill() error {
	file, err := os.Create(d.ballast())
	if err != nil {
		return err
	}
	defer file.Close()
	for size := 1 << 20; size > 0; { // the last bytes in small pieces
		if _, err := file.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			return err
		}
	}
	return nil
}

// empty makes room again.
func (d *disk) empty() error {
	if err := os.Remove(d.ballast()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (d *disk) unmount() error {
	if out, err := exec.Command("umount", "--lazy", d.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("umount %s: %w %s", d.dir, err, out)
	}
	return nil
}
