package session

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A connection of another user is told apart by the system's table of sockets.
func TestOwner(t *testing.T) {
	const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 100 1
   1: 0100007F:8AE0 0100007F:1538 01 00000000:00000000 02:00000000 00000000  1000        0 101 2
   2: 0100007F:1538 0100007F:8AE0 01 00000000:00000000 00:00000000 00000000     7        0 102 1
`
	at := func(port int) *net.TCPAddr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port} }
	if uid, known := owner(table, at(0x8AE0), 0x1538); uid != "1000" || !known {
		t.Errorf("found %q, %v", uid, known)
	}
	if uid, known := owner(table, at(0x8AE1), 0x1538); known {
		t.Errorf("a connection that is not there is %q's", uid)
	}
	if uid, known := owner(table, at(0x8AE0), 0x1539); known {
		t.Errorf("a connection to another port is %q's", uid)
	}
	// And the real table has a real connection.
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp4", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	real, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		t.Skip("the system tells nobody whose a connection is")
	}
	if uid, known := owner(string(real), c.LocalAddr().(*net.TCPAddr), l.Addr().(*net.TCPAddr).Port); !known || uid != fmt.Sprint(os.Getuid()) {
		t.Errorf("our own connection is %q's, %v", uid, known)
	}
}

// The port is for this user's processes; another user's are refused before anything is dialled.
func TestListenRefusesOtherUsers(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be two users")
	}
	said := &said{lines: make(chan string, 10)}
	l, err := (&Session{out: said, closed: true}).Listen(0)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for user, want := range map[uint32]string{0: "a connection failed", 65534: "refused a connection of another user"} {
		connect := exec.Command("bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/127.0.0.1/%d; printf 'a startup message' >&3; read -r _ <&3", l.Port))
		connect.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: user, Gid: user}}
		if out, err := connect.CombinedOutput(); err == nil {
			t.Errorf("a closed session answers: %s", out)
		}
		select {
		case line := <-said.lines:
			if !strings.Contains(line, want) {
				t.Errorf("to user %d it says %q", user, line)
			}
		case <-time.After(time.Minute):
			t.Fatalf("user %d did not connect", user)
		}
	}
}

// said takes what is printed.
type said struct{ lines chan string }

func (s *said) Write(p []byte) (int, error) {
	s.lines <- string(p)
	return len(p), nil
}

func TestListenSaysThatThePortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	if _, err := (&Session{out: io.Discard}).Listen(port); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("port %d is in use", port)) || !strings.Contains(err.Error(), "--port") {
		t.Errorf("a port in use: %v", err)
	}
}

// The keeper runs as long as an agent's worker does, and a while longer.
func TestKeeper(t *testing.T) {
	if _, err := os.Stat("/proc/self/comm"); err != nil {
		t.Skip("runs in Linux containers")
	}
	// The worker's name, as the system cuts it, is this shell's for as long as its input is open.
	const name = "keeper-test-wor" // the real name may be another sandbox's on this machine
	worker := exec.Command("sh", "-c", "printf "+name+"ker > /proc/$$/comm; echo there; read -r _")
	in, err := worker.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := worker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
	argv := keeperCommand(2 * time.Second)
	argv[len(argv)-1] = name
	keeper := exec.Command(argv[0], argv[1:]...)
	if err := keeper.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keeper.Process.Kill() })
	ended := make(chan error, 1)
	go func() { ended <- keeper.Wait() }()
	select {
	case err := <-ended:
		t.Fatalf("the keeper ends while a session is there: %v", err)
	case <-time.After(5 * time.Second): // more than twice what it waits without one
	}
	in.Close()
	worker.Wait()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the keeper does not end")
	}
}

func TestKeeperCommandIsForTheTask(t *testing.T) {
	argv := keeperCommand(Idle)
	if got := strings.Join(argv[len(argv)-3:], " "); got != "510 5 ssm-session-wor" {
		t.Errorf("the task waits by %q", got)
	}
}
