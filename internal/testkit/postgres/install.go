package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	embedded "github.com/fergusstrange/embedded-postgres"

	"plan-charge/internal/testkit/cache"
)

// EnvDir names the variable that chooses a server of this machine: the folder whose bin holds postgres and initdb.
const EnvDir = "PLAN_CHARGE_POSTGRES"

// DefaultVersion is the major version that runs where none is asked for.
const DefaultVersion = 16

// What is fetched stands in <cache>/<cacheName>/<release>/<serverDir>.
const (
	cacheName = "postgres"
	serverDir = "server"
)

// fetchTimeout bounds a download of 15 MB.
const fetchTimeout = 5 * time.Minute

// releases are the exact versions that are fetched, by major version.
var releases = map[int]embedded.PostgresVersion{
	14: embedded.V14, 15: embedded.V15, 16: embedded.V16, 17: embedded.V17, 18: embedded.V18,
}

// repository replaces the address that servers are fetched from; "" leaves it to the library.
var repository string

// ErrUnavailable means that a version of PostgreSQL cannot be had on this machine.
var ErrUnavailable = errors.New("PostgreSQL is not available")

// installation is a PostgreSQL server on this machine.
type installation struct {
	dir     string // folder with bin, lib and share
	version int    // major version, such as 16
	release string // the cache's key of one that was fetched
}

func fetched(entry string, version int) *installation {
	return &installation{dir: filepath.Join(entry, serverDir), version: version, release: release(version)}
}

func (i installation) program(name string) string { return filepath.Join(i.dir, "bin", name) }

// Check says whether a major version can be had, without fetching it; 0 is any. The error is ErrUnavailable, with what
// to do.
func Check(version int) error {
	if dir := os.Getenv(EnvDir); dir != "" {
		_, err := own(dir, version)
		return err
	}
	if _, ok := releases[version]; !ok && version != 0 {
		majors := slices.Sorted(maps.Keys(releases))
		return fmt.Errorf("%w: there is no version %d to fetch: ask for %d to %d, or set %s to the folder whose bin holds its programs",
			ErrUnavailable, version, majors[0], majors[len(majors)-1], EnvDir)
	}
	return nil
}

// Here says whether a major version, 0 being any, can be started without fetching anything.
func Here(version int) bool {
	if os.Getenv(EnvDir) != "" {
		return Check(version) == nil
	}
	_, ok := cache.Find(cacheName, release(version))
	return ok
}

// Ensure fetches a major version into the cache where it is missing; 0 is any. The error is ErrUnavailable, with what to
// do, when it cannot be had.
func Ensure(ctx context.Context, version int) error {
	_, err := install(ctx, version)
	return err
}

func install(ctx context.Context, version int) (*installation, error) {
	if dir := os.Getenv(EnvDir); dir != "" {
		return own(dir, version)
	}
	if err := Check(version); err != nil {
		return nil, err
	}
	if version == 0 {
		version = DefaultVersion
	}
	dir, err := cache.Ensure(ctx, cacheName, release(version), func(dir string) error { return fetch(ctx, dir, version) })
	if err != nil {
		return nil, err
	}
	return fetched(dir, version), nil
}

// release names the cache's entry of a major version.
func release(version int) string {
	if version == 0 {
		version = DefaultVersion
	}
	return fmt.Sprintf("%s-%s-%s", releases[version], runtime.GOOS, runtime.GOARCH)
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// own is the server of this machine that EnvDir chooses.
func own(dir string, version int) (*installation, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	found := &installation{dir: dir}
	for _, name := range []string{"postgres", "initdb"} {
		if _, err := exec.LookPath(found.program(name)); err != nil {
			return nil, fmt.Errorf("%w: %s is %q, but there is no bin/%s in it: name the folder whose bin holds postgres and initdb, or unset it to have a server fetched",
				ErrUnavailable, EnvDir, dir, name)
		}
	}
	out, err := exec.Command(found.program("postgres"), "--version").Output()
	m := versionPattern.FindSubmatch(out)
	if err != nil || m == nil {
		return nil, fmt.Errorf("%w: %s is %q, but its bin/postgres does not tell its version: %q (%v)", ErrUnavailable, EnvDir, dir, out, err)
	}
	if found.version, err = strconv.Atoi(string(m[1])); err != nil {
		return nil, err
	}
	if version != 0 && version != found.version {
		return nil, fmt.Errorf("%w: version %d is asked for, but %s is %q, which is version %d: name a folder of version %d, or unset it to have that fetched",
			ErrUnavailable, version, EnvDir, dir, found.version, version)
	}
	return found, nil
}

// fetch brings a server into dir. The library cannot be interrupted, so that it works in a folder of its own.
func fetch(ctx context.Context, dir string, version int) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	scratch, err := os.MkdirTemp(dir, "fetch-")
	if err != nil {
		return err
	}
	server := filepath.Join(scratch, serverDir)
	done := make(chan error, 1)
	go func() { done <- unpack(scratch, server, releases[version]) }()
	select {
	case err = <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		return fmt.Errorf("%w: version %d could not be fetched (%s): let this machine reach the network, or set %s to the folder whose bin holds the programs of a version %d",
			ErrUnavailable, version, oneLine(err), EnvDir, version)
	}
	if err := os.Rename(server, filepath.Join(dir, serverDir)); err != nil {
		return err
	}
	return os.RemoveAll(scratch)
}

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// unpack has the library fetch, verify and unpack a server. It would also start it, and cannot do so as another user or
// with TLS, so it is given data that no server starts with: what pg_ctl says of that is the sign that all is unpacked.
func unpack(scratch, server string, exact embedded.PostgresVersion) error {
	data := filepath.Join(scratch, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(data, "PG_VERSION"), []byte(exact), 0o600); err != nil {
		return err
	}
	var refusal strings.Builder
	config := embedded.DefaultConfig().Version(exact).Port(0).Logger(&refusal).DataPath(data).
		CachePath(filepath.Join(scratch, "archive")).RuntimePath(filepath.Join(scratch, "run")).BinariesPath(server)
	if repository != "" {
		config = config.BinaryRepositoryURL(repository)
	}
	if err := embedded.NewDatabase(config).Start(); refusal.Len() == 0 {
		return err
	}
	return openToAll(server)
}

// openToAll lets every user run what is below root, whatever this process's umask: the server may run as another user.
func openToAll(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		mode := info.Mode().Perm() | 0o444
		if mode&0o100 != 0 {
			mode |= 0o111
		}
		return os.Chmod(path, mode)
	})
}
