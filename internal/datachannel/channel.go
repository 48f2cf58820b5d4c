package datachannel

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/google/uuid"
)

// Link carries messages, such as one websocket. Read and Write may be called at the same time, each by one caller.
type Link interface {
	Read(ctx context.Context) ([]byte, error)
	Write(ctx context.Context, message []byte) error
	io.Closer
}

// Side is which end of a channel this is.
type Side int

// The ends of a channel.
const (
	Client Side = iota
	Agent
)

const (
	// PayloadSize is how many bytes of the stream one message carries, as AWS's own ends do.
	PayloadSize = 1024
	// window is how many messages may be on their way. AWS's ends know no bound and drop what does not fit.
	window = 512
	// room is how many messages are kept until they are read. A sender that knows our window never fills it.
	room = 10_000
	// Patience is how long a message may stay without an acknowledgement (AWS's plugin: 5 minutes).
	Patience = 5 * time.Minute
)

// tick is how often is looked whether something has to be repeated; repeatAfter when for the first time, doubled each time
// up to repeatMost.
const (
	tick        = 100 * time.Millisecond
	repeatAfter = time.Second
	repeatMost  = 8 * time.Second
)

// ErrClosed is what is wrong with a channel that this end has closed.
var ErrClosed = errors.New("the channel is closed")

// ClosedError says that the other end, or the service, has closed the channel.
type ClosedError struct{ Output string }

func (e *ClosedError) Error() string {
	if e.Output == "" {
		return "the session was ended by the other side"
	}
	return "the session was ended by the other side: " + e.Output
}

// Message is what arrived, in its order.
type Message struct {
	PayloadType PayloadType
	Payload     []byte
}

// Channel is one end of a data channel. It outlives its links: what was not acknowledged is sent again on the next one.
type Channel struct {
	side     Side
	patience time.Duration

	mu      sync.Mutex
	changed sync.Cond
	err     error // why it is of no use any more
	linked  bool  // a link is served
	paused  bool

	next   int64       // sequence number of the next message sent
	out    []*outgoing // on their way, the oldest first
	unsent int         // index in out of the first that this link has not carried
	ready  [][]byte    // messages without a number of their own, such as acknowledgements: they go first

	expected int64             // sequence number of the next message received
	early    map[int64]Message // received before their turn
	inbox    []Message

	rest []byte // of the message that Read has begun
	// OnFlag gets the flags that Read comes across. Set it before the first Read.
	OnFlag func(Flag)
}

type outgoing struct {
	sequence int64
	data     []byte
	first    time.Time // sent for the first time; zero: not yet
	sent     time.Time
	again    time.Duration // after which it is repeated
	acked    bool
}

// New makes a channel without a link.
func New(side Side) *Channel {
	c := &Channel{side: side, patience: Patience, early: map[int64]Message{}, OnFlag: func(Flag) {}}
	c.changed.L = &c.mu
	return c
}

// sends and receives are the types of this side's and of the other side's data.
func (c *Channel) sends() string {
	if c.side == Agent {
		return OutputData
	}
	return InputData
}

func (c *Channel) receives() string {
	if c.side == Agent {
		return InputData
	}
	return OutputData
}

// Serve carries the channel over a link until that fails, the channel ends or ctx does, and closes the link. An error that
// says that the channel itself has ended is Err's, too; after any other it can be served over another link.
func (c *Channel) Serve(ctx context.Context, link Link) error {
	c.mu.Lock()
	if c.err != nil {
		defer c.mu.Unlock()
		link.Close()
		return c.err
	}
	c.linked, c.paused, c.unsent, c.ready = true, false, 0, nil
	c.changed.Broadcast()
	c.mu.Unlock()

	ctx, cancel := context.WithCancelCause(ctx)
	// What wakes the writer, so that it sees the time pass and the end of ctx.
	stop := context.AfterFunc(ctx, c.wake)
	defer stop()
	var wg sync.WaitGroup
	wg.Go(func() { cancel(c.write(ctx, link)) })
	wg.Go(func() { cancel(c.read(ctx, link)) })
	wg.Go(func() { c.beat(ctx) })
	<-ctx.Done()
	link.Close()
	wg.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.linked = false
	if c.err != nil {
		return c.err
	}
	return context.Cause(ctx)
}

