package vpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The main goroutine keeps the main thread, which cannot end by itself: it must not become a namespace's.
func init() { runtime.LockOSThread() }

// namespace is a network namespace with a thread of this process in it. The kernel removes it when the thread and all
// processes in it have ended.
type namespace struct {
	work    chan func() // done by the thread that made it
	sockets chan func() // done by another, because work may take seconds
	ended   chan struct{}
}

// newNamespace makes a namespace, with another /etc/hosts.
func newNamespace(hosts string) (*namespace, error) {
	s := &namespace{work: make(chan func()), sockets: make(chan func()), ended: make(chan struct{})}
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
			s.serve(s.sockets)
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
func (s *namespace) do(f func() error) error { return s.on(context.Background(), s.work, f) }

func (s *namespace) on(ctx context.Context, thread chan func(), f func() error) error {
	done := make(chan error, 1)
	select {
	case thread <- func() { done <- f() }:
		return <-done
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ended:
		return net.ErrClosed
	}
}

// dial opens a connection in the namespace, by TCP over IPv4. Only the socket is made by a thread there: connections that
// hang hinder no others.
func (s *namespace) dial(ctx context.Context, address string) (net.Conn, error) {
	failed := func(err error) (net.Conn, error) {
		to, _ := net.ResolveTCPAddr("tcp4", address)
		return nil, &net.OpError{Op: "dial", Net: "tcp4", Addr: to, Err: err}
	}
	to, err := netip.ParseAddrPort(address)
	if err == nil && !to.Addr().Is4() {
		err = errors.New("no address of IPv4")
	}
	if err != nil {
		return failed(err)
	}
	fd := -1
	err = s.on(ctx, s.sockets, func() (err error) {
		fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return failed(err)
	}
	f := os.NewFile(uintptr(fd), address)
	defer f.Close() // the connection below has a descriptor of its own
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		return failed(os.NewSyscallError("connect", err))
	}
	if err := connected(ctx, f); err != nil {
		return failed(err)
	}
	conn, err := net.FileConn(f)
	if err != nil {
		return failed(err)
	}
	return conn, nil
}

// connected waits until a socket is connected, or says why it is not.
func connected(ctx context.Context, socket *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = socket.SetWriteDeadline(time.Unix(1, 0)) }) // it may be connected by then
	defer stop()
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Write(func(fd uintptr) bool {
		code, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		if err == nil && code != 0 {
			err = unix.Errno(code)
		}
		if err == nil {
			if _, err = unix.Getpeername(int(fd)); errors.Is(err, unix.ENOTCONN) {
				return false // not yet
			}
		}
		refused = os.NewSyscallError("connect", err)
		return true
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return cmp.Or(err, refused)
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
