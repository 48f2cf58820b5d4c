// Package postgres runs a PostgreSQL server of the version asked for, for tests and as the sandbox's database: fetched and
// initialised where needed, unprivileged, on the loopback interface only, with a master user that has the rights RDS gives
// and no more.
package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// superuser is the local-only role that sets up what the master user may not.
	superuser = "sandbox_superuser"
	// poll is how often a condition that nobody signals is looked at again.
	poll = 50 * time.Millisecond
	// leftoverTimeout bounds the wait for a server that an earlier run left behind.
	leftoverTimeout = 20 * time.Second
)

// ErrPortInUse means that another program listens on the port.
var ErrPortInUse = errors.New("port in use")

// Server is a running PostgreSQL server.
type Server struct {
	// Host and Port are where it listens.
	Host string
	Port int
	// User and Database are those of the Options.
	User, Database string
	// CertFile is the server's certificate, and without an Authority the root to verify it with. It is empty without TLS.
	CertFile string

	password string
	admin    string // connection URL of the superuser, through the unix socket
	data     string
	socket   string
	cmd      *exec.Cmd
	done     chan struct{}
	exit     error // set before done is closed
	stop     sync.Once
}

// Start brings a server up and returns once it answers and User and Database are there. Data of an earlier Start in the
// same Dir is used again, whether that server was stopped, crashed or is still running (then it is stopped first).
func Start(ctx context.Context, o Options) (*Server, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("PostgreSQL options: %w", err)
	}
	inst, err := install(ctx, o.Version)
	if err != nil {
		return nil, err
	}
	acct, err := serverAccount()
	if err != nil {
		return nil, err
	}
	if inst, err = acct.reach(ctx, inst); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if acct.drop {
		if err := os.Chown(dir, acct.uid, acct.gid); err != nil {
			return nil, err
		}
	}
	s := &Server{Host: o.Host, User: o.User, Database: o.Database, password: o.Password, data: filepath.Join(dir, "data")}
	if err := clearLeftovers(ctx, s.data); err != nil {
		return nil, err
	}
	if s.Port, err = freePort(o.Host, o.Port); err != nil {
		return nil, err
	}
	secret, err := s.initialise(ctx, inst, acct, dir)
	if err != nil {
		return nil, err
	}
	if err := s.configure(o, acct); err != nil {
		return nil, err
	}
	if err := s.launch(inst, acct, o); err != nil {
		return nil, err
	}
	s.admin = s.socketURL(superuser, secret, "postgres")
	if err := s.await(ctx, o); err != nil {
		return nil, errors.Join(err, s.Kill())
	}
	return s, nil
}

// URL is the master user's connection URL, password included. Do not print it.
func (s *Server) URL() string {
	mode := "disable"
	if s.CertFile != "" {
		mode = "require"
	}
	return (&url.URL{
		Scheme: "postgresql", User: url.UserPassword(s.User, s.password), Host: net.JoinHostPort(s.Host, strconv.Itoa(s.Port)),
		Path: "/" + s.Database, RawQuery: "sslmode=" + mode,
	}).String()
}

// SuperuserURL connects as the local superuser, through the unix socket, to the given database ("" is postgres). RDS has
// no such user: nothing that also has to work there may use it. Do not print it.
func (s *Server) SuperuserURL(database string) string {
	u, err := url.Parse(s.admin)
	if err != nil || database == "" {
		return s.admin
	}
	u.Path = "/" + database
	return u.String()
}

// PID is the server's process.
func (s *Server) PID() int { return s.cmd.Process.Pid }

// Done is closed when the server has ended, for whatever reason.
func (s *Server) Done() <-chan struct{} { return s.done }

// Stop ends the server: open transactions are rolled back and connections closed. When ctx ends first the server is
// killed, which loses nothing that was committed.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.signal(syscall.SIGINT); err != nil { // PostgreSQL's fast shutdown
		return err
	}
	select {
	case <-s.done:
		return s.cleanUp()
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("stopping PostgreSQL: %w", ctx.Err()), s.Kill())
	}
}

