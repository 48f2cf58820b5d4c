// Package workflows holds the repository's workflows against the rules of docs/github.md: what may start them, what they
// may, as whom they log in, and that nobody else's code runs with any of it.
package workflows

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"plan-charge/internal/testkit"
)

type workflow struct {
	On          yaml.Node         `yaml:"on"`
	Permissions map[string]string `yaml:"permissions"`
	Concurrency struct {
		Group  string `yaml:"group"`
		Cancel bool   `yaml:"cancel-in-progress"`
		Queue  string `yaml:"queue"`
	} `yaml:"concurrency"`
	Jobs map[string]job `yaml:"jobs"`
}

type job struct {
	If          string            `yaml:"if"`
	Needs       string            `yaml:"needs"`
	Environment string            `yaml:"environment"`
	Permissions map[string]string `yaml:"permissions"`
	Timeout     int               `yaml:"timeout-minutes"`
	Steps       []step            `yaml:"steps"`
}

type step struct {
	Uses string            `yaml:"uses"`
	Run  string            `yaml:"run"`
	With map[string]string `yaml:"with"`
	Env  map[string]string `yaml:"env"`
}

// row is what a workflow is meant to be.
type row struct {
	on    []string
	group string
	// cancel says whether a newer run ends an older one.
	cancel bool
	queue  string
	jobs   map[string]rights
}

// rights are what a job may write or log in to, and the environment that says so.
type rights struct {
	may         []string
	environment string
}

const eitherProduction = "${{ needs.gate.outputs.environment }}"

var table = map[string]row{
	"checks": {
		[]string{"pull_request"},
		"checks-${{ github.ref }}", true, "",
		map[string]rights{"checks": {[]string{"contents: read"}, ""}, "fork": {nil, ""}},
	},
	"preview": {
		[]string{"pull_request"},
		"preview-${{ github.event.pull_request.number }}", true, "",
		map[string]rights{
			"preview": {[]string{"contents: read", "id-token: write"}, "preview"},
			"comment": {[]string{"contents: read", "pull-requests: write"}, ""},
		},
	},
	"deploy": {
		[]string{"push"},
		"deploy-prod", false, "max",
		map[string]rights{
			"gate":   {[]string{"contents: read", "id-token: write", "pull-requests: read"}, "preview"},
			"deploy": {[]string{"contents: read", "id-token: write", "pull-requests: write"}, eitherProduction},
		},
	},
	"drift": {
		[]string{"schedule", "workflow_dispatch"},
		"drift-prod", false, "",
		map[string]rights{"drift": {[]string{"actions: read", "contents: read", "id-token: write", "issues: write"}, "preview"}},
	},
}

func load(t *testing.T) (map[string]workflow, map[string]string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(testkit.Project(t), ".github", "workflows", "*"))
	if err != nil || len(files) == 0 {
		t.Fatal("no workflows", err)
	}
	all, texts := map[string]workflow{}, map[string]string{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var w workflow
		if err := yaml.Unmarshal(text, &w); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".yml")
		all[name], texts[name] = w, string(text)
	}
	return all, texts
}

// triggers are the names of what starts a workflow.
func (w workflow) triggers() []string {
	switch w.On.Kind {
	case yaml.ScalarNode:
		return []string{w.On.Value}
	case yaml.MappingNode:
		var names []string
		for i := 0; i < len(w.On.Content); i += 2 {
			names = append(names, w.On.Content[i].Value)
		}
		return names
	}
	var names []string
	for _, n := range w.On.Content {
		names = append(names, n.Value)
	}
	return names
}

func (j job) may() []string {
	var may []string
	for _, what := range slices.Sorted(maps.Keys(j.Permissions)) {
		may = append(may, what+": "+j.Permissions[what])
	}
	return may
}

func TestWorkflowsAreAsTheTableSays(t *testing.T) {
	all, _ := load(t)
	for name := range table {
		if _, ok := all[name]; !ok {
			t.Errorf("%s.yml is missing", name)
		}
	}
	for name, w := range all {
		want, ok := table[name]
		if !ok {
			t.Errorf("%s.yml is in no table", name)
			continue
		}
		if got := w.triggers(); !slices.Equal(got, want.on) {
			t.Errorf("%s: starts on %v, want %v", name, got, want.on)
		}
		if c := w.Concurrency; c.Group != want.group || c.Cancel != want.cancel || c.Queue != want.queue {
			t.Errorf("%s: concurrency %+v, want %s, cancel %v, queue %q", name, c, want.group, want.cancel, want.queue)
		}
		for id, j := range w.Jobs {
			r, ok := want.jobs[id]
			if !ok || !slices.Equal(j.may(), r.may) || j.Environment != r.environment {
				t.Errorf("%s, job %s: may %v in environment %q, want %+v", name, id, j.may(), j.Environment, r)
			}
		}
		if len(w.Jobs) != len(want.jobs) {
			t.Errorf("%s: %d jobs, want %d", name, len(w.Jobs), len(want.jobs))
		}
	}
}

