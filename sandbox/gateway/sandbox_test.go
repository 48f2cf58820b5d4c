package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"plan-charge/internal/testkit/freeport"
	"plan-charge/internal/testkit/postgres"
	"plan-charge/sandbox/emulator"
	"plan-charge/sandbox/engine"
	"plan-charge/sandbox/gateway"
	"plan-charge/sandbox/vpc"
)

// server is what the test image runs: it answers by its version, which is the image's tag.
const server = `
import http.server, os, sys, time
version = os.environ.get("VERSION", "")
if version == "crash":
    print("cannot start", flush=True); sys.exit(3)
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 200
        if version == "sick" and self.path == "/health": status = 500
        if version == "broken": status = 500
        if version == "broken-later" and self.path != "/health": status = 500
        body = (version + " " + os.environ.get("SECRET", "")).encode()
        self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *a): pass
print("listening", flush=True)
http.server.ThreadingHTTPServer((os.environ["HOST"], 8001 if version == "elsewhere" else 8000), H).serve_forever()
`

// cloud is a whole sandbox cloud of one test binary.
type cloud struct {
	gateway *gateway.Gateway
	engine  *engine.Engine
	url     string
	dir     string
	stop    func()
}

var (
	once   sync.Once
	shared *cloud
	failed error
)

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		shared.stop()
	}
	os.Exit(code)
}

// start returns the cloud that the tests share. It needs Python and, at the first time, its package index.
func start(t *testing.T) *cloud {
	t.Helper()
	if testing.Short() {
		t.Skip("starts an emulator")
	}
	once.Do(func() {
		dir, err := os.MkdirTemp("", "pc-cloud-")
		if err != nil {
			failed = err
			return
		}
		_ = os.Chmod(dir, 0o711)
		shared, failed = startCloud(dir, nil)
		if shared != nil {
			stop := shared.stop
			shared.stop = func() { stop(); os.RemoveAll(dir) }
		}
	})
	if failed != nil {
		t.Fatal(failed)
	}
	return shared
}

// startCloud starts a cloud, in a private network if one is given.
func startCloud(dir string, network *vpc.Network) (*cloud, error) {
	ctx, cancel := context.WithCancel(context.Background())
	venv, err := emulator.Ensure(ctx, os.Stderr)
	if err != nil {
		cancel()
		return nil, err
	}
	level := slog.LevelWarn
	if os.Getenv("VERBOSE") != "" {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	socket := filepath.Join(dir, "engine.sock")
	python := filepath.Join(venv, "bin", "python")
	authority, err := postgres.OpenAuthority(filepath.Join(dir, "authority.pem"), filepath.Join(dir, "authority.key"), "test")
	if err != nil {
		cancel()
		return nil, err
	}
	e, err := engine.New(engine.Options{Socket: socket, Dir: filepath.Join(dir, "engine"), Network: network, Authority: authority, Log: log, Images: func(ref string) engine.Image {
		name, tag, _ := strings.Cut(ref, ":")
		switch name {
		case "test":
			return engine.CommandImage{Dir: dir, Workdir: "/app", Path: filepath.Dir(python), Command: []string{python, "-c", server}, Env: map[string]string{"VERSION": tag}}
		case "postgres":
			return engine.PostgresImage{Tag: tag}
		}
		return nil
	}})
	if err != nil {
		cancel()
		return nil, err
	}
	logFile, err := os.OpenFile(filepath.Join(dir, "emulator.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		cancel()
		return nil, err
	}
	options := emulator.Options{Venv: venv, Port: freeport.Find(), StateDir: filepath.Join(dir, "emulator"), DockerHost: "unix://" + socket, Region: "eu-west-3", DatabasePort: 27432, Log: logFile}
	if network != nil {
		options.Inside = network.Control().Do
		if err := network.Expose(options.Port); err != nil {
			cancel()
			return nil, err
		}
	}
	em, err := emulator.New(options)
	if err != nil {
		cancel()
		return nil, err
	}
	g, err := gateway.New(gateway.Options{Listen: "127.0.0.1:0", Upstream: em.URL(), Dir: filepath.Join(dir, "gateway"), DockerSocket: socket, Region: "eu-west-3", Bake: 8 * time.Second, Network: network, Log: log})
	if err != nil {
		cancel()
		return nil, err
	}
	// The engine and the gateway outlive the emulator, which still needs them to stop.
	outer, cancelOuter := context.WithCancel(context.Background())
	var inner, all sync.WaitGroup
	report := func(part string, err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, part+":", err)
		}
	}
	all.Go(func() { report("engine", e.Run(outer)) })
	all.Go(func() { report("gateway", g.Run(outer)) })
	ready := make(chan struct{})
	died := make(chan error, 1)
	inner.Go(func() {
		err := em.Run(ctx, func() { close(ready) })
		report("emulator", err)
		died <- err
	})
	c := &cloud{gateway: g, engine: e, url: g.URL(), dir: dir, stop: func() {
		cancel()
		inner.Wait()
		cancelOuter()
		all.Wait()
		logFile.Close()
	}}
	select {
	case <-ready:
		return c, nil
	case err := <-died:
		c.stop()
		return nil, fmt.Errorf("the emulator did not start: %w", err)
	}
}