func (c *Channel) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changed.Broadcast()
}

func (c *Channel) beat(ctx context.Context) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			c.wake()
		}
	}
}

// Fail ends the channel for both directions; the first reason stays. What has arrived can still be received.
func (c *Channel) Fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	c.changed.Broadcast()
}

// Close ends the channel.
func (c *Channel) Close() error {
	c.Fail(ErrClosed)
	return nil
}

// Announce tells the other side, where a link is there, that the session has ended and why, and closes the channel. The
// service does so.
func (c *Channel) Announce(closing Closing) {
	closing.MessageType, closing.SchemaVersion = ChannelClosed, schema
	c.announce(ChannelClosed, closing)
	c.Fail(ErrClosed)
}

// Publish tells the other side to send (again) or to pause. The service does so.
func (c *Channel) Publish(kind string) { c.announce(kind, struct{}{}) }

func (c *Channel) announce(kind string, value any) {
	payload, err := json.Marshal(value)
	if err != nil {
		panic(err) // strings and numbers
	}
	f := Frame{Type: kind, Created: time.Now(), ID: uuid.New(), Payload: payload}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.linked {
		c.ready = append(c.ready, f.Marshal())
	}
	c.changed.Broadcast()
}

// Err is why the channel has ended; nil while it has not.
func (c *Channel) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// ---- sending

// Send hands over one message. It waits while too many are on their way.
func (c *Channel) Send(kind PayloadType, payload []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && len(c.out) >= window {
		c.changed.Wait()
	}
	if c.err != nil {
		return c.err
	}
	f := Frame{Type: c.sends(), Created: time.Now(), Sequence: c.next, ID: uuid.New(), PayloadType: kind, Payload: payload}
	if c.next == 0 {
		f.Flags = flagSyn
	}
	c.out = append(c.out, &outgoing{sequence: c.next, data: f.Marshal(), again: repeatAfter})
	c.next++
	c.changed.Broadcast()
	return nil
}

// SendJSON hands over a message whose payload is JSON.
func (c *Channel) SendJSON(kind PayloadType, value any) error {
	payload, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return c.Send(kind, payload)
}

// Write sends bytes of the stream.
func (c *Channel) Write(p []byte) (int, error) {
	for n := 0; n < len(p); n += PayloadSize {
		if err := c.Send(Output, bytes.Clone(p[n:min(n+PayloadSize, len(p))])); err != nil {
			return n, err
		}
	}
	return len(p), nil
}

// Flush waits until everything that was sent is acknowledged, the channel ends or ctx does.
func (c *Channel) Flush(ctx context.Context) error {
	defer context.AfterFunc(ctx, c.wake)()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.err == nil && len(c.out) > 0 && ctx.Err() == nil {
		c.changed.Wait()
	}
	if len(c.out) == 0 {
		return nil
	}
	return errors.Join(c.err, ctx.Err())
}

// write is the one place that writes to the link, so that a full network holds up neither reading nor acknowledging.
func (c *Channel) write(ctx context.Context, link Link) error {
	for {
		data, err := c.take(ctx)
		if err != nil {
			return err
		}
		if err := link.Write(ctx, data); err != nil {
			return err
		}
	}
}

// take waits for the next message to write: an acknowledgement, a new message or one to be repeated.
func (c *Channel) take(ctx context.Context) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if len(c.ready) > 0 {
			data := c.ready[0]
			c.ready = c.ready[1:]
			return data, nil
		}
		if c.err != nil {
			return nil, c.err
		}
		now := time.Now()
		if !c.paused && c.unsent < len(c.out) {
			o := c.out[c.unsent]
			c.unsent++
			if o.acked {
				continue
			}
			o.sent = now
			if o.first.IsZero() {
				o.first = now
			}
			return o.data, nil
		}
		if o := c.overdue(now); o != nil {
			if now.Sub(o.first) > c.patience {
				c.err = fmt.Errorf("the other side has acknowledged nothing for %s", c.patience)
				c.changed.Broadcast()
				continue
			}
			o.sent, o.again = now, min(2*o.again, repeatMost)
			return o.data, nil
		}
		c.changed.Wait()
	}
}

