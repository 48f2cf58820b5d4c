package gateway

import (
	"encoding/json"
	"os"
	"sync"
	"time"
)

// Call is one recorded AWS call. Nothing of its content is kept.
type Call struct {
	Time         time.Time `json:"time"`
	Service      string    `json:"service"`
	Action       string    `json:"action"`
	Resource     string    `json:"resource,omitempty"`
	Status       int       `json:"status"` // 0: the connection was cut
	Milliseconds int64     `json:"ms"`
}

// maxRecorded bounds the calls that are kept in memory.
const maxRecorded = 20000

// recorder keeps calls in memory for Calls and appends them to a file.
type recorder struct {
	mu    sync.Mutex
	file  *os.File
	calls []Call
}

func newRecorder(path string) (*recorder, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	return &recorder{file: f}, nil
}

func (r *recorder) add(c Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.calls) >= maxRecorded {
		r.calls = append(r.calls[:0], r.calls[maxRecorded/2:]...)
	}
	r.calls = append(r.calls, c)
	if line, err := json.Marshal(c); err == nil {
		_, _ = r.file.Write(append(line, '\n')) // a full disk must not stop the call itself
	}
}

func (r *recorder) close() error { return r.file.Close() }

// Calls returns what was called since the gateway started, oldest first.
func (g *Gateway) Calls() []Call {
	g.calls.mu.Lock()
	defer g.calls.mu.Unlock()
	return append([]Call(nil), g.calls.calls...)
}
