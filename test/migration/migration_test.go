//go:build unix

// Package migration runs the migration's command against an emulated account.
package migration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatchlogs"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"

	"plan-charge/internal/testkit/freeport"
	"plan-charge/internal/testkit/postgres"
	"plan-charge/sandbox/backend"
	"plan-charge/sandbox/emulator"
	"plan-charge/sandbox/engine"
	"plan-charge/sandbox/gateway"
)

const password = "s3cr3tOwner1"

// account is an emulated AWS account whose tasks are processes, with a database and the program that migrates.
type account struct {
	url, binary string
	python      string
	script      string
	db          *postgres.Server
	ecs         *ecs.Client
}

// migration is what the image runs: its word says how it ends.
const migration = `
import os, sys, time
mode = sys.argv[1] if len(sys.argv) > 1 else "none"
print("migrating as", os.environ.get("DATABASE_URL"), flush=True)
if mode == "exit7":
    print("cannot upgrade", flush=True); sys.exit(7)
if mode == "hang":
    print("waiting for a lock", flush=True); time.sleep(600)
time.sleep(float(sys.argv[2]) if len(sys.argv) > 2 else 0)
print("upgraded", flush=True)
`

var shared = sync.OnceValues(startAccount)

// stops are run in reverse order at the end.
var stops []func()

func TestMain(m *testing.M) {
	code := m.Run()
	for i := range stops {
		stops[len(stops)-1-i]()
	}
	os.Exit(code)
}