// overdue is the oldest message, if it was sent and waits for its acknowledgement too long. c.mu is held.
func (c *Channel) overdue(now time.Time) *outgoing {
	if c.paused || len(c.out) == 0 || c.unsent == 0 || now.Sub(c.out[0].sent) < c.out[0].again {
		return nil
	}
	return c.out[0]
}

// acknowledge is the message that says that f has arrived.
func (f *Frame) acknowledge() []byte {
	payload, err := json.Marshal(acknowledgement{f.Type, f.ID.String(), f.Sequence, true})
	if err != nil {
		panic(err) // strings and numbers
	}
	ack := Frame{Type: Acknowledge, Created: time.Now(), Flags: flagAck, ID: uuid.New(), Payload: payload}
	return ack.Marshal()
}

// ---- receiving

func (c *Channel) read(ctx context.Context, link Link) error {
	for {
		data, err := link.Read(ctx)
		if err != nil {
			return err
		}
		f, err := Parse(data)
		if err != nil {
			continue // it is not acknowledged, so it comes again
		}
		if err := c.accept(f); err != nil {
			return err
		}
	}
}

// accept takes in one message. An error ends the channel.
func (c *Channel) accept(f *Frame) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer c.changed.Broadcast()
	switch f.Type {
	case Acknowledge:
		var ack acknowledgement
		if json.Unmarshal(f.Payload, &ack) == nil {
			c.acknowledged(ack.Sequence)
		}
	case PausePublication:
		c.paused = true
	case StartPublication:
		if c.paused { // what was sent last may have met nobody
			c.unsent = 0
		}
		c.paused = false
	case ChannelClosed:
		var closing Closing
		_ = json.Unmarshal(f.Payload, &closing) // the reason is for people only
		if c.err == nil {
			c.err = &ClosedError{closing.Output}
		}
		return c.err
	case c.receives():
		c.paused = false // who sends is there
		c.receive(f)
	}
	return nil
}

// acknowledged drops a message that has arrived. c.mu is held.
func (c *Channel) acknowledged(sequence int64) {
	if len(c.out) == 0 || sequence < c.out[0].sequence || sequence > c.out[len(c.out)-1].sequence {
		return
	}
	c.out[sequence-c.out[0].sequence].acked = true
	n := 0
	for n < len(c.out) && c.out[n].acked {
		n++
	}
	c.out = c.out[n:]
	c.unsent = max(0, c.unsent-n)
}

// receive takes in one message of data: once, and in its turn. c.mu is held.
func (c *Channel) receive(f *Frame) {
	if f.Sequence >= c.expected {
		if len(c.inbox)+len(c.early) >= room {
			return // not acknowledged, so it comes again
		}
		c.early[f.Sequence] = Message{f.PayloadType, f.Payload}
	}
	c.ready = append(c.ready, f.acknowledge())
	for {
		m, ok := c.early[c.expected]
		if !ok {
			return
		}
		delete(c.early, c.expected)
		c.inbox = append(c.inbox, m)
		c.expected++
	}
}

// Receive waits for the next message. What arrived before the channel ended is still given out.
func (c *Channel) Receive(ctx context.Context) (Message, error) {
	defer context.AfterFunc(ctx, c.wake)()
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(c.inbox) == 0 {
		if c.err != nil {
			return Message{}, c.err
		}
		if ctx.Err() != nil {
			return Message{}, context.Cause(ctx)
		}
		c.changed.Wait()
	}
	m := c.inbox[0]
	c.inbox = c.inbox[1:]
	return m, nil
}

// Read receives bytes of the stream. Of an end by either side it says io.EOF.
func (c *Channel) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		m, err := c.Receive(context.Background())
		var closed *ClosedError
		switch {
		case errors.As(err, &closed), errors.Is(err, ErrClosed):
			return 0, io.EOF
		case err != nil:
			return 0, err
		case m.PayloadType == Output:
			c.rest = m.Payload
		case m.PayloadType == FlagPayload:
			if f, ok := ParseFlag(m.Payload); ok {
				c.OnFlag(f)
			}
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}
