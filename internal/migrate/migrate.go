// Package migrate runs a database migration as a one-off ECS task and says, beyond doubt, how it ended.
//
// One deployer at a time: an advisory lock in the database is held throughout, and a task that an earlier, killed
// run left behind is waited for. The task's log is passed on as it comes. Success is exit code 0, a log that can be
// read and a revision in the version table; everything else is an error that carries the reason and the log's end.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"

	"plan-charge/internal/progress"
	"plan-charge/internal/redact"
	"plan-charge/internal/releases"
	"plan-charge/internal/session"
	"plan-charge/internal/tasklog"
	"plan-charge/internal/versiontable"
)

// ECS is the part of the ECS client that is used.
type ECS interface {
	RunTask(context.Context, *ecs.RunTaskInput, ...func(*ecs.Options)) (*ecs.RunTaskOutput, error)
	DescribeTasks(context.Context, *ecs.DescribeTasksInput, ...func(*ecs.Options)) (*ecs.DescribeTasksOutput, error)
	ListTasks(context.Context, *ecs.ListTasksInput, ...func(*ecs.Options)) (*ecs.ListTasksOutput, error)
	StopTask(context.Context, *ecs.StopTaskInput, ...func(*ecs.Options)) (*ecs.StopTaskOutput, error)
}

// Secrets is the part of the Secrets Manager client that is used.
type Secrets interface {
	GetSecretValue(context.Context, *secretsmanager.GetSecretValueInput, ...func(*secretsmanager.Options)) (*secretsmanager.GetSecretValueOutput, error)
}

// Clients are the AWS services that a migration talks to.
type Clients struct {
	ECS     ECS
	Logs    tasklog.API
	Secrets Secrets
	RDS     RDS
}

// ErrNoRevision means that the task succeeded and left no revision behind.
var ErrNoRevision = errors.New("the version table holds no revision")

// Run migrates and returns the revision that the database is at afterwards. Progress and the task's log go to out,
// without the database's password. When ctx ends, the task is stopped.
func Run(ctx context.Context, s Settings, c Clients, out io.Writer) (string, error) {
	return run(ctx, s, c, out, defaultPace())
}

func run(ctx context.Context, s Settings, c Clients, out io.Writer, p pace) (string, error) {
	hide := redact.New()
	clean := redact.NewWriter(out, hide)
	defer clean.Flush()
	m := &migration{Settings: s, Clients: c, out: clean, hide: hide, pace: p}
	ctx, cancel := context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("the time allowed by migration.timeout, %s, has run out", s.Timeout))
	defer cancel()
	after, err := m.run(ctx)
	return after, hide.Error(err)
}

// migration is one run.
type migration struct {
	Settings
	Clients
	out  io.Writer
	hide *redact.Redactor
	pace pace
	way  *session.Way // nil: the database's address is dialled
	db   *database
	// history is what was deployed here before.
	history releases.History
}

func (m *migration) run(ctx context.Context) (string, error) {
	ownerURL, err := m.ownerURL(ctx)
	if err != nil {
		return "", err
	}
	defer func() {
		if m.way != nil {
			m.way.Close()
		}
	}()
	if err := m.openDatabase(ctx, ownerURL); err != nil {
		return "", err
	}
	defer func() { m.db.close() }()

	if err := m.waitForOthers(ctx); err != nil {
		return "", err
	}
	left, err := m.lookBack(ctx)
	if err != nil {
		return "", err
	}
	if m.UnlessDone && m.done(left) {
		fmt.Fprintf(m.out, "revision %s: nothing that the migration depends on has changed\n", versiontable.Name(left.revision))
		if err := m.takeOn(ctx, left); err != nil {
			return "", err
		}
		return left.revision, m.record(ctx, left.revision, left.revision)
	}
	if passed, err := m.passed(ctx, left); err != nil || passed {
		return left.revision, err
	}
	if m.DowngradeTo != "" && left.revision != m.DowngradeTo {
		if err := m.snapshot(ctx, left.revision); err != nil {
			return "", err
		}
	}
	if err := m.runTask(ctx); err != nil {
		return "", m.explain(m.hintAtStamp(err, left), left.revision)
	}
	after, err := m.finish(ctx, ownerURL, left)
	if err != nil {
		return "", err
	}
	if err := m.record(ctx, left.revision, after); err != nil {
		return "", err
	}
	fmt.Fprintf(m.out, "revision %s -> %s\n", versiontable.Name(left.revision), after)
	return after, nil
}

func (m *migration) ownerURL(ctx context.Context) (string, error) {
	secret, err := m.Secrets.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &m.SecretARN})
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", fmt.Errorf("read the owner's database URL from secret %s: %w", m.SecretARN, err)
	}
	ownerURL := aws.ToString(secret.SecretString)
	m.hide.AddURL(ownerURL)
	if ownerURL == "" {
		return "", fmt.Errorf("secret %s is empty; it must hold the owner's database URL", m.SecretARN)
	}
	return driverless(ownerURL), nil
}

// openDatabase connects and takes the lock.
func (m *migration) openDatabase(ctx context.Context, ownerURL string) error {
	if m.Route != nil && m.way == nil {
		at, err := pgx.ParseConfig(ownerURL)
		if err != nil {
			return fmt.Errorf("the owner's database URL in %s: %w", m.SecretARN, err)
		}
		m.way = session.NewWay(*m.Route, at.Host, int(at.Port), m.out)
	}
	step := progress.Start(m.out, "connect to the database and take the migration lock", 0)
	db, err := connect(ctx, ownerURL, m.Settings, m.way, m.pace.patience, m.pace, step)
	if err == nil {
		if err = db.lock(ctx, m.pace, step); err != nil {
			db.close()
		}
	}
	step.Done(err)
	if err == nil {
		m.db = db
	}
	return err
}

// finish reads the revision that the task left, and marks it if the schema is as it should be. The connection may have died during a long task,
// through a failover for example, so it is made again if need be.
func (m *migration) finish(ctx context.Context, ownerURL string, left past) (string, error) {
	if err := m.db.alive(ctx); err != nil {
		fmt.Fprintln(m.out, "the database connection was lost, connecting again")
		m.db.close()
		if err := m.openDatabase(ctx, ownerURL); err != nil {
			return "", fmt.Errorf("the task succeeded, but its revision cannot be read: %w", err)
		}
	}
	after, err := m.db.revision(ctx)
	if err != nil {
		return "", fmt.Errorf("the task succeeded, but its revision cannot be read: %w", err)
	}
	if after == "" {
		return "", fmt.Errorf("the task exited with code 0, but in %s: %w; does its command migrate this database?",
			m.VersionTable, ErrNoRevision)
	}
	if m.DowngradeTo != "" && after != m.DowngradeTo {
		return "", fmt.Errorf("the task exited with code 0, but left %s, and migration.downgradeTo is %s; does its command go back that far?", after, m.DowngradeTo)
	}
	return after, m.settle(ctx, left, after)
}
