package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/jackc/pgx/v5"

	"plan-charge/internal/session"
	"plan-charge/sandbox/gateway"
	"plan-charge/sandbox/vpc"
)

// look is a task that asks the database of DATABASE_URL for a number, and ends with it.
const look = `
import os, sys, psycopg2
try:
    c = psycopg2.connect(os.environ["DATABASE_URL"], connect_timeout=3)
    q = c.cursor(); q.execute("SELECT 42"); sys.exit(q.fetchone()[0])
except psycopg2.OperationalError as e:
    print(e, flush=True); sys.exit(7)
`

func (c *cloud) ec2(t *testing.T, action string, in map[string]string, out any) {
	t.Helper()
	c.query(t, "ec2", "2016-11-15", action, in, out)
}

// securityGroup makes one that lets nobody in.
func (c *cloud) securityGroup(t *testing.T, name string) string {
	t.Helper()
	var out struct {
		ID string `xml:"groupId"`
	}
	c.ec2(t, "CreateSecurityGroup", map[string]string{"GroupName": name, "GroupDescription": name, "VpcId": "vpc-00000001"}, &out)
	return out.ID
}

// rule is one that admits to a group, by AuthorizeSecurityGroupIngress, or no longer does, by RevokeSecurityGroupIngress.
func (c *cloud) rule(t *testing.T, action, group string, port int, from map[string]string) {
	t.Helper()
	in := map[string]string{
		"GroupId": group, "IpPermissions.1.IpProtocol": "tcp", "IpPermissions.1.FromPort": fmt.Sprint(port), "IpPermissions.1.ToPort": fmt.Sprint(port),
	}
	for name, value := range from {
		in["IpPermissions.1."+name] = value
	}
	c.ec2(t, action, in, nil)
}

const (
	authorize = "AuthorizeSecurityGroupIngress"
	revoke    = "RevokeSecurityGroupIngress"
)

func placed(groups ...string) map[string]any {
	return map[string]any{"awsvpcConfiguration": map[string]any{"subnets": []string{"subnet-1"}, "securityGroups": groups}}
}

