// Package ssm is the other side of a Systems Manager session: the service that starts, resumes and ends sessions, and the
// agent in an ECS task that forwards a port, speaking the real protocol. Only what forwards a port to a remote host is there.
package ssm

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"plan-charge/internal/datachannel"
)

// Document is the one document that sessions can be started with.
const Document = "AWS-StartPortForwardingSessionToRemoteHost"

// ChannelPath is where data channels are opened.
const ChannelPath = "/v1/data-channel/"

// AgentVersion is what the agent says it is: new enough for several connections at a time.
const AgentVersion = "3.3.1611.0"

// Target is the container that a session's agent runs in.
type Target struct{ Cluster, Task, Runtime string }

// ErrNotConnected says that no agent runs (yet) in the target.
var ErrNotConnected = errors.New("not connected")

// Options say how a Service runs.
type Options struct {
	// Find makes sure that the target's agent runs and returns what dials from inside the target.
	Find func(context.Context, Target) (func(ctx context.Context, address string) (net.Conn, error), error)
	// Work runs in the target as long as a session does, as the agent's worker process would; nil for nothing.
	Work func(ctx context.Context, target Target, session string)
	// AgentVersion is what the agent says it is; empty: AgentVersion. An older one than 3.0.196.1 does not multiplex.
	AgentVersion string
	// Idle is how long a session lives that nobody is connected to; 0: 20 min, as in AWS.
	Idle time.Duration
	// Log receives what happens; nil drops it.
	Log *slog.Logger
}

// Service starts sessions and serves their data channels.
type Service struct {
	opt Options

	mu       sync.Mutex
	sessions map[string]*session
	stop     context.CancelFunc
	ctx      context.Context
	serving  sync.WaitGroup
}

// session is one session, from StartSession to its end.
type session struct {
	id      string
	target  string
	host    string
	port    string
	started time.Time
	channel *datachannel.Channel
	cancel  context.CancelFunc

	mu    sync.Mutex
	token string
	link  datachannel.Link // of the client; nil while there is none
	ended time.Time
	once  sync.Once
}

// New makes a service without sessions.
func New(o Options) *Service {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.AgentVersion, o.Idle = cmp.Or(o.AgentVersion, AgentVersion), cmp.Or(o.Idle, 20*time.Minute)
	s := &Service{opt: o, sessions: map[string]*session{}}
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

// Close ends all sessions.
func (s *Service) Close() {
	s.stop()
	s.serving.Wait()
}

// Error is an error as the service's clients expect it.
type Error struct{ Code, Message string }

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Call answers one of the service's calls; known is false for one that is not emulated. The streams' URL begins with base,
// such as ws://127.0.0.1:4566.
func (s *Service) Call(ctx context.Context, action string, input []byte, base string) (output any, known bool, err error) {
	switch action {
	case "StartSession":
		output, err = s.start(ctx, input, base)
	case "ResumeSession":
		output, err = s.resume(input, base)
	case "TerminateSession":
		output, err = s.terminate(input)
	case "DescribeSessions":
		output, err = s.describe(input)
	default:
		return nil, false, nil
	}
	return output, true, err
}

// Stream is what a client needs to open a data channel.
type Stream struct {
	SessionID  string `json:"SessionId"`
	StreamURL  string `json:"StreamUrl"`
	TokenValue string
}

func (s *Service) start(ctx context.Context, input []byte, base string) (any, error) {
	var in struct {
		Target       string
		DocumentName string
		Parameters   map[string][]string
	}
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, &Error{"SerializationException", err.Error()}
	}
	if in.DocumentName != Document {
		return nil, &Error{"InvalidDocument", fmt.Sprintf("Document with name %s is not emulated by the sandbox; %s is.", in.DocumentName, Document)}
	}
	host, port := first(in.Parameters["host"]), first(in.Parameters["portNumber"])
	if host == "" || port == "" {
		return nil, &Error{"InvalidParameters", "host and portNumber are needed"}
	}
	target, ok := parseTarget(in.Target)
	if !ok {
		return nil, &Error{"TargetNotConnected", in.Target + " is not connected."}
	}
	dial, err := s.opt.Find(ctx, target)
	if errors.Is(err, ErrNotConnected) {
		return nil, &Error{"TargetNotConnected", in.Target + " is not connected."}
	}
	if err != nil {
		return nil, &Error{"InternalServerError", err.Error()}
	}
	token := rand.Text()
	one := &session{
		id: "sandbox-" + strings.ToLower(rand.Text()), target: in.Target, host: host, port: port,
		started: time.Now(), channel: datachannel.New(datachannel.Agent), token: token,
	}
	own, cancel := context.WithCancel(s.ctx)
	one.cancel = cancel
	s.mu.Lock()
	s.sessions[one.id] = one
	s.mu.Unlock()
	if s.opt.Work != nil {
		s.serving.Go(func() { s.opt.Work(own, target, one.id) })
	}
	s.serving.Go(func() {
		defer cancel()
		err := (&agent{channel: one.channel, version: s.opt.AgentVersion, dial: dial, host: host, port: port}).run(own)
		one.end(err)
		s.opt.Log.Info("session ended", "session", one.id, "target", in.Target, "why", err)
	})
	s.serving.Go(func() { s.watch(own, one) })
	s.opt.Log.Info("session started", "session", one.id, "target", in.Target, "host", host, "port", port)
	return one.stream(base, token), nil
}

