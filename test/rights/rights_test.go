// Package rights deploys the program on a sandbox that holds it to the policies in rights/: it fails where the program needs
// more. With PLAN_CHARGE_RECORD it lets everything pass and writes down what was needed, from which the policies are written.
package rights

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"plan-charge/internal/awsquery"
	"plan-charge/sandbox/box"
	"plan-charge/sandbox/rights"
	"plan-charge/test/testbed"
)

// The callers, by the access keys that they sign with.
const (
	deployer = "deployer"
	reader   = "reader"
)

// stack is the sandbox's.
var stack = rights.Stack{Region: box.Region, Account: "000000000000", Project: "plan-charge", Stack: "sandbox"}

// TestRights is a deployment's life: each caller does what is theirs, and nobody is refused.
func TestRights(t *testing.T) {
	b := testbed.NewBox(t)
	record := os.Getenv("PLAN_CHARGE_RECORD") != ""
	b.Must(as(b, deployer, "stack", "select", "--create"))
	admin(t, b, http.MethodPut, "calls", "")
	if !record {
		for _, key := range []string{deployer, reader} {
			admin(t, b, http.MethodPut, "rights/"+key, policies(t, b, key))
		}
	}
	for _, step := range []struct {
		name string
		run  func(*testing.T, *testbed.Box)
	}{
		{"ADeployerDeploys", func(_ *testing.T, b *testbed.Box) { b.Must(as(b, deployer, "up", "--yes", "--skip-preview")) }},
		{"AReaderSeesNoChange", func(_ *testing.T, b *testbed.Box) { b.Must(as(b, reader, "preview", "--expect-no-changes")) }},
		{"AReaderSeesDrift", drift},
		{"AReaderChangesNothing", func(t *testing.T, b *testbed.Box) {
			if !record {
				changesNothing(t, b)
			}
		}},
		{"ADeployerHealsAndUpdates", update},
		{"ADeployerDestroys", func(_ *testing.T, b *testbed.Box) { b.Must(as(b, deployer, "destroy", "--yes", "--skip-preview")) }},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.run(t, b.With(t)) }) {
			return
		}
	}
	compare(t, b, record)
}

// as types a pulumi command with a caller's key.
func as(b *testbed.Box, key string, args ...string) testbed.Result {
	return b.Type([]string{"AWS_ACCESS_KEY_ID=" + key}, "pulumi", append(args, "--stack=sandbox", "--color=never")...)
}

// update takes back what was changed by hand, deploys another image, and changes in place and by replacement what stacks
// differ in.
func update(_ *testing.T, b *testbed.Box) {
	b.Must(as(b, deployer, "up", "--yes", "--skip-preview", "--config-file", b.Changed(
		"plan-charge/backend:1.0.0", "plan-charge/backend:1.1.0", "db.t4g.micro", "db.t4g.small", "logDays: 1", "logDays: 3",
		"    healthSeconds: 5\n", "    healthSeconds: 5\n    port: 8001\n", "    drainSeconds: 5\n", "    drainSeconds: 6\n",
		"  plan-charge:alarms:\n", "  plan-charge:tags:\n    Team: web\n  plan-charge:alarms:\n    cpuPercent: 90\n")))
}

// drift is what somebody changed by hand, with rights of their own.
func drift(t *testing.T, b *testbed.Box) {
	c := b.Console(b.Site())
	const action = "Actions.member.1.Type=fixed-response"
	for _, call := range [][]string{
		{"ec2", "AuthorizeSecurityGroupIngress", "GroupId=<database-group>", "IpPermissions.1.IpProtocol=tcp", "IpPermissions.1.FromPort=5432", "IpPermissions.1.ToPort=5432", "IpPermissions.1.IpRanges.1.CidrIp=0.0.0.0/0"},
		{"iam", "PutRolePolicy", "RoleName=<service-role>", "PolicyName=all", `PolicyDocument={"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`},
		{"iam", "AttachRolePolicy", "RoleName=<service-role>", "PolicyArn=arn:aws:iam::aws:policy/AdministratorAccess"},
		{"elasticloadbalancing", "CreateListener", "LoadBalancerArn=<balancer-balancer>", "Port=8080", "Protocol=HTTP", "Default" + action, "DefaultActions.member.1.FixedResponseConfig.StatusCode=200"},
		{
			"elasticloadbalancing", "CreateRule", "ListenerArn=<balancer-listener>", "Priority=5", action, "Actions.member.1.FixedResponseConfig.StatusCode=200",
			"Conditions.member.1.Field=http-header", "Conditions.member.1.HttpHeaderConfig.HttpHeaderName=X-Other", "Conditions.member.1.HttpHeaderConfig.Values.member.1=1",
		},
		{"ecs", "UpdateService", `{"cluster": "plan-charge-sandbox-cluster", "service": "plan-charge-sandbox-backend", "desiredCount": 0}`},
	} {
		if _, err := c.Call(call[0], call[1], call[2:]...); err != nil {
			t.Fatal(err)
		}
	}
	r := as(b, reader, "refresh", "--preview-only", "--expect-no-changes", "--diff")
	if r.Code == 0 {
		t.Error("no drift is seen")
	}
	testbed.WantIn(t, r.Out, "ingress tcp 5432 from 0.0.0.0/0", "inline policy all", "attached policy", "listener HTTP 8080", "rule 5 of listener", "0 tasks are wanted")
}

