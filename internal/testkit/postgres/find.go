package postgres

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// MinVersion is the oldest PostgreSQL major version that the sandbox works with.
const MinVersion = 15

// ErrNotFound means that this machine has no PostgreSQL server of MinVersion or newer.
var ErrNotFound = errors.New("PostgreSQL not found")

// Installation is a PostgreSQL server that is installed on this machine.
type Installation struct {
	BinDir  string // folder that holds postgres and initdb
	Version int    // major version, such as 15
}

// binDirs are the places where packages keep their servers; Debian puts none of them on PATH.
var binDirs = []string{
	"/usr/lib/postgresql/*/bin",
	"/usr/pgsql-*/bin",
	"/opt/homebrew/opt/postgresql@*/bin",
	"/usr/local/opt/postgresql@*/bin",
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// Find returns the newest PostgreSQL server on this machine. The error is ErrNotFound, with what to install, when there
// is none or only an older one.
func Find() (*Installation, error) {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real // initdb is beside the program itself, not beside a link to it
		}
		dirs = append(dirs, filepath.Dir(path))
	}
	for _, pattern := range binDirs {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		dirs = append(dirs, found...)
	}
	best := Installation{}
	for _, dir := range dirs {
		if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err != nil {
			continue
		}
		out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
		if err != nil {
			continue
		}
		if m := versionPattern.FindSubmatch(out); m != nil {
			if version, _ := strconv.Atoi(string(m[1])); version > best.Version {
				best = Installation{BinDir: dir, Version: version}
			}
		}
	}
	switch {
	case best.Version == 0:
		return nil, fmt.Errorf("%w: install PostgreSQL %d or newer (Debian and Ubuntu: apt-get install postgresql; macOS: brew install postgresql@16)",
			ErrNotFound, MinVersion)
	case best.Version < MinVersion:
		return nil, fmt.Errorf("%w: %s holds version %d, but %d or newer is needed (Debian and Ubuntu: apt-get install postgresql; macOS: brew install postgresql@16)",
			ErrNotFound, best.BinDir, best.Version, MinVersion)
	}
	return &best, nil
}
