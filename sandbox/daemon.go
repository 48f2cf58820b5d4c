package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/jackc/pgx/v5/pgconn"

	"plan-charge/internal/progress"
	"plan-charge/internal/testkit/process"
	"plan-charge/sandbox/gateway"
)

// daemon is what the background process says of itself.
type daemon struct {
	PID     int    `json:"pid"`
	Started uint64 `json:"started"` // clock ticks after boot, so that a PID used again is not mistaken for it
	Binary  string `json:"binary"`  // hash of the program it runs
}

func (d daemon) alive() bool {
	return d.PID != 0 && process.Info{PID: d.PID, Started: d.Started}.Alive()
}

// ensureDaemon makes sure that the background process of this very program runs and answers.
func ensureDaemon(ctx context.Context, w io.Writer, s *state) error {
	hash, err := executableHash()
	if err != nil {
		return err
	}
	var d daemon
	_ = readJSON(s.file("daemon.json"), &d) // absent or damaged: nothing to keep
	if d.alive() && d.Binary == hash && answers(s) {
		return nil
	}
	if d.alive() {
		step := progress.Start(w, "restart the sandbox, its program has changed or it does not answer", 10*time.Second)
		err := stopDaemon(ctx, d)
		step.Done(err)
		if err != nil {
			return err
		}
	}
	for name, port := range map[string]int{"gateway": s.Ports.Gateway, "emulator": s.Ports.Emulator, "edge": s.Ports.Edge} {
		if err := portFree(name, port); err != nil {
			return err
		}
	}
	step := progress.Start(w, "start the sandbox", 8*time.Second)
	err = launch(ctx, s, hash)
	step.Done(err)
	return err
}

func launch(ctx context.Context, s *state, hash string) error {
	// `go run` removes its program when it ends, so the background process needs a copy.
	self, err := os.Executable()
	if err != nil {
		return err
	}
	bin := s.file("daemon-" + hash)
	if err := copyFile(self, bin); err != nil {
		return err
	}
	if older, err := filepath.Glob(s.file("daemon-*")); err == nil {
		for _, path := range older {
			if path != bin {
				os.Remove(path) // a copy of an earlier version; one left behind does no harm
			}
		}
	}
	logFile, err := os.OpenFile(s.file("daemon.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	cmd := exec.Command(bin, "serve")
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	begun, err := process.Read(cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := writeJSON(s.file("daemon.json"), daemon{PID: cmd.Process.Pid, Started: begun.Started, Binary: hash}); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !answers(s) {
		select {
		case <-tick.C:
		case <-ended:
			return fmt.Errorf("it ended while starting; the end of %s:\n%s", s.file("daemon.log"), tail(s.file("daemon.log"), 15))
		case <-ctx.Done():
			return fmt.Errorf("it did not answer within 90 s; the end of %s:\n%s", s.file("daemon.log"), tail(s.file("daemon.log"), 15))
		}
	}
	if err := awaitDatabases(ctx, s); err != nil {
		return err
	}
	return awaitServices(ctx, s)
}

// awaitServices gives the services of an earlier run half a minute to serve again. One that cannot is not the sandbox's
// fault, and a deployment may be on its way to mend it.
func awaitServices(ctx context.Context, s *state) error {
	patience := time.After(30 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		steady, err := servicesSteady(ctx, s)
		if steady || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-patience:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func servicesSteady(ctx context.Context, s *state) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.gatewayURL()+"/_sandbox/services", nil)
	if err != nil {
		return false, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	var services []gateway.ServiceStatus
	if err := json.NewDecoder(resp.Body).Decode(&services); err != nil {
		return false, fmt.Errorf("the gateway's services: %w", err)
	}
	return !slices.ContainsFunc(services, func(v gateway.ServiceStatus) bool { return v.Ready < v.Wanted }), nil
}

// awaitDatabases waits until the databases of an earlier run serve again: the emulator starts them after it answers.
func awaitDatabases(ctx context.Context, s *state) error {
	cfg, err := awsConfig(ctx, s)
	if err != nil {
		return err
	}
	found, err := rds.NewFromConfig(cfg).DescribeDBInstances(ctx, &rds.DescribeDBInstancesInput{})
	if err != nil {
		return fmt.Errorf("list the databases: %w", err)
	}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for _, db := range found.DBInstances {
		if db.Endpoint == nil {
			continue
		}
		address := net.JoinHostPort(aws.ToString(db.Endpoint.Address), strconv.Itoa(int(aws.ToInt32(db.Endpoint.Port))))
		for !serves(ctx, address) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("database %s at %s did not come back; the end of %s:\n%s",
					aws.ToString(db.DBInstanceIdentifier), address, s.file("daemon.log"), tail(s.file("daemon.log"), 15))
			}
		}
	}
	return nil
}

// serves tells whether a PostgreSQL server has got as far as to refuse somebody whom it does not know.
func serves(ctx context.Context, address string) bool {
	conn, err := pgconn.Connect(ctx, "postgresql://nobody@"+address+"/postgres?sslmode=require&connect_timeout=2")
	if err == nil {
		conn.Close(ctx)
		return true
	}
	const startingUp = "57P03"
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code != startingUp
}

// answers tells whether the gateway reaches the emulator and the edge listens.
func answers(s *state) bool {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(s.gatewayURL() + "/_ministack/health")
	if err != nil {
		return false
	}
	resp.Body.Close()
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(s.edgeURL(), "http://"), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return resp.StatusCode == http.StatusOK
}

// stopDaemon asks the background process to end with all that it runs, and waits until it has.
func stopDaemon(ctx context.Context, d daemon) error {
	if err := syscall.Kill(d.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 60*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for d.alive() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("process %d did not end within 60 s; 'kill -9 %d' ends it by force", d.PID, d.PID)
		}
	}
	return nil
}

func stop(ctx context.Context) error {
	s, err := openState()
	if err != nil {
		return err
	}
	var d daemon
	_ = readJSON(s.file("daemon.json"), &d)
	if !d.alive() {
		fmt.Println("the sandbox does not run")
		return nil
	}
	step := progress.Start(os.Stdout, "stop the sandbox", 5*time.Second)
	err = stopDaemon(ctx, d)
	step.Done(err)
	if err == nil {
		fmt.Printf("What was deployed is kept in %s for the next 'up'; remove that folder to start from an empty account.\n", s.dir)
	}
	return err
}

func executableHash() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	f, err := os.Open(self)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	if err := dst.Close(); err != nil {
		return err
	}
	return os.Rename(to+".new", to)
}

// tail returns the last lines of a log.
func tail(path string, lines int) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}

func portFree(name string, port int) error {
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return fmt.Errorf("port %d, which the sandbox's %s needs, is in use: stop what uses it ('ss -ltnp | grep %d' names it), or set %s=1000 and %s to a new folder",
			port, name, port, envOffset, envState)
	}
	return l.Close()
}
