package engine

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// apiVersion is the Docker Engine API version that is spoken.
const apiVersion = "1.43"

var (
	versionPrefix = regexp.MustCompile(`^/v\d+\.\d+/`)
	nameChars     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*$`)
)

// failure is an error with the HTTP status that Docker answers.
type failure struct {
	status  int
	message string
}

func (f failure) Error() string { return f.message }

func notFound(format string, args ...any) error {
	return failure{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

func (e *Engine) handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, f func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			err := f(w, r)
			if err == nil {
				return
			}
			status := http.StatusInternalServerError
			var f failure
			if errors.As(err, &f) {
				status = f.status
			}
			_ = reply(w, status, map[string]string{"message": err.Error()}) // nobody listens any more, then
		})
	}
	handle("/_ping", func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Api-Version", apiVersion)
		_, err := w.Write([]byte("OK"))
		return err
	})
	handle("GET /version", func(w http.ResponseWriter, r *http.Request) error {
		return reply(w, 200, map[string]any{"Version": "24.0.0", "ApiVersion": apiVersion, "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"})
	})
	handle("GET /images/{ref...}", e.imageInspect) // …/json: a reference may hold slashes
	handle("POST /images/create", e.imagePull)
	handle("GET /distribution/{ref...}", e.distribution)
	handle("POST /containers/create", e.create)
	handle("GET /containers/json", e.listContainers)
	handle("GET /containers/{id}/json", e.inspect)
	handle("POST /containers/{id}/start", e.startContainer)
	handle("POST /containers/{id}/stop", e.stopContainer)
	handle("POST /containers/{id}/kill", e.kill)
	handle("POST /containers/{id}/wait", e.wait)
	handle("GET /containers/{id}/logs", e.logs)
	handle("GET /containers/{id}/listening", e.listening)
	handle("PUT /containers/{id}/archive", e.putArchive)
	handle("DELETE /containers/{id}", e.removeContainer)
	handle("POST /containers/{id}/exec", e.execCreate)
	handle("POST /exec/{id}/start", e.execStart)
	handle("GET /exec/{id}/json", e.execInspect)
	handle("GET /volumes", e.volumeList)
	handle("GET /volumes/{name}", e.volumeInspect)
	handle("DELETE /volumes/{name}", e.volumeRemove)
	handle("/", func(w http.ResponseWriter, r *http.Request) error {
		return notFound("%s %s is not offered by the process engine", r.Method, r.URL.Path)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := versionPrefix.FindString(r.URL.Path); p != "" {
			r.URL.Path = r.URL.Path[len(p)-1:]
			r.URL.RawPath = ""
		}
		mux.ServeHTTP(w, r)
	})
}

func reply(w http.ResponseWriter, status int, body any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if body == nil {
		return nil
	}
	return json.NewEncoder(w).Encode(body)
}

// ---- images

func digest(ref string) string {
	sum := sha256.Sum256([]byte(ref))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// offered is the image of a reference, fetched or not.
func (e *Engine) offered(ref string) (Image, error) {
	image := e.opt.Images(ref)
	if image == nil {
		return nil, notFound("No such image: %s", ref)
	}
	if remote, ok := image.(RemoteImage); ok {
		if err := remote.Check(); err != nil {
			e.opt.Log.Warn("no such image", "image", ref, "error", err)
			return nil, notFound("No such image: %s: %v", ref, err)
		}
	}
	return image, nil
}

// image is one that containers can be made of at once.
func (e *Engine) image(ref string) (Image, error) {
	image, err := e.offered(ref)
	if err != nil {
		return nil, err
	}
	if remote, ok := image.(RemoteImage); ok && !remote.Here() {
		return nil, notFound("No such image: %s: pull it first", ref)
	}
	return image, nil
}

func (e *Engine) imageInspect(w http.ResponseWriter, r *http.Request) error {
	ref, ok := strings.CutSuffix(r.PathValue("ref"), "/json")
	if !ok {
		return notFound("page not found")
	}
	if _, err := e.image(ref); err != nil {
		return err
	}
	return reply(w, 200, map[string]any{"Id": digest(ref), "RepoTags": []string{ref}, "Architecture": "amd64", "Os": "linux", "Config": map[string]any{}})
}

func (e *Engine) imagePull(w http.ResponseWriter, r *http.Request) error {
	ref, tag := r.URL.Query().Get("fromImage"), r.URL.Query().Get("tag")
	switch {
	case strings.Contains(tag, ":"): // a digest
		ref += "@" + tag
	case tag != "":
		ref += ":" + tag
	}
	image, err := e.offered(ref)
	if err != nil {
		return err
	}
	remote, ok := image.(RemoteImage)
	if !ok {
		return reply(w, 200, map[string]string{"status": "Status: Image is up to date for " + ref})
	}
	return e.pull(w, r, ref, remote)
}

// pull fetches an image and says so each second, because clients give up on an engine that is silent.
func (e *Engine) pull(w http.ResponseWriter, r *http.Request, ref string, image RemoteImage) error {
	pulled := make(chan error, 1)
	go func() { pulled <- image.Pull(r.Context()) }()
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-pulled:
			if err == nil {
				return out.Encode(map[string]string{"status": "Status: Downloaded newer image for " + ref})
			}
			e.opt.Log.Warn("pull an image", "image", ref, "error", err)
			// The status is sent already: an error is one of the lines.
			return out.Encode(map[string]any{"error": err.Error(), "errorDetail": map[string]string{"message": err.Error()}})
		case <-tick.C:
			if err := out.Encode(map[string]string{"status": "Downloading", "id": ref}); err != nil {
				return err
			}
			if err := http.NewResponseController(w).Flush(); err != nil {
				return err
			}
		}
	}
}

// distribution refuses to resolve tags, as an unreachable registry does; then the reference itself is run.
func (e *Engine) distribution(w http.ResponseWriter, r *http.Request) error {
	return notFound("no registry is reachable")
}

// ---- containers

type createRequest struct {
	Image      string
	Cmd        []string
	Entrypoint []string
	Env        []string
	Labels     map[string]string
	HostConfig struct {
		PortBindings map[string][]struct{ HostPort string }
		Binds        []string
	}
}

func (e *Engine) create(w http.ResponseWriter, r *http.Request) error {
	var req createRequest
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		return failure{http.StatusBadRequest, "invalid container: " + err.Error()}
	}
	image, err := e.image(req.Image)
	if err != nil {
		return err
	}
	id := randomID()
	name := strings.TrimPrefix(r.URL.Query().Get("name"), "/")
	if name == "" {
		name = "container-" + id[:12]
	}
	if !nameChars.MatchString(name) {
		return failure{http.StatusBadRequest, fmt.Sprintf("Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)}
	}
	address, err := e.address()
	if err != nil {
		return err
	}
	c := &container{
		engine: e, image: image, env: map[string]string{}, command: append(req.Entrypoint, req.Cmd...),
		record: record{
			ID: id, Name: name, Reference: req.Image, Labels: req.Labels, IP: address, Ports: map[string]int{},
			Volumes: map[string]string{}, Created: time.Now(),
		},
	}
	for _, kv := range req.Env {
		if key, value, ok := strings.Cut(kv, "="); ok {
			// The host is the machine itself: the name that Docker Desktop gives it resolves nowhere here.
			c.env[key] = strings.ReplaceAll(value, "host.docker.internal", "127.0.0.1")
		}
	}
	for port, bindings := range req.HostConfig.PortBindings {
		if len(bindings) > 0 {
			c.record.Ports[port], _ = strconv.Atoi(bindings[0].HostPort) // absent: any port
		}
	}
	for _, bind := range req.HostConfig.Binds {
		parts := strings.SplitN(bind, ":", 3)
		if len(parts) < 2 || !nameChars.MatchString(parts[0]) {
			return failure{http.StatusBadRequest, fmt.Sprintf("volume %q: only named volumes can be mounted", bind)}
		}
		c.record.Volumes[parts[1]] = parts[0]
	}
	e.mu.Lock()
	for _, other := range e.containers {
		if other.record.Name == name {
			e.mu.Unlock()
			return failure{http.StatusConflict, fmt.Sprintf("Conflict. The container name %q is already in use by container %q. You have to remove (or rename) that container to be able to reuse that name.", "/"+name, other.record.ID)}
		}
	}
	e.containers[id] = c
	e.mu.Unlock()
	if err := os.MkdirAll(c.dir(), 0o711); err != nil {
		return errors.Join(err, c.remove())
	}
	c.save()
	return reply(w, http.StatusCreated, map[string]any{"Id": id, "Warnings": []string{}})
}

func randomID() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// with runs f on the container that the path names.
func (e *Engine) container(r *http.Request) (*container, error) {
	ref := r.PathValue("id")
	if c := e.find(ref); c != nil {
		return c, nil
	}
	return nil, notFound("No such container: %s", ref)
}

func (e *Engine) inspect(w http.ResponseWriter, r *http.Request) error {
	c, err := e.container(r)
	if err != nil {
		return err
	}
	return reply(w, 200, c.describe())
}

func (c *container) describe() map[string]any {
	s := c.snapshot()
	ports := map[string]any{}
	for port, host := range s.Ports {
		ports[port] = []map[string]string{{"HostIp": "127.0.0.1", "HostPort": strconv.Itoa(host)}}
	}
	mounts := []map[string]any{}
	for path, name := range s.Volumes {
		mounts = append(mounts, map[string]any{"Type": "volume", "Name": name, "Destination": path, "RW": true})
	}
	return map[string]any{
		"Id": s.ID, "Name": "/" + s.Name, "Created": stamp(s.Created), "Image": digest(s.Reference),
		"State": map[string]any{
			"Status": s.word(), "Running": s.Running, "Paused": false, "Restarting": false, "OOMKilled": false, "Dead": false,
			"Pid": s.PID, "ExitCode": s.ExitCode, "Error": s.Error, "StartedAt": stamp(s.Started), "FinishedAt": stamp(s.Finished),
		},
		// The environment is left out: whoever set it knows it, and it holds secrets.
		"Config":     map[string]any{"Image": s.Reference, "Labels": s.Labels, "Tty": false, "Env": []string{}},
		"HostConfig": map[string]any{"NetworkMode": "default"},
		"Mounts":     mounts,
		"NetworkSettings": map[string]any{
			"IPAddress": s.IP, "Ports": ports,
			"Networks": map[string]any{"bridge": map[string]any{"IPAddress": s.IP, "NetworkID": "bridge"}},
		},
	}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return "0001-01-01T00:00:00Z"
	}
	return t.UTC().Format(time.RFC3339Nano)
}

func (e *Engine) listContainers(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	all := q.Get("all") == "1" || strings.EqualFold(q.Get("all"), "true")
	filters, err := parseFilters(q.Get("filters"))
	if err != nil {
		return failure{http.StatusBadRequest, err.Error()}
	}
	out := []map[string]any{}
	for _, c := range e.list() {
		s := c.snapshot()
		if !all && !s.Running && len(filters["status"]) == 0 || !matches(s, filters) {
			continue
		}
		out = append(out, map[string]any{
			"Id": s.ID, "Names": []string{"/" + s.Name}, "Image": s.Reference, "ImageID": digest(s.Reference), "Labels": s.Labels,
			"State": s.word(), "Status": s.word(), "Created": s.Created.Unix(),
			"NetworkSettings": map[string]any{"Networks": map[string]any{"bridge": map[string]any{"IPAddress": s.IP}}},
		})
	}
	return reply(w, 200, out)
}

// parseFilters reads both shapes that clients send: {"label": ["a=b"]} and {"label": {"a=b": true}}.
func parseFilters(text string) (map[string][]string, error) {
	filters := map[string][]string{}
	if text == "" {
		return filters, nil
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &raw); err != nil {
		return nil, fmt.Errorf("invalid filter: %w", err)
	}
	for key, value := range raw {
		var list []string
		if err := json.Unmarshal(value, &list); err != nil {
			var set map[string]bool
			if err := json.Unmarshal(value, &set); err != nil {
				return nil, fmt.Errorf("invalid filter %q", key)
			}
			for item := range set {
				list = append(list, item)
			}
		}
		filters[key] = list
	}
	return filters, nil
}

func matches(s status, filters map[string][]string) bool {
	for _, label := range filters["label"] {
		key, value, valued := strings.Cut(label, "=")
		have, ok := s.Labels[key]
		if !ok || valued && have != value {
			return false
		}
	}
	any := func(key string, ok func(string) bool) bool {
		return len(filters[key]) == 0 || slices.ContainsFunc(filters[key], ok)
	}
	return any("status", func(want string) bool { return want == s.word() }) &&
		any("name", func(want string) bool { return strings.Contains(s.Name, strings.TrimPrefix(want, "/")) }) &&
		any("id", func(want string) bool { return strings.HasPrefix(s.ID, want) })
}

func (e *Engine) startContainer(w http.ResponseWriter, r *http.Request) error {
	c, err := e.container(r)
	if err != nil {
		return err
	}
	switch err := c.start(); {
	case errors.Is(err, errAlreadyStarted):
		w.WriteHeader(http.StatusNotModified)
		return nil
	case err != nil:
		return failure{http.StatusBadRequest, "failed to create task for container: " + err.Error()}
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func grace(r *http.Request) time.Duration {
	seconds, err := strconv.Atoi(r.URL.Query().Get("t"))
	if err != nil || seconds < 0 {
		seconds = 10
	}
	return time.Duration(seconds) * time.Second
}

func (e *Engine) stopContainer(w http.ResponseWriter, r *http.Request) error {
	c, err := e.container(r)
	if err != nil {
		return err
	}
	if !c.snapshot().Running {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	c.stop(grace(r))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

var signals = map[string]syscall.Signal{
	"": syscall.SIGKILL, "KILL": syscall.SIGKILL, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "HUP": syscall.SIGHUP,
	"QUIT": syscall.SIGQUIT, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT,
}

func (e *Engine) kill(w http.ResponseWriter, r *http.Request) error {
	c, err := e.container(r)
	if err != nil {
		return err
	}
	name := strings.TrimPrefix(strings.ToUpper(r.URL.Query().Get("signal")), "SIG")
	sig, ok := signals[name]
	if number, err := strconv.Atoi(name); err == nil && number > 0 && number < 32 {
		sig, ok = syscall.Signal(number), true
	}
	if !ok {
		return failure{http.StatusBadRequest, fmt.Sprintf("Invalid signal: %s", name)}
	}
	if !c.snapshot().Running {
		return failure{http.StatusConflict, fmt.Sprintf("Container %s is not running", c.record.ID)}
	}
	c.signal(sig)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (e *Engine) wait(w http.ResponseWriter, r *http.Request) error {
	c, err := e.container(r)
	if err != nil {
		return err
	}
	for {
		e.mu.Lock()
		changed := e.changed
		e.mu.Unlock()
		s := c.snapshot()
		if s.Begun && !s.Running {
			return reply(w, 200, map[string]any{"StatusCode": s.ExitCode})
		}
		select {
		case <-changed:
		case <-r.Context().Done():
			return nil
		}
	}
}

func (e *Engine) removeContainer(w http.ResponseWriter, r *http.Request) error {
	c, err := e.container(r)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	force := q.Get("force") == "1" || strings.EqualFold(q.Get("force"), "true")
	if c.snapshot().Running {
		if !force {
			return failure{http.StatusConflict, fmt.Sprintf("You cannot remove a running container %s. Stop the container before attempting removal or force remove", c.record.ID)}
		}
		c.signal(syscall.SIGKILL)
		c.waitExit(20 * time.Second)
	}
	if err := c.remove(); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// ---- volumes

func (e *Engine) volumeList(w http.ResponseWriter, r *http.Request) error {
	entries, err := os.ReadDir(filepath.Join(e.opt.Dir, "volumes"))
	if err != nil {
		return err
	}
	volumes := []map[string]string{}
	for _, entry := range entries {
		volumes = append(volumes, map[string]string{"Name": entry.Name(), "Driver": "local", "Mountpoint": e.volumeDir(entry.Name())})
	}
	return reply(w, 200, map[string]any{"Volumes": volumes, "Warnings": []string{}})
}

func (e *Engine) volumeInspect(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	info, err := os.Stat(e.volumeDir(name))
	if err != nil || !nameChars.MatchString(name) {
		return notFound("get %s: no such volume", name)
	}
	return reply(w, 200, map[string]any{"Name": name, "Driver": "local", "Mountpoint": filepath.Join(e.opt.Dir, "volumes", name), "CreatedAt": stamp(info.ModTime())})
}

func (e *Engine) volumeRemove(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("name")
	if _, err := os.Stat(e.volumeDir(name)); err != nil || !nameChars.MatchString(name) {
		return notFound("get %s: no such volume", name)
	}
	for _, c := range e.list() {
		for _, used := range c.snapshot().Volumes {
			if used == name {
				return failure{http.StatusConflict, fmt.Sprintf("remove %s: volume is in use - [%s]", name, c.record.ID)}
			}
		}
	}
	if err := os.RemoveAll(e.volumeDir(name)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