// watch ends a session that nobody is connected to for too long.
func (s *Service) watch(ctx context.Context, one *session) {
	t := time.NewTicker(s.opt.Idle / 4)
	defer t.Stop()
	alone := time.Now()
	for {
		select {
		case <-ctx.Done():
			one.end(nil) // the service closes, too
			return
		case <-t.C:
		}
		one.mu.Lock()
		if one.link != nil {
			alone = time.Now()
		}
		one.mu.Unlock()
		if time.Since(alone) > s.opt.Idle {
			one.end(errors.New("session timed out due to inactivity"))
			return
		}
	}
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// parseTarget reads ecs:CLUSTER_TASK_RUNTIME. A cluster's name may have underscores itself.
func parseTarget(text string) (Target, bool) {
	parts := strings.Split(strings.TrimPrefix(text, "ecs:"), "_")
	n := len(parts)
	if !strings.HasPrefix(text, "ecs:") || n < 3 {
		return Target{}, false
	}
	return Target{strings.Join(parts[:n-2], "_"), parts[n-2], parts[n-1]}, true
}

func (one *session) stream(base, token string) Stream {
	return Stream{one.id, base + ChannelPath + one.id + "?role=publish_subscribe", token}
}

// end ends a session, once, and tells the client why.
func (one *session) end(why error) {
	one.once.Do(func() {
		output := ""
		if why != nil {
			output = why.Error()
		}
		one.mu.Lock()
		one.ended = time.Now()
		one.mu.Unlock()
		one.channel.Announce(datachannel.Closing{SessionID: one.id, Output: output})
		one.cancel()
	})
}

func (s *Service) find(input []byte) (*session, error) {
	var in struct {
		SessionID string `json:"SessionId"`
	}
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, &Error{"SerializationException", err.Error()}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if one := s.sessions[in.SessionID]; one != nil {
		return one, nil
	}
	return nil, &Error{"DoesNotExistException", "Session " + in.SessionID + " does not exist."}
}

// resume gives a session that lost its websocket a new token. One that has ended gets none.
func (s *Service) resume(input []byte, base string) (any, error) {
	one, err := s.find(input)
	if err != nil {
		return nil, err
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	if !one.ended.IsZero() {
		return map[string]string{"SessionId": one.id}, nil
	}
	one.token = rand.Text()
	return one.stream(base, one.token), nil
}

func (s *Service) terminate(input []byte) (any, error) {
	one, err := s.find(input)
	if err != nil {
		return nil, err
	}
	one.end(nil)
	return map[string]string{"SessionId": one.id}, nil
}

// describe lists the sessions that run (State Active) or have ended (History), those with a filter's Target alone.
func (s *Service) describe(input []byte) (any, error) {
	var in struct {
		State   string
		Filters []struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		}
	}
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, &Error{"SerializationException", err.Error()}
	}
	list := []map[string]any{}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.sessions {
		one.mu.Lock()
		ended, connected := one.ended, one.link != nil
		one.mu.Unlock()
		if (in.State == "Active") != ended.IsZero() {
			continue
		}
		if slices.ContainsFunc(in.Filters, func(f struct {
			Key   string `json:"key"`
			Value string `json:"value"`
		},
		) bool {
			return f.Key == "Target" && f.Value != one.target
		}) {
			continue
		}
		status := "Connected"
		switch {
		case !ended.IsZero():
			status = "Terminated"
		case !connected:
			status = "Disconnected"
		}
		list = append(list, map[string]any{
			"SessionId": one.id, "Target": one.target, "Status": status, "DocumentName": Document,
			"StartDate": float64(one.started.UnixMilli()) / 1000,
		})
	}
	return map[string]any{"Sessions": list}, nil
}

