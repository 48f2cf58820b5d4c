// Package cache keeps what the sandbox, its tools and tests fetch or build in one folder outside the repository.
// Every entry is keyed by what went into it, so a stale or half-built one is never used.
package cache

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// EnvDir names the variable that moves the cache folder.
const EnvDir = "PLAN_CHARGE_CACHE"

// Dir returns the cache folder: $PLAN_CHARGE_CACHE, or plan-charge in the user's cache folder.
func Dir() (string, error) {
	if dir := os.Getenv(EnvDir); dir != "" {
		return filepath.Abs(dir)
	}
	base, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no cache folder: set %s to one: %w", EnvDir, err)
	}
	return filepath.Join(base, "plan-charge"), nil
}

// Key condenses what goes into an entry (versions, source text) into a short name.
func Key(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// Find returns <cache>/<name>/<key> where it is there already.
func Find(name, key string) (string, bool) {
	root, err := Dir()
	if err != nil {
		return "", false
	}
	dest := filepath.Join(root, name, key)
	return dest, isDir(dest)
}

// Ensure returns <cache>/<name>/<key>, calling build to fill it when it is not there. Build gets a scratch folder that
// becomes the entry only when build succeeds; because of the rename, its files must not remember the scratch path.
// A lock keeps two processes from building the same entry; waiting for it ends with ctx.
func Ensure(ctx context.Context, name, key string, build func(dir string) error) (string, error) {
	root, err := Dir()
	if err != nil {
		return "", err
	}
	return EnsureIn(ctx, root, name, key, build)
}

// EnsureIn is Ensure in another cache folder.
func EnsureIn(ctx context.Context, root, name, key string, build func(dir string) error) (string, error) {
	dest := filepath.Join(root, name, key)
	if isDir(dest) {
		return dest, nil
	}
	if err := os.MkdirAll(filepath.Dir(dest), 0o755); err != nil {
		return "", fmt.Errorf("cache folder: %w (set %s to a folder that can be written)", err, EnvDir)
	}
	unlock, err := lock(ctx, dest+".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if isDir(dest) { // another process built it while this one waited
		return dest, nil
	}
	scratch := dest + ".partial"
	if err := os.RemoveAll(scratch); err != nil {
		return "", fmt.Errorf("clear what an interrupted build left: %w", err)
	}
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return "", err
	}
	if err := build(scratch); err != nil {
		return "", errors.Join(err, os.RemoveAll(scratch))
	}
	if err := os.Rename(scratch, dest); err != nil {
		return "", err
	}
	return dest, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// lock takes an exclusive lock that the kernel drops when this process ends, however it ends.
func lock(ctx context.Context, path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, fmt.Errorf("waiting for another build of the same part: %w", ctx.Err())
		case <-tick.C:
		}
	}
}
