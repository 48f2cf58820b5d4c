package gateway

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"plan-charge/sandbox/vpc"
)

func TestRulesAdmit(t *testing.T) {
	task, cdn := netip.MustParseAddr("10.20.128.7"), netip.MustParseAddr("192.0.2.2")
	for what, c := range map[string]struct {
		rule  string
		port  int
		from  netip.Addr
		group string
		want  bool
	}{
		"its group":                 {`<ipProtocol>tcp</ipProtocol><fromPort>5432</fromPort><toPort>5432</toPort><groups><item><groupId>sg-1</groupId></item></groups>`, 5432, task, "sg-1", true},
		"another group":             {`<ipProtocol>tcp</ipProtocol><fromPort>5432</fromPort><toPort>5432</toPort><groups><item><groupId>sg-1</groupId></item></groups>`, 5432, task, "sg-2", false},
		"a port above":              {`<ipProtocol>tcp</ipProtocol><fromPort>5432</fromPort><toPort>5432</toPort><groups><item><groupId>sg-1</groupId></item></groups>`, 5433, task, "sg-1", false},
		"a port below":              {`<ipProtocol>tcp</ipProtocol><fromPort>5432</fromPort><toPort>5440</toPort><groups><item><groupId>sg-1</groupId></item></groups>`, 5431, task, "sg-1", false},
		"within its ports":          {`<ipProtocol>tcp</ipProtocol><fromPort>5000</fromPort><toPort>6000</toPort><groups><item><groupId>sg-1</groupId></item></groups>`, 5432, task, "sg-1", true},
		"another protocol":          {`<ipProtocol>udp</ipProtocol><fromPort>5432</fromPort><toPort>5432</toPort><groups><item><groupId>sg-1</groupId></item></groups>`, 5432, task, "sg-1", false},
		"every protocol":            {`<ipProtocol>-1</ipProtocol><ipRanges><item><cidrIp>0.0.0.0/0</cidrIp></item></ipRanges>`, 5432, task, "", true},
		"its block":                 {`<ipProtocol>6</ipProtocol><fromPort>80</fromPort><toPort>80</toPort><ipRanges><item><cidrIp>10.20.0.0/16</cidrIp></item></ipRanges>`, 80, task, "", true},
		"another block":             {`<ipProtocol>tcp</ipProtocol><fromPort>80</fromPort><toPort>80</toPort><ipRanges><item><cidrIp>10.21.0.0/16</cidrIp></item></ipRanges>`, 80, task, "", false},
		"CloudFront":                {`<ipProtocol>tcp</ipProtocol><fromPort>80</fromPort><toPort>80</toPort>`, 80, cdn, "", true},
		"CloudFront, of a v6 block": {`<ipProtocol>tcp</ipProtocol><fromPort>80</fromPort><toPort>80</toPort><ipv6Ranges><item><cidrIpv6>::/0</cidrIpv6></item></ipv6Ranges>`, 80, cdn, "", false},
		"the internet":              {`<ipProtocol>tcp</ipProtocol><fromPort>80</fromPort><toPort>80</toPort>`, 80, elsewhere, "", false},
	} {
		var r groupRule
		if err := xml.Unmarshal([]byte("<item>"+c.rule+"</item>"), &r); err != nil {
			t.Fatal(err)
		}
		if got := r.admits(c.port, c.from, []string{c.group}); got != c.want {
			t.Errorf("%s: admitted %v", what, got)
		}
	}
}

// Both ends decide, and what they decide counts from the next connection on.
func TestGroupsOfBothEnds(t *testing.T) {
	const rule = `<item><ipProtocol>tcp</ipProtocol><fromPort>5432</fromPort><toPort>5432</toPort><groups><item><groupId>%s</groupId></item></groups></item>`
	var in, out atomic.Value
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "DescribeDBInstances") {
			fmt.Fprint(w, `<R><DescribeDBInstancesResult><DBInstances><DBInstance><DBInstanceIdentifier>plan</DBInstanceIdentifier><VpcSecurityGroups>`+
				`<VpcSecurityGroupMembership><VpcSecurityGroupId>sg-db</VpcSecurityGroupId></VpcSecurityGroupMembership></VpcSecurityGroups></DBInstance></DBInstances></DescribeDBInstancesResult></R>`)
			return
		}
		fmt.Fprintf(w, `<R><securityGroupInfo><item><groupId>sg-db</groupId><ipPermissions>%s</ipPermissions></item>`+
			`<item><groupId>sg-tasks</groupId><ipPermissionsEgress>%s</ipPermissionsEgress></item></securityGroupInfo></R>`, in.Load(), out.Load())
	}))
	defer api.Close()
	g := newGroups(&awsAPI{upstream: api.URL, region: "eu-west-3", client: api.Client()}, slog.New(slog.DiscardHandler))
	changed := g.watch(&call{service: "ec2", action: "AuthorizeSecurityGroupIngress"}, nil)
	admitted := func(inward, outward string) bool {
		in.Store(inward)
		out.Store(outward)
		changed(t.Context(), &call{}, &response{})
		return g.admit(t.Context(), vpc.Party{Task: "arn"}, vpc.Party{Database: "plan"}, 5432)
	}
	in.Store("")
	out.Store("")
	early := make(chan bool)
	go func() {
		early <- g.admit(context.WithoutCancel(t.Context()), vpc.Party{Task: "arn"}, vpc.Party{Database: "plan"}, 5432)
	}()
	g.note(map[string]any{"awsvpcConfiguration": map[string]any{"securityGroups": []string{"sg-tasks"}}}, []*view{{TaskArn: "arn"}})
	if <-early {
		t.Error("admitted without any rule")
	}
	from, to := fmt.Sprintf(rule, "sg-tasks"), fmt.Sprintf(rule, "sg-db")
	if admitted(from, "") || admitted("", to) || admitted(fmt.Sprintf(rule, "sg-db"), to) {
		t.Error("one end admits for both")
	}
	if !admitted(from, to) {
		t.Error("not admitted by both")
	}
	if g.admit(t.Context(), vpc.Party{Task: "arn"}, vpc.Party{Database: "other"}, 5432) {
		t.Error("a database without groups admits")
	}
}
