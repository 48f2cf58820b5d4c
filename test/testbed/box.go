package testbed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	ecstypes "github.com/aws/aws-sdk-go-v2/service/ecs/types"
	"github.com/jackc/pgx/v5"

	"plan-charge/internal/lastlines"
	"plan-charge/sandbox/report"
)

// Box is a sandbox in a test, which fails where the sandbox does not do what it is told.
type Box struct {
	*Sandbox
	t testing.TB
}

// Result is what a command printed and how it ended.
type Result struct {
	Out  string // stdout and stderr in the order they came
	Code int
	// Silence is the longest time without a line, once the first resource is worked on.
	Silence time.Duration
}

// NewBox makes a sandbox for a test, which stops it at the end and keeps its folder where it fails.
func NewBox(t testing.TB) *Box {
	t.Helper()
	// A folder given by name is used as it is and kept, to repeat a step without a new deployment.
	s, err := New(os.Getenv("PLAN_CHARGE_TEST_STATE"))
	if err != nil {
		t.Fatal(err)
	}
	stopWhenInterrupted(s)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := os.ReadFile(s.File("daemon.log"))
			t.Logf("end of the sandbox's log:\n%s", lastlines.Of(string(log), 60))
			s.Keep()
			t.Logf("the sandbox's folder is kept: %s", s.Dir)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &Box{s, t}
}

var interrupted struct {
	sync.Once
	sync.Mutex
	boxes []*Sandbox
}

// stopWhenInterrupted stops a test's sandbox when the test is interrupted, where no cleanup runs.
func stopWhenInterrupted(s *Sandbox) {
	interrupted.Lock()
	defer interrupted.Unlock()
	interrupted.boxes = append(interrupted.boxes, s)
	interrupted.Do(func() {
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
		go func() {
			<-signals
			interrupted.Lock()
			var all sync.WaitGroup
			for _, s := range interrupted.boxes {
				all.Go(func() {
					if err := s.Close(); err != nil {
						fmt.Fprintln(os.Stderr, err)
					}
				})
			}
			all.Wait()
			os.Exit(130)
		}()
	})
}

// With is the sandbox in a part of the test.
func (b *Box) With(t testing.TB) *Box { return &Box{b.Sandbox, t} }

// Run calls the sandbox's program. Its output also goes to the test's log as it comes.
func (b *Box) Run(limit time.Duration, args ...string) Result {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return show("sandbox", b.CLI(ctx, args...))
}

// Pulumi types a pulumi command in the sandbox's environment.
func (b *Box) Pulumi(args ...string) Result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cmd, err := b.Sandbox.Pulumi(ctx, args...)
	if err != nil {
		b.t.Fatal(err)
	}
	return show("pulumi", cmd)
}

// Type types any command in the sandbox's environment, with more variables.
func (b *Box) Type(env []string, name string, args ...string) Result {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cmd, err := b.Inside(ctx, name, args...)
	if err != nil {
		b.t.Fatal(err)
	}
	cmd.Env = append(cmd.Env, env...)
	return show(filepath.Base(name), cmd)
}

// silence measures how long nothing is said. The dots with which the CLI passes the time say nothing.
type silence struct {
	last    time.Time // zero before the first resource is worked on
	longest time.Duration
}

func (s *silence) Write(text []byte) (int, error) {
	said := strings.Trim(strings.ReplaceAll(string(text), "@ updating", ""), ". \n")
	now := time.Now()
	switch {
	case said == "":
	case !s.last.IsZero():
		s.longest = max(s.longest, now.Sub(s.last))
		s.last = now
	case strings.Contains(said, " creating") || strings.Contains(said, " updating (") || strings.Contains(said, " replacing"):
		s.last = now
	}
	return len(text), nil
}

func show(name string, cmd *exec.Cmd) Result {
	var out bytes.Buffer
	var silence silence
	w := io.MultiWriter(&out, os.Stderr, &silence)
	cmd.Stdout, cmd.Stderr = w, w
	fmt.Fprintf(os.Stderr, "\n$ %s %s\n", name, strings.Join(cmd.Args[1:], " "))
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return Result{Out: out.String() + err.Error(), Code: -1}
	}
	return Result{Out: out.String(), Code: cmd.ProcessState.ExitCode(), Silence: silence.longest}
}

// Must is for steps whose failure makes the rest pointless.
func (b *Box) Must(r Result) Result {
	b.t.Helper()
	if r.Code != 0 {
		b.t.Fatalf("exit code %d:\n%s", r.Code, lastlines.Of(r.Out, 60))
	}
	return r
}

// Site is what runs and where, with outputs that have to be there.
type Site struct{ *report.Status }

// Site asks what runs and where.
func (b *Box) Site() Site {
	b.t.Helper()
	s, err := b.Status(context.Background(), false)
	if err != nil {
		b.t.Fatal(err)
	}
	return Site{s}
}

