package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"plan-charge/internal/testkit/process"
	"plan-charge/sandbox/vpc"
)

// record is what is kept on disk of a container: what finding its process again takes, and no environment, because that
// holds secrets. A container is started by the engine that created it or not at all.
type record struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Reference  string            `json:"image"`
	Labels     map[string]string `json:"labels"`
	IP         string            `json:"ip"`
	Ports      map[string]int    `json:"ports"`
	Volumes    map[string]string `json:"volumes"` // container path to volume name
	Created    time.Time         `json:"created"`
	Started    time.Time         `json:"started"`
	Finished   time.Time         `json:"finished"`
	PID        int               `json:"pid"`
	PIDStarted uint64            `json:"pidStarted"` // so that a number used again is not mistaken for this process
	ExitCode   int               `json:"exitCode"`
	Error      string            `json:"error"`
}

// container is one container of the running engine.
type container struct {
	engine  *Engine
	image   Image // nil for one that an earlier engine created
	env     map[string]string
	command []string
	network *vpc.Interface // while it runs, where there are private networks; guarded by mu

	mu      sync.Mutex
	record  record
	process Process
	running bool
	begun   bool
	exited  chan struct{}

	disk    sync.Mutex // held while the folder is written or removed
	removed bool
}

// status is a moment of a container's life.
type status struct {
	record
	Running bool
	Begun   bool
}

func (c *container) snapshot() status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return status{record: c.record, Running: c.running, Begun: c.begun}
}

func (s status) word() string {
	switch {
	case s.Running:
		return "running"
	case s.Begun:
		return "exited"
	}
	return "created"
}

func (c *container) dir() string     { return filepath.Join(c.engine.opt.Dir, "containers", c.record.ID) }
func (c *container) logPath() string { return filepath.Join(c.dir(), "log") }

func (c *container) spec(log *os.File) (Spec, error) {
	s := Spec{
		ID: c.record.ID, Reference: c.record.Reference, Dir: c.dir(), IP: c.record.IP, Env: c.env, Command: c.command,
		Ports: c.record.Ports, Volumes: map[string]string{}, Log: log, Network: c.interfaceNow(),
		Name: "localhost", Authority: c.engine.opt.Authority,
	}
	if n := c.engine.opt.Network; n != nil {
		s.Name = n.DatabaseName(c.record.Labels[databaseLabel])
	}
	for path, name := range c.record.Volumes {
		dir := c.engine.volumeDir(name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return s, err
		}
		s.Volumes[path] = dir
	}
	return s, nil
}

var errAlreadyStarted = errors.New("container already started")

