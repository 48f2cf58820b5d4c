package gateway_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"plan-charge/sandbox/gateway"
)

// guarded is a gateway before something that answers everything, and counts.
type guarded struct {
	url    string
	passed int // calls that came through
	stop   func()
}

func newGuarded(t *testing.T, dir string) *guarded {
	t.Helper()
	c := &guarded{}
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(string(body), "Action=DescribeTags"):
			fmt.Fprint(w, `<R><tagSet><item><key>Project</key><value>p</value></item><item><key>Stack</key><value>s</value></item></tagSet></R>`)
		case strings.HasSuffix(r.Header.Get("X-Amz-Target"), "DescribeTasks"): // the gateway's own question
			fmt.Fprint(w, "{}")
		case strings.HasSuffix(r.Header.Get("X-Amz-Target"), "DescribeTaskDefinition"):
			fmt.Fprint(w, `{"taskDefinition": {"status": "ACTIVE", "taskRoleArn": "arn:aws:iam::000000000000:role/task", "executionRoleArn": "arn:aws:iam::000000000000:role/start"}}`)
		default:
			c.passed++
			fmt.Fprint(w, "{}")
		}
	}))
	g, err := gateway.New(gateway.Options{Listen: "127.0.0.1:0", Upstream: upstream.URL, Dir: dir, Region: "eu-west-3"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.Run(ctx) }()
	c.url = g.URL()
	c.stop = sync.OnceFunc(func() {
		cancel()
		<-ended
		upstream.Close()
	})
	t.Cleanup(c.stop)
	return c
}