func start(t *testing.T) *account {
	t.Helper()
	if testing.Short() {
		t.Skip("starts an emulator")
	}
	a, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func startAccount() (*account, error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "pc-migrate-")
	if err != nil {
		return nil, err
	}
	stops = append(stops, func() { os.RemoveAll(dir) })
	_ = os.Chmod(dir, 0o711)
	a := &account{binary: filepath.Join(dir, "plan-charge")}
	if out, err := exec.Command("go", "build", "-o", a.binary, "plan-charge/cmd/plan-charge").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	if a.db, err = postgres.Start(ctx, postgres.Options{Dir: filepath.Join(dir, "pg"), User: "owner", Password: password, Database: "plan_charge", TLS: true}); err != nil {
		return nil, err
	}
	stops = append(stops, func() { a.db.Kill() })
	a.script = filepath.Join(dir, "migration.py")
	if err := os.WriteFile(a.script, []byte(migration), 0o644); err != nil {
		return nil, err
	}
	if a.python, err = exec.LookPath("python3"); err != nil {
		return nil, err
	}
	if a.url, err = startCloud(dir, a.python, a.script); err != nil {
		return nil, err
	}
	cfg, err := config.LoadDefaultConfig(ctx, config.WithRegion("eu-west-3"), config.WithBaseEndpoint(a.url),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
	if err != nil {
		return nil, err
	}
	a.ecs = ecs.NewFromConfig(cfg)
	return a, a.fill(ctx, cfg)
}

func startCloud(dir, python, script string) (string, error) {
	ctx := context.Background()
	venv, err := emulator.Ensure(ctx, os.Stderr)
	if err != nil {
		return "", err
	}
	sample, err := backend.Ensure(ctx, os.Stderr)
	if err != nil {
		return "", err
	}
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	socket := filepath.Join(dir, "engine.sock")
	e, err := engine.New(engine.Options{Socket: socket, Dir: filepath.Join(dir, "engine"), Log: log, Images: func(ref string) engine.Image {
		name, tag, _ := strings.Cut(ref, ":")
		if name == "sample" {
			return sample.Image(tag)
		}
		if name != "app" {
			return nil
		}
		return engine.CommandImage{Dir: dir, Workdir: "/app", Command: []string{python, script}}
	}})
	if err != nil {
		return "", err
	}
	em, err := emulator.New(emulator.Options{Venv: venv, Port: freeport.Find(), StateDir: filepath.Join(dir, "emulator"), DockerHost: "unix://" + socket, Region: "eu-west-3", DatabasePort: 28432})
	if err != nil {
		return "", err
	}
	g, err := gateway.New(gateway.Options{Listen: "127.0.0.1:0", Upstream: em.URL(), Dir: filepath.Join(dir, "gateway"), DockerSocket: socket, Region: "eu-west-3", Log: log})
	if err != nil {
		return "", err
	}
	outer, cancelOuter := context.WithCancel(ctx)
	inner, cancelInner := context.WithCancel(ctx)
	var parts, emulated sync.WaitGroup
	ready, died := make(chan struct{}), make(chan error, 1)
	parts.Go(func() { _ = e.Run(outer) })
	parts.Go(func() { _ = g.Run(outer) })
	emulated.Go(func() { died <- em.Run(inner, func() { close(ready) }) })
	stops = append(stops, func() { cancelInner(); emulated.Wait(); cancelOuter(); parts.Wait() })
	select {
	case <-ready:
		return g.URL(), nil
	case err := <-died:
		return "", fmt.Errorf("the emulator did not start: %w", err)
	}
}

// fill makes what the infrastructure would: cluster, log group, secret and task definitions.
func (a *account) fill(ctx context.Context, cfg aws.Config) error {
	if _, err := a.ecs.CreateCluster(ctx, &ecs.CreateClusterInput{ClusterName: aws.String("cluster")}); err != nil {
		return err
	}
	if _, err := cloudwatchlogs.NewFromConfig(cfg).CreateLogGroup(ctx, &cloudwatchlogs.CreateLogGroupInput{LogGroupName: aws.String("/migration")}); err != nil {
		return err
	}
	secret, err := secretsmanager.NewFromConfig(cfg).CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("owner-url"), SecretString: aws.String(a.db.URL())})
	if err != nil {
		return err
	}
	sample, err := secretsmanager.NewFromConfig(cfg).CreateSecret(ctx, &secretsmanager.CreateSecretInput{Name: aws.String("sample-url"), SecretString: aws.String(a.sampleURL())})
	if err != nil {
		return err
	}
	for family, d := range map[string]struct{ image, secret string }{
		"migration": {"app:1", *secret.ARN}, "sample-1.0.0": {"sample:1.0.0", *sample.ARN}, "sample-1.1.0": {"sample:1.1.0", *sample.ARN},
		"sample-1.0.2": {"sample:1.0.2", *sample.ARN}, "no-image": {"nothing:1", *secret.ARN}, "no-secret": {"app:1", *secret.ARN + "gone"},
	} {
		_, err := a.ecs.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
			Family: &family, NetworkMode: types.NetworkModeAwsvpc, RequiresCompatibilities: []types.Compatibility{types.CompatibilityFargate},
			Cpu: aws.String("256"), Memory: aws.String("512"),
			ContainerDefinitions: []types.ContainerDefinition{{
				Name: aws.String("backend"), Image: &d.image, Essential: aws.Bool(true),
				Secrets: []types.Secret{{Name: aws.String("DATABASE_URL"), ValueFrom: &d.secret}},
				LogConfiguration: &types.LogConfiguration{LogDriver: types.LogDriverAwslogs, Options: map[string]string{
					"awslogs-group": "/migration", "awslogs-stream-prefix": "ecs", "awslogs-region": "eu-west-3",
				}},
			}},
		})
		if err != nil {
			return err
		}
	}
	conn, err := pgx.Connect(ctx, a.db.URL())
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('0002')`); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `CREATE DATABASE sample`)
	return err
}

// sampleURL is the database of the sample backend, whose migrations are Alembic's.
func (a *account) sampleURL() string {
	u, err := url.Parse(a.db.URL())
	if err != nil {
		panic(err)
	}
	u.Path = "/sample"
	return u.String()
}

// command is the program, set up to run a task definition with the given command.
func (a *account) command(family, command string, extra ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	cmd = exec.Command(a.binary, "migrate")
	cmd.Env = append(os.Environ(),
		"AWS_ENDPOINT_URL="+a.url, "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_REGION=eu-west-3",
		"MIGRATE_CLUSTER=cluster", "MIGRATE_TASK_DEFINITION="+family+":1", "MIGRATE_CONTAINER=backend", "MIGRATE_IMAGE=app:1", "MIGRATE_COMMAND="+a.words(command),
		"MIGRATE_SUBNETS=subnet-1", "MIGRATE_SECURITY_GROUPS=sg-1", "MIGRATE_LOG_GROUP=/migration", "MIGRATE_LOG_STREAM_PREFIX=ecs",
		"MIGRATE_SECRET_ARN=owner-url", "MIGRATE_TIMEOUT=60s", "MIGRATE_AUTHORITY=environment", "PGSSLROOTCERT="+a.db.CertFile)
	cmd.Env = append(cmd.Env, extra...)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

// words is the container's command: the script and its words, or, of one that starts with "!", the words alone.
func (a *account) words(command string) string {
	words := strings.Fields(command)
	if rest, ok := strings.CutPrefix(words[0], "!"); ok {
		words[0] = rest
	} else {
		words = append([]string{a.python, a.script}, words...)
	}
	text, _ := json.Marshal(words)
	return string(text)
}

func (a *account) running(t *testing.T, family string) []string {
	t.Helper()
	list, err := a.ecs.ListTasks(context.Background(), &ecs.ListTasksInput{Cluster: aws.String("cluster"), Family: &family})
	if err != nil {
		t.Fatal(err)
	}
	return list.TaskArns
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("%s: not within 30 s", what)
}

func check(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in:\n%s", part, text)
		}
	}
	if strings.Contains(text, password) {
		t.Errorf("the password is in:\n%s", text)
	}
}

func TestEmulatedSuccess(t *testing.T) {
	a := start(t)
	cmd, stdout, stderr := a.command("migration", "ok")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if stdout.String() != "0002\n" {
		t.Errorf("standard output is %q", stdout)
	}
	check(t, stderr.String(), "| migrating as ", "***", "| upgraded", "revision 0002 -> 0002")
}

func TestEmulatedSchemaThatDiffers(t *testing.T) {
	a := start(t)
	conn, err := pgx.Connect(context.Background(), a.db.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	exec := func(sql string) {
		t.Helper()
		if _, err := conn.Exec(context.Background(), sql); err != nil {
			t.Fatal(err)
		}
	}
	migrate := func(extra ...string) (string, error) {
		cmd, _, stderr := a.command("migration", "ok", extra...)
		err := cmd.Run()
		return stderr.String(), err
	}
	exec(`DROP SCHEMA IF EXISTS plan_charge CASCADE; CREATE TABLE users (id int PRIMARY KEY)`)
	if out, err := migrate(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	exec(`DROP TABLE users; CREATE TABLE people (id int)`)
	out, err := migrate(`MIGRATE_IGNORE_OBJECTS=["table public.peo*"]`, `MIGRATE_ACCEPT=["table public.user"]`)
	if err == nil {
		t.Error("without its users the schema is a success")
	}
	check(t, out, "the schema is not what the migration to 0002 left", "dropped table public.users", `migration.accept: ["table public.users"]`)
	if strings.Contains(out, "people") {
		t.Errorf("what is ignored is named:\n%s", out)
	}
	if out, err := migrate(`MIGRATE_IGNORE_OBJECTS=["table public.peo*"]`, `MIGRATE_ACCEPT=["table public.users"]`); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	exec(`DROP TABLE people; DROP SCHEMA plan_charge CASCADE`) // with its mark, which other tests would be compared to
}

// TestBackToAnOlderImage goes back and forth between versions of the sample backend, with Alembic as it is.
func TestBackToAnOlderImage(t *testing.T) {
	a := start(t)
	for _, step := range []struct {
		version, revision string // "" where it fails
		says              []string
	}{
		{"1.0.0", "0003", []string{"revision none -> 0003"}},
		{"1.1.0", "0004", []string{"Running upgrade 0003 -> 0004", "revision 0003 -> 0004"}},
		{"1.0.0", "0004", []string{"schema is at 0004 by 1.1.0; 1.0.0 knows 0003: not migrated"}},
		{"1.0.2", "", []string{
			"exited with code 255", "Can't locate revision identified by '0004'", "hint: the image does not know 0004",
			"sample:1.1.0 left 0004", "sample:1.0.0 left 0003",
		}},
		{"1.1.0", "0004", []string{"revision 0004 -> 0004"}},
	} {
		cmd, stdout, stderr := a.command("sample-"+step.version, "!alembic upgrade head", "MIGRATE_SECRET_ARN=sample-url", "MIGRATE_IMAGE=sample:"+step.version)
		err := cmd.Run()
		if (err == nil) != (step.revision != "") || strings.TrimSpace(stdout.String()) != step.revision {
			t.Fatalf("%s: %v, standard output %q, want %q\n%s", step.version, err, stdout, step.revision, stderr)
		}
		check(t, stderr.String(), step.says...)
		if ran := strings.Contains(stderr.String(), "start a migration task"); ran == strings.Contains(stderr.String(), ": not migrated") {
			t.Errorf("%s: a task ran: %v\n%s", step.version, ran, stderr)
		}
	}
}

// TestDowngradeThatIsAskedFor goes back a revision with Alembic as it is, and forth again.
func TestDowngradeThatIsAskedFor(t *testing.T) {
	a := start(t)
	cloud, err := url.Parse(a.url)
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	rds := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // the account has no instance
		body, _ := io.ReadAll(r.Body)
		switch {
		case bytes.Contains(body, []byte("Action=CreateDBSnapshot")):
			taken++
			io.WriteString(w, "<R/>")
		case bytes.Contains(body, []byte("Action=DescribeDBSnapshots")):
			io.WriteString(w, "<R><DescribeDBSnapshotsResult><DBSnapshots><DBSnapshot><Status>available</Status></DBSnapshot></DBSnapshots></DescribeDBSnapshotsResult></R>")
		default:
			r.Body = io.NopCloser(bytes.NewReader(body))
			httputil.NewSingleHostReverseProxy(cloud).ServeHTTP(w, r)
		}
	}))
	defer rds.Close()
	down := []string{"AWS_ENDPOINT_URL=" + rds.URL, "MIGRATE_DOWNGRADE_TO=0003", "MIGRATE_SNAPSHOT_OF=db"}
	for _, step := range []struct {
		version, command, revision string
		extra                      []string
		snapshots                  int
		says                       []string
	}{
		{"1.1.0", "!alembic upgrade head", "0004", nil, 0, nil},
		{"1.0.0", "!alembic downgrade 0003", "", down, 1, []string{"Can't locate revision identified by '0004'", "the image does not know 0004"}},
		{"1.1.0", "!alembic downgrade 0003", "0003", down, 2, []string{"snapshot db-before-downgrade-", "Running downgrade 0004 -> 0003", "revision 0004 -> 0003"}},
		{"1.1.0", "!alembic downgrade 0003", "0003", down, 2, []string{"revision 0003 -> 0003"}},
		{"1.0.0", "!alembic upgrade head", "0003", nil, 2, []string{"revision 0003 -> 0003"}},
		{"1.1.0", "!alembic upgrade head", "0004", nil, 2, []string{"Running upgrade 0003 -> 0004"}},
	} {
		cmd, stdout, stderr := a.command("sample-"+step.version, step.command, append([]string{"MIGRATE_SECRET_ARN=sample-url", "MIGRATE_IMAGE=sample:" + step.version}, step.extra...)...)
		err := cmd.Run()
		if (err == nil) != (step.revision != "") || strings.TrimSpace(stdout.String()) != step.revision || taken != step.snapshots {
			t.Fatalf("%s %s: %v, standard output %q, %d snapshots\n%s", step.version, step.command, err, stdout, taken, stderr)
		}
		check(t, stderr.String(), step.says...)
	}
}

func TestEmulatedFailures(t *testing.T) {
	a := start(t)
	for name, tc := range map[string]struct {
		family, command string
		want            []string
	}{
		"exit code":  {"migration", "exit7", []string{"exited with code 7", "| cannot upgrade"}},
		"no image":   {"no-image", "ok", []string{"without an exit code", "stopped reason"}},
		"no secret":  {"no-secret", "ok", []string{"without an exit code", "stopped reason", "hint"}},
		"no program": {"migration", "!alembik upgrade head", []string{"without an exit code", "the image has no such program"}},
		"no family":  {"nothing", "ok", []string{"start the migration task"}},
		"time is up": {"migration", "hang", []string{"migration.timeout, 8s, has run out", "it was stopped", "| waiting for a lock"}},
	} {
		t.Run(name, func(t *testing.T) {
			cmd, stdout, stderr := a.command(tc.family, tc.command, "MIGRATE_TIMEOUT=8s")
			if err := cmd.Run(); err == nil {
				t.Fatal("succeeded")
			}
			if stdout.Len() > 0 {
				t.Errorf("standard output is %q", stdout)
			}
			check(t, stderr.String(), tc.want...)
			if left := a.running(t, tc.family); len(left) > 0 {
				t.Errorf("left running: %q", left)
			}
		})
	}
}

func TestEmulatedInterrupt(t *testing.T) {
	a := start(t)
	cmd, _, stderr := a.command("migration", "hang")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the task runs", func() bool { return len(a.running(t, "migration")) == 1 })
	time.Sleep(2 * time.Second) // until it prints
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("an interrupted migration succeeded")
	}
	check(t, stderr.String(), `stopped by signal "interrupt"`, "it was stopped", "| waiting for a lock")
	if left := a.running(t, "migration"); len(left) > 0 {
		t.Errorf("left running: %q", left)
	}
}

func TestEmulatedKilledProgramIsWaitedFor(t *testing.T) {
	a := start(t)
	cmd, _, _ := a.command("migration", "ok 8")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the task runs", func() bool { return len(a.running(t, "migration")) == 1 })
	_ = cmd.Process.Kill()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatal(err)
	}
	next, stdout, stderr := a.command("migration", "ok")
	if err := next.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if stdout.String() != "0002\n" {
		t.Errorf("standard output is %q", stdout)
	}
	check(t, stderr.String(), "of an earlier run is still", "the earlier task ended: success", "revision 0002 -> 0002")
}

func TestEmulatedConnectionResets(t *testing.T) {
	a := start(t)
	front, err := newBreaker(a.url)
	if err != nil {
		t.Fatal(err)
	}
	defer front.Close()
	cmd, stdout, stderr := a.command("migration", "ok 1", "AWS_ENDPOINT_URL="+front.URL())
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr)
	}
	if stdout.String() != "0002\n" || front.broken() == 0 {
		t.Errorf("standard output is %q after %d resets", stdout, front.broken())
	}
}

// breaker passes connections on and resets every third of them after the request was sent.
type breaker struct {
	net.Listener
	to    string
	mu    sync.Mutex
	count int
	cut   int
}

func newBreaker(to string) (*breaker, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	b := &breaker{Listener: l, to: u.Host}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go b.serve(c.(*net.TCPConn))
		}
	}()
	return b, nil
}

func (b *breaker) URL() string { return "http://" + b.Addr().String() }

func (b *breaker) broken() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cut
}

func (b *breaker) serve(c *net.TCPConn) {
	defer c.Close()
	up, err := net.Dial("tcp", b.to)
	if err != nil {
		return
	}
	defer up.Close()
	go io.Copy(up, c)
	buffer := make([]byte, 32<<10)
	for {
		n, err := up.Read(buffer)
		b.mu.Lock()
		b.count++
		cut := b.count%3 == 0
		if cut {
			b.cut++
		}
		b.mu.Unlock()
		if cut {
			c.SetLinger(0)
			return
		}
		if n > 0 {
			if _, err := c.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