// start launches the process. An error is also the container's own: it has exited with code 127.
func (c *container) start() error {
	c.mu.Lock()
	if c.running {
		c.mu.Unlock()
		return errAlreadyStarted
	}
	if c.image == nil {
		c.mu.Unlock()
		return fmt.Errorf("container %s was created by an earlier engine and its environment is not kept: create it again", c.record.ID[:12])
	}
	c.mu.Unlock()

	log, err := os.OpenFile(c.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	if err := c.attach(); err != nil {
		return err
	}
	spec, err := c.spec(log)
	if err != nil {
		c.detach()
		return err
	}
	launched, err := c.image.Start(context.Background(), spec)

	c.mu.Lock()
	c.begun = true
	c.record.Started = time.Now()
	c.record.Error = ""
	if err != nil {
		c.record.ExitCode, c.record.Error, c.record.Finished = 127, err.Error(), time.Now()
		c.mu.Unlock()
		c.detach()
		c.save()
		c.engine.notify()
		return err
	}
	c.process, c.running, c.exited = launched, true, make(chan struct{})
	exited := c.exited
	if c.record.PID = launched.PID(); c.record.PID != 0 {
		found, _ := process.Read(c.record.PID) // nothing where it has ended already
		c.record.PIDStarted = found.Started
	}
	c.mu.Unlock()
	c.save()
	go func() {
		<-launched.Done()
		c.detach()
		c.mu.Lock()
		c.running = false
		c.record.ExitCode, c.record.Finished = launched.ExitCode(), time.Now()
		c.mu.Unlock()
		c.save()
		close(exited)
		c.engine.notify()
		c.engine.opt.Log.Info("container exited", "name", c.record.Name, "code", launched.ExitCode())
	}()
	c.engine.notify()
	c.engine.opt.Log.Info("container started", "name", c.record.Name, "image", c.record.Reference, "address", c.record.IP)
	return nil
}

// databaseLabel is what the emulator marks a database's container with: its instance's identifier.
const databaseLabel = "db_id"

// attach gives the container its place in the private network, if there is one.
func (c *container) attach() error {
	n := c.engine.opt.Network
	if n == nil {
		return nil
	}
	address, err := netip.ParseAddr(c.record.IP)
	if err != nil {
		return err
	}
	port := 0
	for _, published := range c.record.Ports {
		port = published
	}
	party := vpc.Party{Address: address, Task: c.record.Labels["com.amazonaws.ecs.task-arn"], Database: c.record.Labels[databaseLabel]}
	place, err := n.Attach(party, port)
	if err != nil {
		return fmt.Errorf("private network: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.network = place
	return nil
}

// detach ends what attach began, and what the container's process has left running.
func (c *container) detach() {
	c.mu.Lock()
	place := c.network
	c.network = nil
	c.mu.Unlock()
	if place != nil {
		place.Close()
	}
}

func (c *container) interfaceNow() *vpc.Interface {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.network
}

// stop asks the process to end, kills it after grace, and returns when it is gone.
func (c *container) stop(grace time.Duration) {
	c.signal(syscall.SIGTERM)
	if !c.waitExit(grace) {
		c.signal(syscall.SIGKILL)
		c.waitExit(20 * time.Second)
	}
}

func (c *container) signal(sig syscall.Signal) {
	c.mu.Lock()
	target, running := c.process, c.running
	c.mu.Unlock()
	if !running {
		return
	}
	if err := target.Signal(sig); err != nil {
		c.engine.opt.Log.Warn("signal a container", "name", c.record.Name, "signal", sig.String(), "error", err)
	}
}

func (c *container) waitExit(limit time.Duration) bool {
	c.mu.Lock()
	exited, running := c.exited, c.running
	c.mu.Unlock()
	if !running {
		return true
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-exited:
		return true
	case <-timer.C:
		return false
	}
}

// remove forgets the container and deletes its folder.
func (c *container) remove() error {
	c.engine.mu.Lock()
	delete(c.engine.containers, c.record.ID)
	c.engine.mu.Unlock()
	if address, err := netip.ParseAddr(c.record.IP); err == nil && c.engine.opt.Network != nil {
		c.engine.opt.Network.Free(address)
	}
	c.engine.notify()
	c.disk.Lock()
	defer c.disk.Unlock()
	c.removed = true
	return os.RemoveAll(c.dir())
}

func (c *container) save() {
	c.disk.Lock()
	defer c.disk.Unlock()
	if c.removed {
		return
	}
	c.mu.Lock()
	data, err := json.Marshal(c.record)
	c.mu.Unlock()
	if err == nil {
		err = writeFile(filepath.Join(c.dir(), "record.json"), data)
	}
	if err != nil {
		c.engine.opt.Log.Error("keep a container's record", "name", c.record.Name, "error", err)
	}
}

func writeFile(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// load reads the records of an earlier engine.
func (e *Engine) load() error {
	root := filepath.Join(e.opt.Dir, "containers")
	entries, err := os.ReadDir(root)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		c := &container{engine: e, begun: true}
		data, err := os.ReadFile(filepath.Join(root, entry.Name(), "record.json"))
		if err != nil || json.Unmarshal(data, &c.record) != nil || c.record.ID != entry.Name() {
			// A crash between making the folder and writing the record: there was never a process.
			if err := os.RemoveAll(filepath.Join(root, entry.Name())); err != nil {
				return err
			}
			continue
		}
		e.containers[c.record.ID] = c
		if c.record.PID != 0 && c.record.Finished.Before(c.record.Started) {
			if c.left().Alive() {
				c.adopt()
				continue
			}
			c.record.Finished, c.record.ExitCode, c.record.Error = time.Now(), 137, "ended while the engine was away"
		}
	}
	return nil
}

// left is the process that an earlier engine started.
func (c *container) left() process.Info {
	return process.Info{PID: c.record.PID, Started: c.record.PIDStarted}
}

// adopt takes over a process that an earlier engine started. How it ends cannot be seen from outside: the code is 137.
func (c *container) adopt() {
	p := &adopted{Info: c.left(), done: make(chan struct{})}
	go p.watch()
	c.process, c.running, c.exited = p, true, make(chan struct{})
	go func() {
		<-p.done
		c.mu.Lock()
		c.running = false
		c.record.ExitCode, c.record.Finished = p.ExitCode(), time.Now()
		c.mu.Unlock()
		c.save()
		close(c.exited)
		c.engine.notify()
	}()
}

// adopted is a process that is not our child.
type adopted struct {
	process.Info
	done chan struct{}
}

func (p *adopted) watch() {
	for p.Alive() { // the kernel signals the end of another's child to nobody
		time.Sleep(100 * time.Millisecond)
	}
	close(p.done)
}

func (p *adopted) PID() int              { return p.Info.PID }
func (p *adopted) Done() <-chan struct{} { return p.done }
func (p *adopted) ExitCode() int         { return 137 }
func (p *adopted) Signal(sig syscall.Signal) error {
	if !p.Alive() {
		return nil
	}
	if err := syscall.Kill(-p.Info.PID, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
		}
		return nil, err
	}
	return f, nil
}

func (e *Engine) volumeDir(name string) string {
	return filepath.Join(e.opt.Dir, "volumes", name)
}
