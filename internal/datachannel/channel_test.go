package datachannel_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"plan-charge/internal/datachannel"
)

// pipe is a link in memory. Disturb says how often each message arrives and whether after the one that follows it.
type pipe struct {
	in, out chan []byte
	closed  chan struct{}
	once    *sync.Once
	disturb func(message []byte) (times int, late bool)
	held    [][]byte
}

// pipes are the two ends of a link; what goes either way is disturbed.
func pipes(disturb func([]byte) (int, bool)) (a, b *pipe) {
	there, back, closed, once := make(chan []byte, 64), make(chan []byte, 64), make(chan struct{}), &sync.Once{}
	return &pipe{in: back, out: there, closed: closed, once: once, disturb: disturb},
		&pipe{in: there, out: back, closed: closed, once: once, disturb: disturb}
}

func straight([]byte) (int, bool) { return 1, false }

func (p *pipe) Read(ctx context.Context) ([]byte, error) {
	select {
	case m := <-p.in:
		return m, nil
	case <-p.closed:
		return nil, io.ErrUnexpectedEOF
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipe) Write(ctx context.Context, m []byte) error {
	times, late := p.disturb(m)
	if late {
		p.held = append(p.held, m)
		return nil
	}
	queue := [][]byte{}
	for range times {
		queue = append(queue, m)
	}
	queue = append(queue, p.held...)
	p.held = nil
	for _, m := range queue {
		select {
		case p.out <- m:
		case <-p.closed:
			return io.ErrClosedPipe
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (p *pipe) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// serve carries both ends over a link until the test is over.
func serve(t *testing.T, a, b *datachannel.Channel, disturb func([]byte) (int, bool)) (cut func()) {
	t.Helper()
	x, y := pipes(disturb)
	var wg sync.WaitGroup
	wg.Go(func() { a.Serve(t.Context(), x) })
	wg.Go(func() { b.Serve(t.Context(), y) })
	cut = func() { x.Close(); wg.Wait() }
	t.Cleanup(cut)
	return cut
}

// transfer sends bytes from one end to the other and compares them.
func transfer(t *testing.T, from, to *datachannel.Channel, size int) {
	t.Helper()
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	go from.Write(data)
	got := make([]byte, size)
	if _, err := io.ReadFull(to, got); err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(got) != sha256.Sum256(data) {
		t.Error("what arrived differs from what was sent")
	}
}

func TestStream(t *testing.T) {
	client, agent := datachannel.New(datachannel.Client), datachannel.New(datachannel.Agent)
	serve(t, client, agent, straight)
	transfer(t, client, agent, 3<<20)
	transfer(t, agent, client, 3<<20)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := agent.Flush(ctx); err != nil {
		t.Error("not everything is acknowledged:", err)
	}
}

// Messages are lost, repeated and overtake each other, acknowledgements among them, and a few are damaged.
func TestStreamIsWholeWhateverHappensToMessages(t *testing.T) {
	client, agent := datachannel.New(datachannel.Client), datachannel.New(datachannel.Agent)
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(1, 2))
	lost := 0
	serve(t, client, agent, func(m []byte) (int, bool) {
		mu.Lock()
		defer mu.Unlock()
		switch n := dice.IntN(100); {
		case n == 0 && lost < 5: // each costs the time until it is sent again
			lost++
			return 0, false
		case n < 10:
			return 2, false
		case n < 30:
			return 1, true
		}
		return 1, false
	})
	transfer(t, client, agent, 1<<20)
	transfer(t, agent, client, 1<<20)
	if lost == 0 {
		t.Error("nothing was lost, so nothing was tested")
	}
}

// A link that breaks loses what was on it, and the next one carries on.
func TestStreamOutlivesItsLinks(t *testing.T) {
	client, agent := datachannel.New(datachannel.Client), datachannel.New(datachannel.Agent)
	const size = 1 << 20
	data := bytes.Repeat([]byte("0123456789abcdef"), size/16)
	go client.Write(data)
	got := make([]byte, size)
	for at := 0; at < size; at += size / 8 {
		cut := serve(t, client, agent, straight)
		if _, err := io.ReadFull(agent, got[at:at+size/8]); err != nil {
			t.Fatal(err)
		}
		cut()
	}
	if !bytes.Equal(got, data) {
		t.Error("what arrived differs from what was sent")
	}
}

// While the service says to pause nothing is sent; afterwards everything is.
func TestPause(t *testing.T) {
	client := datachannel.New(datachannel.Client)
	x, y := pipes(straight)
	go client.Serve(t.Context(), x)
	tell := func(kind string) {
		f := datachannel.Frame{Type: kind}
		if err := y.Write(t.Context(), f.Marshal()); err != nil {
			t.Fatal(err)
		}
	}
	next := func() (string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		m, err := y.Read(ctx)
		if err != nil {
			return "", err
		}
		f, err := datachannel.Parse(m)
		if err != nil {
			return "", err
		}
		return string(f.Payload), nil
	}
	client.Write([]byte("one"))
	if got, err := next(); got != "one" {
		t.Fatal(got, err)
	}
	tell(datachannel.PausePublication)
	// Data of the agent would lift the pause, so an acknowledgement shows that the pause was read.
	ack := datachannel.Frame{Type: datachannel.Acknowledge, Payload: []byte(`{"AcknowledgedMessageSequenceNumber":0}`)}
	y.Write(t.Context(), ack.Marshal())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := client.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	client.Write([]byte("two"))
	select {
	case m := <-y.in:
		t.Errorf("sent during a pause: %q", m)
	case <-time.After(300 * time.Millisecond): // longer than it takes to look
	}
	tell(datachannel.StartPublication)
	if got, err := next(); got != "two" {
		t.Error(got, err)
	}
}

// What was lost with a link is sent at once on the next one, and not piece by piece as it becomes overdue.
func TestLostMessagesAreSentAtOnceOnTheNextLink(t *testing.T) {
	client := datachannel.New(datachannel.Client)
	const lost = 20
	client.Write(make([]byte, lost*datachannel.PayloadSize))
	for range 2 { // nothing is acknowledged on either link
		x, y := pipes(straight)
		served := make(chan error, 1)
		go func() { served <- client.Serve(t.Context(), x) }()
		for want := range int64(lost) {
			m, err := y.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if f, err := datachannel.Parse(m); err != nil || f.Sequence != want {
				t.Fatalf("message %d is sent as %+v, %v", want, f, err)
			}
		}
		y.Close()
		<-served
	}
}

// However often messages are repeated, they take no room.
func TestRepeatedMessagesTakeNoRoom(t *testing.T) {
	client, agent := datachannel.New(datachannel.Client), datachannel.New(datachannel.Agent)
	serve(t, client, agent, func([]byte) (int, bool) { return 2, false })
	transfer(t, client, agent, 11_000*datachannel.PayloadSize) // more than is kept
}

// A reader that does not come holds up its sender, and neither memory nor the other direction.
func TestSlowReaderHoldsUpNobodyElse(t *testing.T) {
	client, agent := datachannel.New(datachannel.Client), datachannel.New(datachannel.Agent)
	serve(t, client, agent, straight)
	const messages, kept = 12_000, 10_000
	var sent atomic.Int64
	go func() {
		for range messages {
			client.Write(make([]byte, datachannel.PayloadSize))
			sent.Add(1)
		}
	}()
	for sent.Load() < kept {
		time.Sleep(10 * time.Millisecond)
	}
	transfer(t, agent, client, 1<<20)
	time.Sleep(300 * time.Millisecond) // the rest would be sent in less
	if got := sent.Load(); got > kept+600 {
		t.Errorf("%d messages were sent to a reader that does not come", got)
	}
	if _, err := io.CopyN(io.Discard, agent, messages*datachannel.PayloadSize); err != nil {
		t.Error(err)
	}
}

func TestEnds(t *testing.T) {
	client, agent := datachannel.New(datachannel.Client), datachannel.New(datachannel.Agent)
	serve(t, client, agent, straight)
	var flags []datachannel.Flag
	client.OnFlag = func(f datachannel.Flag) { flags = append(flags, f) }
	agent.Write([]byte("last words"))
	agent.Send(datachannel.FlagPayload, datachannel.ConnectToPortError.Bytes())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := agent.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	agent.Announce(datachannel.Closing{Output: "enough"})
	got, err := io.ReadAll(client)
	if string(got) != "last words" || err != nil || len(flags) != 1 || flags[0] != datachannel.ConnectToPortError {
		t.Errorf("read %q, %v, and flags %v", got, err, flags)
	}
	var closed *datachannel.ClosedError
	if !errors.As(client.Err(), &closed) || closed.Output != "enough" {
		t.Errorf("the client's error is %v", client.Err())
	}
	if err := client.Send(datachannel.Output, nil); err == nil {
		t.Error("a closed channel takes messages")
	}
	if err := agent.Serve(t.Context(), &pipe{closed: make(chan struct{}), once: &sync.Once{}}); !errors.Is(err, datachannel.ErrClosed) {
		t.Errorf("a closed channel is served: %v", err)
	}
}

// Whatever arrives, it does not end the program, nor is a message taken twice.
func FuzzAccept(f *testing.F) {
	f.Add([]byte{0, 1, 2, 1, 0, 3, 255})
	f.Fuzz(func(t *testing.T, sequences []byte) {
		client := datachannel.New(datachannel.Client)
		x, y := pipes(straight)
		done := make(chan error, 1)
		go func() { done <- client.Serve(t.Context(), x) }()
		go func() {
			for { // its acknowledgements
				if _, err := y.Read(t.Context()); err != nil {
					return
				}
			}
		}()
		seen, want := map[byte]bool{}, int64(0)
		for _, n := range sequences {
			frame := datachannel.Frame{Type: datachannel.OutputData, Sequence: int64(n), PayloadType: datachannel.Output, Payload: []byte{n}}
			y.Write(t.Context(), frame.Marshal())
			seen[n] = true
		}
		for seen[byte(want)] && want < 256 {
			want++
		}
		closing := datachannel.Frame{Type: datachannel.ChannelClosed, Payload: []byte(`{}`)}
		y.Write(t.Context(), closing.Marshal())
		got, err := io.ReadAll(client)
		<-done
		if err != nil || int64(len(got)) != want {
			t.Fatalf("of %v read %v, %v; want %d bytes", sequences, got, err, want)
		}
		for i, b := range got {
			if int(b) != i {
				t.Fatalf("of %v read %v", sequences, got)
			}
		}
	})
}

func TestFlags(t *testing.T) {
	if f, ok := datachannel.ParseFlag(datachannel.TerminateSession.Bytes()); !ok || f != datachannel.TerminateSession {
		t.Error(f, ok)
	}
	if _, ok := datachannel.ParseFlag(binary.BigEndian.AppendUint16(nil, 2)); ok {
		t.Error("two bytes are taken for a flag")
	}
}
