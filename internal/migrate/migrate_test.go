package migrate

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/jackc/pgx/v5"

	"plan-charge/internal/authority"
	"plan-charge/internal/testkit"
	"plan-charge/internal/testkit/postgres"
	"plan-charge/internal/versiontable"
)

// password has every character that some syntax treats as its own.
const password = `s3cr3t:/@p%w'"\ord`

var server *postgres.Server

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "migrate-pg")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		os.Chmod(dir, 0o755)
		server, err = postgres.Start(context.Background(), postgres.Options{Dir: dir + "/pg", User: "owner", Password: password, Database: "plan_charge", TLS: true})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer server.Kill()
		os.Setenv(authority.Variable, server.CertFile)
		return m.Run()
	}())
}

// freshURL makes the database empty and returns the owner's URL in the form that the app's ORM wants.
func freshURL(t *testing.T) string {
	t.Helper()
	sql(t, `DROP TABLE IF EXISTS alembic_version; DROP SCHEMA IF EXISTS plan_charge CASCADE`)
	return strings.Replace(server.URL(), "postgresql://", "postgresql+psycopg://", 1)
}

func sql(t *testing.T, statement string, args ...any) {
	t.Helper()
	conn := open(t)
	defer conn.Close(context.Background())
	if _, err := conn.Exec(context.Background(), statement, args...); err != nil {
		t.Error(err)
	}
}

func open(t *testing.T) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func migrated(t *testing.T, to string) {
	sql(t, fmt.Sprintf(`CREATE TABLE IF NOT EXISTS alembic_version (version_num text); DELETE FROM alembic_version; INSERT INTO alembic_version VALUES ('%s')`, to))
}

func mark(t *testing.T) string {
	t.Helper()
	conn := open(t)
	defer conn.Close(context.Background())
	marked, _, err := versiontable.New("", "", "").ReadMark(context.Background(), conn)
	if err != nil && !errors.Is(err, versiontable.ErrNoTable) {
		t.Fatal(err)
	}
	return marked.Revision
}

// good is a task that migrates.
func good(t *testing.T) func(*fakeTask) {
	return func(f *fakeTask) {
		f.status("PENDING")
		f.status("RUNNING")
		f.print("Running upgrade -> 0001", "Running upgrade 0001 -> 0002", "connected to "+f.c.ownerURL, "done", "really")
		migrated(t, "0002")
		f.exit(0)
	}
}

func TestSuccess(t *testing.T) {
	c := newCloud(t, freshURL(t))
	c.script = good(t)
	var out testkit.Buffer
	got, err := run(context.Background(), testSettings(), c.clients(), &out, fast())
	if err != nil {
		t.Fatal(err)
	}
	if got != "0002" || mark(t) != "0002" {
		t.Errorf("revision %q, mark %q, want 0002", got, mark(t))
	}
	testkit.Contains(t, "progress", out.String(), "Running upgrade 0001 -> 0002", "really", "revision none -> 0002", "STOPPED", "connected to ***")
	noSecret(t, out.String())

	in := c.run[0]
	vpc := in.NetworkConfiguration.AwsvpcConfiguration
	if len(c.run) != 1 || in.LaunchType != types.LaunchTypeFargate || vpc.AssignPublicIp != types.AssignPublicIpDisabled || len(vpc.Subnets) != 2 ||
		in.PropagateTags != types.PropagateTagsTaskDefinition || aws.ToString(in.ClientToken) == "" || aws.ToString(in.StartedBy) == "" ||
		strings.Join(in.Overrides.ContainerOverrides[0].Command, " ") != "alembic upgrade head" || len(in.Overrides.ContainerOverrides[0].Environment) != 0 {
		t.Errorf("RunTask was called with %+v", in)
	}
	if c.count("StopTask") != 0 {
		t.Error("a task that succeeded was stopped")
	}
}

func noSecret(t *testing.T, text string) {
	t.Helper()
	for _, s := range []string{password, "s3cr3t"} {
		if strings.Contains(text, s) {
			t.Errorf("the password is in:\n%s", text)
		}
	}
}

