package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	ssmtypes "github.com/aws/aws-sdk-go-v2/service/ssm/types"
	"github.com/coder/websocket"
	"github.com/google/uuid"
	"github.com/xtaci/smux"

	"plan-charge/internal/datachannel"
	"plan-charge/internal/wait"
)

const (
	document = "AWS-StartPortForwardingSessionToRemoteHost"
	// clientVersion is what we say we are: the newest plugin of which the agent looks whether it still lives (the agent's
	// port_mux.go). So within a minute after this process has died the agent closes its connections, and the database
	// ends the transactions and locks of the dead; for newer ones it would wait 20 minutes.
	clientVersion = "1.2.331.0"
	// handshakeTimeout bounds the agent's handshake, and openTimeout a websocket's opening.
	handshakeTimeout = 30 * time.Second
	openTimeout      = 20 * time.Second
	// resumeFor is how long a lost websocket is tried to be had again. The agent gives up after half a minute.
	resumeFor = 30 * time.Second
	// emptyDigest is the SHA-256 of no bytes.
	emptyDigest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// channel is one open data channel and the connections in it.
type channel struct {
	session *Session
	task    *task
	id      string
	data    *datachannel.Channel
	mux     *smux.Session
	cancel  context.CancelFunc
	served  sync.WaitGroup
	refused atomic.Int64 // how often the agent did not reach the port
}

// open starts a session through a task.
func (s *Session) open(ctx context.Context, t *task) (*channel, error) {
	var start *ssm.StartSessionOutput
	err := s.until(ctx, s.pace.late, func() (again bool, err error) {
		start, err = s.ssm.StartSession(ctx, &ssm.StartSessionInput{
			Target: aws.String(t.target(s.settings.Cluster)), DocumentName: aws.String(document),
			Parameters: map[string][]string{"host": {s.settings.Host}, "portNumber": {strconv.Itoa(s.settings.Port)}, "localPortNumber": {"0"}},
		})
		var early *ssmtypes.TargetNotConnected
		return errors.As(err, &early), err
	})
	if err != nil {
		return nil, explain("start a session", err, "ssm:StartSession on the cluster's tasks (arn:aws:ecs:REGION:ACCOUNT:task/"+lastPart(s.settings.Cluster)+"/*) and on the document "+document)
	}
	own, cancel := context.WithCancel(context.Background())
	c := &channel{session: s, task: t, id: aws.ToString(start.SessionId), data: datachannel.New(datachannel.Client), cancel: cancel}
	c.data.OnFlag = func(f datachannel.Flag) {
		if f == datachannel.ConnectToPortError {
			c.refused.Add(1)
		}
	}
	link, err := c.connect(ctx, aws.ToString(start.StreamUrl), aws.ToString(start.TokenValue))
	if err == nil {
		c.served.Go(func() { c.serve(own, link) })
		err = c.handshake(ctx)
	}
	if err != nil {
		c.close(ctx)
		return nil, err
	}
	return c, nil
}

// connect opens a websocket and takes the channel by its token.
func (c *channel) connect(ctx context.Context, url, token string) (datachannel.Link, error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	header, err := c.session.sign(ctx, url)
	if err != nil {
		return nil, err
	}
	conn, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPHeader: header})
	if err != nil {
		return nil, fmt.Errorf("open the data channel: %w: the machine that runs this needs a way to ssmmessages.%s.amazonaws.com, port 443", err, c.session.cfg.Region)
	}
	open, err := json.Marshal(datachannel.OpenInput{
		MessageSchemaVersion: datachannel.SchemaVersion, RequestID: uuid.NewString(), TokenValue: token,
		ClientID: uuid.NewString(), ClientVersion: clientVersion,
	})
	if err == nil {
		err = conn.Write(ctx, websocket.MessageText, open)
	}
	if err != nil {
		_ = conn.CloseNow() // what is wrong is known
		return nil, fmt.Errorf("open the data channel: %w", err)
	}
	return datachannel.Websocket(conn), nil
}

// sign makes the headers with which AWS's plugin opens a data channel, too: where a policy asks for
// ssmmessages:OpenDataChannel, the token alone is not enough.
func (s *Session) sign(ctx context.Context, url string) (http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	who, err := s.cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, err
	}
	err = v4.NewSigner().SignHTTP(ctx, who, request, emptyDigest, "ssmmessages", s.cfg.Region, time.Now())
	return request.Header, err
}

// serve carries the channel over its websocket, and over the next one where that is lost.
func (c *channel) serve(ctx context.Context, link datachannel.Link) {
	for {
		err := c.data.Serve(ctx, link)
		if c.data.Err() != nil {
			break
		}
		if ctx.Err() != nil {
			c.data.Fail(datachannel.ErrClosed)
			break
		}
		if link, err = c.resume(ctx, err); err != nil {
			c.data.Fail(err)
			break
		}
	}
}

