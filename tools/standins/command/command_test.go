package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/blang/semver"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

var urn = resource.NewURN("stack", "project", "", "command:local:Command", "name")

func server(t *testing.T, ctx context.Context) integration.Server {
	t.Helper()
	prov, err := provider()
	if err != nil {
		t.Fatal(err)
	}
	s, err := integration.NewServer(ctx, "command", semver.MustParse(version), integration.WithProvider(prov))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func inputs(kv map[string]any) property.Map {
	m := map[string]property.Value{}
	for k, v := range kv {
		m[k] = value(v)
	}
	return property.NewMap(m)
}

func value(v any) property.Value {
	switch v := v.(type) {
	case property.Value:
		return v
	case string:
		return property.New(v)
	case bool:
		return property.New(v)
	case int:
		return property.New(float64(v))
	case []any:
		list := make([]property.Value, len(v))
		for i := range v {
			list[i] = value(v[i])
		}
		return property.New(list)
	case map[string]any:
		return property.New(inputs(v))
	}
	panic(fmt.Sprintf("no property of %T", v))
}

// check runs Check as the engine does before each operation, which applies defaults.
func check(t *testing.T, s integration.Server, in property.Map) property.Map {
	t.Helper()
	resp, err := s.Check(p.CheckRequest{Urn: urn, Inputs: in})
	if err != nil || len(resp.Failures) > 0 {
		t.Fatalf("check: %v %v", err, resp.Failures)
	}
	return resp.Inputs
}

func create(t *testing.T, s integration.Server, kv map[string]any) (p.CreateResponse, error) {
	t.Helper()
	return s.Create(p.CreateRequest{Urn: urn, Properties: check(t, s, inputs(kv))})
}

func TestCreate(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("FROM_OUTSIDE", "outside")
	tests := []struct {
		name           string
		in             map[string]any
		stdout, stderr string
	}{
		{"both outputs, last line feed cut", map[string]any{"create": "echo out; echo err >&2"}, "out", "err"},
		{"only one line feed is cut", map[string]any{"create": "printf 'a\\n\\n'"}, "a\n", ""},
		{"environment added to the plugin's", map[string]any{"create": "echo $FROM_OUTSIDE $WORD", "environment": map[string]any{"WORD": "word"}}, "outside word", ""},
		{"stdin", map[string]any{"create": "cat", "stdin": "typed"}, "typed", ""},
		{"folder", map[string]any{"create": "pwd", "dir": dir}, dir, ""},
		{"interpreter", map[string]any{"create": "a b", "interpreter": []any{"/bin/echo", "-n", "got"}}, "got a b", ""},
		{"no previous output on create", map[string]any{"create": "echo \"[$PULUMI_COMMAND_STDOUT]\""}, "[]", ""},
		{"nothing to run", map[string]any{"delete": "exit 1"}, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, err := create(t, server(t, t.Context()), tt.in)
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.Properties.Get("stdout").AsString(); got != tt.stdout {
				t.Errorf("stdout is %q, want %q", got, tt.stdout)
			}
			if got := resp.Properties.Get("stderr").AsString(); got != tt.stderr {
				t.Errorf("stderr is %q, want %q", got, tt.stderr)
			}
			if resp.ID == "" {
				t.Error("no id")
			}
		})
	}
}

func TestPreviewRunsNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "made")
	s := server(t, t.Context())
	in := check(t, s, inputs(map[string]any{"create": "touch " + file, "update": "touch " + file}))
	if _, err := s.Create(p.CreateRequest{Urn: urn, Properties: in, DryRun: true}); err != nil {
		t.Fatal(err)
	}
	state := in.Set("stdout", property.New("")).Set("stderr", property.New(""))
	if _, err := s.Update(p.UpdateRequest{ID: "id", Urn: urn, State: state, OldInputs: in, Inputs: in.Set("stdin", property.New("x")), DryRun: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a preview ran the command")
	}
}

