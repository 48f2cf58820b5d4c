package ssm_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/coder/websocket"
	"github.com/coder/websocket/wsjson"

	"plan-charge/internal/datachannel"
	"plan-charge/internal/session"
	"plan-charge/sandbox/ssm"
)

// account answers the calls that the product's client makes: sessions by the service that is tested, tasks by a list.
type account struct {
	*ssm.Service
	url string

	mu      sync.Mutex
	tasks   []map[string]any // as DescribeTasks tells them
	started []string         // startedBy of every task there ever was
	dead    bool             // the client is not listened to
	late    int              // how many sessions are still refused, because the agent is late
	calls   map[string]int
}

func newAccount(t *testing.T, o ssm.Options) *account {
	t.Helper()
	a := &account{calls: map[string]int{}}
	o.Find = a.find
	a.Service = ssm.New(o)
	server := httptest.NewServer(a)
	a.url = server.URL
	t.Cleanup(func() { a.Close(); server.Close() })
	return a
}

func (a *account) find(_ context.Context, at ssm.Target) (func(context.Context, string) (net.Conn, error), error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.late--; a.late >= 0 || a.task(at.Task) == nil || a.task(at.Task)["lastStatus"] != "RUNNING" || at.Cluster != "here" {
		return nil, ssm.ErrNotConnected
	}
	return func(ctx context.Context, address string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}, nil
}

// task finds one by the end of its ARN. a.mu is held.
func (a *account) task(id string) map[string]any {
	for _, t := range a.tasks {
		if strings.HasSuffix(t["taskArn"].(string), id) {
			return t
		}
	}
	return nil
}

// running are the tasks that have not ended.
func (a *account) running() (ids []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, t := range a.tasks {
		if t["lastStatus"] == "RUNNING" {
			ids = append(ids, t["taskArn"].(string))
		}
	}
	return ids
}

func (a *account) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, ssm.ChannelPath) {
		a.Service.ServeHTTP(w, r)
		return
	}
	body, _ := io.ReadAll(r.Body)
	target := r.Header.Get("X-Amz-Target")
	action := target[strings.LastIndexByte(target, '.')+1:]
	a.mu.Lock()
	a.calls[action]++
	dead := a.dead
	a.mu.Unlock()
	if dead {
		panic(http.ErrAbortHandler)
	}
	var out any
	var err error
	if strings.HasPrefix(target, "AmazonSSM.") {
		out, _, err = a.Call(r.Context(), action, body, "ws://"+r.Host)
	} else {
		out, err = a.ecs(action, body)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	var failed *ssm.Error
	if errors.As(err, &failed) {
		w.WriteHeader(http.StatusBadRequest)
		out = map[string]string{"__type": failed.Code, "message": failed.Message}
	}
	json.NewEncoder(w).Encode(out)
}

