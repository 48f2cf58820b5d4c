package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// docker runs health checks in containers.
type docker struct{ client *http.Client }

var errNoContainer = errors.New("the task has no running container")

func newDocker(socket string) *docker {
	return &docker{client: &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}}
}

func (d *docker) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, body)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := d.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("container engine: %s %s: %s", method, path, resp.Status)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(data, out)
}

// exec runs a command in a task's container and returns its exit code. It is ended when ctx is.
func (d *docker) exec(ctx context.Context, task, container string, argv []string) (int, error) {
	id, err := d.find(ctx, task, container)
	if err != nil {
		return 0, err
	}
	var created struct{ Id string }
	if err := d.call(ctx, http.MethodPost, "/containers/"+id+"/exec", map[string]any{"Cmd": argv, "AttachStdout": true, "AttachStderr": true}, &created); err != nil {
		return 0, err
	}
	if err := d.call(ctx, http.MethodPost, "/exec/"+created.Id+"/start", map[string]any{"Detach": false}, nil); err != nil {
		return 0, err
	}
	var state struct{ ExitCode *int }
	if err := d.call(ctx, http.MethodGet, "/exec/"+created.Id+"/json", nil, &state); err != nil {
		return 0, err
	}
	if state.ExitCode == nil {
		return 0, errors.New("the command has not ended")
	}
	return *state.ExitCode, nil
}

// find returns the id of a task's running container.
func (d *docker) find(ctx context.Context, task, container string) (string, error) {
	filters, err := json.Marshal(map[string][]string{"label": {"com.amazonaws.ecs.task-arn=" + task, "com.amazonaws.ecs.container-name=" + container}})
	if err != nil {
		return "", err
	}
	var found []struct{ Id string }
	if err := d.call(ctx, http.MethodGet, "/containers/json?filters="+url.QueryEscape(string(filters)), nil, &found); err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", errNoContainer
	}
	return found[0].Id, nil
}

// silent says that nothing in a task's container listens on its port, and what does; "" when something does, or where it is
// not known.
func (d *docker) silent(ctx context.Context, task string, a attachment) string {
	id, err := d.find(ctx, task, a.ContainerName)
	if err != nil {
		return ""
	}
	var listening []netip.AddrPort
	if err := d.call(ctx, http.MethodGet, "/containers/"+id+"/listening", nil, &listening); err != nil {
		return ""
	}
	var elsewhere []string
	for _, address := range listening {
		if int(address.Port()) == a.ContainerPort {
			return ""
		}
		elsewhere = append(elsewhere, address.String())
	}
	if len(elsewhere) == 0 {
		return fmt.Sprintf(": nothing listens on port %d, nor on any other", a.ContainerPort)
	}
	return fmt.Sprintf(": nothing listens on port %d, but on %s", a.ContainerPort, strings.Join(elsewhere, ", "))
}
