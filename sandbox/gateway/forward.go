package gateway

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"
)

// awayTimeout is how long a call waits for an emulator that is being started again.
const awayTimeout = 30 * time.Second

// errLost says that the emulator answered and that its client must not get to know.
var errLost = errors.New("the answer is lost")

// pass hands a call on to the emulator, and its answer back with what it needs to be AWS's.
func (g *Gateway) pass(w http.ResponseWriter, r *http.Request, c *call, fault string) {
	proxy := httputil.ReverseProxy{
		Transport: &patient{g.forward, c},
		ErrorLog:  slog.NewLogLogger(g.opt.Log.Handler(), slog.LevelDebug),
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host, p.Out.URL.RawQuery = g.upstream.Scheme, g.upstream.Host, p.In.URL.RawQuery
			p.Out.ContentLength, p.Out.TransferEncoding = int64(len(c.body)), nil // it was read to its end
			p.Out.Header.Del("Expect")
		},
		ModifyResponse: func(resp *http.Response) error {
			resp.Header.Del("Date") // the gateway's own stands for AWS's clock
			after := g.after(c)
			if after == nil && fault == "" {
				unhurried(c, resp.ContentLength)
				return nil
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil {
				return err
			}
			answer := &response{status: resp.StatusCode, header: resp.Header, body: body}
			if after != nil {
				after(r.Context(), c, answer)
			}
			if fault == FaultLose {
				return errLost
			}
			unhurried(c, int64(len(answer.body)))
			resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(answer.body)), int64(len(answer.body))
			resp.Header.Set("Content-Length", strconv.Itoa(len(answer.body)))
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			switch {
			case errors.Is(err, errLost):
				cut(w)
			case r.Context().Err() == nil:
				g.opt.Log.Warn("the emulator did not answer", "service", c.service, "action", c.action, "error", err)
				c.failure(http.StatusServiceUnavailable, "ServiceUnavailable", "the AWS emulator did not answer: "+err.Error()).write(w)
			}
		},
	}
	proxy.ServeHTTP(w, r)
}

// patient repeats a call when the emulator was not reached, and when nothing can come of repeating it.
type patient struct {
	next http.RoundTripper
	call *call
}

func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	deadline := time.Now().Add(awayTimeout)
	for {
		out := r.WithContext(r.Context()) // a transport may change nothing of its request
		out.Body = io.NopCloser(bytes.NewReader(p.call.body))
		resp, err := p.next.RoundTrip(out)
		if err == nil {
			return resp, nil
		}
		var op *net.OpError
		unreached := errors.As(err, &op) && op.Op == "dial"
		if !unreached && !p.call.reads() || time.Now().After(deadline) {
			return nil, err
		}
		select {
		case <-r.Context().Done():
			return nil, err
		case <-time.After(200 * time.Millisecond):
		}
	}
}