// ---- a small AWS client

func (c *cloud) post(t *testing.T, service, contentType, target string, body []byte) ([]byte, int) {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, c.url+"/", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-3/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return data, resp.StatusCode
}

var targets = map[string]string{"ecs": "AmazonEC2ContainerServiceV20141113.", "secretsmanager": "secretsmanager.", "logs": "Logs_20140328.", "ssm": "AmazonSSM."}

// json makes a call of a JSON service and decodes the answer, which has to be a success.
func (c *cloud) json(t *testing.T, service, action string, in map[string]any, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	data, status := c.post(t, service, "application/x-amz-json-1.1", targets[service]+action, body)
	if status != 200 {
		t.Fatalf("%s %s: %d %s", service, action, status, data)
	}
	if out != nil {
		if err := json.Unmarshal(data, out); err != nil {
			t.Fatalf("%s: %v in %s", action, err, data)
		}
	}
}

// attempt makes a call of a JSON service that may be refused, and returns with what.
func (c *cloud) attempt(t *testing.T, service, action string, in map[string]any, out any) (refused string) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	data, status := c.post(t, service, "application/x-amz-json-1.1", targets[service]+action, body)
	if status != 200 {
		return string(data)
	}
	if err := json.Unmarshal(data, out); err != nil {
		t.Fatalf("%s: %v in %s", action, err, data)
	}
	return ""
}

func (c *cloud) query(t *testing.T, service, version, action string, in map[string]string, out any) {
	t.Helper()
	form := url.Values{"Action": {action}, "Version": {version}}
	for k, v := range in {
		form.Set(k, v)
	}
	data, status := c.post(t, service, "application/x-www-form-urlencoded", "", []byte(form.Encode()))
	if status != 200 {
		t.Fatalf("%s %s: %d %s", service, action, status, data)
	}
	if out != nil {
		if err := xml.Unmarshal(data, out); err != nil {
			t.Fatalf("%s: %v in %s", action, err, data)
		}
	}
}

func (c *cloud) elb(t *testing.T, action string, in map[string]string, out any) {
	t.Helper()
	c.query(t, "elasticloadbalancing", "2015-12-01", action, in, out)
}

// eventually waits until a condition holds; text tells what was seen last.
func eventually(t *testing.T, limit time.Duration, what string, holds func() (bool, string)) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		ok, seen := holds()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s; last seen: %s", what, limit, seen)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func faultOn(service, action, kind string) gateway.Fault {
	return gateway.Fault{Service: service, Action: action, Kind: kind}
}

// try makes a call without parameters over a connection of its own, and returns what went wrong.
func (c *cloud) try(service, action string) string {
	req, err := http.NewRequest(http.MethodPost, c.url+"/", strings.NewReader("{}"))
	if err != nil {
		return err.Error()
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/eu-west-3/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	req.Header.Set("X-Amz-Target", targets[service]+action)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	if resp.StatusCode != 200 {
		return string(data)
	}
	return ""
}
