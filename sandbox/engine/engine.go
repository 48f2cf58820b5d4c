// Package engine answers the part of the Docker Engine API that the AWS emulator uses, with plain processes instead of
// containers: no container engine has to be installed, and no image is fetched.
//
// What a container is here: a process group with its own loopback address, its own log file and a record on disk. There
// is no isolation of files, users or memory, and one of networks where the options give one. An image is a Go value that knows how to start its process; an image that
// nobody registered does not exist, and starting it fails as it would with a registry that lacks it.
package engine

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"plan-charge/internal/testkit/postgres"
	"plan-charge/sandbox/vpc"
)

// Options say how an Engine runs.
type Options struct {
	// Socket is the unix socket to listen on. Its path has at most 107 bytes.
	Socket string
	// Dir keeps the containers' records, logs and volumes. One engine at a time uses it.
	Dir string
	// Images finds the image of a reference such as "postgres:15-alpine"; nil means that there is none.
	Images func(reference string) Image
	// Network is the private network that the containers live in; nil: they share this machine's.
	Network *vpc.Network
	// Authority signs the databases' certificates; nil: each signs its own.
	Authority *postgres.Authority
	// Log receives what the engine does; nil drops it.
	Log *slog.Logger
}

// Engine is a process engine.
type Engine struct {
	opt    Options
	subnet [2]byte // second and third byte of this engine's loopback addresses

	mu         sync.Mutex
	containers map[string]*container
	nextHost   int
	execs      map[string]*execution
	changed    chan struct{} // closed and replaced when any container changes state
	locked     io.Closer
}

// ErrInUse means that another engine uses the folder.
var ErrInUse = errors.New("the process engine's folder is in use by another sandbox")

// New prepares an engine and takes over what an earlier one left in Dir: processes that still run are adopted, the others
// are marked as exited.
func New(o Options) (*Engine, error) {
	if o.Socket == "" || o.Dir == "" || o.Images == nil {
		return nil, errors.New("process engine: Socket, Dir and Images are all needed")
	}
	if len(o.Socket) > 107 {
		return nil, fmt.Errorf("process engine: the socket's path %s has %d bytes, but the system allows 107: choose a shorter folder", o.Socket, len(o.Socket))
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	for _, dir := range []string{o.Dir, filepath.Join(o.Dir, "containers"), filepath.Join(o.Dir, "volumes")} {
		// Others may pass through, because PostgreSQL runs as another user below; the folders inside are closed.
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, fmt.Errorf("process engine: %w", err)
		}
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(o.Dir))
	e := &Engine{
		opt: o, subnet: [2]byte{64 + sum[0]%128, sum[1]},
		containers: map[string]*container{}, execs: map[string]*execution{}, changed: make(chan struct{}), locked: lock,
	}
	if err := e.load(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return e, nil
}

// Run serves the API until ctx ends, then stops every process it started.
func (e *Engine) Run(ctx context.Context) error {
	if err := os.Remove(e.opt.Socket); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("process engine: %w", err)
	}
	l, err := net.Listen("unix", e.opt.Socket)
	if err != nil {
		return fmt.Errorf("process engine: %w", err)
	}
	if err := os.Chmod(e.opt.Socket, 0o600); err != nil {
		return errors.Join(err, l.Close())
	}
	srv := &http.Server{Handler: e.handler(), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	select {
	case err = <-served:
	case <-ctx.Done():
		err = nil
	}
	e.stopAll(10 * time.Second)
	return errors.Join(err, srv.Close(), e.locked.Close())
}

// stopAll stops every running container, and kills what has not ended after grace.
func (e *Engine) stopAll(grace time.Duration) {
	var wg sync.WaitGroup
	for _, c := range e.list() {
		wg.Go(func() { c.stop(grace) })
	}
	wg.Wait()
}

// Running counts the containers whose process runs.
func (e *Engine) Running() int {
	n := 0
	for _, c := range e.list() {
		if c.snapshot().Running {
			n++
		}
	}
	return n
}

func (e *Engine) list() []*container {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := make([]*container, 0, len(e.containers))
	for _, c := range e.containers {
		all = append(all, c)
	}
	return all
}

// find returns the container of a full ID, a unique beginning of one (12 digits at least) or a name.
func (e *Engine) find(ref string) *container {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.containers[ref]; c != nil {
		return c
	}
	ref = strings.TrimPrefix(ref, "/")
	for id, c := range e.containers {
		if c.record.Name == ref || len(ref) >= 12 && strings.HasPrefix(id, ref) {
			return c
		}
	}
	return nil
}

// address picks an address that no living container has: a private one, or one of this machine's loopback device.
func (e *Engine) address() (string, error) {
	if e.opt.Network != nil {
		address, err := e.opt.Network.Address()
		return address.String(), err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	used := map[string]bool{}
	for _, c := range e.containers {
		used[c.record.IP] = true
	}
	for range 254 {
		e.nextHost = e.nextHost%254 + 1
		if ip := fmt.Sprintf("127.%d.%d.%d", e.subnet[0], e.subnet[1], e.nextHost); !used[ip] {
			return ip, nil
		}
	}
	return "127.0.0.1", nil
}

// notify wakes whoever waits for a container's state.
func (e *Engine) notify() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.changed)
	e.changed = make(chan struct{})
}
