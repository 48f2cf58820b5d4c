package main

import (
	"flag"
	"go/format"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const project = "../.."

func text(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// The table is about the code and tests that there are.
func TestTableFitsTheCode(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range parts {
		for _, g := range p.guards {
			if seen[g.what] {
				t.Errorf("%s: described twice", g.what)
			}
			seen[g.what] = true
			broken, err := g.remove(text(t, filepath.Join(project, g.file)))
			if err != nil {
				t.Errorf("%s: %s: %v", g.what, g.file, err)
			} else if _, err := format.Source([]byte(broken)); err != nil && filepath.Ext(g.file) == ".go" {
				t.Errorf("%s: %s is no Go without it: %v", g.what, g.file, err)
			}
			name, subtest, _ := strings.Cut(g.test, "/")
			if tests := testsOf(t, g.pkg); !strings.Contains(tests, "\nfunc "+name+"(t *testing.T) {") || !strings.Contains(tests, strconv.Quote(subtest)) && subtest != "" {
				t.Errorf("%s: %s has no test %s", g.what, g.pkg, g.test)
			}
		}
	}
}

// testsOf is the text of a package's tests.
func testsOf(t *testing.T, pkg string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(project, pkg, "*_test.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has no tests: %v", pkg, err)
	}
	all := ""
	for _, file := range files {
		all += text(t, file)
	}
	return all
}

var update = flag.Bool("update", false, "write docs/guards.md anew")

func TestDocumentIsTheTable(t *testing.T) {
	path := filepath.Join(project, "docs/guards.md")
	if *update {
		if err := os.WriteFile(path, []byte(render()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text(t, path) != render() {
		t.Error("docs/guards.md has another table; look whether it holds and write it: go test ./test/guards -update")
	}
}

func TestVerdict(t *testing.T) {
	const failed = `{"Action":"fail","Test":"TestA/b_c"}{"Action":"fail","Test":"TestA"}{"Action":"fail"}`
	for name, tc := range map[string]struct{ events, test, want string }{
		"fails":          {failed, "TestA", ""},
		"subtest fails":  {failed, "TestA/b c", ""},
		"passes":         {`{"Action":"pass","Test":"TestA"}{"Action":"pass"}`, "TestA", "still ends with: pass"},
		"is skipped":     {`{"Action":"skip","Test":"TestA"}{"Action":"pass"}`, "TestA", "still ends with: skip"},
		"not run":        {`{"Action":"output","Output":"testing: warning: no tests to run\n"}{"Action":"pass"}`, "TestA", "no such test was run"},
		"does not build": {`{"ImportPath":"p","Action":"build-output","Output":"undefined: x\n"}{"ImportPath":"p","Action":"build-fail"}{"Action":"fail","FailedBuild":"p"}`, "TestA", "undefined: x"},
		"panics":         {`{"Action":"output","Test":"TestA","Output":"panic: oh\n"}` + failed, "TestA", "panics"},
		"another fails":  {`{"Action":"fail","Test":"TestB"}` + failed, "TestA", "another test failed: TestB"},
	} {
		r, err := read(strings.NewReader(tc.events))
		if err != nil {
			t.Fatal(err)
		}
		if got := r.notFailed(tc.test); (tc.want == "") != (got == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
	passed, _ := read(strings.NewReader(`{"Action":"pass","Test":"TestA"}`))
	if wrong := passed.notPassed("TestA"); wrong != "" {
		t.Error(wrong)
	}
	if passed.notPassed("TestB") == "" {
		t.Error("a test that does not exist passes")
	}
}

func TestPatternFitsOneTest(t *testing.T) {
	if got := (guard{test: "TestA/a (b)"}).pattern(); got != `^TestA$/^a \(b\)$` {
		t.Error(got)
	}
}