// resume opens another websocket for the same session.
func (c *channel) resume(ctx context.Context, lost error) (link datachannel.Link, err error) {
	api := c.session.ssm
	err = c.session.until(ctx, resumeFor, func() (again bool, err error) {
		once, cancel := context.WithTimeout(ctx, openTimeout)
		defer cancel()
		out, err := api.ResumeSession(once, &ssm.ResumeSessionInput{SessionId: &c.id})
		if err != nil {
			return true, err
		}
		if aws.ToString(out.TokenValue) == "" {
			return false, errors.New("the session has ended")
		}
		link, err = c.connect(once, aws.ToString(out.StreamUrl), aws.ToString(out.TokenValue))
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("the data channel was lost (%w) and cannot be resumed: %w", lost, err)
	}
	return link, nil
}

// handshake answers the agent, and begins to multiplex.
func (c *channel) handshake(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, handshakeTimeout, errors.New("the agent does not begin its handshake"))
	defer cancel()
	for {
		m, err := c.data.Receive(ctx)
		if err != nil {
			return fmt.Errorf("session %s: %w", c.id, wait.Cause(ctx, err))
		}
		switch m.PayloadType {
		case datachannel.HandshakeRequest:
			if err := c.answer(m.Payload); err != nil {
				return fmt.Errorf("session %s: %w", c.id, err)
			}
		case datachannel.HandshakeComplete:
			// The agent's keeps it alive, and so do we: either sees within a minute that the other has gone.
			c.mux, err = smux.Client(c.data, smux.DefaultConfig())
			return err
		}
	}
}

// answer agrees to forward a port, and to nothing else.
func (c *channel) answer(payload []byte) error {
	var request datachannel.Request
	if err := json.Unmarshal(payload, &request); err != nil {
		return err
	}
	if old := "3.0.196.0"; !newer(request.AgentVersion, old) {
		return fmt.Errorf("the task's agent is version %s: only newer ones than %s have several connections in one session; Fargate's platform version 1.4.0 brings one", request.AgentVersion, old)
	}
	response, refusal := datachannel.Response{ClientVersion: clientVersion, ProcessedClientActions: []datachannel.Processed{}}, error(nil)
	for _, action := range request.RequestedClientActions {
		done := datachannel.Processed{ActionType: action.ActionType, ActionStatus: datachannel.StatusSuccess}
		var kind datachannel.SessionType
		switch {
		case action.ActionType == datachannel.ActionEncryption:
			refusal = errors.New("the account's Session Manager preferences ask for encryption by KMS, which is not supported: switch KMS encryption off there (TLS to the database stays as it is)")
		case action.ActionType != datachannel.ActionSessionType:
			refusal = fmt.Errorf("the agent asks for %s, which is not known", action.ActionType)
		case json.Unmarshal(action.ActionParameters, &kind) != nil || kind.SessionType != datachannel.PortSession:
			refusal = fmt.Errorf("the agent opens a session of type %q instead of one for a port", kind.SessionType)
		default:
			response.ProcessedClientActions = append(response.ProcessedClientActions, done)
			continue
		}
		done.ActionStatus, done.Error = datachannel.StatusFailed, refusal.Error()
		response.ProcessedClientActions = append(response.ProcessedClientActions, done)
		response.Errors = append(response.Errors, refusal.Error())
	}
	return errors.Join(refusal, c.data.SendJSON(datachannel.HandshakeResponse, response))
}

// newer compares dotted version numbers.
func newer(a, than string) bool {
	x, y := strings.Split(a, "."), strings.Split(than, ".")
	for i := range min(len(x), len(y)) {
		m, _ := strconv.Atoi(x[i]) // no number counts as 0
		n, _ := strconv.Atoi(y[i])
		if m != n {
			return m > n
		}
	}
	return len(x) > len(y)
}

// err is why the channel is of no use any more; nil while it is.
func (c *channel) err() error {
	if err := c.data.Err(); err != nil {
		return err
	}
	if c.mux != nil && c.mux.IsClosed() {
		return errors.New("the agent does not answer any more")
	}
	return nil
}

// dial opens a connection in the channel.
func (c *channel) dial() (net.Conn, error) {
	before := c.refused.Load()
	stream, err := c.mux.OpenStream()
	if err != nil {
		return nil, errors.Join(c.data.Err(), err)
	}
	return &conn{Conn: stream, channel: c, refused: before}, nil
}

// close ends the session, and with it its connections.
func (c *channel) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	if c.mux != nil && c.err() == nil {
		short, stop := context.WithTimeout(ctx, 5*time.Second)
		if c.data.Send(datachannel.FlagPayload, datachannel.TerminateSession.Bytes()) == nil {
			_ = c.data.Flush(short) // the call below ends it, too
		}
		stop()
	}
	if c.mux != nil {
		_ = c.mux.Close() // it may have ended before
	}
	c.data.Fail(datachannel.ErrClosed)
	c.cancel()
	c.served.Wait()
	// Where it has ended already, there is nothing to do.
	_, _ = c.session.ssm.TerminateSession(ctx, &ssm.TerminateSessionInput{SessionId: &c.id})
}

// conn is one connection. The agent tells that the port was not reached apart from the connection's end.
type conn struct {
	net.Conn
	channel *channel
	refused int64
	read    bool
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.read = c.read || n > 0
	if errors.Is(err, io.EOF) && !c.read && c.channel.refused.Load() > c.refused {
		s := c.channel.session
		return n, fmt.Errorf("task %s does not reach %s: its security groups (%s) have to be let in there, and the database has to be up",
			lastPart(c.channel.task.arn), s.Address(), strings.Join(s.settings.SecurityGroups, ", "))
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
		if lost := c.channel.data.Err(); lost != nil && !errors.Is(lost, datachannel.ErrClosed) {
			return n, lost
		}
	}
	return n, err
}
