package proc_test

import (
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"plan-charge/sandbox/proc"
)

func TestLifeOfAProcess(t *testing.T) {
	cmd := exec.Command("cat") // waits for its input to end
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := proc.Find(cmd.Process.Pid)
	if err != nil || p.Parent != os.Getpid() || !p.Alive() {
		t.Errorf("while it runs: %+v, %v", p, err)
	}
	if below := proc.Below(os.Getppid()); !slices.Contains(below, p) {
		t.Errorf("below this process's parent: %+v, want %+v among them", below, p)
	}
	another := p
	another.Started++
	if another.Alive() {
		t.Error("another process that had the same number is alive")
	}
	in.Close()
	// It has ended before anybody waits for it.
	for deadline := time.Now().Add(10 * time.Second); p.Alive(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is alive after its end")
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := proc.Find(p.PID); err == nil {
		t.Error("it was found after its end")
	}
}