func (c *guarded) do(t *testing.T, method, path, body string, header map[string]string) (int, string) {
	t.Helper()
	req, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range header {
		req.Header.Set(key, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(data)
}

// call makes one that a key signs: a form, or JSON for a target.
func (c *guarded) call(t *testing.T, key, service, target, body string) (int, string) {
	t.Helper()
	header := map[string]string{"Authorization": "AWS4-HMAC-SHA256 Credential=" + key + "/20260101/eu-west-3/" + service + "/aws4_request, SignedHeaders=host, Signature=0"}
	header["Content-Type"] = "application/x-www-form-urlencoded"
	if target != "" {
		header["Content-Type"], header["X-Amz-Target"] = "application/x-amz-json-1.1", target
	}
	return c.do(t, http.MethodPost, "/", body, header)
}

func (c *guarded) allow(t *testing.T, key, policies string) {
	t.Helper()
	if status, text := c.do(t, http.MethodPut, "/_sandbox/rights/"+key, policies, nil); status != http.StatusNoContent {
		t.Fatalf("%d %s", status, text)
	}
}

const (
	onlyReads = `[{"Version": "2012-10-17", "Statement": [
		{"Effect": "Allow", "Action": "rds:DescribeDBInstances", "Resource": "*"},
		{"Effect": "Allow", "Action": "ec2:DeleteVpc", "Resource": "*", "Condition": {"StringEquals": {"aws:ResourceTag/Stack": "s"}}},
		{"Effect": "Allow", "Action": "ecs:RunTask", "Resource": "*"},
		{"Effect": "Allow", "Action": "iam:PassRole", "Resource": "arn:aws:iam::000000000000:role/task"},
		{"Effect": "Allow", "Action": ["ssm:*Session", "ssmmessages:OpenDataChannel"], "Resource": [
			"arn:aws:ecs:*:*:task/c/*", "arn:aws:ssm:*::document/AWS-StartPortForwardingSessionToRemoteHost", "arn:aws:ssm:*:*:session/${aws:userid}-*"]}
	]}]`
	noPolicy  = "because no identity-based policy allows the "
	ecsTarget = "AmazonEC2ContainerServiceV20141113."
)

// A call outside of its caller's policies is refused, in AWS's words.
func TestACallOutsideThePoliciesIsRefused(t *testing.T) {
	dir := t.TempDir()
	c := newGuarded(t, dir)
	c.allow(t, "reader", onlyReads)
	c.allow(t, "nobody", `[]`)
	check := func(t *testing.T) {
		for _, tc := range []struct {
			name, key, service, target, body string
			status                           int
			says                             []string
		}{
			{"allowed", "reader", "rds", "", "Action=DescribeDBInstances", 200, nil},
			{"a key without policies", "test", "rds", "", "Action=DeleteDBInstance&DBInstanceIdentifier=one", 200, nil},
			{"a key with no policy that allows anything", "nobody", "rds", "", "Action=DescribeDBInstances", 403, []string{"AccessDenied", noPolicy + "rds:DescribeDBInstances action"}},
			{"not allowed, in XML", "reader", "rds", "", "Action=ModifyDBInstance&DBInstanceIdentifier=one", 403, []string{
				"<Code>AccessDenied</Code>", "User: arn:aws:sts::000000000000:assumed-role/plan-charge-reader/sandbox is not authorized to perform: rds:ModifyDBInstance " +
					"on resource: arn:aws:rds:eu-west-3:000000000000:db:one because no identity-based policy allows the rds:ModifyDBInstance action",
			}},
			{"not allowed, of EC2", "reader", "ec2", "", "Action=DeleteSubnet&SubnetId=subnet-1", 403, []string{
				"<Code>UnauthorizedOperation</Code>", "You are not authorized to perform this operation. User: ", "ec2:DeleteSubnet on resource: arn:aws:ec2:eu-west-3:000000000000:subnet/subnet-1 " + noPolicy,
			}},
			{"not allowed, in JSON", "reader", "ecs", ecsTarget + "StopTask", `{"cluster": "c", "task": "t"}`, 400, []string{
				`"__type":"AccessDeniedException"`, "ecs:StopTask on resource: arn:aws:ecs:eu-west-3:000000000000:task/c/t " + noPolicy,
			}},
			{"allowed by the tag that is there", "reader", "ec2", "", "Action=DeleteVpc&VpcId=vpc-1", 200, nil},
			{"a role that may not be passed on", "reader", "ecs", ecsTarget + "RunTask", `{"cluster": "c", "taskDefinition": "d"}`, 400, []string{
				"iam:PassRole on resource: arn:aws:iam::000000000000:role/start",
			}},
			{"one of several", "reader", "monitoring", "", "Action=DescribeAlarms&AlarmNames.member.1=a", 403, []string{"cloudwatch:DescribeAlarms on resource: arn:aws:cloudwatch:eu-west-3:000000000000:alarm:a"}},
			{"a session of one's own, by way of a task that does not run", "reader", "ssm", "AmazonSSM.StartSession", `{"Target": "ecs:c_t_r", "DocumentName": "AWS-StartPortForwardingSessionToRemoteHost", "Parameters": {"host": ["h"], "portNumber": ["1"]}}`, 400, []string{"TargetNotConnected"}},
			{"a session by way of a task of others", "reader", "ssm", "AmazonSSM.StartSession", `{"Target": "ecs:d_t_r", "DocumentName": "AWS-StartPortForwardingSessionToRemoteHost"}`, 400, []string{"AccessDeniedException", "task/d/t "}},
			{"somebody else's session", "reader", "ssm", "AmazonSSM.TerminateSession", `{"SessionId": "somebody-1"}`, 400, []string{"AccessDeniedException", "session/somebody-1 "}},
			{"a call that nobody knows", "reader", "rds", "", "Action=DeleteEverything", 403, []string{"the sandbox does not know which right rds DeleteEverything needs, so that no policy allows it"}},
			{"who one is, which needs no right", "nobody", "sts", "", "Action=GetCallerIdentity", 200, nil},
		} {
			t.Run(tc.name, func(t *testing.T) {
				before := c.passed
				status, text := c.call(t, tc.key, tc.service, tc.target, tc.body)
				if status != tc.status || (status == 200) != (c.passed > before) {
					t.Errorf("%d, passed on: %v\n%s", status, c.passed > before, text)
				}
				for _, part := range tc.says {
					if !strings.Contains(text, part) {
						t.Errorf("%q is missing in %s", part, text)
					}
				}
			})
		}
	}
	check(t)
	c.stop()
	c = newGuarded(t, dir)
	t.Run("after a restart", check)

	if status, text := c.do(t, http.MethodPut, "/_sandbox/rights/reader", `[{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "NotAction": "x", "Resource": "*"}]}]`, nil); status != 400 || !strings.Contains(text, "NotAction") {
		t.Errorf("a policy that is not understood: %d %s", status, text)
	}
	if status, _ := c.do(t, http.MethodDelete, "/_sandbox/rights/nobody", "", nil); status != 204 {
		t.Error(status)
	}
	if status, text := c.call(t, "nobody", "rds", "", "Action=DescribeDBInstances"); status != 200 {
		t.Errorf("without its policies: %d %s", status, text)
	}
}

// What calls needed is written down once, by who made them.
func TestCallsAreRemembered(t *testing.T) {
	dir := t.TempDir()
	c := newGuarded(t, dir)
	c.call(t, "before", "rds", "", "Action=DescribeDBInstances")
	c.do(t, http.MethodPut, "/_sandbox/calls", "", nil)
	for range 2 {
		c.call(t, "reader", "rds", "", "Action=DescribeDBInstances")
	}
	c.call(t, "test", "rds", "", "Action=DeleteEverything")
	c.do(t, http.MethodGet, "/_ministack/health", "", nil) // signed by nobody
	c.stop()
	c = newGuarded(t, dir)
	c.call(t, "deployer", "ec2", "", "Action=CreateVpc&TagSpecification.1.ResourceType=vpc&TagSpecification.1.Tag.1.Key=Stack&TagSpecification.1.Tag.1.Value=s")
	c.call(t, "deployer", "ecs", ecsTarget+"CreateCluster", `{"clusterName": "c", "tags": [{"key": "Stack", "value": "s"}]}`)
	const want = `deployer ec2:CreateTags arn:aws:ec2:eu-west-3:000000000000:vpc/* aws:RequestTag/Stack=s ec2:CreateAction=CreateVpc
deployer ec2:CreateVpc arn:aws:ec2:eu-west-3:000000000000:vpc/* aws:RequestTag/Stack=s
deployer ecs:CreateCluster * aws:RequestTag/Stack=s
deployer ecs:TagResource arn:aws:ecs:eu-west-3:000000000000:cluster/c ecs:CreateAction=CreateCluster
deployer iam:CreateServiceLinkedRole arn:aws:iam::000000000000:role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS
reader rds:DescribeDBInstances arn:aws:rds:eu-west-3:000000000000:db:*
test unknown rds DeleteEverything
`
	if _, got := c.do(t, http.MethodGet, "/_sandbox/calls", "", nil); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	c.do(t, http.MethodDelete, "/_sandbox/calls", "", nil)
	c.call(t, "after", "rds", "", "Action=DescribeDBInstances")
	if _, got := c.do(t, http.MethodGet, "/_sandbox/calls", "", nil); got != "" {
		t.Errorf("after its end: %s", got)
	}
}
