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
	"time"

	"plan-charge/internal/oneline"
)

// Listener is a loopback port that leads through a session, for programs that take a host and a port only. Where the
// system tells whose a connection is (Linux), it serves this user's and root's alone.
type Listener struct {
	// Port is where it listens, on 127.0.0.1.
	Port int

	dial     func(context.Context) (net.Conn, error)
	greet    func(net.Conn, string) bool // answers who asks which way this is; says whether a connection through it follows
	out      io.Writer
	listener net.Listener
	cancel   context.CancelFunc
	all      sync.WaitGroup
}

// Listen opens a port; 0 picks a free one.
func (s *Session) Listen(port int) (*Listener, error) {
	dial := func(ctx context.Context) (net.Conn, error) { return s.DialContext(ctx, "tcp", s.Address()) }
	greet := func(c net.Conn, _ string) bool {
		_, _ = io.WriteString(c, answerNo+"\n") // who has gone needs no answer
		return false
	}
	l, err := listen(port, dial, greet, s.out)
	if inUse(err) {
		return nil, fmt.Errorf("port %d is in use by %s: leave --port out to get a free one, or name another", port, holder(port))
	}
	return l, err
}

func listen(port int, dial func(context.Context) (net.Conn, error), greet func(net.Conn, string) bool, out io.Writer) (*Listener, error) {
	l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	one := &Listener{Port: l.Addr().(*net.TCPAddr).Port, dial: dial, greet: greet, out: out, listener: l, cancel: cancel}
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

// firstWords is how long a client has to say its first words. PostgreSQL's speak first.
const firstWords = 30 * time.Second

func (l *Listener) serve(ctx context.Context, c net.Conn) {
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	if !mine(c.RemoteAddr().(*net.TCPAddr), l.Port) {
		fmt.Fprintf(l.out, "refused a connection of another user from %s\n", c.RemoteAddr())
		return
	}
	// Only what is asked for something opens a session: who looks whether the port is open asks nothing.
	c.SetReadDeadline(time.Now().Add(firstWords))
	first := make([]byte, packetHead)
	if _, err := io.ReadFull(c, first); err != nil {
		return
	}
	if string(first) == greeting {
		line, err := oneline.Read(c)
		if err != nil || !l.greet(c, line) {
			return
		}
		first = nil
	}
	c.SetReadDeadline(time.Time{})
	far, err := l.dial(ctx)
	if err != nil {
		fmt.Fprintln(l.out, "a connection failed:", err)
		if first != nil {
			refuse(c, first, fmt.Errorf("no connection to the database: %w", err))
		}
		return
	}
	defer far.Close()
	defer context.AfterFunc(ctx, func() { far.Close() })()
	if _, err := far.Write(first); err != nil {
		return
	}
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(far, c) // who waits for the rest sees the end
		far.Close()
	})
	_, err = io.Copy(c, far)
	if err != nil && ctx.Err() == nil && !errors.Is(err, net.ErrClosed) && !errors.Is(err, io.ErrClosedPipe) {
		fmt.Fprintln(l.out, "a connection ended:", err)
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
