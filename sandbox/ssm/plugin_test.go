package ssm_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/testkit/postgres"
	"plan-charge/sandbox/ssm"
	"plan-charge/tools/toolchain"
)

const target = "ecs:the_cluster_1234_5678"

// world is a service, whose agents dial from this machine, behind a server.
type world struct {
	*ssm.Service
	base string
}

func open(t *testing.T, o ssm.Options) *world {
	t.Helper()
	if o.Find == nil {
		o.Find = func(_ context.Context, at ssm.Target) (func(context.Context, string) (net.Conn, error), error) {
			if at != (ssm.Target{Cluster: "the_cluster", Task: "1234", Runtime: "5678"}) {
				return nil, ssm.ErrNotConnected
			}
			return func(ctx context.Context, address string) (net.Conn, error) {
				var d net.Dialer
				return d.DialContext(ctx, "tcp", address)
			}, nil
		}
	}
	w := &world{Service: ssm.New(o)}
	server := httptest.NewServer(w)
	w.base = "ws" + strings.TrimPrefix(server.URL, "http")
	t.Cleanup(func() { w.Close(); server.Close() })
	return w
}

func (w *world) call(t *testing.T, action string, in any) (map[string]any, error) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	out, known, err := w.Call(t.Context(), action, body, w.base)
	if !known {
		t.Fatalf("%s is not answered", action)
	}
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	return m, json.Unmarshal(text, &m)
}

func request(host, port string) map[string]any {
	return map[string]any{"Target": target, "DocumentName": ssm.Document, "Parameters": map[string][]string{"host": {host}, "portNumber": {port}}}
}

// plugin is AWS's session-manager-plugin, forwarding a port.
type plugin struct {
	address string // to connect to
	cmd     *exec.Cmd
	ended   chan struct{}
	mu      sync.Mutex
	said    bytes.Buffer
}

func (p *plugin) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.said.String()
}

var opened = regexp.MustCompile(`Port (\d+) opened for sessionId`)

// forward starts the plugin as the AWS CLI does, with the answer of StartSession.
func (w *world) forward(t *testing.T, host, port string) *plugin {
	t.Helper()
	if testing.Short() {
		t.Skip("builds AWS's plugin")
	}
	program, err := toolchain.SessionPlugin(t.Context(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	in := request(host, port)
	stream, err := w.call(t, "StartSession", in)
	if err != nil {
		t.Fatal(err)
	}
	response, _ := json.Marshal(stream)
	asked, _ := json.Marshal(in)
	p := &plugin{ended: make(chan struct{})}
	p.cmd = exec.Command(program, "AWS_SSM_START_SESSION_RESPONSE", "eu-west-3", "StartSession", "", string(asked), "http://127.0.0.1:1")
	p.cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "AWS_SSM_START_SESSION_RESPONSE=" + string(response),
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_EC2_METADATA_DISABLED=true", "TMPDIR=" + t.TempDir(),
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.cmd.Stderr = p.cmd.Stdout
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listening := make(chan string, 1)
	go func() {
		defer close(p.ended)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.mu.Lock()
			fmt.Fprintln(&p.said, lines.Text())
			p.mu.Unlock()
			if m := opened.FindStringSubmatch(lines.Text()); m != nil {
				listening <- m[1]
			}
		}
		p.cmd.Wait()
	}()
	t.Cleanup(func() { p.cmd.Process.Kill(); <-p.ended })
	select {
	case port := <-listening:
		p.address = net.JoinHostPort("localhost", port)
	case <-p.ended:
		t.Fatalf("the plugin ended: %s", p.text())
	case <-time.After(time.Minute):
		t.Fatalf("the plugin does not listen: %s", p.text())
	}
	return p
}

// stop interrupts the plugin, as a person does, and awaits its end.
func (p *plugin) stop(t *testing.T) {
	t.Helper()
	p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the plugin does not end")
	}
}

func database(t *testing.T) *postgres.Server {
	t.Helper()
	s, err := postgres.Start(t.Context(), postgres.Options{
		Dir: t.TempDir(), User: "owner", Password: "secret", Database: "app", TLS: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Stop(context.Background()) })
	return s
}

// eventually awaits a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not within a minute: " + what)
		}
	}
}

// AWS's own plugin forwards PostgreSQL connections, several at a time, and ends its session when it is interrupted.
func TestPluginForwardsPostgreSQL(t *testing.T) {
	db := database(t)
	for name, version := range map[string]string{"multiplexed": "", "basic": "3.0.196.0"} {
		t.Run(name, func(t *testing.T) {
			w := open(t, ssm.Options{AgentVersion: version})
			p := w.forward(t, db.Host, fmt.Sprint(db.Port))
			try := func() (*pgx.Conn, error) {
				config, err := pgx.ParseConfig(db.URL())
				if err != nil {
					t.Fatal(err)
				}
				config.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
					var d net.Dialer
					return d.DialContext(ctx, "tcp", p.address)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				return pgx.ConnectConfig(ctx, config)
			}
			connect := func() *pgx.Conn {
				conn, err := try()
				if err != nil {
					t.Fatalf("%v\n%s", err, p.text())
				}
				return conn
			}
			several := 1
			if version == "" {
				several = 4
			}
			var conns []*pgx.Conn
			for range several {
				conns = append(conns, connect())
			}
			for _, conn := range conns {
				var rows, length int
				if err := conn.QueryRow(t.Context(), "select count(*), sum(length(x)) from (select repeat('x', 1000) x from generate_series(1, 2000)) r").Scan(&rows, &length); err != nil || length != 2_000_000 {
					t.Error(rows, length, err)
				}
				var text string
				if err := conn.QueryRow(t.Context(), "select repeat('y', 1000000)").Scan(&text); err != nil || len(text) != 1_000_000 {
					t.Error(len(text), err)
				}
				conn.Close(t.Context())
			}
			// In basic mode one connection follows the other, and the plugin gives to the next one what the server said last to the
			// one before (the end of its TLS), if that is still under way: then the next one fails, and the one after it works.
			var again *pgx.Conn
			eventually(t, "another connection", func() bool {
				conn, err := try()
				if again = conn; err != nil && version == "" {
					t.Fatalf("%v\n%s", err, p.text())
				}
				return err == nil
			})
			if err := again.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			p.stop(t)
			eventually(t, "the session ends", func() bool { return len(w.Running()) == 0 })
		})
	}
}

// echo answers with what it gets.
func echo(t *testing.T) (host, port string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
	host, port, _ = net.SplitHostPort(l.Addr().String())
	return host, port
}

// What the service ends, the plugin is told; a port that nobody listens on, too.
func TestPluginIsToldTheEnd(t *testing.T) {
	w := open(t, ssm.Options{})
	host, port := echo(t)
	p := w.forward(t, host, port)
	id := w.Running()[0]
	if _, err := w.call(t, "TerminateSession", map[string]string{"SessionId": id}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		t.Fatal("the plugin does not end")
	}
	if !strings.Contains(p.text(), "Exiting session with sessionId: "+id) {
		t.Errorf("the plugin said\n%s", p.text())
	}

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, nobody, _ := net.SplitHostPort(closed.Addr().String())
	closed.Close()
	p = w.forward(t, "127.0.0.1", nobody)
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes from a port that nobody listens on", n)
	}
	eventually(t, "the plugin says that the port is not reached", func() bool {
		return strings.Contains(p.text(), "Connection to destination port failed")
	})
}