func TestUpdate(t *testing.T) {
	tests := []struct {
		name   string
		in     map[string]any
		stdout string
	}{
		{"update command", map[string]any{"create": "echo created", "update": "echo updated"}, "updated"},
		{"create runs again without one", map[string]any{"create": "echo created again"}, "created again"},
		{"sees what the last run wrote", map[string]any{"update": "echo \"$PULUMI_COMMAND_STDOUT $PULUMI_COMMAND_STDERR\""}, "old out old err"},
		{"unless told not to", map[string]any{"update": "echo \"[$PULUMI_COMMAND_STDOUT]\"", "addPreviousOutputInEnv": false}, "[]"},
		{"nothing to run keeps the outputs", map[string]any{"stdin": "x"}, "old out"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := server(t, t.Context())
			in := check(t, s, inputs(tt.in))
			old := inputs(map[string]any{"stdout": "old out", "stderr": "old err"})
			resp, err := s.Update(p.UpdateRequest{ID: "id", Urn: urn, State: old, Inputs: in})
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.Properties.Get("stdout").AsString(); got != tt.stdout {
				t.Errorf("stdout is %q, want %q", got, tt.stdout)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	file := filepath.Join(t.TempDir(), "gone")
	s := server(t, t.Context())
	err := s.Delete(p.DeleteRequest{ID: "id", Urn: urn, Properties: inputs(map[string]any{
		"delete": "printf '%s %s' \"$WORD\" \"$PULUMI_COMMAND_STDOUT\" > " + file, "stdout": "made", "stderr": "",
		"environment": map[string]any{"WORD": "word"},
	})})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(file); string(got) != "word made" {
		t.Errorf("delete saw %q, want %q", got, "word made")
	}
	err = s.Delete(p.DeleteRequest{ID: "id", Urn: urn, Properties: inputs(map[string]any{"delete": "echo why >&2; exit 4", "stdout": "", "stderr": ""})})
	if err == nil || !strings.Contains(err.Error(), "why") {
		t.Errorf("got %v, want the command's message", err)
	}
}

func TestDiff(t *testing.T) {
	s := server(t, t.Context())
	old := map[string]any{"create": "echo", "triggers": []any{"a", 1}, "environment": map[string]any{"A": "1"}}
	tests := []struct {
		name            string
		change          map[string]any
		differs, replac bool
	}{
		{"nothing", map[string]any{}, false, false},
		{"a trigger's value", map[string]any{"triggers": []any{"b", 1}}, true, true},
		{"one more trigger", map[string]any{"triggers": []any{"a", 1, true}}, true, true},
		{"a deep trigger", map[string]any{"triggers": []any{map[string]any{"k": "v"}, 1}}, true, true},
		{"environment", map[string]any{"environment": map[string]any{"A": "2"}}, true, false},
		{"create", map[string]any{"create": "echo 2"}, true, false},
		{"stdin", map[string]any{"stdin": "x"}, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			oldInputs := check(t, s, inputs(old))
			news := map[string]any{}
			for k, v := range old {
				news[k] = v
			}
			for k, v := range tt.change {
				news[k] = v
			}
			state := oldInputs.Set("stdout", property.New("")).Set("stderr", property.New(""))
			resp, err := s.Diff(p.DiffRequest{ID: "id", Urn: urn, State: state, OldInputs: oldInputs, Inputs: check(t, s, inputs(news))})
			if err != nil {
				t.Fatal(err)
			}
			replaces := resp.DeleteBeforeReplace
			for _, d := range resp.DetailedDiff {
				switch d.Kind {
				case p.AddReplace, p.DeleteReplace, p.UpdateReplace:
					replaces = true
				}
			}
			if resp.HasChanges != tt.differs || replaces != tt.replac {
				t.Errorf("changes %v, replaces %v; want %v, %v: %v", resp.HasChanges, replaces, tt.differs, tt.replac, resp.DetailedDiff)
			}
		})
	}
}

func TestFailure(t *testing.T) {
	resp, err := create(t, server(t, t.Context()), map[string]any{"create": "echo progress; echo the reason >&2; exit 3"})
	if err == nil {
		t.Fatalf("exit code 3 is no error: %v", resp)
	}
	for _, want := range []string{"exit status 3", "progress", "the reason"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q lacks %q", err, want)
		}
	}
}

func TestCheckRefusesWhatIsNotOffered(t *testing.T) {
	s := server(t, t.Context())
	for _, name := range []string{"assetPaths", "archivePaths"} {
		resp, err := s.Check(p.CheckRequest{Urn: urn, Inputs: inputs(map[string]any{"create": "true", name: []any{"*"}})})
		if err != nil {
			t.Fatal(err)
		}
		if len(resp.Failures) != 1 || resp.Failures[0].Property != name {
			t.Errorf("%s: failures are %v, want one that names it", name, resp.Failures)
		}
	}
	resp, err := s.Check(p.CheckRequest{Urn: urn, Inputs: inputs(map[string]any{"create": 7})})
	if err == nil && len(resp.Failures) == 0 {
		t.Error("a number was taken for a command")
	}
}

func TestSecretInputStaysSecret(t *testing.T) {
	s := server(t, t.Context())
	secret := property.New("hidden").WithSecret(true)
	in := check(t, s, inputs(map[string]any{"create": "echo done", "stdin": secret, "environment": map[string]any{"KEY": secret}}))
	resp, err := s.Create(p.CreateRequest{Urn: urn, Properties: in})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"stdin", "environment"} {
		if out := resp.Properties.Get(name); !out.HasSecrets() {
			t.Errorf("%s is in clear", name)
		}
	}
	if resp.Properties.Get("stdout").HasSecrets() {
		t.Error("stdout became secret, which the official plugin leaves to the program")
	}
}

