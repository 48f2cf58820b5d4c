package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
)

// Listener is a loopback port that leads through a session, for programs that take a host and a port only. Where the
// system tells whose a connection is (Linux), it serves this user's and root's alone.
type Listener struct {
	// Port is where it listens, on 127.0.0.1.
	Port int

	session  *Session
	listener net.Listener
	cancel   context.CancelFunc
	all      sync.WaitGroup
}

// Listen opens a port; 0 picks a free one.
func (s *Session) Listen(port int) (*Listener, error) {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("port %d is in use by another program ('ss -ltnp sport = :%d' names it): leave --port out to get a free one, or name another", port, port)
	}
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	one := &Listener{Port: l.Addr().(*net.TCPAddr).Port, session: s, listener: l, cancel: cancel}
	one.all.Go(func() { one.accept(ctx) })
	return one, nil
}

func (l *Listener) accept(ctx context.Context) {
	for {
		c, err := l.listener.Accept()
		if err != nil {
			return // closed
		}
		l.all.Go(func() { l.serve(ctx, c) })
	}
}

func (l *Listener) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	if !mine(c.RemoteAddr().(*net.TCPAddr), l.Port) {
		fmt.Fprintf(l.session.out, "refused a connection of another user from %s\n", c.RemoteAddr())
		return
	}
	far, err := l.session.DialContext(ctx, "tcp", l.session.Address())
	if err != nil {
		fmt.Fprintln(l.session.out, "a connection failed:", err)
		return
	}
	defer far.Close()
	defer context.AfterFunc(ctx, func() { c.Close(); far.Close() })()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(far, c) // who waits for the rest sees the end
		far.Close()
	})
	_, err = io.Copy(c, far)
	if err != nil && ctx.Err() == nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
		fmt.Fprintln(l.session.out, "a connection ended:", err)
	}
	c.Close()
	both.Wait()
}

// Close closes the port and its connections.
func (l *Listener) Close() {
	l.cancel()
	l.listener.Close()
	l.all.Wait()
}

// mine tells whether the other end of a loopback connection is this user's or root's. Where that is not known, it is.
func mine(from *net.TCPAddr, port int) bool {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return true
	}
	uid, known := owner(string(table), from, port)
	return !known || uid == "0" || uid == fmt.Sprint(os.Getuid())
}

// owner finds whose a connection to the port is in the system's table of sockets.
func owner(table string, from *net.TCPAddr, port int) (uid string, known bool) {
	ip := from.IP.To4()
	if ip == nil {
		return "", false
	}
	local := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], from.Port)
	for line := range strings.Lines(table) {
		// sl, local address, remote address, state, queues, timer, retransmits, uid
		fields := strings.Fields(line)
		if len(fields) > 7 && fields[1] == local && strings.HasSuffix(fields[2], fmt.Sprintf(":%04X", port)) {
			return fields[7], true
		}
	}
	return "", false
}
