package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"plan-charge/internal/testkit/postgres"
)

// PostgresImage runs PostgreSQL of the version that its tag names, as the official image would: POSTGRES_USER,
// POSTGRES_PASSWORD and POSTGRES_DB say what to set up, and port 5432 is published where the host's port was asked for.
// The command line is ignored: TLS is always on and always required, which is what RDS does since PostgreSQL 15.
// The certificate is for the instance's endpoint alone, as RDS's are.
type PostgresImage struct {
	// Tag is the image's tag, such as "16-alpine".
	Tag string
}

// readyTimeout bounds the wait for the server. A first start initialises its data, which takes a few seconds.
const readyTimeout = 60 * time.Second

// major is the version that the tag begins with.
func (i PostgresImage) major() (int, error) {
	rest := strings.TrimLeft(i.Tag, "0123456789")
	version, err := strconv.Atoi(strings.TrimSuffix(i.Tag, rest))
	if err != nil || version == 0 {
		return 0, fmt.Errorf("tag %q names no version of PostgreSQL: it begins with one, for example 16-alpine", i.Tag)
	}
	return version, nil
}

// Check says why there is no such version, if so.
func (i PostgresImage) Check() error {
	version, err := i.major()
	if err != nil {
		return err
	}
	return postgres.Check(version)
}

// Here says whether the version has been fetched.
func (i PostgresImage) Here() bool {
	version, err := i.major()
	return err == nil && postgres.Here(version)
}

// Pull fetches the version.
func (i PostgresImage) Pull(ctx context.Context) error {
	version, err := i.major()
	if err != nil {
		return err
	}
	return postgres.Ensure(ctx, version)
}

// Start brings the server up and waits until it answers: after a restart the emulator takes a started container for a
// database that can be used.
func (i PostgresImage) Start(_ context.Context, s Spec) (Process, error) {
	version, err := i.major()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.Dir, "data")
	for _, volume := range s.Volumes {
		dir = volume
	}
	// The log file is closed by the caller when this returns.
	log, err := os.OpenFile(s.Log.Name(), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &postgresProcess{cancel: cancel, done: make(chan struct{})}
	ready := make(chan struct{})
	go func() {
		defer log.Close()
		defer close(p.done)
		defer cancel()
		var server *postgres.Server
		err := s.inside(func() (err error) {
			server, err = postgres.Start(ctx, postgres.Options{
				Version: version, Dir: dir, Host: "127.0.0.1", Port: s.Ports["5432/tcp"],
				User: s.Env["POSTGRES_USER"], Password: s.Env["POSTGRES_PASSWORD"], Database: s.Env["POSTGRES_DB"],
				TLS: true, RequireTLS: true, Authority: s.Authority, Name: s.Name, Log: log, EndWithParent: s.Network != nil,
			})
			return err
		})
		if err != nil {
			fmt.Fprintln(log, err)
			p.code = 1
			return
		}
		p.mu.Lock()
		p.server = server
		stopped := p.stopped
		p.mu.Unlock()
		close(ready)
		if stopped { // a stop that came while the server was starting
			stop, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			_ = server.Stop(stop) // it is killed when it does not stop
		}
		<-server.Done()
	}()
	select {
	case <-ready:
	case <-p.done: // the log says why
	case <-time.After(readyTimeout):
	}
	return p, nil
}

// Exec refuses: the server comes without tools.
func (i PostgresImage) Exec(Spec, []string) (*exec.Cmd, error) {
	return nil, errors.New("commands beside PostgreSQL are not offered: connect to it instead")
}

type postgresProcess struct {
	cancel context.CancelFunc
	done   chan struct{}
	code   int

	mu      sync.Mutex
	server  *postgres.Server
	stopped bool
}

func (p *postgresProcess) PID() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return 0
	}
	return p.server.PID()
}

func (p *postgresProcess) Done() <-chan struct{} { return p.done }
func (p *postgresProcess) ExitCode() int         { return p.code }

func (p *postgresProcess) Signal(sig syscall.Signal) error {
	p.mu.Lock()
	server := p.server
	p.stopped = true
	p.mu.Unlock()
	if server == nil {
		p.cancel()
		return nil
	}
	if sig == syscall.SIGKILL {
		return server.Kill()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	return server.Stop(ctx)
}