// Kill ends the server as a crash would, and waits until its last process is gone.
func (s *Server) Kill() error {
	if err := s.signal(syscall.SIGKILL); err != nil {
		return err
	}
	<-s.done
	ctx, cancel := context.WithTimeout(context.Background(), leftoverTimeout)
	defer cancel()
	return errors.Join(clearLeftovers(ctx, s.data), s.cleanUp())
}

func (s *Server) signal(sig syscall.Signal) error {
	if err := s.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop PostgreSQL: %w", err)
	}
	return nil
}

func (s *Server) cleanUp() error {
	var err error
	s.stop.Do(func() { err = os.RemoveAll(s.socket) })
	return err
}

// initialise creates the data folder where it is missing and returns the superuser's password. The folder gets its name
// last, so that an interrupted initialisation is not taken for data.
func (s *Server) initialise(ctx context.Context, inst *installation, acct account, dir string) (string, error) {
	secretFile := filepath.Join(dir, "superuser")
	if _, err := os.Stat(filepath.Join(s.data, "PG_VERSION")); err == nil {
		if err := sameVersion(s.data, inst); err != nil {
			return "", err
		}
		secret, err := os.ReadFile(secretFile)
		if err != nil {
			return "", fmt.Errorf("the local superuser's password is gone: delete %s to start with an empty database: %w", dir, err)
		}
		return strings.TrimSpace(string(secret)), nil
	}
	secret := rand.Text()
	if err := os.WriteFile(secretFile, []byte(secret+"\n"), 0o600); err != nil {
		return "", err
	}
	if err := acct.own(secretFile); err != nil {
		return "", err
	}
	scratch := s.data + ".partial"
	if err := os.RemoveAll(scratch); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, inst.program("initdb"), "--pgdata", scratch, "--username", superuser,
		"--pwfile", secretFile, "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-instructions")
	out, err := s.run(cmd, acct)
	if err != nil {
		return "", fmt.Errorf("initdb: %w\n%s", err, out)
	}
	if err := os.RemoveAll(s.data); err != nil { // a folder without a cluster in it
		return "", err
	}
	return secret, os.Rename(scratch, s.data)
}

func (s *Server) run(cmd *exec.Cmd, acct account) ([]byte, error) {
	attr, err := acct.attributes(s.data)
	if err != nil {
		return nil, err
	}
	cmd.SysProcAttr, cmd.Env, cmd.Dir = attr, environment(), "/"
	return cmd.CombinedOutput()
}

// environment is this process's without PG…: those variables would change what server and tools do.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "PG") })
}

func sameVersion(data string, inst *installation) error {
	text, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return err
	}
	if have := strings.TrimSpace(string(text)); have != strconv.Itoa(inst.version) {
		return fmt.Errorf("the data in %s is of PostgreSQL %s, but version %d is asked for: ask for %s, or delete that folder to start with an empty database",
			data, have, inst.version, have)
	}
	return nil
}