// losesItsLog is a task whose log is read and then deleted before it ends.
func losesItsLog(code int32) func(*fakeTask) {
	return func(f *fakeTask) {
		f.status("RUNNING")
		f.print("started")
		f.c.await("GetLogEvents")
		f.c.mu.Lock()
		delete(f.c.logs, f.stream())
		f.c.mu.Unlock()
		f.exit(code)
	}
}

func TestFailures(t *testing.T) {
	long := make([]string, 50)
	for i := range long {
		long[i] = fmt.Sprintf("line %02d", i)
	}
	for name, tc := range map[string]struct {
		script func(*fakeTask)
		fail   func(string, int) error
		want   []string
		not    []string
	}{
		"exits non-zero": {
			script: func(f *fakeTask) { f.status("RUNNING"); f.print(long...); f.exit(3) },
			want:   []string{"exited with code 3", "EssentialContainerExited", "Essential container in task exited", "line 49", "line 30", "last 20 log lines"},
			not:    []string{"line 29"},
		},
		"image is missing": {
			script: func(f *fakeTask) {
				f.status("PENDING")
				f.die(types.TaskStopCodeTaskFailedToStart, "CannotPullContainerError: pull image manifest has been retried 1 time(s): not found", "")
			},
			want: []string{"without an exit code", "TaskFailedToStart", "CannotPullContainerError", "does its tag exist"},
		},
		"secret is unreadable": {
			script: func(f *fakeTask) {
				f.die(types.TaskStopCodeTaskFailedToStart, "ResourceInitializationError: unable to pull secrets or registry auth: AccessDeniedException", "")
			},
			want: []string{"without an exit code", "may the execution role read it"},
		},
		"is killed": {
			script: func(f *fakeTask) { f.status("RUNNING"); f.print("working"); f.exit(137) },
			want:   []string{"code 137", "killed", "working"},
		},
		"runs out of memory": {
			script: func(f *fakeTask) {
				f.status("RUNNING")
				f.die(types.TaskStopCodeEssentialContainerExited, "Essential container in task exited", "OutOfMemoryError: Container killed due to memory usage")
			},
			want: []string{"without an exit code", "OutOfMemoryError", "give the migration's task definition more"},
		},
		"loses its log": {
			script: losesItsLog(0),
			want:   []string{"its log was lost", "does not exist", "| started"},
		},
		"log may not be read": {
			script: func(f *fakeTask) { f.status("RUNNING"); f.exit(0) },
			fail: func(action string, n int) error {
				if action == "GetLogEvents" {
					return denied(action)
				}
				return nil
			},
			want: []string{"its log was lost", "not allowed to GetLogEvents"},
		},
		"fails and loses its log": {
			script: losesItsLog(3),
			want:   []string{"exited with code 3", "does not exist", "| started"},
			not:    []string{"its log was lost"},
		},
		"migrates nothing": {
			script: func(f *fakeTask) { f.status("RUNNING"); f.exit(0) },
			want:   []string{"exited with code 0", "holds no revision"},
		},
		"other container": {
			script: func(f *fakeTask) {
				f.status("RUNNING")
				f.c.mu.Lock()
				f.task.Containers[0].Name = aws.String("sidecar")
				f.c.mu.Unlock()
				f.exit(0)
			},
			want: []string{`no container "backend"`},
		},
		"may not be started": {
			fail: func(action string, n int) error {
				if action == "RunTask" {
					return denied(action)
				}
				return nil
			},
			want: []string{"start the migration task", "not allowed to RunTask"},
		},
		"prints the password when failing": {
			script: func(f *fakeTask) {
				f.status("RUNNING")
				f.print("could not connect to "+f.c.ownerURL, "password was "+password)
				f.die(types.TaskStopCodeEssentialContainerExited, "reason "+f.c.ownerURL, password)
			},
			want: []string{"could not connect to ***", "password was ***"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, freshURL(t))
			if name != "migrates nothing" {
				migrated(t, "0001") // by an earlier deployment, so that only the task tells that this one failed
			}
			c.script, c.fail = tc.script, tc.fail
			var out testkit.Buffer
			got, err := run(context.Background(), testSettings(), c.clients(), &out, fast())
			if err == nil {
				t.Fatalf("succeeded with %q", got)
			}
			testkit.Contains(t, "error", err.Error(), tc.want...)
			for _, part := range tc.not {
				if strings.Contains(err.Error(), part) {
					t.Errorf("the error says %q:\n%v", part, err)
				}
			}
			noSecret(t, err.Error()+out.String())
			if mark(t) != "" {
				t.Error("a failed migration left a mark")
			}
		})
	}
}

