package edge_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestHeadersOfOneConnection: what is about one connection goes no further, in either direction, and neither does what
// the Connection header names.
func TestHeadersOfOneConnection(t *testing.T) {
	hop := []string{
		"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Upgrade", "X-Hop", "X-Hop-Too",
		"X-Forwarded-Host",
	}
	set := func(h http.Header) {
		for _, name := range hop {
			h.Set(name, "hop")
		}
		h.Set("Te", "trailers")
		h["Connection"] = []string{"x-hop, Upgrade", "X-Hop-Too,X-Forwarded-Host"}
		h.Set("X-End", "kept")
	}
	for _, status := range []int{200, 500} {
		s := newSite(t)
		var text strings.Builder
		fmt.Fprintf(&text, "HTTP/1.1 %d X\r\nContent-Length: 0\r\n", status)
		header := http.Header{}
		set(header)
		header.Write(&text)
		s.origin.set(raw(t, text.String()+"\r\n"))
		for _, method := range []string{"GET", "POST"} {
			header := http.Header{}
			set(header)
			g := s.send(method, "/", "", header)
			r, _ := s.origin.seen()
			if own := r.Header.Get("Connection"); own != "close" {
				t.Errorf("%s %d: the origin got Connection: %q, want the edge's own, which is for one request", method, status, own)
			}
			r.Header.Del("Connection")
			for side, header := range map[string]http.Header{"origin": r.Header, "viewer": g.header} {
				for _, name := range hop {
					if got, found := header[name]; found {
						t.Errorf("%s %d: the %s got %s: %q", method, status, side, name, got)
					}
				}
				if header.Get("X-End") != "kept" {
					t.Errorf("%s %d: the %s did not get X-End: %v", method, status, side, header)
				}
			}
		}
	}
}