// configure writes the settings, who may connect how, and the certificate.
func (s *Server) configure(o Options, acct account) error {
	var err error
	if s.socket, err = os.MkdirTemp("", "pc-pg-"); err != nil { // short, because a socket's path has at most 107 bytes
		return err
	}
	params := map[string]string{
		"listen_addresses": o.Host, "port": strconv.Itoa(s.Port), "unix_socket_directories": s.socket,
		"shared_buffers": "32MB", "log_destination": "stderr", "password_encryption": "scram-sha-256",
	}
	maps.Copy(params, o.Params)
	if o.TLS {
		s.CertFile = filepath.Join(s.data, "server.crt")
		key := filepath.Join(s.data, "server.key")
		if o.Authority != nil { // whoever signed the one of before
			err = o.Authority.sign(s.CertFile, key, o.Name)
		} else if !fileExists(s.CertFile) {
			err = writeCertificate(s.CertFile, key)
		}
		if err != nil {
			return fmt.Errorf("make the server's certificate: %w", err)
		}
		params["ssl"], params["ssl_cert_file"], params["ssl_key_file"] = "on", "server.crt", "server.key"
	}
	var conf strings.Builder
	for _, name := range slices.Sorted(maps.Keys(params)) {
		fmt.Fprintf(&conf, "%s = '%s'\n", name, strings.ReplaceAll(params[name], "'", "''"))
	}
	kind := "host"
	if o.RequireTLS {
		kind = "hostssl"
	}
	// Only the superuser comes through the socket, and it comes no other way.
	hba := fmt.Sprintf("local all %[1]s scram-sha-256\nhost all %[1]s all reject\n%[2]s all all all scram-sha-256\n", superuser, kind)
	for name, text := range map[string]string{"postgresql.conf": conf.String(), "pg_hba.conf": hba} {
		if err := os.WriteFile(filepath.Join(s.data, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	for _, name := range []string{"postgresql.conf", "pg_hba.conf", "server.crt", "server.key"} {
		if path := filepath.Join(s.data, name); fileExists(path) {
			if err := acct.own(path); err != nil {
				return err
			}
		}
	}
	return acct.own(s.socket)
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// launch starts the server process.
func (s *Server) launch(inst *installation, acct account, o Options) error {
	attr, err := acct.attributes(s.data)
	if err != nil {
		return err
	}
	if o.EndWithParent {
		endWithParent(attr)
	}
	tail := &tailWriter{next: o.Log}
	s.cmd = exec.Command(inst.program("postgres"), "-D", s.data)
	s.cmd.SysProcAttr, s.cmd.Env, s.cmd.Dir = attr, environment(), "/"
	s.cmd.Stdout, s.cmd.Stderr = tail, tail
	s.cmd.WaitDelay = 5 * time.Second // children of a killed server hold its log open for a moment
	if err := s.cmd.Start(); err != nil {
		return errors.Join(fmt.Errorf("start PostgreSQL: %w", err), s.cleanUp())
	}
	s.done = make(chan struct{})
	go func() {
		err := s.cmd.Wait()
		s.exit = fmt.Errorf("PostgreSQL ended (%v):\n%s", err, tail.String())
		close(s.done)
	}()
	return nil
}

// freePort checks that a port can be listened on, and picks one for 0.
func freePort(host string, port int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return 0, fmt.Errorf("%w: something already listens on %s port %d; stop it or choose another port", ErrPortInUse, host, port)
	}
	if err != nil {
		return 0, fmt.Errorf("listen on %s port %d: %w", host, port, err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// clearLeftovers ends the processes that an earlier server left in the data folder, and removes the lock file of one that
// is gone: after a reboot its process number may belong to somebody else, and then PostgreSQL would refuse to start.
func clearLeftovers(ctx context.Context, data string) error {
	ctx, cancel := context.WithTimeout(ctx, leftoverTimeout)
	defer cancel()
	lock := filepath.Join(data, "postmaster.pid")
	postmaster := 0
	if text, err := os.ReadFile(lock); err == nil {
		first, _, _ := strings.Cut(string(text), "\n")
		postmaster, _ = strconv.Atoi(strings.TrimSpace(first))
	}
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for asked := false; ; {
		pids, err := serversIn(data)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			if err := os.Remove(lock); err != nil && !os.IsNotExist(err) {
				return err
			}
			return nil
		}
		if !asked {
			asked = true
			for _, pid := range pids {
				sig := syscall.SIGQUIT // a child whose postmaster is gone
				if pid == postmaster {
					sig = syscall.SIGINT
				} else if slices.Contains(pids, postmaster) {
					continue // the postmaster ends its children itself
				}
				if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
					return fmt.Errorf("stop the PostgreSQL process %d that an earlier run left: %w", pid, err)
				}
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL processes %v still use %s: end them: %w", pids, data, ctx.Err())
		case <-tick.C:
		}
	}
}

// tailWriter passes on what it gets and keeps the last part for an error message.
type tailWriter struct {
	next io.Writer
	mu   sync.Mutex
	last []byte
}

func (t *tailWriter) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = append(t.last, p...)
	if extra := len(t.last) - 4096; extra > 0 {
		t.last = bytes.Clone(t.last[extra:])
	}
	return t.next.Write(p)
}

func (t *tailWriter) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(t.last))
}
