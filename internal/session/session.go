// Package session reaches a private database from outside its network: through the Systems Manager agent of a one-off ECS
// task, which AWS lets in where nothing else gets in. Nothing has to be installed for it, and the database has no other
// inbound rule than the tasks'.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"plan-charge/internal/wait"
)

// Settings say where a session leads, and through what.
type Settings struct {
	Stack          string // what tasks are marked with, so that runs of one stack share them: letters, digits, - and _
	Cluster        string
	TaskDefinition string // ARN, or family for its newest: of a task with a shell and a role for ECS Exec
	Container      string
	Subnets        []string
	SecurityGroups []string
	// Host and Port are the database's, as they are called inside the network.
	Host string
	Port int
	// Idle is after how long without a session the task ends by itself; 0: Idle.
	Idle time.Duration
}

// Idle is after how long without a session a task ends by itself. With the minute in which the agent sees that its client
// has gone, it is less than ten minutes.
const Idle = 8*time.Minute + 30*time.Second

// closeTimeout bounds how long a session's end may take.
const closeTimeout = 20 * time.Second

// Session is a way to one port of a private network. It has one channel for all connections, and makes a new one where
// that is lost.
type Session struct {
	settings Settings
	cfg      aws.Config
	ecs      *ecs.Client
	ssm      *ssm.Client
	out      io.Writer
	pace     pace

	mu      sync.Mutex // held while a channel is opened or the session closed
	channel *channel
	closed  bool
}

// pace is how long things may take, and how often they are asked.
type pace struct {
	poll  time.Duration // between two looks at a task
	task  time.Duration // from RunTask to a task that runs
	agent time.Duration // from there to an agent that runs
	late  time.Duration // from there to an agent that takes sessions
}

// Open finds or starts the task and opens the channel. Progress goes to out. Close the session in the end, even after the
// ctx of this call has ended.
func Open(ctx context.Context, cfg aws.Config, settings Settings, out io.Writer) (*Session, error) {
	s := newSession(cfg, settings, out)
	if _, err := s.live(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// newSession opens nothing before the first connection.
func newSession(cfg aws.Config, settings Settings, out io.Writer) *Session {
	if settings.Idle == 0 {
		settings.Idle = Idle
	}
	return &Session{
		settings: settings, cfg: cfg, ecs: ecs.NewFromConfig(cfg), ssm: ssm.NewFromConfig(cfg), out: out,
		pace: pace{poll: time.Second, task: 5 * time.Minute, agent: 2 * time.Minute, late: time.Minute},
	}
}

// Address is where the session leads.
func (s *Session) Address() string {
	return net.JoinHostPort(s.settings.Host, strconv.Itoa(s.settings.Port))
}

// DialContext opens a connection to the port. The address has to be the session's.
func (s *Session) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	if address != s.Address() {
		return nil, fmt.Errorf("this session leads to %s and not to %s", s.Address(), address)
	}
	c, err := s.live(ctx)
	if err != nil {
		return nil, err
	}
	return c.dial()
}

// live returns the channel, and opens another where it has ended.
func (s *Session) live(ctx context.Context) (*channel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, net.ErrClosed
	}
	if s.channel != nil && s.channel.err() == nil {
		return s.channel, nil
	}
	if s.channel != nil {
		fmt.Fprintf(s.out, "the session was lost (%v); opening another\n", s.channel.err())
		s.channel.close(ctx)
		s.channel = nil
	}
	// A task that was found may be about to end; the second one is ours alone.
	for _, reuse := range []bool{true, false} {
		t, err := s.task(ctx, reuse)
		if err != nil {
			return nil, err
		}
		c, err := s.open(ctx, t)
		if err == nil {
			s.channel = c
			return c, nil
		}
		if !t.found || ctx.Err() != nil {
			s.release(ctx, t, "")
			return nil, err
		}
	}
	return nil, errors.New("no session") // not reached: the second task was not found
}

// Close ends the session, and the task where nobody else uses it.
func (s *Session) Close() { s.end(true) }

// Leave ends the session, and leaves the task to whoever comes next, or to end by itself.
func (s *Session) Leave() { s.end(false) }

func (s *Session) end(stop bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	s.closed = true
	if s.channel == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	s.channel.close(ctx)
	if stop {
		s.release(ctx, s.channel.task, s.channel.id)
	}
}

// until repeats what may yet come right, until it does, fails for good or its time is over.
func (s *Session) until(ctx context.Context, limit time.Duration, try func() (again bool, err error)) error {
	deadline := time.Now().Add(limit)
	for {
		again, err := try()
		if err == nil || !again || time.Now().After(deadline) {
			return err
		}
		if gone := wait.For(ctx, s.pace.poll); gone != nil {
			return errors.Join(gone, err)
		}
	}
}
