package vpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// The main goroutine keeps the main thread, which cannot end by itself: it must not become a namespace's.
func init() { runtime.LockOSThread() }

// namespace is a network namespace with a thread of this process in it. The kernel removes it when the thread and all
// processes in it have ended.
type namespace struct {
	work  chan func() // done by the thread that made it
	dials chan func() // done by another, which opens sockets
	ended chan struct{}
}

// newNamespace makes a namespace, with another /etc/hosts.
func newNamespace(hosts string) (*namespace, error) {
	s := &namespace{work: make(chan func()), dials: make(chan func()), ended: make(chan struct{})}
	entered := make(chan error)
	var handle *os.File
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine, and with it what it has started
		var err error
		handle, err = enter(hosts)
		entered <- err
		if err != nil {
			return
		}
		s.serve(s.work)
	}()
	if err := <-entered; err != nil {
		return nil, err
	}
	defer handle.Close()
	go func() {
		runtime.LockOSThread()
		err := unix.Setns(int(handle.Fd()), unix.CLONE_NEWNET)
		entered <- err
		if err == nil {
			s.serve(s.dials)
		}
	}()
	if err := <-entered; err != nil {
		s.close()
		return nil, fmt.Errorf("enter the network namespace: %w", err)
	}
	return s, nil
}

func (s *namespace) serve(work chan func()) {
	for {
		select {
		case f := <-work:
			f()
		case <-s.ended:
			return
		}
	}
}

// enter takes the thread into a new namespace and returns that one's handle.
func enter(hosts string) (*os.File, error) {
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		return nil, fmt.Errorf("no network namespace can be made here (unshare: %w)", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fmt.Errorf("no mount namespace can be made here (mount: %w)", err)
	}
	if err := unix.Mount(hosts, "/etc/hosts", "", unix.MS_BIND, ""); err != nil {
		return nil, fmt.Errorf("no /etc/hosts of its own can be had here (mount: %w)", err)
	}
	if err := up(); err != nil {
		return nil, fmt.Errorf("bring up the loopback device: %w", err)
	}
	// An ordinary user has got rights over the namespace, which its processes need not have.
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return nil, err
	}
	return os.Open("/proc/thread-self/ns/net")
}

// do runs f in the namespace.
func (s *namespace) do(f func() error) error { return s.on(s.work, f) }

func (s *namespace) on(thread chan func(), f func() error) error {
	done := make(chan error, 1)
	select {
	case thread <- func() { done <- f() }:
		return <-done
	case <-s.ended:
		return net.ErrClosed
	}
}

// dial opens a connection in the namespace. One that hangs hinders no process from starting.
func (s *namespace) dial(ctx context.Context, address string) (net.Conn, error) {
	var conn net.Conn
	err := s.on(s.dials, func() (err error) {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp4", address)
		return err
	})
	return conn, err
}

func (s *namespace) close() {
	close(s.ended)
}

// up brings up the loopback device of the thread's namespace.
func up() error {
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return device(unix.SIOCSIFFLAGS, ifr)
}

// addAddress gives the loopback device of the thread's namespace one more address.
func addAddress(alias string, address netip.Addr) error {
	for _, step := range []struct {
		request uint
		value   netip.Addr
	}{{unix.SIOCSIFADDR, address}, {unix.SIOCSIFNETMASK, netip.AddrFrom4([4]byte{255, 255, 255, 255})}} {
		ifr, err := unix.NewIfreq(alias)
		if err != nil {
			return err
		}
		if err := ifr.SetInet4Addr(step.value.AsSlice()); err != nil {
			return err
		}
		if err := device(step.request, ifr); err != nil {
			return fmt.Errorf("give %s the address %s: %w", alias, address, err)
		}
	}
	return nil
}

func device(request uint, ifr *unix.Ifreq) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return errors.Join(unix.IoctlIfreq(fd, request, ifr), unix.Close(fd))
}

// Rights makes a process one that can have private networks. Root can already; an ordinary user can in a user namespace, in
// which there is nobody else.
func Rights(attr *syscall.SysProcAttr) {
	uid, gid := os.Geteuid(), os.Getegid()
	if uid == 0 {
		return
	}
	attr.Cloneflags |= unix.CLONE_NEWUSER
	attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
	attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
	attr.AmbientCaps = append(attr.AmbientCaps, unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN)
}

// EndWithParent makes a process end by a signal when the thread that started it does, and so with its namespace.
func EndWithParent(attr *syscall.SysProcAttr, sig syscall.Signal) { attr.Pdeathsig = sig }
