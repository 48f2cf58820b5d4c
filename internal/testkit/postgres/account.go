package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"plan-charge/internal/testkit/cache"
)

// account is the user that the server runs as.
type account struct {
	name     string
	uid, gid int
	drop     bool // this process is root and has to give its rights away, because PostgreSQL refuses to run as root
}

// serverAccount is this process's user or, for root, the unprivileged user postgres or nobody.
func serverAccount() (account, error) {
	if os.Geteuid() != 0 {
		return account{uid: os.Geteuid(), gid: os.Getegid()}, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.Atoi(u.Uid)
		if err != nil {
			return account{}, err
		}
		gid, err := strconv.Atoi(u.Gid)
		if err != nil {
			return account{}, err
		}
		return account{name: name, uid: uid, gid: gid, drop: true}, nil
	}
	return account{}, errors.New("PostgreSQL does not run as root, and there is no user postgres or nobody to run it as: create one (adduser --system postgres)")
}

// own gives a tree to the account.
func (a account) own(root string) error {
	if !a.drop {
		return nil
	}
	return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, a.uid, a.gid)
	})
}

// blockedBy returns the folder above path that the account cannot walk through, or "".
func (a account) blockedBy(path string) string {
	if !a.drop {
		return ""
	}
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil {
			stat, ok := info.Sys().(*syscall.Stat_t)
			owned := ok && int(stat.Uid) == a.uid
			if !owned && info.Mode().Perm()&0o001 == 0 {
				return dir
			}
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// attributes start a process as the account, in a process group of its own so that an interrupt typed at the terminal
// does not reach it.
func (a account) attributes(dataDir string) (*syscall.SysProcAttr, error) {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if !a.drop {
		return attr, nil
	}
	attr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	if dir := a.blockedBy(dataDir); dir != "" {
		if err := mayWalk(attr); err != nil {
			return nil, fmt.Errorf("user %s, which runs PostgreSQL, cannot enter %s: choose another folder or allow it with chmod o+x (%w)",
				a.name, dir, err)
		}
	}
	return attr, nil
}

// openCache holds copies of servers for the account where it cannot enter the cache, as with one in the home of root.
const openCache = "/var/cache/plan-charge"

// reach returns the installation, or a copy of it that the account can run. To let it through (mayWalk) is not enough:
// PostgreSQL looks for its own programs with access(2), which heeds no capability.
func (a account) reach(ctx context.Context, inst *installation) (*installation, error) {
	blocked := a.blockedBy(inst.program("postgres"))
	if blocked == "" {
		return inst, nil
	}
	if inst.release == "" {
		return nil, fmt.Errorf("user %s, which runs PostgreSQL, cannot enter %s: set %s to another folder or allow it with chmod o+x", a.name, blocked, EnvDir)
	}
	dir, err := cache.EnsureIn(ctx, openCache, cacheName, inst.release, func(dir string) error {
		if err := os.CopyFS(filepath.Join(dir, serverDir), os.DirFS(inst.dir)); err != nil {
			return err
		}
		return openToAll(dir)
	})
	if err != nil {
		return nil, fmt.Errorf("copy PostgreSQL to where user %s can run it: %w", a.name, err)
	}
	for _, path := range []string{openCache, filepath.Dir(dir), dir} { // a narrow umask has closed them
		if err := os.Chmod(path, 0o755); err != nil {
			return nil, err
		}
	}
	return fetched(dir, inst.version), nil
}
