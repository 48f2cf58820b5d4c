package box

import (
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

	"plan-charge/internal/lastlines"
	"plan-charge/internal/progress"
	"plan-charge/internal/testkit/process"
	"plan-charge/sandbox/gateway"
	"plan-charge/sandbox/vpc"
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

// PID is the background process's; 0 where it does not run.
func (b *Box) PID() int {
	if d := b.daemon(); d.alive() {
		return d.PID
	}
	return 0
}

// daemon reads what the background process said of itself. Absent or damaged, there is nothing to keep.
func (b *Box) daemon() (d daemon) {
	_ = readJSON(b.File("daemon.json"), &d)
	return d
}

// Start makes sure that the background process runs, as this very program, and answers. The box is prepared.
func (b *Box) Start(ctx context.Context, w io.Writer) error {
	hash, err := fileHash(b.Program)
	if err != nil {
		return err
	}
	d := b.daemon()
	if d.alive() && d.Binary == hash && b.Running() {
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
	if err := b.Ports.Free(); err != nil {
		return err
	}
	step := progress.Start(w, "start the sandbox", 8*time.Second)
	err = b.launch(ctx, hash)
	step.Done(err)
	if n := b.NetworkNow(); err == nil && n.Why != "" {
		fmt.Fprintln(w, "the sandbox's network is open, so that nothing is proven about who reaches the database:", n.Why)
	}
	return err
}

func (b *Box) launch(ctx context.Context, hash string) error {
	// `go run` removes its program when it ends, so the background process needs a copy.
	bin := b.File("daemon-" + hash)
	if err := copyFile(b.Program, bin); err != nil {
		return err
	}
	if older, err := filepath.Glob(b.File("daemon-*")); err == nil {
		for _, path := range older {
			if path != bin {
				os.Remove(path) // a copy of an earlier version; one left behind does no harm
			}
		}
	}
	logFile, err := os.OpenFile(b.File("daemon.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	serve := func(attr *syscall.SysProcAttr) (*exec.Cmd, error) {
		cmd := exec.Command(bin, "serve")
		cmd.Dir, cmd.Env = b.Dir, append(os.Environ(), EnvState+"="+b.Dir)
		cmd.Stdout, cmd.Stderr = logFile, logFile
		cmd.SysProcAttr = attr
		return cmd, cmd.Start()
	}
	attr := &syscall.SysProcAttr{Setsid: true}
	if b.WantsPrivate() {
		vpc.Rights(attr)
	}
	cmd, err := serve(attr)
	if err != nil && b.WantsPrivate() { // it says itself what it lacks
		cmd, err = serve(&syscall.SysProcAttr{Setsid: true})
	}
	if err != nil {
		return err
	}
	begun, err := process.Read(cmd.Process.Pid)
	if err != nil {
		return err
	}
	if err := writeJSON(b.File("daemon.json"), daemon{PID: begun.PID, Started: begun.Started, Binary: hash}); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, 90*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !b.Running() {
		select {
		case <-tick.C:
		case <-ended: //nolint:errcheck // what it wrote into its log says more
			return fmt.Errorf("it ended while starting; the end of %s:\n%s", b.File("daemon.log"), lastlines.OfFile(b.File("daemon.log"), 15))
		case <-ctx.Done():
			return fmt.Errorf("it did not answer within 90 s; the end of %s:\n%s", b.File("daemon.log"), lastlines.OfFile(b.File("daemon.log"), 15))
		}
	}
	if err := b.awaitDatabases(ctx); err != nil {
		return err
	}
	return b.awaitServices(ctx)
}

// awaitServices gives the services of an earlier run half a minute to serve again. One that cannot is not the sandbox's
// fault, and a deployment may be on its way to mend it.
func (b *Box) awaitServices(ctx context.Context) error {
	patience := time.After(30 * time.Second)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		steady, err := b.servicesSteady(ctx)
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

func (b *Box) servicesSteady(ctx context.Context) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.GatewayURL()+"/_sandbox/services", nil)
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
func (b *Box) awaitDatabases(ctx context.Context) error {
	cfg, err := b.AWS(ctx)
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
		for !b.serves(ctx, address) {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return fmt.Errorf("database %s at %s did not come back; the end of %s:\n%s",
					aws.ToString(db.DBInstanceIdentifier), address, b.File("daemon.log"), lastlines.OfFile(b.File("daemon.log"), 15))
			}
		}
	}
	return nil
}

// serves tells whether a PostgreSQL server has got as far as to refuse somebody whom it does not know.
func (b *Box) serves(ctx context.Context, address string) bool {
	conn, err := b.Connect(ctx, "postgresql://nobody@"+address+"/postgres?sslmode=require&connect_timeout=2")
	if err == nil {
		_ = conn.Close(ctx)
		return true
	}
	const startingUp = "57P03"
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code != startingUp
}

// Running tells whether the gateway reaches the emulator and the edge listens.
func (b *Box) Running() bool {
	client := http.Client{Timeout: 2 * time.Second}
	resp, err := client.Get(b.GatewayURL() + "/_ministack/health")
	if err != nil {
		return false
	}
	resp.Body.Close()
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(b.EdgeURL(), "http://"), time.Second)
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

// Stop ends the background process and all that it runs. What was deployed is kept for the next Start.
func (b *Box) Stop(ctx context.Context, w io.Writer) error {
	d := b.daemon()
	if !d.alive() {
		fmt.Fprintln(w, "the sandbox does not run")
		return nil
	}
	step := progress.Start(w, "stop the sandbox", 5*time.Second)
	err := stopDaemon(ctx, d)
	step.Done(err)
	if err == nil {
		fmt.Fprintf(w, "What was deployed is kept in %s for the next 'up'; remove that folder to start from an empty account.\n", b.Dir)
	}
	return err
}

func fileHash(path string) (string, error) {
	f, err := os.Open(path)
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
