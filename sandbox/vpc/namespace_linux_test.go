package vpc_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"plan-charge/sandbox/vpc"
)

// A server that takes no more connections keeps nobody from another one in its place.
func TestADialThatHangsHindersNoOther(t *testing.T) {
	n := private(t)
	n.Enforce(func(context.Context, vpc.Party, vpc.Party, int) bool { return true })
	task, address := attach(t, n, "task", "")
	echo(t, task, netip.AddrPortFrom(address, 8000).String(), "the task")
	full := netip.AddrPortFrom(address, 8001)
	err := task.Do(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		t.Cleanup(func() { unix.Close(fd) })
		return errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Port: int(full.Port()), Addr: address.As4()}), unix.Listen(fd, 0))
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	hanging := make(chan error, 4)
	for range cap(hanging) {
		go func() {
			conn, err := n.DialTo(ctx, vpc.Party{}, full.String())
			if err == nil {
				defer conn.Close()
				<-ctx.Done()
			}
			hanging <- err
		}()
	}
	for range 3 { // the dials above are on their way by then
		if got := ask(func(ctx context.Context, _, at string) (net.Conn, error) { return n.DialTo(ctx, vpc.Party{}, at) }, netip.AddrPortFrom(address, 8000).String()); got != "the task heard hello\n<nil>" {
			t.Fatalf("beside it: %s", got)
		}
	}
	cancel()
	refused := 0
	for range cap(hanging) {
		if err := <-hanging; err != nil {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no dial hung: the test shows nothing")
	}
}
