// Package emulator installs and runs MiniStack, the AWS emulator of the sandbox, as it is published: nothing in it is
// changed. What it lacks is added by the gateway in front of it.
package emulator

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"plan-charge/internal/lastlines"
	"plan-charge/sandbox/venv"
)

// requirements pins MiniStack and everything it uses.
//
//go:embed requirements.txt
var requirements string

//go:embed launch.py
var launcher []byte

const (
	// readyTimeout bounds the wait for the emulator to answer. Importing it takes two seconds on an idle machine.
	readyTimeout = 90 * time.Second
	stopTimeout  = 30 * time.Second
)

// Ensure installs the emulator into the cache where it is missing and returns its virtual environment. Progress goes to w.
func Ensure(ctx context.Context, w io.Writer) (string, error) {
	return venv.Ensure(ctx, w, venv.Options{
		Name: "emulator", What: "install the AWS emulator (MiniStack, from PyPI)", Takes: 40 * time.Second, Requirements: requirements,
	})
}

// Options say how the emulator runs.
type Options struct {
	// Venv is what Ensure returned.
	Venv string
	// Port to listen on, on 127.0.0.1.
	Port int
	// StateDir keeps the emulated account. It holds what is stored in it as secrets, and is closed to other users.
	StateDir string
	// DockerHost is where containers are run, such as unix:///run/engine.sock.
	DockerHost string
	// Region is used by calls that name none.
	Region string
	// DatabasePort is the first port tried for a database; 0 means 15432.
	DatabasePort int
	// Inside runs what starts the emulator, or tries its port, in the network that it shall be in; nil: this machine's.
	Inside func(func() error) error
	// Log receives the emulator's own output; nil drops it.
	Log io.Writer
}

// Emulator is a running MiniStack that is started again when it dies.
type Emulator struct {
	opt    Options
	script string
}

// New prepares an emulator.
func New(o Options) (*Emulator, error) {
	if o.Venv == "" || o.StateDir == "" || o.DockerHost == "" || o.Region == "" || o.Port == 0 {
		return nil, errors.New("emulator: Venv, StateDir, DockerHost, Region and Port are all needed")
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	if o.Inside == nil {
		o.Inside = func(f func() error) error { return f() }
	}
	if o.DatabasePort == 0 {
		o.DatabasePort = 15432
	}
	if err := os.MkdirAll(o.StateDir, 0o700); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	script := filepath.Join(o.StateDir, "launch.py")
	if err := os.WriteFile(script, launcher, 0o600); err != nil {
		return nil, fmt.Errorf("emulator: %w", err)
	}
	return &Emulator{opt: o, script: script}, nil
}

// URL is where the emulator answers.
func (e *Emulator) URL() string { return "http://127.0.0.1:" + strconv.Itoa(e.opt.Port) }

// Run keeps the emulator running until ctx ends, and returns when it has stopped. Ready is called once it answers for the
// first time; nil is allowed. An emulator that never gets ready is an error, one that dies later is started again.
func (e *Emulator) Run(ctx context.Context, ready func()) error {
	if err := e.opt.Inside(e.portFree); err != nil {
		return err
	}
	wait := 200 * time.Millisecond
	for first := true; ; first = false {
		started := time.Now()
		err := e.once(ctx, func() {
			if first && ready != nil {
				ready()
			}
			first = false
		})
		if ctx.Err() != nil {
			return nil
		}
		if first {
			return err
		}
		fmt.Fprintf(e.opt.Log, "the emulator ended, it is started again: %v\n", err)
		if time.Since(started) > time.Minute {
			wait = 200 * time.Millisecond
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, 10*time.Second)
	}
}

// once runs one process to its end.
func (e *Emulator) once(ctx context.Context, ready func()) error {
	last := &lastlines.Keeper{Next: e.opt.Log}
	cmd := exec.Command(filepath.Join(e.opt.Venv, "bin", "python"), e.script)
	cmd.Env = e.environ()
	cmd.Dir = e.opt.StateDir
	cmd.Stdout, cmd.Stderr = last, last
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 2 * time.Second
	if err := e.opt.Inside(cmd.Start); err != nil {
		return fmt.Errorf("start the emulator: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()

	probe, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := e.await(probe, ended); err != nil {
		if ctx.Err() == nil {
			err = fmt.Errorf("the emulator did not get ready: %w; its last lines:\n%s", err, last.Last(12))
		}
		return errors.Join(err, e.stop(cmd, ended))
	}
	ready()
	select {
	case err := <-ended:
		return fmt.Errorf("%v; its last lines:\n%s", err, last.Last(12))
	case <-ctx.Done():
		return e.stop(cmd, ended)
	}
}

// await asks for the emulator's health until it answers. It puts back what it takes from ended.
func (e *Emulator) await(ctx context.Context, ended chan error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	client := http.Client{Timeout: 2 * time.Second}
	for {
		if resp, err := client.Get(e.URL() + "/_ministack/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case err := <-ended:
			ended <- err
			return fmt.Errorf("it ended: %v", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// stop ends the process in order, because it writes its state then, and by force when it does not end in time.
func (e *Emulator) stop(cmd *exec.Cmd, ended chan error) error {
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) // it may have ended already
	select {
	case <-ended: //nolint:errcheck // how it ends when it is told to is no matter
		return nil
	case <-time.After(stopTimeout):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended //nolint:errcheck // as above
		return fmt.Errorf("the emulator did not stop within %s and was killed", stopTimeout)
	}
}

func (e *Emulator) environ() []string {
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + e.opt.StateDir, "TMPDIR=" + e.opt.StateDir, "LANG=C.UTF-8", "PYTHONUNBUFFERED=1",
		"PYTHONDONTWRITEBYTECODE=", "HOSTNAME=",
		"GATEWAY_PORT=" + strconv.Itoa(e.opt.Port), "BIND_HOST=127.0.0.1", "MINISTACK_HOST=localhost", "MINISTACK_HOSTNAME=plan-charge",
		"MINISTACK_REGION=" + e.opt.Region, "LOG_LEVEL=INFO",
		"PERSIST_STATE=1", "STATE_DIR=" + filepath.Join(e.opt.StateDir, "account"),
		"RDS_PERSIST=1", "RDS_BASE_PORT=" + strconv.Itoa(e.opt.DatabasePort),
		"S3_PERSIST=1", "S3_DATA_DIR=" + filepath.Join(e.opt.StateDir, "s3"),
		"DOCKER_HOST=" + e.opt.DockerHost, "MINISTACK_DOCKER_TIMEOUT=120",
		// Listeners that nothing here uses.
		"SFTP_ENABLED=0", "IOT_MTLS_ENABLED=0",
		"AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test",
	}
	for _, name := range []string{"LD_LIBRARY_PATH", "SSL_CERT_FILE"} {
		if value := os.Getenv(name); value != "" {
			env = append(env, name+"="+value)
		}
	}
	return env
}

func (e *Emulator) portFree() error {
	// One that a crashed sandbox left behind notices within a second that it is alone, and ends.
	deadline := time.Now().Add(15 * time.Second)
	for {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(e.opt.Port)))
		if err == nil {
			return l.Close()
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("port %d, which the AWS emulator needs, is in use: stop what uses it ('ss -ltnp | grep %d' names it) or choose another port: %w",
				e.opt.Port, e.opt.Port, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
