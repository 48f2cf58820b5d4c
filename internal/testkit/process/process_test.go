package process_test

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"plan-charge/internal/testkit/process"
)

func TestLifeOfAProcess(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 60 & exec sleep 60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	defer func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	}()
	p, err := process.Read(pid)
	if err != nil || p.PID != pid || p.Parent != os.Getpid() || p.Started == 0 || !p.Alive() {
		t.Fatalf("%+v, %v", p, err)
	}
	if (process.Info{PID: pid, Started: p.Started - 1}).Alive() {
		t.Error("another process with the same number is taken for this one")
	}
	if !slices.Contains(process.Below(os.Getpid()), p) {
		t.Errorf("%+v is not below its parent", p)
	}
	eventually(t, func() bool { return len(process.Below(pid)) == 1 })
	child := process.Below(pid)[0]
	if all := process.Below(os.Getpid()); slices.Index(all, child) <= slices.Index(all, p) {
		t.Errorf("%+v: the grandchild %+v is missing or comes first", all, child)
	}
	if c, err := os.FindProcess(child.PID); err != nil || c.Kill() != nil {
		t.Errorf("kill the grandchild: %v", err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return !p.Alive() }) // a zombie until it is awaited
	if _, err := process.Read(pid); err == nil {
		t.Error("a zombie lives")
	}
}

func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited too long")
		}
	}
}