// changesNothing makes calls that change what a reader sees.
func changesNothing(t *testing.T, b *testbed.Box) {
	cfg := b.AWS()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(reader, "test", "")
	client := awsquery.New(cfg)
	for _, call := range []struct {
		service      awsquery.Service
		action, says string
		form         url.Values
	}{
		{awsquery.RDS, "DeleteDBInstance", "rds:DeleteDBInstance", url.Values{"DBInstanceIdentifier": {"plan-charge-sandbox-db"}, "SkipFinalSnapshot": {"true"}}},
		{awsquery.IAM, "PutRolePolicy", "iam:PutRolePolicy", url.Values{"RoleName": {"plan-charge-sandbox-backend-task"}, "PolicyName": {"all"}, "PolicyDocument": {"{}"}}},
		{awsquery.EC2, "DeleteSecurityGroup", "ec2:DeleteSecurityGroup", url.Values{"GroupId": {b.Console(b.Site()).ID("database-group")}}},
	} {
		err := client.Call(t.Context(), call.service, call.action, call.form, nil)
		if err == nil || !strings.Contains(err.Error(), "because no identity-based policy allows the "+call.says+" action") {
			t.Errorf("%s: %v", call.action, err)
		}
	}
}

// policies are a caller's in rights/, for the sandbox's stack.
func policies(t *testing.T, b *testbed.Box, key string) string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(b.Project, "rights", key+"*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no policies of %s: %v", key, err)
	}
	var texts []string
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, stack.Fill(string(text)))
	}
	return "[" + strings.Join(texts, ",") + "]"
}

// admin asks the sandbox itself.
func admin(t *testing.T, b *testbed.Box, method, path, body string) string {
	t.Helper()
	req, err := http.NewRequest(method, b.GatewayURL()+"/_sandbox/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		t.Fatalf("%s %s: %s %s %v", method, path, resp.Status, answer, err)
	}
	return string(answer)
}

// theirs are the callers' calls, not those of the sandbox and of somebody by hand.
var theirs = regexp.MustCompile(`^(` + deployer + `|` + reader + `) (.*)$`)

// byChance are rights that a command needs unless the one before it has left its task to the database.
var byChance = regexp.MustCompile(`^\w+ (ecs:(RunTask|StopTask|TagResource) \S*(-access:|:task/)|iam:PassRole \S*-access-|ssm:DescribeSessions )`)

// compare writes down what was needed, or looks whether something that was is needed no more.
func compare(t *testing.T, b *testbed.Box, record bool) {
	used := map[string]bool{}
	for line := range strings.Lines(admin(t, b, http.MethodGet, "calls", "")) {
		if m := theirs.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			used[m[1]+" "+stack.General(m[2])] = true
		}
	}
	path := filepath.Join(b.Project, "rights", "calls.txt")
	if record {
		text := strings.Join(slices.Sorted(maps.Keys(used)), "\n") + "\n"
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(os.Stderr, len(used), "rights are needed; now: go run ./tools/rights")
		return
	}
	known, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(known)) {
		if !used[strings.TrimSpace(line)] && !byChance.MatchString(line) {
			t.Errorf("not needed any more, so write rights/calls.txt anew: %s", line)
		}
	}
}
