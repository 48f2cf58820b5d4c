package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"plan-charge/internal/lastlines"
	"plan-charge/internal/progress"
	"plan-charge/sandbox/engine"
)

// tryTimeout is how long a program may take to listen.
var tryTimeout = 20 * time.Second

// tryAddress is a loopback address that no container has.
const tryAddress = "127.63.0.1"

// ErrPort means that a program does not listen where it should.
var ErrPort = errors.New("the port does not answer")

// Try starts a program once, as a task would, and waits until it listens on port. There is no database for it.
func Try(ctx context.Context, w io.Writer, p Program, port int) (err error) {
	step := progress.Start(w, fmt.Sprintf("try whether it listens on port %d", port), time.Second)
	defer func() { step.Done(err) }()
	dir, err := os.MkdirTemp("", "plan-charge-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log, err := os.OpenFile(filepath.Join(dir, "log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	process, err := p.Image("try").Start(ctx, engine.Spec{
		ID: strings.Repeat("0", 64), Dir: dir, IP: tryAddress, Log: log,
		Env: map[string]string{"PORT": strconv.Itoa(port), "DATABASE_URL": "postgresql://nobody:nothing@127.0.0.1:1/none"},
	})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNothingToRun, err)
	}
	defer func() {
		_ = process.Signal(syscall.SIGKILL) // it has shown what it can
		<-process.Done()
	}()
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		found := engine.Listening(process.PID())
		if at := slices.IndexFunc(found, func(a netip.AddrPort) bool { return int(a.Port()) == port }); at >= 0 {
			return reachable(w, found[at].Addr(), port)
		}
		select {
		case <-tick.C:
		case <-process.Done():
			return fmt.Errorf("%w: the program ended with code %d before it listened on port %d; leave --port out if it needs its "+
				"database or other variables to start. Its last lines:\n%s", ErrPort, process.ExitCode(), port, lastlines.OfFile(log.Name(), 8))
		case <-ctx.Done():
			return fmt.Errorf("%w: after %s the program %s; make it listen on $PORT, or give the port that it has as --port and as the "+
				"stack's service.port", ErrPort, tryTimeout, where(found, port))
		}
	}
}

// reachable refuses a program that no load balancer would reach, and warns of one that takes the port from all others.
func reachable(w io.Writer, on netip.Addr, port int) error {
	switch {
	case on.String() == tryAddress:
		return nil
	case on.IsUnspecified():
		_, err := fmt.Fprintln(w, "  note: it listens on every address of this machine, so that only one task of it can run at a time: make it listen on $HOST")
		return err
	}
	return fmt.Errorf("%w: the program listens on %s:%d, where no load balancer reaches it; make it listen on $HOST, or on 0.0.0.0 where that is not set",
		ErrPort, on, port)
}

func where(found []netip.AddrPort, port int) string {
	if len(found) == 0 {
		return fmt.Sprintf("listens on nothing, and not on port %d", port)
	}
	var all []string
	for _, a := range found {
		all = append(all, a.String())
	}
	return fmt.Sprintf("does not listen on port %d but on %s", port, strings.Join(all, ", "))
}
