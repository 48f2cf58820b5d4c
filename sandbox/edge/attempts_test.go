package edge

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"testing"
	"time"
)

// onceBody is a request's body, which cannot be read any more once it is closed.
type onceBody struct {
	io.Reader
	closed bool
}

func (b *onceBody) Close() error {
	b.closed = true
	return nil
}

func (b *onceBody) Read(p []byte) (int, error) {
	if b.closed {
		return 0, http.ErrBodyReadAfterClose
	}
	return b.Reader.Read(p)
}

// TestBodyOutlivesAnAttempt: the origin starts only when the first attempt to connect has failed.
func TestBodyOutlivesAnAttempt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	failures := 0
	trace := &httptrace.ClientTrace{ConnectDone: func(network, _ string, err error) {
		if err == nil {
			return
		}
		failures++
		late := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }))
		late.Listener.Close()
		if late.Listener, err = net.Listen(network, addr); err != nil {
			t.Error(err)
			return
		}
		late.Start()
		t.Cleanup(late.Close)
	}}
	r := httptest.NewRequest("POST", "http://"+addr, &onceBody{Reader: strings.NewReader("payload")})
	transport := &originTransport{origin: Origin{Attempts: 2, ConnectTimeout: time.Second, ReadTimeout: time.Second}}
	resp, err := transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "payload" || failures != 1 {
		t.Errorf("%q, %v after %d failures, want the payload after 1", body, err, failures)
	}
}
