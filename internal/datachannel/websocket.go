package datachannel

import (
	"context"
	"fmt"
	"time"

	"github.com/coder/websocket"
)

// pingEvery is how often a websocket is asked whether it is alive (AWS's agent: 54 s), and how long it may take to answer.
const pingEvery = 30 * time.Second

// Websocket makes a Link of a connection. A connection that does not answer pings is closed.
func Websocket(conn *websocket.Conn) Link {
	conn.SetReadLimit(maxFrame)
	ctx, cancel := context.WithCancel(context.Background())
	l := &socket{conn: conn, stop: cancel}
	go l.ping(ctx)
	return l
}

type socket struct {
	conn *websocket.Conn
	stop context.CancelFunc
}

func (s *socket) ping(ctx context.Context) {
	t := time.NewTicker(pingEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		once, cancel := context.WithTimeout(ctx, pingEvery)
		err := s.conn.Ping(once)
		cancel()
		if err != nil {
			_ = s.conn.CloseNow() // the reader says so
			return
		}
	}
}

func (s *socket) Read(ctx context.Context) ([]byte, error) {
	_, data, err := s.conn.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("data channel: %w", err)
	}
	return data, nil
}

func (s *socket) Write(ctx context.Context, message []byte) error {
	if err := s.conn.Write(ctx, websocket.MessageBinary, message); err != nil {
		return fmt.Errorf("data channel: %w", err)
	}
	return nil
}

// Close sends a close frame where it can, and waits for nobody.
func (s *socket) Close() error {
	s.stop()
	return s.conn.CloseNow()
}
