package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/jackc/pgx/v5"

	"plan-charge/test/testbed"
)

// asCommand makes the test's own program the command that `plan-charge db` runs: there need be no psql on the machine.
const asCommand = "PLAN_CHARGE_TEST_QUERY"

func TestMain(m *testing.M) {
	if sql := os.Getenv(asCommand); sql != "" {
		os.Exit(query(sql))
	}
	os.Exit(m.Run())
}

// query prints what a query finds in the database that the environment names, and waits for the end of its input. What the
// database refuses ends it with code 3.
func query(sql string) int {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, "")
	if err != nil {
		fmt.Println(err)
		return 4
	}
	defer conn.Close(ctx)
	var found string
	if err := conn.QueryRow(ctx, sql).Scan(&found); err != nil {
		fmt.Println(err)
		return 3
	}
	fmt.Println("found", found)
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// db prepares `plan-charge db` with a query of the test's own program as its command.
func (b *box) db(t *testing.T, program, sql string, flags ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := b.Inside(t.Context(), program, append(append([]string{"db", "--stack", "sandbox"}, flags...), "--", self)...)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, asCommand+"="+sql)
	return cmd
}

// peopleReachTheDatabase by `plan-charge db`: as the app and as the owner, several at a time, and nothing is left behind,
// whether they leave or are killed.
func peopleReachTheDatabase(t *testing.T, b *box) {
	program := filepath.Join(t.TempDir(), "plan-charge")
	build, err := b.Inside(t.Context(), "go", "build", "-o", program, "./cmd/plan-charge")
	if err != nil {
		t.Fatal(err)
	}
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	const who = "select current_user || ' sees ' || count(*) from organizations"
	for as, user := range map[string]string{"app": "plan_charge_app", "owner": "plan_charge_owner"} {
		out, err := b.db(t, program, who, "--as", as).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		testbed.WantIn(t, string(out), "found "+user+" sees 2")
	}
	b.wantNoWay(t)

	// The app's role changes no schema, and the command's exit code comes back.
	refused := b.db(t, program, "with gone as (select 1) select format('%s', 1/0)")
	out, err := refused.CombinedOutput()
	if refused.ProcessState.ExitCode() != 3 {
		t.Errorf("a command that fails ends with %v:\n%s", err, out)
	}
	testbed.WantIn(t, string(out), "division by zero")
	b.wantNoWay(t)

	b.killedIsSeen(t, program)
}

// killedIsSeen: a killed command leaves no connection, command or port, and its task to the next one.
func (b *box) killedIsSeen(t *testing.T, program string) {
	const held = "select 'lock ' || pg_try_advisory_lock(4711)"
	stdin, open, err := os.Pipe() // one of the system's: Wait would wait for whoever copies from another one
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	first := b.db(t, program, held)
	first.Stdin = stdin
	out, err := first.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	stdin.Close()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != "found lock true\n" {
		t.Fatalf("the first command says %q, %v", line, err)
	}
	first.Process.Signal(syscall.SIGKILL)
	if _, err := io.Copy(io.Discard, out); err != nil { // its command has ended, too, when nobody holds the pipe
		t.Error(err)
	}
	first.Wait()

	tasks := b.waysIn(t)
	if len(tasks) != 1 {
		t.Fatalf("tasks after a kill: %v", tasks)
	}
	testbed.Eventually(t, 3*time.Minute, "the dead one's lock to be free", func() bool {
		conn := b.Connect()
		defer conn.Close(t.Context())
		var free bool
		if err := conn.QueryRow(t.Context(), "select pg_try_advisory_lock(4711)").Scan(&free); err != nil {
			t.Fatal(err)
		}
		return free
	})
	testbed.Eventually(t, time.Minute, "the dead one's session to end", func() bool { return b.sessions(t) == 0 })
	got, err := b.db(t, program, held).CombinedOutput()
	if err != nil || !strings.Contains(string(got), tasks[0][strings.LastIndexByte(tasks[0], '/')+1:]) {
		t.Errorf("the next command does not use the task that was left: %v\n%s", err, got)
	}
	b.wantNoWay(t)
}

// waysIn are the tasks that lead to the database.
func (b *box) waysIn(t *testing.T) []string {
	t.Helper()
	out, err := ecs.NewFromConfig(b.AWS()).ListTasks(t.Context(), &ecs.ListTasksInput{
		Cluster: aws.String(b.Site().Output(t, "cluster")), StartedBy: aws.String("session-plan-charge-sandbox"),
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.TaskArns
}

func (b *box) sessions(t *testing.T) int {
	t.Helper()
	out, err := ssm.NewFromConfig(b.AWS()).DescribeSessions(t.Context(), &ssm.DescribeSessionsInput{State: ssmtypes.SessionStateActive})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, one := range out.Sessions {
		if strings.HasPrefix(aws.ToString(one.Target), "ecs:plan-charge-sandbox-cluster_") { // not the second stack's
			n++
		}
	}
	return n
}

// wantNoWay wants no task and no session left.
func (b *box) wantNoWay(t *testing.T) {
	t.Helper()
	testbed.Eventually(t, time.Minute, "tasks and sessions to end", func() bool { return len(b.waysIn(t)) == 0 && b.sessions(t) == 0 })
}
