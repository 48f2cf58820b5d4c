// Rights writes the policies in rights/ from the calls in rights/calls.txt, which `make rights-record` makes on a sandbox.
//
//	go run ./tools/rights
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"plan-charge/sandbox/rights"
)

const (
	folder    = "rights"
	callsFile = "calls.txt"
	// limit is how many characters that are no white space a managed policy may have (IAM user guide, "IAM and AWS STS quotas").
	limit = 6144
)

// files are the policies of each caller, and how the actions in each begin: the first file that fits has it.
var files = map[string][]file{
	"deployer": {
		{"deployer-removal.json", []string{"ec2:Delete", "ec2:Detach", "ec2:Disassociate", "ec2:Release", "ec2:Revoke"}},
		{"deployer-network.json", []string{"ec2:"}},
		{"deployer-front.json", []string{"cloudfront:", "cloudwatch:", "elasticloadbalancing:", "sns:"}},
		{"deployer-data.json", []string{"logs:", "rds:", "secretsmanager:"}},
		{"deployer.json", []string{""}},
	},
	"reader": {{"reader.json", []string{""}}},
}

type file struct {
	name  string
	begin []string
}

func (f file) has(action string) bool {
	return slices.ContainsFunc(f.begin, func(text string) bool { return strings.HasPrefix(action, text) })
}

func main() {
	if err := run(folder); err != nil {
		fmt.Fprintln(os.Stderr, "rights:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	calls, err := os.ReadFile(filepath.Join(dir, callsFile))
	if err != nil {
		return err
	}
	written, err := policies(string(calls))
	if err != nil {
		return err
	}
	for name, text := range written {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// policies are the files' texts by name, from lines of a caller and a right each.
func policies(calls string) (map[string]string, error) {
	needs := map[string][]rights.Request{}
	for line := range strings.Lines(calls) {
		caller, right, _ := strings.Cut(strings.TrimSpace(line), " ")
		list, known := files[caller]
		switch {
		case !known:
			return nil, fmt.Errorf("%s: found a call by %q, allowed are %s", callsFile, caller, strings.Join(slices.Sorted(maps.Keys(files)), ", "))
		case strings.HasPrefix(right, "unknown "):
			return nil, fmt.Errorf("%s: nobody knows which right a call needs, %s: add it to sandbox/rights/calls.go", callsFile, right)
		}
		need := rights.ParseRequest(right)
		at := slices.IndexFunc(list, func(f file) bool { return f.has(need.Action) })
		needs[list[at].name] = append(needs[list[at].name], need)
	}
	texts := map[string]string{}
	for name, list := range needs {
		document := rights.Document{Version: "2012-10-17", Statement: statements(list)}
		data, err := json.MarshalIndent(document, "", "  ")
		if err != nil {
			return nil, err
		}
		texts[name] = string(data) + "\n"
		if n := size(texts[name]); n > limit {
			return nil, fmt.Errorf("%s has %d characters, AWS allows %d: split it (files in tools/rights)", name, n, limit)
		}
	}
	if len(texts) == 0 {
		return nil, errors.New("no calls")
	}
	return texts, nil
}

// longNames are those of a stack that makes a policy longer than most.
var longNames = rights.Stack{Region: "ap-southeast-2", Account: "123456789012", Project: "plan-charge", Stack: "production"}

// size is what AWS counts of a policy, once a stack's names are in it.
func size(text string) int { return len(strings.Join(strings.Fields(longNames.Fill(text)), "")) }

// statements allow what was needed and nothing else: actions that were needed on the same resources, under the same
// conditions, share one.
func statements(needs []rights.Request) []rights.Statement {
	resources := map[[2]string][]string{} // of an action under conditions
	contexts := map[string]map[string]string{}
	for _, n := range needs {
		under := rights.Request{Context: n.Context}.String()
		contexts[under] = n.Context
		key := [2]string{n.Action, under}
		resources[key] = append(resources[key], n.Resource)
	}
	actions := map[[2]string][]string{} // on resources under conditions
	for key, list := range resources {
		slices.Sort(list)
		on := [2]string{strings.Join(widest(slices.Compact(list)), " "), key[1]}
		actions[on] = append(actions[on], key[0])
	}
	var all []rights.Statement
	for _, on := range slices.SortedFunc(maps.Keys(actions), func(a, b [2]string) int { return strings.Compare(a[0]+" "+a[1], b[0]+" "+b[1]) }) {
		slices.Sort(actions[on])
		all = append(all, rights.Statement{
			Effect: "Allow", Action: actions[on], Resource: strings.Split(on[0], " "), Condition: condition(contexts[on[1]]),
		})
	}
	return all
}

// widest drops resources that another of the list covers.
func widest(list []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(one string) bool {
		return slices.ContainsFunc(list, func(other string) bool { return other != one && rights.Matches(other, one) })
	})
}

// condition asks for all that was found with a right.
func condition(context map[string]string) map[string]map[string]rights.List {
	if len(context) == 0 {
		return nil
	}
	asked := map[string]map[string]rights.List{}
	for key, value := range context {
		operator := "StringEquals"
		switch {
		case strings.HasPrefix(value, "arn:"):
			operator = "ArnEquals"
		case value == "*":
			operator = "StringLike"
		}
		if asked[operator] == nil {
			asked[operator] = map[string]rights.List{}
		}
		asked[operator][key] = rights.List{value}
	}
	return asked
}