// pinned is an action at a commit, with the version that the commit is said to be.
var pinned = regexp.MustCompile(`^\s*- (?:id: \S+\s+)?uses: [a-z-]+/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$`)

func TestEveryWorkflowKeepsTheRules(t *testing.T) {
	all, texts := load(t)
	for name, w := range all {
		if w.Permissions == nil || len(w.Permissions) > 0 {
			t.Errorf("%s: the workflow as a whole may something; want permissions: {}", name)
		}
		for _, trigger := range w.triggers() {
			if trigger == "pull_request_target" || trigger == "workflow_run" {
				t.Errorf("%s: starts on %s, which runs with the repository's rights for anybody", name, trigger)
			}
		}
		for line := range strings.Lines(texts[name]) {
			if line = strings.TrimRight(line, "\n"); strings.Contains(line, "uses:") && !pinned.MatchString(line) {
				t.Errorf("%s: not pinned by a commit and its version: %s", name, line)
			}
		}
		for id, j := range w.Jobs {
			for _, complaint := range complaints(j) {
				t.Errorf("%s, job %s: %s", name, id, complaint)
			}
		}
	}
}

func complaints(j job) []string {
	var all []string
	if j.Permissions == nil {
		all = append(all, "says not what it may")
	}
	if j.Timeout == 0 {
		all = append(all, "has no timeout")
	}
	runs := 0
	for _, s := range j.Steps {
		if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["persist-credentials"] != "false" {
			all = append(all, "leaves its token in the clone")
		}
		if strings.HasPrefix(s.Uses, "actions/setup-go@") && (writes(j) || j.Permissions["id-token"] != "") && s.With["cache"] != "false" && j.Environment != "preview" {
			all = append(all, "takes over a cache that a pull request may have filled")
		}
		if s.Run == "" {
			continue
		}
		runs++
		if strings.Contains(s.Run, "${{") {
			all = append(all, "a run line has an expression in it, which becomes part of the shell's program")
		}
		if strings.Contains(strings.TrimSpace(s.Run), "\n") {
			all = append(all, "a run line has several lines; what they do belongs into a command")
		}
	}
	if runs != 1 {
		all = append(all, fmt.Sprintf("%d run lines, want one", runs))
	}
	return all
}

func writes(j job) bool {
	for what, how := range j.Permissions {
		if what != "id-token" && how == "write" {
			return true
		}
	}
	return false
}

const ours = "github.event.pull_request.head.repo.full_name == github.repository"

// TestForksGetNoRights: what a pull request starts runs with a login, a secret or a right to write only where the
// change is of this repository. And the job that may write does not run the change's code.
func TestForksGetNoRights(t *testing.T) {
	all, _ := load(t)
	for name, w := range all {
		if !slices.Contains(w.triggers(), "pull_request") {
			continue
		}
		for id, j := range w.Jobs {
			if !mighty(j) {
				continue
			}
			guarded := j.If == ours
			if before, ok := w.Jobs[j.Needs]; ok && before.If == ours {
				// A job whose need was skipped is skipped too, unless it says always; then it has to look by itself.
				guarded = j.If == fmt.Sprintf("always() && (needs.%s.result == 'success' || needs.%s.result == 'failure')", j.Needs, j.Needs)
			}
			if !guarded {
				t.Errorf("%s, job %s: a fork's change would run with %v", name, id, j.may())
			}
			if writes(j) {
				if j.Permissions["id-token"] != "" {
					t.Errorf("%s, job %s: may write and log in", name, id)
				}
				for _, s := range j.Steps {
					if strings.HasPrefix(s.Uses, "actions/checkout@") && s.With["ref"] != "${{ github.event.pull_request.base.sha }}" {
						t.Errorf("%s, job %s: may write, and runs the change's own code", name, id)
					}
				}
			}
		}
	}
}

// mighty says whether a job can do harm in other hands.
func mighty(j job) bool {
	secret := j.Environment != "" || j.Permissions["id-token"] != "" || writes(j)
	for _, s := range j.Steps {
		for _, v := range s.Env {
			secret = secret || strings.Contains(v, "secrets.")
		}
	}
	return secret
}
