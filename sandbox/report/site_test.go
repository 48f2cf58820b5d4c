package report

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestLoginAsABrowser(t *testing.T) {
	var got string
	edge := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = r.Method + " " + r.Host + r.URL.String() + " " + r.Header.Get("Content-Type") + " " + string(body)
		w.WriteHeader(400)
	}))
	s := &Status{Edge: edge.URL, Outputs: map[string]any{"siteUrl": "https://d1.cloudfront.net"}}
	code, text := s.Login(t.Context(), "?t=1", `{"token":"x"}`)
	if code != 400 || text != "400" {
		t.Errorf("%d %s", code, text)
	}
	if want := `POST d1.cloudfront.net` + LoginPath + `?t=1 application/json {"token":"x"}`; got != want {
		t.Errorf("the edge got  %s\nwant          %s", got, want)
	}
	edge.Close()
	if code, text := s.Login(t.Context(), "", "{}"); code != 0 || text == "0" || text == "" {
		t.Errorf("no answer: %d %q", code, text)
	}
}
