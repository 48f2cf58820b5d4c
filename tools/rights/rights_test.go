package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"plan-charge/sandbox/rights"
)

const project = "../.."

func text(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(project, folder, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// The policies are those that are written from the calls.
func TestPoliciesAreWrittenFromTheCalls(t *testing.T) {
	written, err := policies(text(t, callsFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range files {
		for _, f := range list {
			if text(t, f.name) != written[f.name] {
				t.Errorf("%s is another one; write it by: go run ./tools/rights", f.name)
			}
			if n := size(text(t, f.name)); n > limit {
				t.Errorf("%s has %d characters, AWS allows %d", f.name, n, limit)
			} else {
				t.Logf("%s: %d of %d characters", f.name, n, limit)
			}
		}
	}
}

// Whoever does as docs/github.md says gives each role all of its policies.
func TestTheDocumentAttachesEachPolicy(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(project, "docs/github.md"))
	if err != nil {
		t.Fatal(err)
	}
	loop := regexp.MustCompile(`for policy in (.*); do`).FindStringSubmatch(string(page))
	if loop == nil {
		t.Fatal("there is no loop over the policies")
	}
	var want []string
	for _, list := range files {
		for _, f := range list {
			want = append(want, strings.TrimSuffix(f.name, ".json"))
		}
	}
	got := strings.Fields(loop[1])
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("it attaches %v, and there are %v", got, want)
	}
}

// needs are a caller's lines.
func needs(t *testing.T, calls, caller string) (list []rights.Request) {
	t.Helper()
	for line := range strings.Lines(calls) {
		if right, ok := strings.CutPrefix(strings.TrimSpace(line), caller+" "); ok {
			list = append(list, rights.ParseRequest(right))
		}
	}
	return list
}

// unused says which actions, on which resources and under which conditions, a policy allows without that a call needed them
// so. Each is looked at alone: a statement that allows one thing that was needed may allow another that was not.
func unused(d rights.Document, calls []rights.Request) (list []string) {
	for _, s := range d.Statement {
		for _, action := range s.Action {
			for _, resource := range s.Resource {
				if !slices.ContainsFunc(calls, func(c rights.Request) bool {
					return c.Action == action && c.Resource == resource && reflect.DeepEqual(condition(c.Context), s.Condition)
				}) {
					list = append(list, fmt.Sprintf("%s on %s under %v", action, resource, s.Condition))
				}
			}
		}
	}
	return list
}

// What nobody needed nobody may.
func TestNoPolicyAllowsWhatNoCallUsed(t *testing.T) {
	calls := text(t, callsFile)
	for caller, list := range files {
		for _, f := range list {
			d, err := rights.Parse([]byte(text(t, f.name)))
			if err != nil {
				t.Fatal(err)
			}
			for _, what := range unused(d, needs(t, calls, caller)) {
				t.Errorf("%s allows what no call used: %s", f.name, what)
			}
		}
	}
}

// What was needed is allowed.
func TestThePoliciesAllowWhatCallsUsed(t *testing.T) {
	calls := text(t, callsFile)
	for caller, list := range files {
		var all []rights.Document
		for _, f := range list {
			d, err := rights.Parse([]byte(text(t, f.name)))
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, d)
		}
		for _, need := range needs(t, calls, caller) {
			need.Context["aws:userid"] = "${aws:userid}"
			if rights.Decide(all, need) != rights.Allowed {
				t.Errorf("%s may not %s", caller, need)
			}
		}
	}
}

func TestUnusedIsFound(t *testing.T) {
	const calls = "rds:DescribeDBInstances arn:aws:rds:REGION:ACCOUNT:db:*\nrds:ModifyDBInstance arn:aws:rds:REGION:ACCOUNT:db:PROJECT-STACK-*\nec2:DeleteVpc arn:aws:ec2:REGION:ACCOUNT:vpc/* aws:ResourceTag/Stack=STACK"
	var made []rights.Request
	for line := range strings.SplitSeq(calls, "\n") {
		made = append(made, rights.ParseRequest(line))
	}
	tight := statements(made)
	if got := unused(rights.Document{Statement: tight}, made); len(got) > 0 {
		t.Errorf("what is written from the calls: %q", got)
	}
	for name, s := range map[string]rights.Statement{
		"another action":      {Effect: "Allow", Action: rights.List{"rds:DeleteDBInstance"}, Resource: rights.List{"arn:aws:rds:REGION:ACCOUNT:db:PROJECT-STACK-*"}},
		"another resource":    {Effect: "Allow", Action: rights.List{"rds:ModifyDBInstance"}, Resource: rights.List{"arn:aws:rds:REGION:ACCOUNT:db:PROJECT-STACK-*", "arn:aws:rds:REGION:ACCOUNT:og:*"}},
		"a wider resource":    {Effect: "Allow", Action: rights.List{"rds:ModifyDBInstance"}, Resource: rights.List{"*"}},
		"a wider action":      {Effect: "Allow", Action: rights.List{"rds:Modify*"}, Resource: rights.List{"arn:aws:rds:REGION:ACCOUNT:db:PROJECT-STACK-*"}},
		"every action":        {Effect: "Allow", Action: rights.List{"*"}, Resource: rights.List{"arn:aws:rds:REGION:ACCOUNT:db:*"}},
		"a lost condition":    {Effect: "Allow", Action: rights.List{"ec2:DeleteVpc"}, Resource: rights.List{"arn:aws:ec2:REGION:ACCOUNT:vpc/*"}},
		"one of several used": {Effect: "Allow", Action: rights.List{"rds:DescribeDBInstances", "rds:RebootDBInstance"}, Resource: rights.List{"arn:aws:rds:REGION:ACCOUNT:db:*"}},
	} {
		if got := unused(rights.Document{Statement: append(slices.Clone(tight), s)}, made); len(got) != 1 {
			t.Errorf("%s: found %q", name, got)
		}
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	var many strings.Builder
	for i := range 300 {
		fmt.Fprintf(&many, "reader logs:GetLogEvents arn:aws:logs:REGION:ACCOUNT:log-group:%d\n", i)
	}
	for name, tc := range map[string]struct{ calls, says string }{
		"a call that nobody knows": {"reader unknown rds DeleteEverything\n", "add it to sandbox/rights/calls.go"},
		"a caller that nobody is":  {"test rds:DescribeDBInstances *\n", "allowed are deployer, reader"},
		"more than AWS takes":      {many.String(), "AWS allows 6144"},
		"nothing":                  {"", "no calls"},
	} {
		if _, err := policies(tc.calls); err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// The same calls in another order are the same policies.
func TestWrittenInOneOrder(t *testing.T) {
	lines := slices.Collect(strings.Lines(text(t, callsFile)))
	want, err := policies(strings.Join(lines, ""))
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(lines)
	if got, err := policies(strings.Join(lines, "")); err != nil || !maps.Equal(got, want) {
		t.Errorf("%v", err)
	}
}