// TestPrivateNetwork looks at who reaches whom: a database its tasks' group alone, tasks the balancer's, the balancer
// CloudFront, and nobody outside the database, who has its URL as the program has.
func TestPrivateNetwork(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an emulator")
	}
	dir, err := os.MkdirTemp("", "pc-vpc-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	network, err := vpc.New(vpc.Options{Hosts: filepath.Join(dir, "hosts"), Region: "eu-west-3"})
	if err != nil {
		t.Skip(err)
	}
	defer network.Close()
	c, err := startCloud(dir, network)
	if err != nil {
		t.Fatal(err)
	}
	defer c.stop()

	balancer, tasks, database, other := c.securityGroup(t, "balancer"), c.securityGroup(t, "tasks"), c.securityGroup(t, "database"), c.securityGroup(t, "other")
	fromGroup := func(id string) map[string]string { return map[string]string{"Groups.1.GroupId": id} }
	fromCDN := map[string]string{"PrefixListIds.1.PrefixListId": "pl-75b1541c"}
	c.rule(t, authorize, balancer, 80, fromCDN)
	c.rule(t, authorize, tasks, 8000, fromGroup(balancer))
	c.rule(t, authorize, database, 5432, fromGroup(tasks))

	c.rds(t, "CreateDBInstance", map[string]string{
		"DBInstanceIdentifier": "private", "Engine": "postgres", "EngineVersion": "15.7", "DBInstanceClass": "db.t4g.micro", "AllocatedStorage": "20",
		"MasterUsername": "owner", "MasterUserPassword": "First123", "DBName": "plan_charge", "VpcSecurityGroupIds.member.1": database,
	}, nil)
	v := c.awaitDatabase(t, "private")
	if v.Address != network.DatabaseName("private") || v.Port != 5432 {
		t.Fatalf("the instance is at %s:%d", v.Address, v.Port)
	}
	c.rds(t, "ModifyDBInstance", map[string]string{"DBInstanceIdentifier": "private", "MasterUserPassword": "Second123", "ApplyImmediately": "true"}, nil)
	url := fmt.Sprintf("postgresql://owner:Second123@%s:%d/plan_charge?sslmode=require", v.Address, v.Port)

	t.Run("FromOutsideAsTheProgramDials", func(t *testing.T) {
		conn, err := pgx.Connect(t.Context(), url)
		var unknown *net.DNSError
		if !errors.As(err, &unknown) {
			t.Errorf("got %v, want a name that does not resolve", err)
		}
		if err == nil {
			conn.Close(t.Context())
		}
	})

	c.json(t, "ecs", "CreateCluster", map[string]any{"clusterName": "private"}, nil)
	one := func(t *testing.T, groups ...string) int {
		t.Helper()
		definition := c.register(t, "look", map[string]any{
			"image": "test:1", "command": []string{"python3", "-c", look}, "environment": []any{map[string]string{"name": "DATABASE_URL", "value": url}},
		})
		var out struct{ Tasks []taskView }
		c.json(t, "ecs", "RunTask", map[string]any{
			"cluster": "private", "taskDefinition": definition, "launchType": "FARGATE", "networkConfiguration": placed(groups...),
		}, &out)
		code := -1
		eventually(t, time.Minute, "the task ends", func() (bool, string) {
			task := c.task(t, "private", out.Tasks[0].TaskArn)
			if ended := task.LastStatus == "STOPPED" && task.Containers[0].ExitCode != nil; ended {
				code = *task.Containers[0].ExitCode
				return true, ""
			}
			return false, task.LastStatus
		})
		return code
	}
	t.Run("FromTasks", func(t *testing.T) {
		if got := one(t, tasks); got != 42 {
			t.Errorf("a task of the tasks' group ends with %d", got)
		}
		if got := one(t, other); got != 7 {
			t.Errorf("a task of another group ends with %d", got)
		}
		c.rule(t, revoke, database, 5432, fromGroup(tasks))
		if got := one(t, tasks); got != 7 {
			t.Errorf("without the rule a task ends with %d", got)
		}
		c.rule(t, authorize, database, 5432, fromGroup(tasks))
		if got := one(t, tasks); got != 42 {
			t.Errorf("with the rule again a task ends with %d", got)
		}
	})

	t.Run("ThroughASession", func(t *testing.T) {
		var out struct {
			TaskDefinition struct{ TaskDefinitionArn string }
		}
		c.json(t, "ecs", "RegisterTaskDefinition", map[string]any{
			"family": "access", "networkMode": "awsvpc", "requiresCompatibilities": []string{"FARGATE"}, "cpu": "256", "memory": "512",
			"taskRoleArn":          c.role(t, "access", agentRights...),
			"containerDefinitions": []any{map[string]any{"name": "access", "image": "test:1"}},
		}, &out)
		settings := session.Settings{
			Stack: "private", Cluster: "private", TaskDefinition: out.TaskDefinition.TaskDefinitionArn, Container: "access",
			Subnets: []string{"subnet-1"}, SecurityGroups: []string{tasks}, Host: v.Address, Port: v.Port,
		}
		cfg := aws.Config{Region: "eu-west-3", BaseEndpoint: &c.url, Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}
		s, err := session.Open(t.Context(), cfg, settings, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		through, err := pgx.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		through.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
		through.DialFunc = s.DialContext
		conn, err := pgx.ConnectConfig(t.Context(), through)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		var got int
		if err := conn.QueryRow(t.Context(), "SELECT 42").Scan(&got); err != nil || got != 42 {
			t.Errorf("got %d, %v", got, err)
		}
	})

	t.Run("FromTheCDN", func(t *testing.T) {
		s := c.site(t, "behind", "1", map[string]any{"networkConfiguration": placed(tasks), "desiredCount": 1})
		c.elb(t, "SetSecurityGroups", map[string]string{"LoadBalancerArn": s.balancer, "SecurityGroups.member.1": balancer}, nil)
		get := func(from string) string {
			client := http.Client{Timeout: time.Second, Transport: &http.Transport{
				DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext,
			}}
			req, err := http.NewRequest(http.MethodGet, c.url+"/any", nil)
			if err != nil {
				return err.Error()
			}
			req.Header.Set("X-Sandbox-Load-Balancer", s.dns+":80")
			req.Header.Set("X-Origin-Secret", "let-me-in")
			resp, err := client.Do(req)
			if err != nil {
				return err.Error()
			}
			defer resp.Body.Close()
			return fmt.Sprint(resp.StatusCode)
		}
		eventually(t, time.Minute, "the site answers the CDN", func() (bool, string) {
			got := get(gateway.EdgeAddress)
			return got == "200", got
		})
		if got := get("127.0.0.1"); !strings.Contains(got, "Timeout") {
			t.Errorf("the balancer answers the internet with %s", got)
		}
		c.rule(t, revoke, tasks, 8000, fromGroup(balancer))
		eventually(t, time.Minute, "the balancer gets no further", func() (bool, string) {
			var out struct {
				State  []string `xml:"DescribeTargetHealthResult>TargetHealthDescriptions>member>TargetHealth>State"`
				Reason []string `xml:"DescribeTargetHealthResult>TargetHealthDescriptions>member>TargetHealth>Reason"`
			}
			c.elb(t, "DescribeTargetHealth", map[string]string{"TargetGroupArn": s.group}, &out)
			seen := fmt.Sprint(out)
			return strings.Contains(seen, "unhealthy") && strings.Contains(seen, "Target.Timeout"), seen
		})
	})
}
