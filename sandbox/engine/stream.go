package engine

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	stdoutFrame = 1
	// pollLog is how often a followed log file is looked at: files do not tell that they grew.
	pollLog = 50 * time.Millisecond
)

// writeFrame writes one frame of Docker's multiplexed stream: kind, three zeros, length, content.
func writeFrame(w io.Writer, kind byte, p []byte) error {
	header := [8]byte{kind}
	binary.BigEndian.PutUint32(header[4:], uint32(len(p)))
	if _, err := w.Write(append(header[:], p...)); err != nil {
		return err
	}
	return nil
}

// logs sends the log, and with follow goes on until the container has exited.
func (e *Engine) logs(w http.ResponseWriter, r *http.Request) error {
	c, err := e.container(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	follow := q.Get("follow") == "1" || strings.EqualFold(q.Get("follow"), "true")
	f, err := os.Open(c.logPath())
	if os.IsNotExist(err) && follow {
		f, err = os.OpenFile(c.logPath(), os.O_CREATE|os.O_RDONLY, 0o600)
	}
	w.Header().Set("Content-Type", "application/vnd.docker.multiplexed-stream")
	w.WriteHeader(http.StatusOK)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return nil // the status is sent; an empty log is the best there is
	}
	defer f.Close()
	if lines, err := strconv.Atoi(q.Get("tail")); err == nil && lines >= 0 {
		if err := seekTail(f, lines); err != nil {
			return nil
		}
	}
	flush := func() {
		if fl, ok := w.(http.Flusher); ok {
			fl.Flush()
		}
	}
	buf := make([]byte, 32<<10)
	for {
		// Asked before reading: what a process wrote before it ended must not be missed.
		s := c.snapshot()
		over := s.Begun && !s.Running
		for {
			n, err := f.Read(buf)
			if n > 0 {
				if err := writeFrame(w, stdoutFrame, buf[:n]); err != nil {
					return nil
				}
			}
			if err != nil {
				break
			}
		}
		flush()
		if !follow || over || e.find(c.record.ID) == nil {
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-time.After(pollLog):
		}
	}
}

// seekTail moves to the beginning of the last lines.
func seekTail(f *os.File, lines int) error {
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	at := len(bytes.TrimSuffix(data, []byte("\n")))
	for ; lines > 0 && at > 0; lines-- {
		at = bytes.LastIndexByte(data[:at], '\n')
		if at < 0 {
			break
		}
	}
	switch {
	case lines == 0 && at >= 0 && at < len(data) && data[at] == '\n':
		at++
	case at < 0:
		at = 0
	}
	_, err = f.Seek(int64(at), io.SeekStart)
	return err
}

// putArchive takes what it is sent and drops it: the emulator copies a certificate into its databases, and PostgresImage
// has one of its own.
func (e *Engine) putArchive(w http.ResponseWriter, r *http.Request) error {
	if _, err := e.container(r); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return err
	}
	return reply(w, 200, nil)
}

// ---- exec

// execution is one command that runs beside a container's process.
type execution struct {
	container *container
	argv      []string
	env       []string

	mu      sync.Mutex
	running bool
	code    *int
}

func (e *Engine) execCreate(w http.ResponseWriter, r *http.Request) error {
	c, err := e.container(r)
	if err != nil {
		return err
	}
	var req struct {
		Cmd []string
		Env []string
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || len(req.Cmd) == 0 {
		return failure{http.StatusBadRequest, "No exec command specified"}
	}
	if !c.snapshot().Running || c.image == nil {
		return failure{http.StatusConflict, fmt.Sprintf("Container %s is not running", c.record.ID)}
	}
	id := randomID()
	e.mu.Lock()
	defer e.mu.Unlock()
	for old, x := range e.execs { // what ended long ago is asked for by nobody
		x.mu.Lock()
		over := x.code != nil && len(e.execs) > 256
		x.mu.Unlock()
		if over {
			delete(e.execs, old)
		}
	}
	e.execs[id] = &execution{container: c, argv: req.Cmd, env: req.Env}
	return reply(w, http.StatusCreated, map[string]string{"Id": id})
}

func (e *Engine) execution(r *http.Request) (*execution, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if x := e.execs[r.PathValue("id")]; x != nil {
		return x, nil
	}
	return nil, notFound("No such exec instance: %s", r.PathValue("id"))
}

func (e *Engine) execInspect(w http.ResponseWriter, r *http.Request) error {
	x, err := e.execution(r)
	if err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return reply(w, 200, map[string]any{"ID": r.PathValue("id"), "Running": x.running, "ExitCode": x.code, "ContainerID": x.container.record.ID})
}

// execStart runs the command and sends its output as it comes. The connection ends with the command.
func (e *Engine) execStart(w http.ResponseWriter, r *http.Request) error {
	x, err := e.execution(r)
	if err != nil {
		return err
	}
	x.mu.Lock()
	if x.running || x.code != nil {
		x.mu.Unlock()
		return failure{http.StatusConflict, "exec command has already run"}
	}
	x.running = true
	x.mu.Unlock()
	cmd, spec, err := x.prepare()
	if err != nil {
		x.finish(126)
		return failure{http.StatusBadRequest, err.Error()}
	}
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		x.finish(126)
		return err
	}
	defer conn.Close()
	if strings.EqualFold(r.Header.Get("Connection"), "Upgrade") {
		fmt.Fprint(rw, "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n")
	} else {
		fmt.Fprint(rw, "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: close\r\n\r\n")
	}
	if err := rw.Flush(); err != nil {
		x.finish(126)
		return nil
	}
	out := &frameWriter{w: conn}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = time.Second
	if err := spec.launch(cmd); err != nil {
		x.finish(126)
		return nil
	}
	// The client that hangs up, such as a health check out of time, wants the command ended.
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if _, err := conn.Read(make([]byte, 1)); err != nil {
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		}
	}()
	_ = cmd.Wait() // the state tells more than the error
	x.finish(exitCode(cmd.ProcessState))
	conn.Close()
	<-gone
	return nil
}

// selfURL finds where a command, a health check most likely, asks its own container: localhost is the container there, and
// the whole machine here.
var selfURL = regexp.MustCompile(`(https?://)(?:localhost|127\.0\.0\.1)\b`)

func (x *execution) prepare() (*exec.Cmd, Spec, error) {
	spec, err := x.container.spec(nil)
	if err != nil {
		return nil, spec, err
	}
	if spec.Network == nil && x.container.engine.opt.Network != nil {
		return nil, spec, errors.New("the container has ended")
	}
	argv := make([]string, len(x.argv))
	for n, arg := range x.argv {
		argv[n] = selfURL.ReplaceAllString(arg, "${1}"+spec.IP)
	}
	cmd, err := x.container.image.Exec(spec, argv)
	if err != nil {
		return nil, spec, err
	}
	cmd.Env = append(cmd.Env, x.env...)
	return cmd, spec, nil
}

func (x *execution) finish(code int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.running, x.code = false, &code
}

type frameWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (f *frameWriter) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	// A client that has gone must not end the command by a broken pipe.
	_ = writeFrame(f.w, stdoutFrame, p)
	return len(p), nil
}