// A cancelled update must not leave a migration running, nor anything that it started.
func TestCancelEndsTheWholeGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	s := server(t, context.Background())
	in := check(t, s, inputs(map[string]any{"create": "sh -c 'echo $$ >> " + file + "; sleep 600' & echo $$ >> " + file + "; sleep 600"}))
	ended := make(chan error, 1)
	go func() {
		_, err := s.Create(p.CreateRequest{Urn: urn, Properties: in})
		ended <- err
	}()
	var pids []string
	await(t, "two processes", func() bool {
		text, _ := os.ReadFile(file)
		pids = strings.Fields(string(text))
		return len(pids) == 2
	})
	if err := s.Cancel(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a cancelled command is no error")
		}
	case <-time.After(2 * killAfter):
		t.Fatal("the command goes on after the cancellation")
	}
	for _, text := range pids {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		await(t, "process "+text+" to end", func() bool {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			return syscall.Kill(pid, 0) != nil || (err == nil && strings.Contains(string(stat), ") Z "))
		})
	}
}

func await(t *testing.T, what string, ready func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !ready() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited too long for %s", what)
		}
	}
}

func TestOutputShowsLinesAsTheyCome(t *testing.T) {
	var lines []string
	o := &output{mu: &sync.Mutex{}, show: func(line string) { lines = append(lines, line) }}
	for _, step := range []struct {
		text string
		want int
	}{{"one\ntw", 1}, {"o\r\n", 2}, {"", 2}, {"\n\nlast", 4}} {
		if _, err := o.Write([]byte(step.text)); err != nil {
			t.Fatal(err)
		}
		if len(lines) != step.want {
			t.Fatalf("after %q: %q, want %d lines", step.text, lines, step.want)
		}
	}
	o.flush()
	if got := strings.Join(lines, "|"); got != "one|two|||last" {
		t.Errorf("got %q", got)
	}
}

func TestLogging(t *testing.T) {
	for logging, want := range map[Logging][2]bool{
		LogStdout: {true, false}, LogStderr: {false, true}, LogStdoutAndStderr: {true, true}, LogNone: {false, false},
	} {
		if got := [2]bool{logging.stdout(), logging.stderr()}; got != want {
			t.Errorf("%s: got %v, want %v", logging, got, want)
		}
	}
	if unset := (*Logging)(nil); !unset.stdout() || !unset.stderr() {
		t.Error("not set must show both")
	}
}