func TestTaskFailureCarriesItsParts(t *testing.T) {
	c := newCloud(t, freshURL(t))
	c.script = func(f *fakeTask) { f.status("RUNNING"); f.print("boom"); f.exit(9) }
	_, err := run(context.Background(), testSettings(), c.clients(), &testkit.Buffer{}, fast())
	var failure *TaskError
	if !errors.As(err, &failure) || *failure.ExitCode != 9 || failure.Log[0] != "boom" {
		t.Errorf("got %#v", err)
	}
}

// hang never ends by itself.
func hang(f *fakeTask) {
	f.status("RUNNING")
	f.print("waiting for a lock")
	<-f.stop
}

func TestTimeoutStopsTheTask(t *testing.T) {
	c := newCloud(t, freshURL(t))
	c.script = hang
	s := testSettings()
	s.Timeout = 3 * time.Second
	// Without a timeout of its own this test would hang as well.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	var out testkit.Buffer
	_, err := run(ctx, s, c.clients(), &out, fast())
	if err == nil {
		t.Fatal("a task that hangs succeeded")
	}
	testkit.Contains(t, "error", err.Error(), "migration.timeout", "3s", "it was stopped", "waiting for a lock")
	if len(c.stops) != 1 {
		t.Fatalf("%d StopTask calls, want 1", len(c.stops))
	}
	testkit.Contains(t, "stop reason", *c.stops[0].Reason, "migration.timeout")
}

func TestCancellationStopsTheTask(t *testing.T) {
	for name, when := range map[string]string{"while it runs": "DescribeTasks", "while it starts": "RunTask"} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, freshURL(t))
			c.script = hang
			ctx, cancel := context.WithCancelCause(context.Background())
			c.fail = func(action string, n int) error {
				if action == when {
					cancel(errors.New("stopped by signal"))
				}
				return nil
			}
			_, err := run(ctx, testSettings(), c.clients(), &testkit.Buffer{}, fast())
			if err == nil || !strings.Contains(err.Error(), "stopped by signal") {
				t.Fatalf("got %v", err)
			}
			if len(c.stops) != 1 {
				t.Errorf("%d StopTask calls, want 1", len(c.stops))
			}
		})
	}
}

func TestStopThatFailsIsSaid(t *testing.T) {
	c := newCloud(t, freshURL(t))
	c.script = hang
	c.fail = func(action string, n int) error {
		if action == "StopTask" {
			return denied(action)
		}
		return nil
	}
	s := testSettings()
	s.Timeout = 3 * time.Second
	_, err := run(context.Background(), s, c.clients(), &testkit.Buffer{}, fast())
	testkit.Contains(t, "error", fmt.Sprint(err), "could not be stopped", "may still be running")
}

func TestBrokenConnectionsAreRiddenOut(t *testing.T) {
	c := newCloud(t, freshURL(t))
	c.script = func(f *fakeTask) {
		f.status("RUNNING")
		time.Sleep(150 * time.Millisecond)
		good(t)(f)
	}
	c.fail = func(action string, n int) error {
		if (action == "DescribeTasks" || action == "GetLogEvents") && n%2 == 0 {
			return errReset
		}
		return nil
	}
	if got, err := run(context.Background(), testSettings(), c.clients(), &testkit.Buffer{}, fast()); err != nil || got != "0002" {
		t.Fatalf("%q, %v", got, err)
	}
}

func TestUnreachableForGood(t *testing.T) {
	c := newCloud(t, freshURL(t))
	c.script = hang
	c.fail = func(action string, n int) error {
		if action == "DescribeTasks" && c.count("StopTask") == 0 {
			return errReset
		}
		return nil
	}
	p := fast()
	p.patience = 300 * time.Millisecond
	_, err := run(context.Background(), testSettings(), c.clients(), &testkit.Buffer{}, p)
	testkit.Contains(t, "error", fmt.Sprint(err), "cannot be followed any more", "connection reset", "it was stopped")
}

