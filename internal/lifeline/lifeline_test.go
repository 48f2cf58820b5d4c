//go:build unix

package lifeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// role makes this test binary play a part: "engine" starts a "shell", which starts the "helper".
const role = "LIFELINE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(role) {
	case "engine":
		start("shell")
	case "shell":
		start("helper")
	case "helper":
		helper()
	default:
		os.Exit(m.Run())
	}
}

// start runs the next part with a pipe for its output, as a provider does, and waits for it.
func start(next string) {
	// A provider and `go run` may outlive the engine; so does this.
	signal.Ignore(syscall.SIGPIPE)
	cmd := exec.Command(os.Getenv("LIFELINE_TEST_BINARY"))
	cmd.Env = append(os.Environ(), role+"="+next)
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		os.Exit(1)
	}
	io.Copy(os.Stdout, out)
	out.Close() // nobody reads any more
	cmd.Process.Wait()
}

// helper works until its context ends, talking all the time, and then cleans up.
func helper() {
	ctx, done := Context(context.Background())
	defer done()
	os.WriteFile(os.Getenv("LIFELINE_TEST_READY"), []byte(fmt.Sprint(os.Getpid())), 0o600)
	for ctx.Err() == nil {
		fmt.Println("working")
		time.Sleep(20 * time.Millisecond)
	}
	for range 5 {
		fmt.Println("cleaning up")
	}
	os.WriteFile(os.Getenv("LIFELINE_TEST_RESULT"), []byte(context.Cause(ctx).Error()), 0o600)
}

// launch starts the three parts, the first under the engine's name, and returns the engine, the helper's process and the file
// that will say how the helper ended.
func launch(t *testing.T) (engine *exec.Cmd, helper int, result string) {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "pulumi")
	content, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(binary, content, 0o700); err != nil {
		t.Fatal(err)
	}
	ready, result := filepath.Join(dir, "ready"), filepath.Join(dir, "result")
	engine = exec.Command(binary)
	engine.Env = append(os.Environ(), role+"=engine", "LIFELINE_TEST_BINARY="+self, "LIFELINE_TEST_READY="+ready, "LIFELINE_TEST_RESULT="+result)
	if err := engine.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Process.Kill(); engine.Wait() })
	fmt.Sscan(await(t, ready), &helper)
	t.Cleanup(func() { syscall.Kill(helper, syscall.SIGKILL) }) // one that does not end by itself would stay for ever
	return engine, helper, result
}

func await(t *testing.T, file string) string {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if content, err := os.ReadFile(file); err == nil && len(content) > 0 {
			return string(content)
		}
	}
	t.Fatalf("%s was not written", filepath.Base(file))
	return ""
}

func TestKilledEngineEndsTheWork(t *testing.T) {
	engine, _, result := launch(t)
	// Let the helper look at its ancestors first.
	time.Sleep(1500 * time.Millisecond)
	engine.Process.Kill()
	if got := await(t, result); !strings.Contains(got, ErrAbandoned.Error()) {
		t.Errorf("the helper ended with %q", got)
	}
}

func TestSignalEndsTheWork(t *testing.T) {
	_, helper, result := launch(t)
	if err := syscall.Kill(helper, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if got := await(t, result); !strings.Contains(got, "terminated") {
		t.Errorf("the helper ended with %q", got)
	}
}

type entry struct {
	pid, parent int
	name        string
}

func table(all ...entry) finder {
	return func(pid int) (*running, error) {
		for _, p := range all {
			if p.pid == pid {
				return &running{parent: p.parent, name: p.name}, nil
			}
		}
		return nil, nil
	}
}

func TestChain(t *testing.T) {
	alive := table(entry{40, 30, "go"}, entry{30, 20, "pulumi-resource"}, entry{20, 10, "pulumi"}, entry{10, 1, "bash"})
	chain := ancestors(40, alive)
	if len(chain) != 3 {
		t.Fatalf("watches %v, want go, provider and engine", chain)
	}
	if dead := chain.broken(40, alive); dead != "" {
		t.Errorf("%s is alive", dead)
	}
	for name, tc := range map[string]struct {
		parent int
		look   finder
		want   string
	}{
		"engine died":    {40, table(entry{40, 30, "go"}, entry{30, 1, "pulumi-resource"}), "pulumi"},
		"provider died":  {40, table(entry{40, 1, "go"}, entry{20, 10, "pulumi"}), "pulumi-resource"},
		"go run died":    {1, alive, "go"},
		"number reused":  {40, table(entry{40, 30, "go"}, entry{30, 1, "pulumi-resource"}, entry{20, 5, "vim"}), "pulumi"},
		"engine is gone": {40, table(entry{40, 30, "go"}, entry{30, 20, "pulumi-resource"}), "pulumi"},
		"no way to look": {40, func(int) (*running, error) { return nil, errors.New("no /proc") }, ""},
	} {
		if got := chain.broken(tc.parent, tc.look); !strings.HasPrefix(got, tc.want) || tc.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
	if c := ancestors(30, table(entry{30, 20, "bash"}, entry{20, 1, "sshd"})); c != nil {
		t.Errorf("by hand from a shell, %v is watched", c)
	}
	if c := ancestors(30, table(entry{30, 20, "go"}, entry{20, 1, "bash"})); len(c) != 1 {
		t.Errorf("by go run from a shell, %v is watched", c)
	}
}

func TestFind(t *testing.T) {
	self, err := find(os.Getpid())
	if err != nil || self == nil || self.parent != os.Getppid() || !strings.HasPrefix(filepath.Base(os.Args[0]), self.name) {
		t.Errorf("this process: got %+v, %v", self, err)
	}
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	if p, err := find(ended.Process.Pid); p != nil || err != nil {
		t.Errorf("a process that has ended: got %+v, %v", p, err)
	}
}
