package migrate

import (
	"strings"
	"time"
)

// pace is how often and how long things are asked; tests make it fast.
type pace struct {
	task     time.Duration // between two looks at a task
	database time.Duration // between two attempts to connect
	lock     time.Duration // between two attempts to take the lock
	patience time.Duration // with a database or an AWS service that does not answer
	stop     time.Duration // for a task that was told to stop
	quiet    time.Duration // without a new line after which a stopped task's log is complete
	noStream time.Duration // for the stream of a stopped task to appear
}

func defaultPace() pace {
	return pace{
		task: 2 * time.Second, database: 2 * time.Second, lock: time.Second, patience: 2 * time.Minute,
		stop: 90 * time.Second, quiet: 2 * time.Second, noStream: 20 * time.Second,
	}
}

// driverless drops the driver that SQLAlchemy puts into the scheme: postgresql+psycopg://… is postgresql://… to PostgreSQL.
func driverless(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return url
	}
	scheme, _, _ = strings.Cut(scheme, "+")
	return scheme + "://" + rest
}