func TestAnswerLostAfterStart(t *testing.T) {
	c := newCloud(t, freshURL(t))
	c.script = hang
	lost := &lostAnswer{cloud: c}
	_, err := run(context.Background(), testSettings(), Clients{ECS: lost, Logs: c, Secrets: c}, &testkit.Buffer{}, fast())
	if err == nil || !strings.Contains(err.Error(), "connection reset") {
		t.Fatalf("got %v", err)
	}
	if len(c.stops) != 1 {
		t.Errorf("the task that was started and lost was stopped %d times, want once", len(c.stops))
	}
}

// lostAnswer starts tasks without ever saying so.
type lostAnswer struct{ *cloud }

func (l *lostAnswer) RunTask(ctx context.Context, in *ecs.RunTaskInput, o ...func(*ecs.Options)) (*ecs.RunTaskOutput, error) {
	if _, err := l.cloud.RunTask(ctx, in, o...); err != nil {
		return nil, err
	}
	return nil, errReset
}

func TestRunTaskFailures(t *testing.T) {
	t.Run("capacity comes back", func(t *testing.T) {
		c := newCloud(t, freshURL(t))
		c.script = good(t)
		c.failures = [][]types.Failure{{{Reason: aws.String("Capacity is unavailable at this time. Please try again later")}}}
		if _, err := run(context.Background(), testSettings(), c.clients(), &testkit.Buffer{}, fast()); err != nil {
			t.Fatal(err)
		}
		if len(c.run) != 2 || *c.run[0].ClientToken == *c.run[1].ClientToken {
			t.Error("the second attempt must have a token of its own")
		}
	})
	for reason, want := range map[string]string{"MISSING": "does not exist", "INACTIVE": "was deleted", "odd": "odd"} {
		t.Run(reason, func(t *testing.T) {
			c := newCloud(t, freshURL(t))
			c.failures = [][]types.Failure{{{Reason: &reason, Detail: aws.String("the detail")}}}
			_, err := run(context.Background(), testSettings(), c.clients(), &testkit.Buffer{}, fast())
			testkit.Contains(t, "error", fmt.Sprint(err), want, "the detail", "RunTask started no task")
			if len(c.run) != 1 {
				t.Error("tried again")
			}
		})
	}
}

func TestWaitsForATaskThatWasLeftBehind(t *testing.T) {
	c := newCloud(t, freshURL(t))
	c.script = good(t)
	ended := make(chan struct{})
	c.add("migration", "migrate-dead", func(f *fakeTask) {
		f.status("RUNNING")
		f.print("left behind")
		for c.count("DescribeTasks") < 5 && c.count("RunTask") == 0 { // until it has been found and looked at
			time.Sleep(time.Millisecond)
		}
		if c.count("RunTask") != 0 {
			t.Error("a second task was started beside the first")
		}
		f.exit(1)
		close(ended)
	})
	c.add("backend", "ecs-svc/1", hang) // the service's tasks are none of our business
	var out testkit.Buffer
	if _, err := run(context.Background(), testSettings(), c.clients(), &out, fast()); err != nil {
		t.Fatal(err)
	}
	<-ended
	testkit.Contains(t, "progress", out.String(), "earlier run", "left behind", "exited with code 1")
	if len(c.run) != 1 {
		t.Error("our own task did not run exactly once")
	}
}

// ECS lists a task that was told to stop as stopped while its container still works.
func TestWaitsForATaskThatIsStillStopping(t *testing.T) {
	c := newCloud(t, freshURL(t))
	c.script = good(t)
	ended := make(chan struct{})
	stopping := c.add("migration", "migrate-dead", func(f *fakeTask) {
		defer close(ended)
		f.status("RUNNING")
		<-f.stop
		for c.count("DescribeTasks") < 5 && c.count("RunTask") == 0 { // until it has been found and looked at
			time.Sleep(time.Millisecond)
		}
		if c.count("RunTask") != 0 {
			t.Error("a second task was started beside the first")
		}
		f.exit(143)
	})
	c.mu.Lock()
	stopping.task.DesiredStatus = aws.String(stopped)
	c.mu.Unlock()
	close(stopping.stop)
	var out testkit.Buffer
	if _, err := run(context.Background(), testSettings(), c.clients(), &out, fast()); err != nil {
		t.Fatal(err)
	}
	<-ended
	testkit.Contains(t, "progress", out.String(), "earlier run", "exited with code 143")
}

