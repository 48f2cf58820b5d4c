package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"plan-charge/internal/awsclient"
	"plan-charge/internal/lifeline"
	"plan-charge/internal/oneline"
)

const (
	// afterCommand is after how long without a session the task of a command ends by itself. The command leaves it to the one
	// that follows, such as an update after its preview; it is longer than an agent may take to come up.
	afterCommand = 3 * time.Minute
	// rest is after how long without a connection a command that goes on gives session and task back. It is longer than the
	// pauses between a deployment's steps in the database, and shorter than those before its cluster is deleted.
	rest = 30 * time.Second
	// failureCounts is how long one failure stands for all: a way that is barred is not tried once a resource.
	failureCounts = time.Minute
	// takeOver is how often is looked whether the port that another process had is free.
	takeOver = 200 * time.Millisecond
	// joinTimeout bounds the question which way a port on this machine is.
	joinTimeout = 5 * time.Second
)

// Words between processes of ours, one a line. Greeting is no beginning of a PostgreSQL client's, whose first byte is 0.
const (
	greeting = "PLANWAY1"

	askWhich = "which" // which way is it?
	askOpen  = "open"  // open the session, if it is not
	askGo    = "go"    // what follows goes through it

	answerYes   = "yes"
	answerNo    = "no"        // another command's, to the same database
	answerOther = "elsewhere" // it leads to another database
	answerFree  = "refuses"   // it opens nothing, and has left the port
	answerFail  = "failed "   // and why
)

// ErrPreview is why a preview reaches no database.
var ErrPreview = errors.New("a preview opens no session to the private database. To have previews look at it, set database.previewReads " +
	"to true; to look at nothing, add --refresh=false")

// Way leads to a stack's database for one Pulumi command, whose processes share it: whoever comes first has the loopback
// port and the session, and the others go through it. The session is opened by the first connection.
type Way struct {
	// Command is the Pulumi command's process; 0: there is none, and nothing is shared. Preview opens nothing. Rest is after
	// how long without a connection session and task are given back. They are set before the way is used.
	Command int
	Preview bool
	Rest    time.Duration

	route   Route
	address string
	host    string
	port    int
	out     io.Writer

	ctx      context.Context // ends with Close
	cancel   context.CancelFunc
	watching sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	listener *Listener
	session  *Session
	busy     chan struct{} // closed when the session that is being opened or closed is
	used     int           // connections in the session
	idle     *time.Timer
	failed   error
	failedAt time.Time
}

// NewWay makes a way to a database. It opens nothing. Progress goes to out.
func NewWay(r Route, host string, port int, out io.Writer) *Way {
	engine := lifeline.FindEngine()
	w := &Way{
		route: r, host: host, port: port, address: net.JoinHostPort(host, strconv.Itoa(port)), out: out,
		Command: engine.PID, Preview: engine.Preview() && !r.PreviewReads, Rest: rest,
	}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	return w
}

// Port is the one on 127.0.0.1 that leads to the database while somebody listens.
func (w *Way) Port() int { return w.route.Port }

// Listen takes the loopback port, or sees that another process of this user has it for the same database, from which it is
// taken over when that ends. The error names who has it otherwise.
func (w *Way) Listen() error {
	took, err := w.take()
	if err != nil || took {
		return err
	}
	ctx, cancel := context.WithTimeout(w.ctx, joinTimeout)
	defer cancel()
	c, answer, err := w.ask(ctx, askWhich)
	if c != nil {
		c.Close()
	}
	switch {
	case answer == answerFree:
		if took, err := w.take(); err != nil || took {
			return err
		}
	case err != nil:
		if took, _ := w.take(); took { // it has just been left
			return nil
		}
		return fmt.Errorf("port %d on 127.0.0.1, which leads to the database while this runs, is in use by %s: end that, or set database.accessPort to another port (%w)",
			w.route.Port, holder(w.route.Port), err)
	}
	w.watching.Go(func() {
		tick := time.NewTicker(takeOver)
		defer tick.Stop()
		for {
			select {
			case <-w.ctx.Done():
				return
			case <-tick.C:
				if took, _ := w.take(); took {
					return
				}
			}
		}
	})
	return nil
}

// take listens, unless somebody does.
func (w *Way) take() (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.listener != nil {
		return true, nil
	}
	l, err := listen(w.route.Port, w.dial, w.greet, w.out)
	if inUse(err) {
		return false, nil
	}
	w.listener = l
	return err == nil, err
}

// greet answers a process of ours. Who belongs to the same command may go on through this way.
func (w *Way) greet(c net.Conn, line string) bool {
	answer, pass := answerYes, false
	switch verb, ours := strings.CutPrefix(line, w.name()+" "); {
	case !strings.HasPrefix(line, w.database()):
		answer = answerOther
	case w.Preview && !ours: // who deploys has more use for the port
		w.mu.Lock()
		if w.listener != nil {
			w.listener.listener.Close()
		}
		w.mu.Unlock()
		answer = answerFree
	case !ours:
		answer = answerNo
	case verb == askGo:
		pass = true
	case verb == askOpen:
		c.SetReadDeadline(time.Time{})
		if err := w.open(w.ctx); err != nil {
			answer = answerFail + strings.Join(strings.Fields(err.Error()), " ")
		}
	}
	_, err := io.WriteString(c, answer+"\n")
	return err == nil && pass
}

// database is where the way leads, and name tells it from other commands' ways there.
func (w *Way) database() string {
	return fmt.Sprintf("%s %s %s ", w.route.Stack, w.route.Database, w.address)
}

func (w *Way) name() string { return w.database() + strconv.Itoa(w.Command) }