// Running are the ids of the sessions that have not ended.
func (s *Service) Running() []string {
	var ids []string
	for _, one := range s.running() {
		ids = append(ids, one.id)
	}
	slices.Sort(ids)
	return ids
}

func (s *Service) running() []*session {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*session
	for _, one := range s.sessions {
		one.mu.Lock()
		if one.ended.IsZero() {
			all = append(all, one)
		}
		one.mu.Unlock()
	}
	return all
}

// Drop cuts a session's websocket, as a network does.
func (s *Service) Drop(id string) {
	s.mu.Lock()
	one := s.sessions[id]
	s.mu.Unlock()
	if one == nil {
		return
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.link != nil {
		one.link.Close()
	}
}

// EndTarget ends the sessions of targets whose task has ended, which is asked once a target.
func (s *Service) EndTarget(gone func(Target) bool) {
	asked := map[string]bool{}
	for _, one := range s.running() {
		ended, known := asked[one.target]
		if !known {
			t, ok := parseTarget(one.target)
			ended = ok && gone(t)
			asked[one.target] = ended
		}
		if ended {
			one.end(errors.New("the target has ended"))
		}
	}
}

// openTimeout is how long a websocket may take to send its token.
const openTimeout = 30 * time.Second

// ServeHTTP serves a data channel's websocket.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	one := s.sessions[strings.TrimPrefix(r.URL.Path, ChannelPath)]
	s.mu.Unlock()
	if one == nil {
		http.Error(w, "no such session", http.StatusForbidden)
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // no browser comes here
	if err != nil {
		return // Accept has answered
	}
	if err := one.open(r.Context(), conn); err != nil {
		s.opt.Log.Info("data channel refused", "session", one.id, "why", err)
		_ = conn.Close(websocket.StatusPolicyViolation, err.Error()) // the client may have gone
		return
	}
	link := datachannel.Websocket(conn)
	one.mu.Lock()
	if one.link != nil {
		one.link.Close() // a client that comes again has lost the other one
	}
	one.link = link
	one.mu.Unlock()
	err = one.channel.Serve(s.ctx, &announced{Link: link})
	one.mu.Lock()
	if one.link == link {
		one.link = nil
	}
	one.mu.Unlock()
	s.opt.Log.Info("data channel ended", "session", one.id, "why", err)
}

// open awaits the token.
func (one *session) open(ctx context.Context, conn *websocket.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	kind, data, err := conn.Read(ctx)
	if err != nil {
		return err
	}
	var in datachannel.OpenInput
	if kind != websocket.MessageText || json.Unmarshal(data, &in) != nil || in.MessageSchemaVersion != datachannel.SchemaVersion {
		return errors.New("OpenDataChannel is expected first, as text")
	}
	one.mu.Lock()
	defer one.mu.Unlock()
	if !one.ended.IsZero() || one.token == "" || subtle.ConstantTimeCompare([]byte(one.token), []byte(in.TokenValue)) != 1 {
		return errors.New("invalid token")
	}
	one.token = "" // it opens one websocket
	return nil
}

// announced begins a link as the service does: with the message that the other side is there.
type announced struct {
	datachannel.Link
	said bool
}

func (a *announced) Write(ctx context.Context, message []byte) error {
	if !a.said {
		a.said = true
		begin := datachannel.Frame{Type: datachannel.StartPublication, Created: time.Now()}
		if err := a.Link.Write(ctx, begin.Marshal()); err != nil {
			return err
		}
	}
	return a.Link.Write(ctx, message)
}
