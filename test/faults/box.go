package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"plan-charge/internal/lastlines"
	"plan-charge/sandbox/report"
	"plan-charge/test/testbed"
)

// upLimit bounds one `up`: the longest of the program's own waits and then some.
const upLimit = 10 * time.Minute

// box is a sandbox on which changes are deployed.
type box struct {
	*testbed.Sandbox
	site     *report.Status // with the owner's password
	disk     *disk          // of the state; nil where this system cannot have one
	change   int            // number of the change that is being deployed
	settings string         // file with the configuration of that change
	secrets  testbed.Secrets
	stable   []row // the organizations that no change touches
}

// newBox brings a sandbox up in the folder, or in a new one.
func newBox(ctx context.Context, state string) (*box, error) {
	s, err := testbed.New(state)
	if err != nil {
		return nil, err
	}
	b := &box{Sandbox: s, change: int(time.Now().Unix() % 1_000_000)}
	if b.disk, err = mountDisk(s.File("pulumi")); err != nil {
		fmt.Printf("without %q: %v\n", fullDisk, err)
	}
	if _, err := os.Stat(s.File("daemon.json")); err != nil {
		if out, err := testbed.Output(s.CLI(ctx, "up")); err != nil {
			return b, fmt.Errorf("bring the sandbox up: %w\n%s", err, lastlines.Of(out, 40))
		}
	}
	if out, err := b.pulumi(ctx, "version"); err != nil { // starts one that was kept
		return b, fmt.Errorf("pulumi in the sandbox: %w\n%s", err, out)
	}
	if b.site, err = s.Status(ctx, true); err != nil {
		return b, err
	}
	if b.secrets, err = s.Secrets(ctx); err != nil {
		return b, err
	}
	return b, b.prepareRows(ctx)
}

// close stops the sandbox and, unless its folder was given, removes it.
func (b *box) close() {
	if b.disk != nil && b.Passing() {
		if err := b.disk.unmount(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	if err := b.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// nextChange writes the configuration of another version with another organization.
func (b *box) nextChange() {
	b.change++
	var err error
	b.settings, err = b.Config("faults.yaml",
		"plan-charge/backend:1.0.0", "plan-charge/backend:"+b.version(),
		"        name: Default Organization\n", "        name: Default Organization\n      - id: "+changedOrg+"\n        name: "+b.organization()+"\n")
	if err != nil {
		panic(err) // the repository is not whole: no trial makes sense
	}
}

func (b *box) version() string      { return fmt.Sprintf("1.1.%d", b.change) }
func (b *box) organization() string { return fmt.Sprintf("Trial %d", b.change) }

// update is an `up` and how it ended.
type update struct {
	out    string
	code   int // -1: killed
	took   time.Duration
	points []point
	family []program // what it had started when it was last looked at
}

// living names the program and the helpers that it had started and that still run.
func (u update) living() string {
	var alive []string
	for _, p := range u.family {
		if (p.pulumi || p.isHelper()) && p.Alive() {
			alive = append(alive, p.String())
		}
	}
	return strings.Join(alive, ", ")
}

// up deploys the change. At each point of it, at is called with the engine's process.
func (b *box) up(ctx context.Context, at func(point, *exec.Cmd)) update {
	ctx, cancel := context.WithTimeout(ctx, upLimit)
	defer cancel()
	events := b.File(fmt.Sprintf("events-%d.jsonl", time.Now().UnixNano()))
	defer os.Remove(events)
	cmd, err := b.Pulumi(ctx, "up", "--yes", "--skip-preview", "--non-interactive", "--stack", "sandbox", "--config-file", b.settings, "--event-log", events)
	if err != nil {
		return update{code: -1, out: err.Error()}
	}
	cmd.Env = append(cmd.Env, "PULUMI_DEBUG_COMMANDS=true") // or there is no --event-log
	cmd.WaitDelay = 10 * time.Second                        // orphans may hold the pipes of a killed engine
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var u update
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return update{code: -1, out: err.Error()}
	}
	reading, done := context.WithCancel(ctx)
	read := make(chan struct{})
	go func() {
		defer close(read)
		_ = follow(reading, events, func(p point) {
			u.points = append(u.points, p)
			if at != nil {
				u.family = descendants(cmd.Process.Pid)
				at(p, cmd)
			}
		})
	}()
	err = cmd.Wait()
	done()
	<-read
	u.out, u.took, u.code = out.String(), time.Since(began), cmd.ProcessState.ExitCode()
	if ctx.Err() != nil {
		u.out += fmt.Sprintf("\nerror: it did not end within %s", upLimit)
	} else if err != nil && u.code == 0 {
		u.code = -1
	}
	return u
}

// inject asks the gateway to disturb its calls; the fault is in JSON.
func (b *box) inject(ctx context.Context, fault string) error {
	return testbed.Call(ctx, http.DefaultClient, http.MethodPost, b.site.AWS+"/_sandbox/faults", fault, nil)
}

// calm takes back the faults that no call has met, and those that stay.
func (b *box) calm(ctx context.Context) error {
	return testbed.Call(ctx, http.DefaultClient, http.MethodDelete, b.site.AWS+"/_sandbox/faults", "", nil)
}

// connect opens the database as its owner. One that was just started may need a moment.
func (b *box) connect(ctx context.Context) (*pgx.Conn, error) {
	for deadline := time.Now().Add(30 * time.Second); ; {
		conn, err := b.Connect(ctx, b.site.Database)
		if err == nil || time.Now().After(deadline) || ctx.Err() != nil {
			return conn, err
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// pid is the process of a container.
func (b *box) pid(ctx context.Context, c testbed.Container) (int, error) {
	var inspected struct{ State struct{ Pid int } }
	err := b.Engine(ctx, http.MethodGet, "/containers/"+c.ID+"/json", &inspected)
	return inspected.State.Pid, err
}