// ask asks who has the port. The connection is there where the answer is yes; an error means that nobody of ours has it.
func (w *Way) ask(ctx context.Context, what string) (net.Conn, string, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp4", loopback(w.route.Port))
	if err != nil {
		return nil, "", err
	}
	if !safe(w.route.Port) {
		c.Close()
		return nil, "", errors.New("it is another user's")
	}
	defer context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })()
	if what != askOpen {
		c.SetDeadline(time.Now().Add(joinTimeout))
	}
	answer := ""
	if _, err = io.WriteString(c, greeting+w.name()+" "+what+"\n"); err == nil {
		answer, err = oneline.Read(c)
	}
	switch {
	case err != nil:
		err = fmt.Errorf("it does not answer as this program does: %w", err)
	case answer == answerYes:
		c.SetDeadline(time.Time{})
		return c, answer, nil
	case answer == answerOther:
		answer, err = "", errors.New("it leads to another database")
	case answer != answerNo && answer != answerFree && !strings.HasPrefix(answer, answerFail):
		answer, err = "", errors.New("it does not answer as this program does")
	}
	c.Close()
	return nil, answer, err
}

// joins says whether another process may have the session.
func (w *Way) joins() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.listener == nil && w.session == nil && w.Command != 0 && !w.Preview
}

// DialContext opens a connection to the database. The address has to be the database's.
func (w *Way) DialContext(ctx context.Context, _, address string) (net.Conn, error) {
	if address != w.address {
		return nil, fmt.Errorf("this way leads to %s and not to %s", w.address, address)
	}
	if w.joins() {
		if c, _, _ := w.ask(ctx, askGo); c != nil {
			return &named{c, w.address}, nil
		}
	}
	return w.dial(ctx)
}

// Ready opens the session, if it is not open.
func (w *Way) Ready(ctx context.Context) error {
	if w.joins() {
		c, answer, _ := w.ask(ctx, askOpen)
		if c != nil {
			return c.Close()
		}
		if why, failed := strings.CutPrefix(answer, answerFail); failed {
			return errors.New(why)
		}
	}
	return w.open(ctx)
}

// dial opens a connection in this process's own session.
func (w *Way) dial(ctx context.Context) (net.Conn, error) {
	if w.Preview {
		return nil, ErrPreview
	}
	s, err := w.live(ctx)
	if err != nil {
		return nil, err
	}
	c, err := s.DialContext(ctx, "tcp", w.address)
	if err != nil {
		w.done()
		return nil, err
	}
	return &counted{named{c, w.address}, sync.OnceFunc(w.done)}, nil
}

// open opens the session of this process.
func (w *Way) open(ctx context.Context) error {
	if w.Preview {
		return ErrPreview
	}
	_, err := w.live(ctx)
	if err == nil {
		w.done()
	}
	return err
}

// live returns the session, with one connection more, and opens one where there is none.
func (w *Way) live(ctx context.Context) (*Session, error) {
	for {
		w.mu.Lock()
		switch {
		case w.closed:
			w.mu.Unlock()
			return nil, net.ErrClosed
		case w.busy != nil:
		case w.session != nil:
			w.used++
			if w.idle != nil {
				w.idle.Stop()
			}
			defer w.mu.Unlock()
			return w.session, nil
		case w.failed != nil && time.Since(w.failedAt) < failureCounts:
			defer w.mu.Unlock()
			return nil, w.failed
		default:
			w.busy = make(chan struct{})
			w.watching.Go(w.start)
		}
		busy := w.busy
		w.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, fmt.Errorf("the session is not open yet: %w", context.Cause(ctx))
		}
	}
}

// start opens the session, however long whoever asked for it waits.
func (w *Way) start() {
	var s *Session
	cfg, err := awsclient.Load(w.ctx, w.route.aws())
	if err == nil {
		s, err = Open(w.ctx, cfg, w.route.settings(w.host, w.port), w.out)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.session, w.failed, w.failedAt = s, err, time.Now()
	close(w.busy)
	w.busy = nil
}

// done counts a connection less, and lets the session rest when it was the last.
func (w *Way) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.used--; w.used == 0 && !w.closed {
		if w.idle != nil {
			w.idle.Stop()
		}
		w.idle = time.AfterFunc(w.Rest, w.giveBack)
	}
}

// giveBack ends a session that nobody uses, and its task.
func (w *Way) giveBack() {
	w.mu.Lock()
	s := w.session
	if w.used > 0 || w.closed || s == nil || w.busy != nil {
		w.mu.Unlock()
		return
	}
	w.session, w.busy = nil, make(chan struct{})
	w.mu.Unlock()
	s.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.busy)
	w.busy = nil
}

// Close ends port and session. The task is left to the command's next part, or the next command.
func (w *Way) Close() {
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return
	}
	w.closed = true
	if w.idle != nil {
		w.idle.Stop()
	}
	l := w.listener
	w.mu.Unlock()
	w.cancel()
	if l != nil {
		l.Close()
	}
	w.watching.Wait() // a session that is being opened
	w.mu.Lock()
	s := w.session
	w.session = nil
	w.mu.Unlock()
	if s != nil {
		s.Leave()
	}
}

// named is a connection whose other end is called as the database is: by that a client finds the server once more to which
// it sends a cancellation.
type named struct {
	net.Conn
	address string
}

func (n *named) RemoteAddr() net.Addr { return farEnd(n.address) }

// farEnd is an address at the other end of a way.
type farEnd string

func (farEnd) Network() string  { return "tcp" }
func (f farEnd) String() string { return string(f) }

// counted is a connection in this process's own session.
type counted struct {
	named
	done func()
}

func (c *counted) Close() error {
	defer c.done()
	return c.named.Close()
}
