package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
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