func TestOneDeployerAtATime(t *testing.T) {
	url := freshURL(t)
	holder := open(t)
	ctx := context.Background()
	if _, err := holder.Exec(ctx, `SELECT pg_advisory_lock($1)`, lockKey(versiontable.New("", "", ""))); err != nil {
		t.Fatal(err)
	}

	c := newCloud(t, url)
	c.script = good(t)
	s := testSettings()
	s.Timeout = 3 * time.Second
	_, err := run(ctx, s, c.clients(), &testkit.Buffer{}, fast())
	testkit.Contains(t, "error", fmt.Sprint(err), "another deployment holds the migration lock", "owner from 127.0.0.1", "migration.timeout")
	if c.count("RunTask") != 0 {
		t.Error("a task was started without the lock")
	}

	go func() {
		time.Sleep(100 * time.Millisecond)
		holder.Close(ctx)
	}()
	if _, err := run(ctx, testSettings(), c.clients(), &testkit.Buffer{}, fast()); err != nil {
		t.Fatal(err)
	}
	conn := open(t)
	defer conn.Close(ctx)
	// The server frees it a moment after it was told that the session ends.
	soon, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if _, err := conn.Exec(soon, `SELECT pg_advisory_lock($1)`, lockKey(versiontable.New("", "", ""))); err != nil {
		t.Errorf("the lock was left behind (%v)", err)
	}
}

func TestTwoAtOnceRunOneAfterTheOther(t *testing.T) {
	url := freshURL(t)
	c := newCloud(t, url)
	c.script = func(f *fakeTask) {
		f.status("RUNNING")
		c.mu.Lock()
		running := 0
		for _, other := range c.tasks {
			if aws.ToString(other.task.LastStatus) == "RUNNING" {
				running++
			}
		}
		c.mu.Unlock()
		if running != 1 {
			t.Errorf("%d migrations run at once", running)
		}
		time.Sleep(50 * time.Millisecond)
		migrated(t, "0002")
		f.exit(0)
	}
	errs := make(chan error, 4)
	for range cap(errs) {
		go func() {
			_, err := run(context.Background(), testSettings(), c.clients(), &testkit.Buffer{}, fast())
			errs <- err
		}()
	}
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestDatabaseConnectionLostMeanwhile(t *testing.T) {
	c := newCloud(t, freshURL(t))
	c.script = func(f *fakeTask) {
		f.status("RUNNING")
		time.Sleep(50 * time.Millisecond)
		sql(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'plan-charge migrate'`)
		migrated(t, "0002")
		f.exit(0)
	}
	var out testkit.Buffer
	if got, err := run(context.Background(), testSettings(), c.clients(), &out, fast()); err != nil || got != "0002" {
		t.Fatalf("%q, %v\n%s", got, err, out.String())
	}
	testkit.Contains(t, "progress", out.String(), "connecting again")
}

// A lock that goes with its connection lets no second migration in: another deployer who gets it waits for the task that
// runs, and the first takes the lock again before it reads what its task left.
func TestLostLockLetsNobodyMigrateBeside(t *testing.T) {
	c := newCloud(t, freshURL(t))
	other := make(chan error, 1)
	var said testkit.Buffer
	c.script = func(f *fakeTask) {
		f.status("RUNNING")
		if c.count("RunTask") > 1 {
			migrated(t, "0002")
			f.exit(0)
			return
		}
		sql(t, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'plan-charge migrate'`)
		go func() {
			_, err := run(context.Background(), testSettings(), c.clients(), &said, fast())
			other <- err
		}()
		for deadline := time.Now().Add(30 * time.Second); !strings.Contains(said.String(), "earlier run"); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Errorf("the other deployer does not wait for the task that runs:\n%s", said.String())
				break
			}
		}
		if n := c.count("RunTask"); n != 1 {
			t.Errorf("%d migrations at once", n)
		}
		migrated(t, "0002")
		f.exit(0)
	}
	var out testkit.Buffer
	if _, err := run(context.Background(), testSettings(), c.clients(), &out, fast()); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	testkit.Contains(t, "progress", out.String(), "connecting again")
	if err := <-other; err != nil {
		t.Errorf("the other: %v\n%s", err, said.String())
	}
}

