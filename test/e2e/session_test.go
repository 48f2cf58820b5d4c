package e2e

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"

	"plan-charge/internal/authority"
	"plan-charge/internal/testkit/postgres"
	sandboxes "plan-charge/sandbox/box"
	"plan-charge/test/testbed"
)

// everyWayIn are the tasks for sessions that ECS remembers, the ended ones too.
func (b *box) everyWayIn() map[string]bool {
	b.t.Helper()
	all := map[string]bool{}
	for _, status := range []ecstypes.DesiredStatus{ecstypes.DesiredStatusRunning, ecstypes.DesiredStatusStopped} {
		out, err := ecs.NewFromConfig(b.AWS()).ListTasks(b.t.Context(), &ecs.ListTasksInput{
			Cluster: aws.String("plan-charge-sandbox-cluster"), StartedBy: aws.String("session-plan-charge-sandbox"), DesiredStatus: status,
		})
		if err != nil {
			b.t.Fatal(err)
		}
		for _, arn := range out.TaskArns {
			all[arn] = true
		}
	}
	return all
}

// accessPort leads to the first stack's database while a command runs.
func (b *box) accessPort() int {
	b.t.Helper()
	var access struct{ Port int }
	if err := json.Unmarshal([]byte(b.Must(b.Pulumi("stack", "output", "databaseAccess", "--json", "--stack", "sandbox")).Out), &access); err != nil || access.Port == 0 {
		b.t.Fatalf("port %d: %v", access.Port, err)
	}
	return access.Port
}

// oneSession is what a plain up costs, the preview before it included, and it leaves nothing that listens.
func oneSession(t *testing.T, b *box) {
	before := b.everyWayIn()
	b.Must(b.Pulumi("up", "--yes", "--expect-no-changes"))
	started := 0
	for arn := range b.everyWayIn() {
		if !before[arn] {
			started++
		}
	}
	if started > 1 {
		t.Errorf("it started %d tasks", started)
	}
	if b.sessions(t) != 0 {
		t.Error("a session is left")
	}
	if testbed.Open(b.accessPort()) {
		t.Errorf("port %d is open after the command", b.accessPort())
	}
}

const previewReads = "    previewReads: true\n"

// previewWithoutSession is one that may not look: it starts no task, says so and how to go on, and compares with what was
// read last.
func previewWithoutSession(t *testing.T, b *box) {
	before := len(b.everyWayIn())
	quiet := b.Changed(previewReads, "")
	b.Must(b.Pulumi("up", "--yes", "--skip-preview", "--config-file", quiet))
	r := b.Pulumi("preview", "--config-file", quiet)
	if r.Code == 0 {
		t.Error("a preview that could not look is green")
	}
	testbed.WantIn(t, r.Out, "no connection to ", "a preview opens no session", "database.previewReads", "--refresh=false")
	during := len(b.everyWayIn())
	changed := b.Changed(previewReads, "", "name: NDA Partners", "name: NDA Partners SAS")
	r = b.Must(b.Pulumi("preview", "--refresh=false", "--diff", "--config-file", changed))
	testbed.WantIn(t, r.Out, `name: "NDA Partners" => "NDA Partners SAS"`, "could not")
	if n := len(b.everyWayIn()); n != during {
		t.Errorf("a preview started %d tasks", n-during)
	}
	if during > before+1 {
		t.Errorf("one update and a preview started %d tasks", during-before)
	}
	b.Must(b.Pulumi("up", "--yes", "--skip-preview"))
}

// directFromOutside is what the program did before it opened sessions: the database's name means nothing out here.
func directFromOutside(t *testing.T, b *box) {
	b.wantPrivateNetwork(t)
	r := b.Pulumi("up", "--yes", "--skip-preview", "--refresh=false", "--config-file", b.Changed(previewReads, "    access: direct\n"))
	if r.Code == 0 || !strings.Contains(r.Out, "no such host") {
		t.Error("a database in a private network is reached from outside")
	}
	testbed.WantIn(t, r.Out, "set database.access to session")
	b.Must(b.Pulumi("up", "--yes", "--skip-preview", "--refresh=false"))
	b.WantNoDrift()
}

// anotherAuthority is a database server for which somebody else vouches than was expected: nobody logs in to it.
func anotherAuthority(t *testing.T, b *box) {
	other, err := postgres.OpenAuthority(filepath.Join(t.TempDir(), "other.pem"), filepath.Join(t.TempDir(), "other.key"), "another authority")
	if err != nil {
		t.Fatal(err)
	}
	r := b.Type([]string{authority.Variable + "=" + other.File}, "pulumi", "refresh", "--yes", "--skip-preview")
	if r.Code == 0 {
		t.Error("a server of another authority is taken for the database")
	}
	testbed.WantIn(t, r.Out, "its certificate is signed by ", other.File+" (database.authority: environment, PGSSLROOTCERT) was expected") // the row provider
	testbed.WantIn(t, r.Out, "certificate signed by unknown authority")                                                                    // pulumi-postgresql
	b.WantNoDrift()
}

// wantPrivateNetwork skips what nothing can show where the system has no network of its own for the sandbox.
func (b *box) wantPrivateNetwork(t *testing.T) {
	t.Helper()
	if n := b.NetworkNow(); n.Kind != sandboxes.NetworkPrivate {
		t.Skip(n.Why)
	}
}

// killedCommand leaves no session and nothing that listens, and its task to the command after it.
func killedCommand(t *testing.T, b *box) {
	cmd, err := b.Sandbox.Pulumi(t.Context(), "refresh", "--yes", "--skip-preview")
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, time.Minute, "the session to open", func() bool { return b.sessions(t) == 1 })
	_ = cmd.Process.Kill()
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) {
		t.Fatal("it ended before it was killed:", err)
	}
	testbed.Eventually(t, time.Minute, "the session to end", func() bool { return b.sessions(t) == 0 })
	testbed.Eventually(t, time.Minute, "the port to be closed", func() bool { return !testbed.Open(b.accessPort()) })
	left := b.everyWayIn()
	b.Must(b.Pulumi("cancel", "--yes"))
	b.WantNoDrift()
	for arn := range b.everyWayIn() {
		if !left[arn] {
			t.Error("the command after it started a task of its own")
		}
	}
}
