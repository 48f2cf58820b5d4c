package ssm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/xtaci/smux"

	"plan-charge/internal/datachannel"
)

// Versions at which client and agent behave differently (agent/session/plugins/port and src/version of AWS's sources).
const (
	muxSinceClient       = "1.1.70.0"
	muxAfterAgent        = "3.0.196.0"
	noKeepAliveAfter     = "1.2.331.0" // of clients: the agent looks no longer whether they live
	handshakeTimeout     = time.Minute
	errorConnect         = "Unable to connect to specified port: %w"
	maxSequentialConnect = 20 * time.Second
)

// agent is the end of a data channel that is in the target.
type agent struct {
	channel    *datachannel.Channel
	version    string
	dial       func(ctx context.Context, address string) (net.Conn, error)
	host, port string
}

// errTerminated says that the client ended the session.
var errTerminated = errors.New("terminated by the client")

// run serves one session to its end. What it returns is told to the client.
func (a *agent) run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	client, err := a.handshake(ctx)
	if err != nil {
		return err
	}
	if compareVersions(a.version, muxAfterAgent) > 0 && compareVersions(client, muxSinceClient) >= 0 {
		err = a.multiplexed(ctx, cancel, compareVersions(client, noKeepAliveAfter) > 0)
	} else {
		err = a.basic(ctx)
	}
	if errors.Is(err, errTerminated) || errors.Is(context.Cause(ctx), errTerminated) {
		return nil
	}
	return err
}

// handshake agrees on the session's type and returns the client's version.
func (a *agent) handshake(ctx context.Context) (string, error) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	parameters, err := json.Marshal(datachannel.SessionType{
		SessionType: datachannel.PortSession,
		Properties:  datachannel.PortProperties{Host: a.host, PortNumber: a.port, Type: datachannel.LocalPortForwarding},
	})
	if err != nil {
		return "", err
	}
	err = a.channel.SendJSON(datachannel.HandshakeRequest, datachannel.Request{
		AgentVersion:           a.version,
		RequestedClientActions: []datachannel.Action{{ActionType: datachannel.ActionSessionType, ActionParameters: parameters}},
	})
	if err != nil {
		return "", err
	}
	var response datachannel.Response
	for {
		m, err := a.channel.Receive(ctx)
		if errors.Is(err, context.DeadlineExceeded) {
			return "", errors.New("Handshake timed out. Please ensure that you have the latest version of the session manager plugin.")
		}
		if err != nil {
			return "", err
		}
		if m.PayloadType != datachannel.HandshakeResponse {
			continue // the real agent drops data that comes too early, too
		}
		if err := json.Unmarshal(m.Payload, &response); err != nil {
			return "", err
		}
		break
	}
	for _, p := range response.ProcessedClientActions {
		if p.ActionStatus != datachannel.StatusSuccess {
			return "", fmt.Errorf("%s failed on client with status %d error: %s", p.ActionType, p.ActionStatus, p.Error)
		}
	}
	return response.ClientVersion, a.channel.SendJSON(datachannel.HandshakeComplete, datachannel.Complete{HandshakeTimeToComplete: time.Since(began)})
}

func (a *agent) connect(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, maxSequentialConnect)
	defer cancel()
	return a.dial(ctx, net.JoinHostPort(a.host, a.port))
}

// multiplexed serves a stream of the channel for each connection. The next one is connected when the one before is, as the
// real agent does.
func (a *agent) multiplexed(ctx context.Context, terminate context.CancelCauseFunc, quiet bool) error {
	a.channel.OnFlag = func(f datachannel.Flag) {
		if f == datachannel.TerminateSession {
			terminate(errTerminated)
		}
	}
	config := smux.DefaultConfig()
	config.KeepAliveDisabled = quiet
	mux, err := smux.Server(a.channel, config)
	if err != nil {
		return err
	}
	end := func() { _ = mux.Close() } // it may have ended before
	defer context.AfterFunc(ctx, end)()
	var streams sync.WaitGroup
	defer streams.Wait()
	defer end()
	for {
		stream, err := mux.AcceptStream()
		if err != nil {
			return fmt.Errorf("the client has gone: %w", err)
		}
		conn, err := a.connect(ctx)
		if err != nil {
			_ = a.channel.Send(datachannel.FlagPayload, datachannel.ConnectToPortError.Bytes()) // its end is seen above
			_ = stream.Close()                                                                  // the client may have gone
			continue
		}
		streams.Go(func() { join(stream, conn) })
	}
}

// join copies both ways. The end of one direction ends both, as in the real agent.
func join(a, b io.ReadWriteCloser) {
	var both sync.WaitGroup
	one := func(to, from io.ReadWriteCloser) {
		_, _ = io.Copy(to, from) // the other end sees what is wrong
		to.Close()
	}
	both.Go(func() { one(a, b) })
	both.Go(func() { one(b, a) })
	both.Wait()
}

// basic serves one connection after the other.
func (a *agent) basic(ctx context.Context) error {
	conn, err := a.connect(ctx)
	if err != nil {
		return fmt.Errorf(errorConnect, err)
	}
	pump := func(c net.Conn) {
		buf := make([]byte, datachannel.PayloadSize)
		for {
			n, err := c.Read(buf)
			if n > 0 && a.channel.Send(datachannel.Output, append([]byte(nil), buf[:n]...)) != nil || err != nil {
				return
			}
		}
	}
	go pump(conn)
	defer func() { conn.Close() }()
	connected := true
	for {
		m, err := a.channel.Receive(ctx)
		if err != nil {
			return err
		}
		switch m.PayloadType {
		case datachannel.Output:
			if !connected {
				if conn, err = a.connect(ctx); err != nil {
					return fmt.Errorf(errorConnect, err)
				}
				connected = true
				go pump(conn)
			}
			if _, err := conn.Write(m.Payload); err != nil {
				conn.Close()
				connected = false // the next bytes connect again
			}
		case datachannel.FlagPayload:
			switch f, _ := datachannel.ParseFlag(m.Payload); f {
			case datachannel.DisconnectToPort:
				conn.Close()
				connected = false
			case datachannel.TerminateSession:
				return errTerminated
			}
		}
	}
}

// compareVersions compares dotted numbers; what is missing or no number counts as 0.
func compareVersions(a, b string) int {
	x, y := strings.Split(a, "."), strings.Split(b, ".")
	for i := range max(len(x), len(y)) {
		if d := part(x, i) - part(y, i); d != 0 {
			return d
		}
	}
	return 0
}

func part(list []string, i int) int {
	if i >= len(list) {
		return 0
	}
	n, err := strconv.Atoi(list[i])
	if err != nil {
		return 0
	}
	return n
}
