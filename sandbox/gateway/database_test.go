package gateway_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/jackc/pgx/v5"

	"plan-charge/internal/awsquery"
	"plan-charge/internal/pending"
)

type instanceView struct {
	Status  string   `xml:"DescribeDBInstancesResult>DBInstances>DBInstance>DBInstanceStatus"`
	Address string   `xml:"DescribeDBInstancesResult>DBInstances>DBInstance>Endpoint>Address"`
	Port    int      `xml:"DescribeDBInstancesResult>DBInstances>DBInstance>Endpoint>Port"`
	Exports []string `xml:"DescribeDBInstancesResult>DBInstances>DBInstance>EnabledCloudwatchLogsExports>member"`
}

func (c *cloud) rds(t *testing.T, action string, in map[string]string, out any) {
	t.Helper()
	c.query(t, "rds", "2014-10-31", action, in, out)
}

func (c *cloud) createDatabase(t *testing.T, id, password string) instanceView {
	t.Helper()
	c.rds(t, "CreateDBInstance", map[string]string{
		"DBInstanceIdentifier": id, "Engine": "postgres", "EngineVersion": "15.7", "DBInstanceClass": "db.t4g.micro", "AllocatedStorage": "20",
		"MasterUsername": "owner", "MasterUserPassword": password, "DBName": "plan_charge", "StorageEncrypted": "true",
		"EnableCloudwatchLogsExports.member.1": "postgresql", "EnableCloudwatchLogsExports.member.2": "upgrade",
	}, nil)
	return c.awaitDatabase(t, id)
}

func (c *cloud) awaitDatabase(t *testing.T, id string) instanceView {
	t.Helper()
	var v instanceView
	eventually(t, 60*time.Second, "the database is available", func() (bool, string) {
		v = instanceView{}
		c.rds(t, "DescribeDBInstances", map[string]string{"DBInstanceIdentifier": id}, &v)
		return v.Status == "available", fmt.Sprintf("%+v", v)
	})
	return v
}

func connect(v instanceView, password, mode string) (*pgx.Conn, error) {
	return pgx.Connect(context.Background(), fmt.Sprintf("postgresql://owner:%s@%s:%d/plan_charge?sslmode=%s", password, v.Address, v.Port, mode))
}

// waits changes an instance's class, not at once, and wants what is told to wait for its window.
func (c *cloud) waits(t *testing.T, id, class string, want ...pending.Change) {
	t.Helper()
	c.rds(t, "ModifyDBInstance", map[string]string{"DBInstanceIdentifier": id, "DBInstanceClass": class}, nil)
	client := awsquery.New(aws.Config{Region: "eu-west-3", BaseEndpoint: &c.url, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
	got, err := pending.Of(t.Context(), client, id)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("waiting is %+v, %v, want %+v", got, err, want)
	}
}

// TestDatabase covers an instance's life: TLS only, by the certificate of its endpoint, data that survives restarts, a changed
// password, what waits for the maintenance window, and nothing left behind.
func TestDatabase(t *testing.T) {
	if testing.Short() {
		t.Skip("starts an emulator")
	}
	dir, err := os.MkdirTemp("", "pc-cloud-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	c, err := startCloud(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { c.stop() }()
	v := c.createDatabase(t, "life", "First123")
	if got := strings.Join(v.Exports, ","); got != "postgresql,upgrade" {
		t.Errorf("exported logs %q, want both", got)
	}
	if conn, err := connect(v, "First123", "disable"); err == nil {
		conn.Close(t.Context())
		t.Error("a connection without TLS was accepted")
	}
	conn, err := connect(v, "First123", "verify-full&sslrootcert="+filepath.Join(dir, "authority.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	conn.Close(t.Context())
	c.rds(t, "ModifyDBInstance", map[string]string{"DBInstanceIdentifier": "life", "MasterUserPassword": "Second123", "ApplyImmediately": "true"}, nil)
	c.json(t, "secretsmanager", "CreateSecret", map[string]any{"Name": "survives", "SecretString": "x"}, nil)
	c.waits(t, "life", "db.t4g.large", pending.Change{Setting: "instanceClass", Now: "db.t4g.micro", Then: "db.t4g.large", Window: "sun:05:00-sun:06:00"})
	c.waits(t, "life", "db.t4g.micro") // which calls it off

	// An ordinary stop and start.
	c.stop()
	if c, err = startCloud(dir, nil); err != nil {
		t.Fatal(err)
	}
	v = c.awaitDatabase(t, "life")
	table := func(password string) error {
		conn, err := connect(v, password, "require")
		if err != nil {
			return err
		}
		defer conn.Close(t.Context())
		_, err = conn.Exec(t.Context(), "SELECT * FROM kept")
		return err
	}
	if err := table("Second123"); err != nil {
		t.Errorf("after a restart: %v", err)
	}
	c.json(t, "secretsmanager", "DescribeSecret", map[string]any{"SecretId": "survives"}, nil)

	c.rds(t, "DeleteDBInstance", map[string]string{"DBInstanceIdentifier": "life", "SkipFinalSnapshot": "true"}, nil)
	left, err := filepath.Glob(filepath.Join(dir, "engine", "volumes", "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("the deleted database left %v (%v)", left, err)
	}
	v = c.createDatabase(t, "life", "Third123")
	if err := table("Third123"); err == nil || !strings.Contains(err.Error(), `"kept" does not exist`) {
		t.Errorf("a new database of the old name: %v, want an empty one", err)
	}

	c.rds(t, "CreateDBInstance", map[string]string{
		"DBInstanceIdentifier": "future", "Engine": "postgres", "EngineVersion": "99.1", "DBInstanceClass": "db.t4g.micro", "AllocatedStorage": "20",
		"MasterUsername": "owner", "MasterUserPassword": "Fourth123", "DBName": "plan_charge",
	}, nil)
	eventually(t, 30*time.Second, "a version that cannot be had fails the instance", func() (bool, string) {
		v = instanceView{}
		c.rds(t, "DescribeDBInstances", map[string]string{"DBInstanceIdentifier": "future"}, &v)
		return v.Status == "failed", fmt.Sprintf("%+v", v)
	})
}
