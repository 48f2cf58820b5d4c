package gateway

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// What a fault does to a call.
const (
	FaultReset = "reset" // the connection is cut, and the call not made
	FaultLose  = "lose"  // the call is made, and the connection cut before its answer
	FaultClock = "clock" // AWS's clock differs from the callers': stays until it is cleared, and meets every call
)

// clockTolerance is by how much a call's signing time may differ from AWS's clock (AWS General Reference, Signature Version 4).
const clockTolerance = 5 * time.Minute

// Fault is what happens to the next calls of an action.
type Fault struct {
	Service string `json:"service"` // signing name; empty: any
	Action  string `json:"action"`  // such as DescribeServices; empty: any
	Times   int    `json:"times"`   // how many calls; 0 means 1
	Kind    string `json:"kind"`
	Ahead   int    `json:"ahead"` // seconds, of FaultClock: how far AWS's clock is ahead; negative: behind
}

type faults struct {
	mu   sync.Mutex
	list []*Fault
}

// Inject adds a fault.
func (g *Gateway) Inject(f Fault) error {
	kinds := []string{FaultReset, FaultLose, FaultClock}
	if !slices.Contains(kinds, f.Kind) {
		return fmt.Errorf("fault kind %q: allowed are %s", f.Kind, strings.Join(kinds, ", "))
	}
	f.Times = max(1, f.Times)
	g.faults.mu.Lock()
	defer g.faults.mu.Unlock()
	g.faults.list = append(g.faults.list, &f)
	return nil
}

// take returns the kind of fault that a call meets, and counts it; empty for none.
func (f *faults) take(c *call) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, fault := range f.list {
		if fault.Kind == FaultClock || fault.Service != "" && fault.Service != c.service || fault.Action != "" && fault.Action != c.action {
			continue
		}
		if fault.Times--; fault.Times <= 0 {
			f.list = slices.Delete(f.list, i, i+1)
		}
		return fault.Kind
	}
	return ""
}

// ahead is how far AWS's clock is ahead of this machine's.
func (f *faults) ahead() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var sum time.Duration
	for _, fault := range f.list {
		if fault.Kind == FaultClock {
			sum += time.Duration(fault.Ahead) * time.Second
		}
	}
	return sum
}

// outOfTime refuses a call that was signed too far from AWS's clock, now, as AWS does; nil lets it pass.
func (c *call) outOfTime(signed string, now time.Time) *response {
	at, err := time.Parse("20060102T150405Z", signed)
	if err != nil || at.Sub(now).Abs() <= clockTolerance { // calls of the sandbox itself are not signed
		return nil
	}
	message := fmt.Sprintf("Signature expired: %s differs from AWS's clock, %s, by more than 5 min.", signed, now.UTC().Format("20060102T150405Z"))
	switch c.protocol {
	case jsonProtocol:
		return c.failure(http.StatusBadRequest, "InvalidSignatureException", message)
	case ec2Protocol:
		return c.failure(http.StatusUnauthorized, "AuthFailure", message)
	default:
		return c.failure(http.StatusForbidden, "SignatureDoesNotMatch", message)
	}
}

// cut closes the client's connection so that it sees a reset.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // the close below is then a reset
	}
	conn.Close()
}

// admin answers the sandbox's own questions.
func (g *Gateway) admin(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == callsPath || strings.HasPrefix(r.URL.Path, rightsPath) {
		g.access.admin(w, r)
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /_sandbox/faults":
		var f Fault
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		err := d.Decode(&f)
		if err == nil {
			err = g.Inject(f)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	case "DELETE /_sandbox/faults":
		g.faults.mu.Lock()
		defer g.faults.mu.Unlock()
		g.faults.list = nil
		w.WriteHeader(http.StatusNoContent)
	case "GET /_sandbox/services":
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(g.Services()) // a client that has gone needs no answer
	default:
		http.Error(w, "offered are POST and DELETE /_sandbox/faults, GET /_sandbox/services, "+rightsPath+"KEY and "+callsPath, http.StatusNotFound)
	}
}
