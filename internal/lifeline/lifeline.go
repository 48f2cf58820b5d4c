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

	"github.com/shirou/gopsutil/v4/process"
)

// ErrAbandoned is the cause of a context that ended because the process that wanted the work has died.
var ErrAbandoned = errors.New("the process that started this one has died")

// engineName is what the process of the Pulumi CLI is called.
const engineName = "pulumi"

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
		chain := ancestors(os.Getppid(), find)
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
				if dead := chain.broken(os.Getppid(), find); dead != "" {
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

// running is a process that was found.
type running struct {
	parent int
	name   string
}

// finder finds a process; nil without an error means that there is no such process.
type finder func(pid int) (*running, error)

// find asks the operating system.
func find(pid int) (*running, error) {
	p, err := process.NewProcess(int32(pid))
	if errors.Is(err, process.ErrorProcessNotRunning) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	name, err := p.Name()
	if err != nil {
		return nil, err
	}
	parent, err := p.Ppid()
	return &running{parent: int(parent), name: name}, err
}

// ancestors returns the processes up to the Pulumi engine, or, where no engine is among them, `go run` alone:
// a command started by hand may outlive its shell.
func ancestors(parent int, look finder) chain {
	var all chain
	for pid := parent; pid > 1 && len(all) < 16; {
		p, err := look(pid)
		if err != nil || p == nil {
			break
		}
		all = append(all, link{pid: pid, name: p.name})
		if p.name == engineName {
			return all
		}
		pid = p.parent
	}
	if len(all) > 0 && all[0].name == "go" {
		return all[:1]
	}
	return nil
}

// broken names the process that has died, or returns "". A child of a dead process gets another parent.
func (c chain) broken(parent int, look finder) string {
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
		parent = p.parent
	}
	return ""
}
