package edge_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"plan-charge/sandbox/edge"
)

// TestAnswersArePassedOnAsTheyCome: the second part comes only when the viewer has the first one.
func TestAnswersArePassedOnAsTheyCome(t *testing.T) {
	s := newSite(t)
	seen := make(chan struct{})
	s.origin.set(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "12") // without one it is a stream anyway
		io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		select {
		case <-seen:
			io.WriteString(w, "second")
		case <-r.Context().Done():
		}
	})
	resp, err := http.Get(s.base)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	part := make([]byte, len("first "))
	if _, err := io.ReadFull(resp.Body, part); err != nil {
		t.Fatal(err)
	}
	close(seen)
	if rest, err := io.ReadAll(resp.Body); err != nil || string(part)+string(rest) != "first second" {
		t.Errorf("%s%s, %v", part, rest, err)
	}
}

// TestContentTypeIsNotGuessed, neither of what is passed on nor of what was kept.
func TestContentTypeIsNotGuessed(t *testing.T) {
	s := newSite(t)
	for _, status := range []string{"200 OK", "500 No", "500 No"} {
		s.origin.set(raw(t, "HTTP/1.1 "+status+"\r\nContent-Length: 6\r\n\r\n<html>"))
		if g := s.get("/"); g.body != "<html>" || g.header.Get("Content-Type") != "" {
			t.Errorf("%s: %s as %q", status, g.body, g.header.Get("Content-Type"))
		}
	}
}

// TestOriginThatStopsHalfway: a viewer must see that the answer is not whole, and an error that is not is none to keep.
func TestOriginThatStopsHalfway(t *testing.T) {
	s := newSite(t, func(d *edge.Distribution) {
		o := d.Origins["lb"]
		o.ReadTimeout = 100 * time.Millisecond
		d.Origins["lb"] = o
	})
	half := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			answer(status, nil, "half")(w, r)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}
	}
	s.origin.set(half(200))
	resp, err := http.Get(s.base)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err == nil {
		t.Errorf("%q was taken for the whole answer", body)
	}
	s.origin.set(half(500))
	if g := s.get("/"); g.status != 504 || strings.Contains(g.body, "half") {
		t.Errorf("half an error: %d %s", g.status, g.body)
	}
}

// TestSlowIsNotSilent: what goes to the origin or comes from it counts as life, however long it takes in all.
func TestSlowIsNotSilent(t *testing.T) {
	t.Parallel()
	const limit = time.Second
	s := newSite(t, func(d *edge.Distribution) {
		o := d.Origins["lb"]
		o.ReadTimeout = limit
		d.Origins["lb"] = o
	})
	slowly := func(w io.Writer) {
		part := make([]byte, 64<<10)
		for began := time.Now(); time.Since(began) < limit*3/2; time.Sleep(limit / 20) {
			w.Write(part)
		}
	}
	s.origin.set(func(w http.ResponseWriter, _ *http.Request) { slowly(w) })
	in, out := io.Pipe()
	go func() {
		slowly(out)
		out.Close()
	}()
	resp, err := http.Post(s.base, "text/plain", in)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 200 {
		t.Errorf("%d, %v; want 200 and the whole answer", resp.StatusCode, err)
	}
}

// TestLargeErrorIsPassedOn makes sure that an error too large to be kept comes whole, and from the origin each time.
func TestLargeErrorIsPassedOn(t *testing.T) {
	s := newSite(t)
	const size = 16<<20 + 100
	s.origin.set(answer(500, nil, strings.Repeat("x", size)))
	for range 2 {
		if g := s.get("/"); g.status != 500 || g.cached() || len(g.body) != size {
			t.Errorf("%d, %d bytes, Age %q", g.status, len(g.body), g.header.Get("Age"))
		}
	}
}