// Output is one of the stack's outputs.
func (s Site) Output(t testing.TB, name string) string {
	t.Helper()
	v := s.Status.Output(name)
	if v == "" {
		t.Fatalf("the stack has no output %s: %v", name, s.Outputs)
	}
	return v
}

// Get asks the edge as a viewer of the site would.
func (s Site) Get(t testing.TB, path string) *http.Response {
	t.Helper()
	resp, err := s.Status.Get(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// AWS is for calls as somebody with the sandbox's credentials.
func (b *Box) AWS() aws.Config {
	b.t.Helper()
	cfg, err := b.Sandbox.AWS(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	return cfg
}

// Connect opens the database as its owner, as the people of the incident did by hand.
func (b *Box) Connect() *pgx.Conn {
	b.t.Helper()
	s, err := b.Status(context.Background(), true)
	if err != nil {
		b.t.Fatal(err)
	}
	conn, err := b.Sandbox.Connect(context.Background(), s.Database)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// Changed writes the stack's configuration with texts replaced, pairs of old and new, and returns the file's path.
func (b *Box) Changed(replace ...string) string {
	b.t.Helper()
	path, err := b.Config("changed.yaml", replace...)
	if err != nil {
		b.t.Fatal(err)
	}
	return path
}

// Database is the container of the sandbox's own stack.
func (b *Box) Database() Container {
	b.t.Helper()
	c, err := b.Sandbox.Database(context.Background(), "sandbox")
	if err != nil {
		b.t.Fatal(err)
	}
	return c
}

// DeployByHand makes the service run another image, as somebody does in the console, and waits until it does.
func (b *Box) DeployByHand(s Site, tag string) {
	b.t.Helper()
	ctx := context.Background()
	client := ecs.NewFromConfig(b.AWS())
	cluster, service := s.Output(b.t, "cluster"), s.Output(b.t, "service")
	described, err := client.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &cluster, Services: []string{service}})
	if err != nil || len(described.Services) != 1 {
		b.t.Fatalf("describe the service: %v", err)
	}
	current, err := client.DescribeTaskDefinition(ctx, &ecs.DescribeTaskDefinitionInput{TaskDefinition: described.Services[0].TaskDefinition})
	if err != nil {
		b.t.Fatal(err)
	}
	d := current.TaskDefinition
	image := aws.ToString(d.ContainerDefinitions[0].Image)
	d.ContainerDefinitions[0].Image = aws.String(image[:strings.LastIndexByte(image, ':')+1] + tag)
	made, err := client.RegisterTaskDefinition(ctx, &ecs.RegisterTaskDefinitionInput{
		Family: aws.String("by-hand"), ContainerDefinitions: d.ContainerDefinitions, NetworkMode: d.NetworkMode, Cpu: d.Cpu, Memory: d.Memory,
		RequiresCompatibilities: d.RequiresCompatibilities, ExecutionRoleArn: d.ExecutionRoleArn, TaskRoleArn: d.TaskRoleArn, RuntimePlatform: d.RuntimePlatform,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := client.UpdateService(ctx, &ecs.UpdateServiceInput{Cluster: &cluster, Service: &service, TaskDefinition: made.TaskDefinition.TaskDefinitionArn}); err != nil {
		b.t.Fatal(err)
	}
	Eventually(b.t, 2*time.Minute, "the version deployed by hand", func() bool {
		out, err := client.DescribeServices(ctx, &ecs.DescribeServicesInput{Cluster: &cluster, Services: []string{service}})
		return err == nil && len(out.Services) == 1 && len(out.Services[0].Deployments) == 1 && out.Services[0].Deployments[0].RolloutState == ecstypes.DeploymentRolloutStateCompleted
	})
}

// Do tells the process engine what to do with a container: stop, start or kill.
func (b *Box) Do(what string, c Container) {
	b.t.Helper()
	if err := b.Engine(context.Background(), http.MethodPost, "/containers/"+c.ID+"/"+what, nil); err != nil {
		b.t.Fatal(err)
	}
}

// WantIn fails the test for every part that a text lacks.
func WantIn(t testing.TB, text string, parts ...string) {
	t.Helper()
	for _, p := range Missing(text, parts...) {
		t.Errorf("%q is missing in:\n%s", p, lastlines.Of(text, 80))
	}
}

// Missing are the parts that a text lacks.
func Missing(text string, parts ...string) []string {
	return slices.DeleteFunc(slices.Clone(parts), func(p string) bool { return strings.Contains(text, p) })
}

// Eventually awaits a condition; it fails the test when the bound is over.
func Eventually(t testing.TB, bound time.Duration, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(bound); ; time.Sleep(200 * time.Millisecond) {
		if condition() {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s", bound, what)
		}
	}
}

// WantNoDrift asks as a scheduled drift check would.
func (b *Box) WantNoDrift() {
	b.t.Helper()
	if r := b.Pulumi("refresh", "--preview-only", "--expect-no-changes", "--diff"); r.Code != 0 {
		b.t.Fatalf("refresh reports drift (exit code %d):\n%s", r.Code, lastlines.Of(r.Out, 80))
	}
}