func (a *account) ecs(action string, body []byte) (any, error) {
	var in struct {
		Task, TaskDefinition, StartedBy string
		Tasks                           []string
		EnableExecuteCommand            bool
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch action {
	case "RunTask":
		arn := "arn:aws:ecs:eu-west-3:000000000000:task/here/" + strings.ToLower(rand.Text())
		t := map[string]any{
			"taskArn": arn, "lastStatus": "RUNNING", "desiredStatus": "RUNNING", "taskDefinitionArn": in.TaskDefinition,
			"enableExecuteCommand": in.EnableExecuteCommand, "startedBy": in.StartedBy,
			"containers": []any{map[string]any{
				"name": "way", "runtimeId": "run1", "managedAgents": []any{map[string]any{"name": "ExecuteCommandAgent", "lastStatus": "RUNNING"}},
			}},
		}
		a.tasks, a.started = append(a.tasks, t), append(a.started, in.StartedBy)
		return map[string]any{"tasks": []any{t}}, nil
	case "ListTasks":
		arns := []string{}
		for _, t := range a.tasks {
			if t["startedBy"] == in.StartedBy && t["desiredStatus"] == "RUNNING" {
				arns = append(arns, t["taskArn"].(string))
			}
		}
		return map[string]any{"taskArns": arns}, nil
	case "DescribeTasks":
		found := []any{}
		for _, id := range in.Tasks {
			if t := a.task(id); t != nil {
				found = append(found, t)
			}
		}
		return map[string]any{"tasks": found}, nil
	case "StopTask":
		t := a.task(in.Task)
		t["lastStatus"], t["desiredStatus"] = "STOPPED", "STOPPED"
		return map[string]any{"task": t}, nil
	}
	return nil, &ssm.Error{Code: "ClientException", Message: action}
}

func (a *account) config() aws.Config {
	return aws.Config{Region: "eu-west-3", BaseEndpoint: &a.url, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
}

// open opens a session of ours to a port.
func (a *account) open(t *testing.T, host, port string) *session.Session {
	t.Helper()
	s, err := a.try(t, host, port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func (a *account) try(t *testing.T, host, port string) (*session.Session, error) {
	t.Helper()
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	return session.Open(ctx, a.config(), session.Settings{
		Stack: "plan-charge-test", Cluster: "here", TaskDefinition: "arn:aws:ecs:eu-west-3:000000000000:task-definition/way:1", Container: "way",
		Subnets: []string{"subnet-1"}, SecurityGroups: []string{"sg-1"}, Host: host, Port: n,
	}, t.Output())
}

func dial(t *testing.T, s *session.Session) net.Conn {
	t.Helper()
	c, err := s.DialContext(t.Context(), "tcp", s.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// said sends bytes to an echo and compares what comes back.
func said(c net.Conn, size int) error {
	data := make([]byte, size)
	rand.Read(data)
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(data)
		sent <- err
	}()
	got := make([]byte, size)
	if _, err := io.ReadFull(c, got); err != nil {
		return err
	}
	if !bytes.Equal(got, data) {
		return errors.New("what came back differs from what was sent")
	}
	return <-sent
}

func TestClientManyConnectionsAtATime(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	s := a.open(t, host, port)
	const connections = 64
	var all [connections]net.Conn // open at the same time
	for i := range all {
		all[i] = dial(t, s)
	}
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() {
			if err := said(c, 1000*(i+1)); err != nil {
				t.Errorf("connection %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	if got := a.calls["StartSession"]; got != 1 {
		t.Errorf("%d sessions for one command", got)
	}
}

func TestClientLargeTransfer(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	s := a.open(t, host, port)
	const size = 8 << 20 // many times what may be under way
	if err := said(dial(t, s), size); err != nil {
		t.Fatal(err)
	}
}

// A session whose websocket breaks goes on over another one, without the loss of a byte or of a connection.
func TestClientOutlivesItsWebsocket(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	s := a.open(t, host, port)
	c := dial(t, s)
	id := a.Running()[0]
	for range 5 {
		done := make(chan error, 1)
		go func() { done <- said(c, 2<<20) }()
		a.Drop(id)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if a.calls["ResumeSession"] == 0 || a.calls["StartSession"] != 1 {
		t.Errorf("calls: %v", a.calls)
	}
}

// A session that the service has ended breaks its connections, and the next one opens another.
func TestClientOpensAnotherSession(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	s := a.open(t, host, port)
	c := dial(t, s)
	if err := said(c, 10); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Call(t.Context(), "TerminateSession", fmt.Appendf(nil, `{"SessionId":%q}`, a.Running()[0]), ""); err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	var closed *datachannel.ClosedError
	if _, err := c.Read(make([]byte, 1)); !errors.As(err, &closed) {
		t.Errorf("a connection of an ended session reads: %v", err)
	}
	if err := said(dial(t, s), 10); err != nil {
		t.Error(err)
	}
	if a.calls["StartSession"] != 2 || a.calls["RunTask"] != 1 {
		t.Errorf("calls: %v", a.calls)
	}
}

// Either side's end of a connection reaches the other, and the other connections do not notice.
func TestClientSeesAndTellsEnds(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	host, port, _ := net.SplitHostPort(l.Addr().String())
	s := a.open(t, host, port)
	pair := func() (ours, theirs net.Conn) {
		ours = dial(t, s)
		theirs, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { theirs.Close() })
		for _, c := range []net.Conn{ours, theirs} {
			c.SetDeadline(time.Now().Add(time.Minute))
		}
		return ours, theirs
	}
	other, others := pair()
	ours, theirs := pair()
	theirs.Write([]byte("bye"))
	theirs.(*net.TCPConn).CloseWrite() // half closed
	if got, err := io.ReadAll(ours); string(got) != "bye" || err != nil {
		t.Errorf("their end is seen as %q, %v", got, err)
	}
	ours, theirs = pair()
	ours.Write([]byte("done"))
	ours.Close()
	if got, err := io.ReadAll(theirs); string(got) != "done" || err != nil {
		t.Errorf("our end is seen as %q, %v", got, err)
	}
	other.Write([]byte("still"))
	got := make([]byte, 5)
	if _, err := io.ReadFull(others, got); string(got) != "still" || err != nil {
		t.Errorf("another connection got %q, %v", got, err)
	}
}

func TestClientSaysThatThePortIsNotReached(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	s := a.open(t, "127.0.0.1", port)
	_, err = dial(t, s).Read(make([]byte, 1))
	if err == nil || !strings.Contains(err.Error(), "does not reach 127.0.0.1:"+port) || !strings.Contains(err.Error(), "sg-1") {
		t.Errorf("a port that nobody listens on: %v", err)
	}
	if _, err := s.DialContext(t.Context(), "tcp", "elsewhere:5432"); err == nil {
		t.Error("a session leads anywhere")
	}
}

// The agent is late: a session is asked for until it is there.
func TestClientAwaitsTheAgent(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	a.late = 2
	host, port := echo(t)
	if err := said(dial(t, a.open(t, host, port)), 10); err != nil {
		t.Error(err)
	}
	if a.calls["StartSession"] != 3 {
		t.Errorf("calls: %v", a.calls)
	}
}

// Whether a task still runs is asked once for all its sessions, and never for one that has ended.
func TestOnlyTargetsInUseAreAskedFor(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	first, second := a.open(t, host, port), a.open(t, host, port)
	if err := errors.Join(said(dial(t, first), 10), said(dial(t, second), 10)); err != nil {
		t.Fatal(err)
	}
	asked := func() (n int) {
		a.EndTarget(func(ssm.Target) bool { n++; return false })
		return n
	}
	if got := asked(); got != 1 {
		t.Errorf("two sessions of one task: asked %d times", got)
	}
	for _, id := range a.Running() {
		if _, _, err := a.Call(t.Context(), "TerminateSession", fmt.Appendf(nil, `{"SessionId":%q}`, id), ""); err != nil {
			t.Fatal(err)
		}
	}
	if got := asked(); got != 0 {
		t.Errorf("after the sessions' end: asked %d times", got)
	}
}

// Two commands of one stack share a task, and the last one stops it.
func TestClientsShareATask(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	first, second := a.open(t, host, port), a.open(t, host, port)
	c := dial(t, second)
	if got := a.running(); len(got) != 1 || len(a.started) != 1 {
		t.Fatalf("tasks %v of %v", got, a.started)
	}
	first.Close()
	if got := a.running(); len(got) != 1 {
		t.Error("a task that is used was stopped")
	}
	if err := said(c, 10); err != nil {
		t.Error(err)
	}
	second.Close()
	if got := a.running(); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	if got := a.Running(); len(got) != 0 {
		t.Errorf("sessions left behind: %v", got)
	}
	if _, err := second.DialContext(t.Context(), "tcp", second.Address()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("a closed session dials: %v", err)
	}
}

// What an old agent has is said before anything is sent through it, and its task does not stay.
func TestClientRefusesAnOldAgent(t *testing.T) {
	a := newAccount(t, ssm.Options{AgentVersion: "3.0.196.0"})
	host, port := echo(t)
	if _, err := a.try(t, host, port); err == nil || !strings.Contains(err.Error(), "3.0.196.0") {
		t.Errorf("an old agent: %v", err)
	}
	if got := a.running(); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

// A client that is killed tells nobody. The agent sees it within a minute and ends its connections, so that a database ends
// the transactions and locks of the dead.
func TestAgentSeesThatItsClientIsDead(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	t.Parallel()
	a := newAccount(t, ssm.Options{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	host, port, _ := net.SplitHostPort(l.Addr().String())
	s := a.open(t, host, port)
	dial(t, s)
	theirs, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	a.dead = true // from now on the service hears nothing of the client
	a.mu.Unlock()
	a.Drop(a.Running()[0])
	defer func() { // so that the client can close
		a.mu.Lock()
		a.dead = false
		a.mu.Unlock()
	}()
	theirs.SetReadDeadline(time.Now().Add(80 * time.Second))
	began := time.Now()
	if _, err := theirs.Read(make([]byte, 1)); err != io.EOF {
		t.Fatalf("the database's end of a dead client's connection: %v", err)
	}
	t.Logf("the dead was seen after %s", time.Since(began).Round(time.Second))
	eventually(t, "its session ends", func() bool { return len(a.Running()) == 0 })
}

// start starts a task and a session, and opens nothing.
func (a *account) start(t *testing.T, host, port string) ssm.Stream {
	t.Helper()
	ran, err := a.ecs("RunTask", []byte(`{"enableExecuteCommand":true}`))
	if err != nil {
		t.Fatal(err)
	}
	arn := ran.(map[string]any)["tasks"].([]any)[0].(map[string]any)["taskArn"].(string)
	in := request(host, port)
	in["Target"] = "ecs:here_" + arn[strings.LastIndexByte(arn, '/')+1:] + "_run1"
	body, _ := json.Marshal(in)
	out, _, err := a.Call(t.Context(), "StartSession", body, "ws"+strings.TrimPrefix(a.url, "http"))
	if err != nil {
		t.Fatal(err)
	}
	return out.(ssm.Stream)
}

// A channel is taken by its token, once.
func TestTokens(t *testing.T) {
	a := newAccount(t, ssm.Options{})
	host, port := echo(t)
	stream := a.start(t, host, port)
	open := func(url string, first any) error {
		conn, _, err := websocket.Dial(t.Context(), url, nil)
		if err != nil {
			return err
		}
		defer conn.CloseNow()
		if err := wsjson.Write(t.Context(), conn, first); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, _, err = conn.Read(ctx)
		return err
	}
	input := func(token string) datachannel.OpenInput {
		return datachannel.OpenInput{MessageSchemaVersion: "1.0", RequestID: "r", ClientID: "c", ClientVersion: "1.2.331.0", TokenValue: token}
	}
	for name, first := range map[string]any{"another token": input("guessed"), "no token": input(""), "no OpenDataChannel": map[string]string{"hello": "world"}} {
		if err := open(stream.StreamURL, first); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := open(strings.Replace(stream.StreamURL, stream.SessionID, "another", 1), input(stream.TokenValue)); err == nil {
		t.Error("another session is opened by this one's token")
	}
	if err := open(stream.StreamURL, input(stream.TokenValue)); err != nil {
		t.Errorf("the right token: %v", err)
	}
	if err := open(stream.StreamURL, input(stream.TokenValue)); websocket.CloseStatus(err) != websocket.StatusPolicyViolation {
		t.Errorf("the right token, again: %v", err)
	}
}