func TestDatabaseThatCannotBeReached(t *testing.T) {
	p := fast()
	p.patience = 200 * time.Millisecond
	for name, tc := range map[string]struct{ url, want string }{
		"refuses":        {"postgresql://owner:s3cr3t@127.0.0.1:1/plan_charge", "after 0s"},
		"wrong password": {strings.Replace(server.URL(), "s3cr3t", "s3cr3tx", 1), "password authentication failed"},
		"no such one":    {strings.Replace(server.URL(), "/plan_charge", "/nothing", 1), "does not exist"},
		"no URL":         {"s3cr3t is no url", "owner's database URL"},
		"empty":          {"", "is empty"},
		"no secret":      {"missing", "can't find the specified secret"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t, tc.url)
			var out testkit.Buffer
			_, err := run(context.Background(), testSettings(), c.clients(), &out, p)
			testkit.Contains(t, "error", fmt.Sprint(err), tc.want)
			noSecret(t, fmt.Sprint(err)+out.String())
			if c.count("RunTask") != 0 {
				t.Error("a task was started")
			}
		})
	}
}

// What waiting cannot mend is not waited for, and no password goes to a server that nobody vouches for.
func TestAnotherServerIsRefusedAtOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		url, who, want string
	}{
		"not RDS":         {server.URL(), authority.RDS, "Amazon RDS (database.authority: rds) was expected"},
		"another name":    {strings.Replace(server.URL(), "@127.0.0.1:", "@0.0.0.0:", 1), authority.Environment, "0.0.0.0 was expected"},
		"no name of here": {strings.Replace(server.URL(), "@127.0.0.1:", "@db.private.invalid:", 1), authority.RDS, "set database.access to session"},
	} {
		t.Run(name, func(t *testing.T) {
			c, s := newCloud(t, tc.url), testSettings()
			c.script, s.Authority = good(t), tc.who
			p := fast()
			p.patience = time.Hour // the timeout of the whole comes first
			var out testkit.Buffer
			_, err := run(context.Background(), s, c.clients(), &out, p)
			testkit.Contains(t, "error", fmt.Sprint(err), tc.want)
			noSecret(t, fmt.Sprint(err)+out.String())
		})
	}
}

