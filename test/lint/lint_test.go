// Package lint looks whether the linter holds the house's borders: a rule that nothing can break is none.
package lint

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"plan-charge/internal/testkit"
)

// plants are files that no linter may let pass, each with what it has to say.
var plants = map[string]struct{ file, text, want string }{
	"the product imports the sandbox": {
		"infra/planted.go", "package infra\n\nimport _ \"plan-charge/sandbox/edge\"\n", "the product knows nothing of the sandbox",
	},
	"the product imports its tools": {
		"internal/migrate/planted.go", "package migrate\n\nimport _ \"plan-charge/tools/toolchain\"\n", "the product knows nothing of its tools",
	},
	"a test of the product imports the tests": {
		"cmd/plan-charge/planted_test.go", "package main\n\nimport _ \"plan-charge/test/testbed\"\n", "the product knows nothing of the tests",
	},
	"the product imports test code": {
		"config/planted.go", "package config\n\nimport _ \"plan-charge/internal/testkit\"\n", "the product is not made of test code",
	},
	"schema imports infra": {
		"schema/planted.go", "package schema\n\nimport _ \"plan-charge/infra\"\n", "schema never imports infra",
	},
	"a component is waited for": {
		"infra/planted2.go",
		"package infra\n\nimport \"github.com/pulumi/pulumi/sdk/v3/go/pulumi\"\n\nfunc planted(r pulumi.Resource) pulumi.ResourceOption {\n" +
			"\treturn pulumi.DependsOn([]pulumi.Resource{r})\n}\n\nvar _ = planted\n",
		"use order.After",
	},
}

func TestBordersAreHeld(t *testing.T) {
	root := copied(t)
	for name, plant := range plants {
		if err := os.WriteFile(filepath.Join(root, plant.file), []byte(plant.text), 0o600); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	cmd := exec.Command("go", "tool", "-modfile=tools/lint/go.mod", "golangci-lint", "run", "--enable-only=depguard,forbidigo",
		"--allow-parallel-runners", "--timeout=20m", "./infra", "./schema", "./config", "./internal/migrate", "./cmd/plan-charge")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOSUMDB=off") // the sums are committed beside the module
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Errorf("the linter finds nothing wrong:\n%s", out)
	}
	said := string(out)
	for name, plant := range plants {
		if !strings.Contains(said, plant.file) || !strings.Contains(said, plant.want) {
			t.Errorf("%s: nothing is said of %s (%s):\n%s", name, plant.file, plant.want, said)
		}
	}
}

// copied is the project as git knows it, in a folder of its own.
func copied(t *testing.T) string {
	t.Helper()
	root := testkit.Project(t)
	list := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	names, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	for _, name := range strings.Split(strings.TrimRight(string(names), "\x00"), "\x00") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) {
			continue // removed, and git does not know it yet
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}
