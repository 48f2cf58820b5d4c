// Package lifeline ends a command's work when somebody asks for it or when nobody is left who wants it.
package lifeline

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	ps "github.com/mitchellh/go-ps"
)

// ErrAbandoned is the cause of a context that ended because the process that wanted the work has died.
var ErrAbandoned = errors.New("the process that started this one has died")

// every is how often the ancestors are looked at.
const every = time.Second

// Context returns a context that ends, with a cause that says why, on SIGINT, SIGTERM or SIGHUP and when one of the
// processes between this one and the Pulumi engine has died. A killed engine tells nobody: its provider, the shell
// and `go run` may all live on for a while, so the whole chain is watched.
// Writes to a closed pipe no longer end the process, so that it can clean up after its reader has died.
func Context(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signal.Ignore(syscall.SIGPIPE)
	signals := make(chan os.Signal, 1)
	wanted := []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup asked for it
		wanted = append(wanted, syscall.SIGHUP)
	}
	signal.Notify(signals, wanted...)
	go func() {
		chain := ancestors(os.Getppid(), ps.FindProcess)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case s := <-signals:
				cancel(fmt.Errorf("stopped by signal %q", s))
				return
			case <-tick.C:
				if dead := chain.broken(os.Getppid(), ps.FindProcess); dead != "" {
					cancel(fmt.Errorf("%w (%s)", ErrAbandoned, dead))
					return
				}
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel(nil)
	}
}

type link struct {
	pid  int
	name string
}

// chain is the line of processes to watch, the direct parent first.
type chain []link

// find is ps.FindProcess: nil without an error means that there is no such process.
type find func(pid int) (ps.Process, error)

// ancestors returns the processes up to the Pulumi engine, or, where no engine is among them, `go run` alone:
// a command started by hand may outlive its shell.
func ancestors(parent int, look find) chain {
	var all chain
	for pid := parent; pid > 1 && len(all) < 16; {
		p, err := look(pid)
		if err != nil || p == nil {
			break
		}
		all = append(all, link{pid: pid, name: p.Executable()})
		if p.Executable() == "pulumi" {
			return all
		}
		pid = p.PPid()
	}
	if len(all) > 0 && all[0].name == "go" {
		return all[:1]
	}
	return nil
}

// broken names the process that has died, or returns "". A child of a dead process gets another parent.
func (c chain) broken(parent int, look find) string {
	for i, l := range c {
		if parent != l.pid {
			return fmt.Sprintf("%s, process %d", l.name, l.pid)
		}
		p, err := look(l.pid)
		if err != nil {
			return "" // not being able to look says nothing about the process
		}
		if p == nil {
			return fmt.Sprintf("%s, process %d", c[i].name, l.pid)
		}
		parent = p.PPid()
	}
	return ""
}