func TestDatabaseThatComesBack(t *testing.T) {
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	o := postgres.Options{Dir: dir + "/pg", User: "owner", Password: password, Database: "plan_charge", TLS: true}
	late, err := postgres.Start(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(authority.Variable, late.CertFile)
	o.Port = late.Port
	url := late.URL()
	late.Kill()
	back := make(chan *postgres.Server, 1)
	go func() {
		time.Sleep(300 * time.Millisecond)
		s, err := postgres.Start(context.Background(), o)
		if err != nil {
			t.Error(err)
		}
		back <- s
	}()
	defer func() { (<-back).Kill() }()
	c := newCloud(t, url)
	c.script = func(f *fakeTask) {
		f.status("RUNNING")
		conn, err := pgx.Connect(context.Background(), url)
		if err != nil {
			t.Error(err)
		} else {
			conn.Exec(context.Background(), `CREATE TABLE alembic_version (version_num text); INSERT INTO alembic_version VALUES ('b'), ('a')`)
			conn.Close(context.Background())
		}
		f.exit(0)
	}
	p := fast()
	p.patience = 30 * time.Second
	if got, err := run(context.Background(), testSettings(), c.clients(), &testkit.Buffer{}, p); err != nil || got != "a,b" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestSilentTaskIsASuccess(t *testing.T) {
	c := newCloud(t, freshURL(t))
	c.script = func(f *fakeTask) { f.status("RUNNING"); migrated(t, "0002"); f.exit(0) }
	if _, err := run(context.Background(), testSettings(), c.clients(), &testkit.Buffer{}, fast()); err != nil {
		t.Fatal(err)
	}
}

func TestLogThatComesLate(t *testing.T) {
	c := newCloud(t, freshURL(t))
	c.script = func(f *fakeTask) {
		c.mu.Lock()
		f.task.StartedAt = aws.Time(time.Now())
		c.mu.Unlock()
		migrated(t, "0002")
		f.exit(0)
		time.Sleep(50 * time.Millisecond)
		f.print("late line")
	}
	p := fast()
	p.noStream = 10 * time.Second // a busy machine may need long for those 50 ms
	var out testkit.Buffer
	if _, err := run(context.Background(), testSettings(), c.clients(), &out, p); err != nil {
		t.Fatal(err)
	}
	testkit.Contains(t, "progress", out.String(), "late line")
}

func TestFromEnv(t *testing.T) {
	complete := map[string]string{
		"MIGRATE_CLUSTER": "c", "MIGRATE_TASK_DEFINITION": "arn:aws:ecs:eu-west-3:1:task-definition/plan-charge-prod-migration:12",
		"MIGRATE_CONTAINER": "backend", "MIGRATE_IMAGE": "app:1.0", "MIGRATE_COMMAND": `["sh","-c","cd /app && alembic upgrade head"]`, "MIGRATE_SUBNETS": "subnet-1, subnet-2",
		"MIGRATE_SECURITY_GROUPS": "sg-1", "MIGRATE_LOG_GROUP": "/g", "MIGRATE_LOG_STREAM_PREFIX": "p", "MIGRATE_SECRET_ARN": "arn",
		"MIGRATE_VERSION_TABLE": "app.versions", "MIGRATE_VERSION_COLUMN": "version", "MIGRATE_TIMEOUT": "45m",
	}
	look := func(env map[string]string) func(string) (string, bool) {
		return func(k string) (string, bool) { v, ok := env[k]; return v, ok }
	}
	s, err := FromEnv(look(complete))
	if err != nil {
		t.Fatal(err)
	}
	if s.Family() != "plan-charge-prod-migration" || s.VersionTable != versiontable.New("app", "versions", "version") || s.Timeout != 45*time.Minute || len(s.Subnets) != 2 || len(s.Command) != 3 || s.Authority != authority.RDS {
		t.Errorf("got %+v", s)
	}

	_, err = FromEnv(look(map[string]string{"MIGRATE_COMMAND": "alembic upgrade head", "MIGRATE_TIMEOUT": "-1s", "MIGRATE_VERSION_TABLE": "a.b.c"}))
	delete(complete, "MIGRATE_VERSION_COLUMN") // has a default, and any name may be one
	for key := range complete {
		if !strings.Contains(fmt.Sprint(err), key+": found") {
			t.Errorf("the mistake in %s is not named: %v", key, err)
		}
	}
}

func TestUnlessDone(t *testing.T) {
	c := newCloud(t, freshURL(t))
	c.script = good(t)
	s := testSettings()
	s.UnlessDone, s.Key = true, `image:1 ["it's"] 3`
	migrate := func(runs int, why string) {
		t.Helper()
		before := len(c.run)
		got, err := run(context.Background(), s, c.clients(), &testkit.Buffer{}, fast())
		if err != nil || got != "0002" || len(c.run)-before != runs {
			t.Errorf("%s: %q, %v, %d tasks; want %d", why, got, err, len(c.run)-before, runs)
		}
	}
	migrate(1, "never done")
	migrate(0, "done")
	s.Key = "image:2"
	migrate(1, "another image")
	migrate(0, "done for it")
	migrated(t, "0001")
	migrate(1, "downgraded by hand")
	s.UnlessDone = false
	migrate(1, "asked for")
}

func TestRealPaceToleratesASlowDatabase(t *testing.T) {
	if p := defaultPace(); p.patience < 60*time.Second || p.stop < 30*time.Second {
		t.Errorf("%+v is less than a failover takes", p)
	}
}
