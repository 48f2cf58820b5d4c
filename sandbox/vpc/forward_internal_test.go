package vpc

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"
)

// tired is a listener for which the process has too many open files at first.
type tired struct {
	net.Listener
	once sync.Once
}

func (l *tired) Accept() (conn net.Conn, err error) {
	l.once.Do(func() {
		err = &net.OpError{Op: "accept", Net: "tcp4", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	})
	if err != nil {
		return nil, err
	}
	return l.Listener.Accept()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// between forwards from a listener to a server, and returns a connection to the one and where the other finds its end.
func between(t *testing.T, l net.Listener, whole bool) (client, server *net.TCPConn) {
	t.Helper()
	behind := listen(t)
	n := &Network{opt: Options{Log: slog.New(slog.DiscardHandler)}}
	go n.forward(l, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp4", behind.Addr().String())
	}, whole)
	a, err := net.DialTimeout("tcp4", l.Addr().String(), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	_ = behind.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second))
	b, err := behind.Accept()
	if err != nil {
		t.Fatalf("nobody was connected: %v", err)
	}
	t.Cleanup(func() { b.Close() })
	return a.(*net.TCPConn), b.(*net.TCPConn)
}

func TestAListenerOutlivesAMomentOfTooManyOpenFiles(t *testing.T) {
	between(t, &tired{Listener: listen(t)}, false)
}

func TestTheEndOfOneDirectionIsPassedOn(t *testing.T) {
	client, server := between(t, listen(t), false)
	if err := client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(server); err != nil {
		t.Fatal(err)
	}
	if _, err := server.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if got, err := io.ReadAll(client); string(got) != "late" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// The emulator's server keeps a connection for a minute after its client has gone.
func TestAWholeConnectionEndsWithItsClient(t *testing.T) {
	client, server := between(t, listen(t), true)
	if err := client.CloseWrite(); err != nil { // as one that has gone looks
		t.Fatal(err)
	}
	if _, err := io.ReadAll(server); err != nil {
		t.Fatal(err)
	}
	_ = client.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection is still open, although its server says nothing: %v", err)
	}
}
