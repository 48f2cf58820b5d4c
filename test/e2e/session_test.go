package e2e

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/jackc/pgx/v5"

	"plan-charge/internal/session"
	"plan-charge/test/testbed"
)

// TestSession is the life of a deployment whose database is reached through sessions alone: from the second day on, it
// refuses whoever comes from where Pulumi runs.
func TestSession(t *testing.T) {
	if os.Getenv("PLAN_CHARGE_SESSIONS") == "" {
		t.Skip("no whole deployment by sessions has been seen to pass yet: PLAN_CHARGE_SESSIONS=1 runs one")
	}
	t.Parallel() // it mostly waits
	b := &box{testbed.NewBox(t), t}
	b.steps(t,
		day{"FirstUp", firstUpBySession},
		day{"TheDatabaseIsShutToOthers", shutDatabase},
		day{"UpChangesNothingAndCostsOneTask", quietUpBySession},
		day{"RefreshSeesARowAndUpHealsIt", rowBySession},
		day{"APreviewStartsNothing", previewWithoutSession},
		day{"PreviewsLookWhereTheyMay", previewBySession},
		day{"Destroy", destroyBySession},
	)
}

const bySession = "    recoveryDays: 0\n    access: session\n"

// pulumiBySession types a command for the stack as it is with sessions.
func (b *box) pulumiBySession(args ...string) testbed.Result {
	b.t.Helper()
	return b.Pulumi(append(args, "--config-file", b.Changed("    recoveryDays: 0\n", bySession))...)
}

func firstUpBySession(t *testing.T, b *box) {
	b.Must(b.Pulumi("stack", "select", "--create", "--stack", "sandbox"))
	r := b.Must(b.pulumiBySession("up", "--yes", "--skip-preview"))
	testbed.WantIn(t, r.Out, "the way to ")
	b.Site().Output(t, "revision")
	if n := len(b.everyWayIn(t)); n != 1 {
		t.Logf("the first up started %d tasks for sessions", n)
	}
	if port := session.LoopbackPort("plan-charge-sandbox"); testbed.Open(port) {
		t.Errorf("port %d is open after the command", port)
	}
}

// shutDatabase refuses all connections from 127.0.0.1, which everything but the tasks comes from.
func shutDatabase(t *testing.T, b *box) {
	var files []string
	err := filepath.WalkDir(b.Dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.Name() == "pg_hba.conf" {
			files = append(files, path)
		}
		return nil // what cannot be looked at is none
	})
	if err != nil || len(files) != 1 {
		t.Fatalf("found %v, %v", files, err)
	}
	rules, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files[0], append([]byte("host all all 127.0.0.1/32 reject\n"), rules...), 0o600); err != nil {
		t.Fatal(err)
	}
	pid, err := os.ReadFile(filepath.Join(filepath.Dir(files[0]), "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(pid), "\n")
	server, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(server, syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, 30*time.Second, "the database to refuse us", func() bool {
		_, err := b.connectFrom(t, "127.0.0.1")
		return err != nil && strings.Contains(err.Error(), "pg_hba.conf")
	})
	if r := b.Pulumi("refresh", "--preview-only", "--expect-no-changes"); r.Code == 0 {
		t.Error("a refresh that dials the database itself passes")
	}
}

// connectFrom opens the database as its owner from an address of this machine.
func (b *box) connectFrom(t *testing.T, local string) (*pgx.Conn, error) {
	t.Helper()
	s, err := b.Status(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := pgx.ParseConfig(s.Database)
	if err != nil {
		t.Fatal(err)
	}
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
	cfg.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp4", address)
	}
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err == nil {
		t.Cleanup(func() { conn.Close(context.Background()) })
	}
	return conn, err
}

// everyWayIn are the tasks for sessions that ECS remembers, the ended ones too.
func (b *box) everyWayIn(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, status := range []ecstypes.DesiredStatus{ecstypes.DesiredStatusRunning, ecstypes.DesiredStatusStopped} {
		out, err := ecs.NewFromConfig(b.AWS()).ListTasks(t.Context(), &ecs.ListTasksInput{
			Cluster: aws.String("plan-charge-sandbox-cluster"), StartedBy: aws.String("session-plan-charge-sandbox"), DesiredStatus: status,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, arn := range out.TaskArns {
			all[arn] = true
		}
	}
	return all
}

// A plain up looks, finds nothing, and needs one task for it and the preview before it.
func quietUpBySession(t *testing.T, b *box) {
	before := b.everyWayIn(t)
	r := b.Must(b.pulumiBySession("up", "--yes", "--expect-no-changes"))
	testbed.WantIn(t, r.Out, "unchanged")
	started := 0
	for arn := range b.everyWayIn(t) {
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
}

func rowBySession(t *testing.T, b *box) {
	conn, err := b.connectFrom(t, "127.9.9.9")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `UPDATE organizations SET name = 'changed by hand' WHERE id = $1`, ndaPartners); err != nil {
		t.Fatal(err)
	}
	r := b.pulumiBySession("refresh", "--preview-only", "--expect-no-changes", "--diff")
	if r.Code != 7 {
		t.Errorf("the refresh ended with %d", r.Code)
	}
	b.Must(b.pulumiBySession("up", "--yes", "--skip-preview"))
	var name string
	if err := conn.QueryRow(t.Context(), `SELECT name FROM organizations WHERE id = $1`, ndaPartners).Scan(&name); err != nil || name != "NDA Partners" {
		t.Errorf("the row is %q, %v", name, err)
	}
	b.Must(b.pulumiBySession("refresh", "--yes", "--skip-preview", "--expect-no-changes"))
}

// A preview that may not look starts no task, says so and how to go on, and compares with what was read last.
func previewWithoutSession(t *testing.T, b *box) {
	before := len(b.everyWayIn(t))
	r := b.pulumiBySession("preview")
	if r.Code == 0 {
		t.Error("a preview that could not look is green")
	}
	testbed.WantIn(t, r.Out, "no connection to ", "a preview opens no session", "database.previewReads", "--refresh=false")
	changed := b.Changed("    recoveryDays: 0\n", bySession, "name: NDA Partners", "name: NDA Partners SAS")
	r = b.Must(b.Pulumi("preview", "--refresh=false", "--diff", "--config-file", changed))
	testbed.WantIn(t, r.Out, `name: "NDA Partners" => "NDA Partners SAS"`, "could not")
	if n := len(b.everyWayIn(t)); n != before {
		t.Errorf("previews started %d tasks", n-before)
	}
}

// Where the configuration lets them, previews open a session as anybody does.
func previewBySession(t *testing.T, b *box) {
	reads := b.Changed("    recoveryDays: 0\n", bySession+"    previewReads: true\n")
	b.Must(b.Pulumi("up", "--yes", "--skip-preview", "--config-file", reads))
	r := b.Must(b.Pulumi("preview", "--expect-no-changes", "--config-file", reads))
	if !strings.Contains(r.Out, "the way to ") && !strings.Contains(r.Out, "use task ") {
		t.Errorf("the preview has looked at nothing")
	}
}

func destroyBySession(t *testing.T, b *box) {
	b.Must(b.pulumiBySession("destroy", "--yes", "--skip-preview"))
	b.wantEmptyAccount()
	if b.sessions(t) != 0 {
		t.Error("a session is left")
	}
}
