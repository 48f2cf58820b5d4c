package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"golang.org/x/mod/modfile"
	"google.golang.org/protobuf/types/known/emptypb"
)

// exitBail is what a Go program exits with when it has already reported its error to the engine.
const exitBail = 32

// killAfter is how long a stopped child may take to end by itself.
const killAfter = 5 * time.Second

var _ pulumirpc.LanguageRuntimeServer = (*host)(nil)

// host answers the engine's calls. Children live until they end, the call is cancelled or the host stops.
type host struct {
	pulumirpc.UnimplementedLanguageRuntimeServer

	ctx  context.Context
	stop context.CancelFunc

	mu     sync.Mutex
	engine string
}

func newHost(ctx context.Context, engine string, stop context.CancelFunc) *host {
	return &host{ctx: ctx, stop: stop, engine: engine}
}

// Handshake takes the engine's address.
func (h *host) Handshake(_ context.Context, req *pulumirpc.LanguageHandshakeRequest) (*pulumirpc.LanguageHandshakeResponse, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if req.GetEngineAddress() != "" {
		h.engine = req.GetEngineAddress()
	}
	return &pulumirpc.LanguageHandshakeResponse{}, nil
}

// GetPluginInfo names no version, so that no version is ever asked for.
func (h *host) GetPluginInfo(context.Context, *emptypb.Empty) (*pulumirpc.PluginInfo, error) {
	return &pulumirpc.PluginInfo{}, nil
}

// GetRequiredPackages reports none: plugins are found on PATH, and with an empty list nothing is downloaded.
func (h *host) GetRequiredPackages(context.Context, *pulumirpc.GetRequiredPackagesRequest) (*pulumirpc.GetRequiredPackagesResponse, error) {
	return &pulumirpc.GetRequiredPackagesResponse{}, nil
}

// GetRequiredPlugins is the older form of GetRequiredPackages.
func (h *host) GetRequiredPlugins(context.Context, *pulumirpc.GetRequiredPluginsRequest) (*pulumirpc.GetRequiredPluginsResponse, error) {
	return &pulumirpc.GetRequiredPluginsResponse{}, nil
}

// InstallDependencies has nothing to do: `go build` fetches what is missing.
func (h *host) InstallDependencies(*pulumirpc.InstallDependenciesRequest, pulumirpc.LanguageRuntime_InstallDependenciesServer) error {
	return nil
}

// RuntimeOptionsPrompts asks nothing.
func (h *host) RuntimeOptionsPrompts(context.Context, *pulumirpc.RuntimeOptionsRequest) (*pulumirpc.RuntimeOptionsResponse, error) {
	return &pulumirpc.RuntimeOptionsResponse{}, nil
}

// About names the Go tool that builds.
func (h *host) About(ctx context.Context, _ *pulumirpc.AboutRequest) (*pulumirpc.AboutResponse, error) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return nil, errNoGo
	}
	version, err := exec.CommandContext(ctx, goTool, "env", "GOVERSION").Output()
	if err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	return &pulumirpc.AboutResponse{
		Executable: goTool,
		Version:    strings.TrimSpace(string(version)),
		Metadata:   map[string]string{"host": "built from the project's own sources"},
	}, nil
}

// GetProgramDependencies lists what go.mod requires.
func (h *host) GetProgramDependencies(_ context.Context, req *pulumirpc.GetProgramDependenciesRequest) (*pulumirpc.GetProgramDependenciesResponse, error) {
	root, err := moduleRoot(req.GetInfo().GetProgramDirectory())
	if err != nil {
		return nil, err
	}
	path := filepath.Join(root, "go.mod")
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	mod, err := modfile.ParseLax(path, text, nil)
	if err != nil {
		return nil, err
	}
	var resp pulumirpc.GetProgramDependenciesResponse
	for _, r := range mod.Require {
		if r.Indirect && !req.GetTransitiveDependencies() {
			continue
		}
		resp.Dependencies = append(resp.Dependencies, &pulumirpc.DependencyInfo{Name: r.Mod.Path, Version: r.Mod.Version})
	}
	return &resp, nil
}

// Run builds the program where something changed and runs it to its end.
func (h *host) Run(ctx context.Context, req *pulumirpc.RunRequest) (*pulumirpc.RunResponse, error) {
	ctx, done := h.until(ctx)
	defer done()
	binary, err := build(ctx, programDir(req.GetInfo()), os.Stderr)
	if err != nil {
		return &pulumirpc.RunResponse{Error: err.Error()}, nil
	}
	env, err := h.programEnv(req)
	if err != nil {
		return nil, err
	}
	code, err := runChild(ctx, child{
		path: binary, args: req.GetArgs(), dir: req.GetPwd(), env: append(os.Environ(), env...),
		stdout: os.Stdout, stderr: os.Stderr,
	})
	switch {
	case err != nil:
		return &pulumirpc.RunResponse{Error: err.Error()}, nil
	case code == exitBail:
		return &pulumirpc.RunResponse{Bail: true}, nil
	case code != 0:
		return &pulumirpc.RunResponse{Error: fmt.Sprintf("program exited with non-zero exit code: %d", code)}, nil
	}
	return &pulumirpc.RunResponse{}, nil
}

// programEnv translates the request into the variables that the Go SDK reads. Values stay out of the arguments,
// because the configuration holds secrets.
func (h *host) programEnv(req *pulumirpc.RunRequest) ([]string, error) {
	config, err := json.Marshal(req.GetConfig())
	if err != nil {
		return nil, err
	}
	secretKeys, err := json.Marshal(req.GetConfigSecretKeys())
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	engine := h.engine
	h.mu.Unlock()
	return []string{
		pulumi.EnvOrganization + "=" + req.GetOrganization(),
		pulumi.EnvProject + "=" + req.GetProject(),
		pulumi.EnvPulumiRootDirectory + "=" + req.GetInfo().GetRootDirectory(),
		pulumi.EnvStack + "=" + req.GetStack(),
		pulumi.EnvConfig + "=" + string(config),
		pulumi.EnvConfigSecretKeys + "=" + string(secretKeys),
		pulumi.EnvParallel + "=" + strconv.Itoa(int(req.GetParallel())),
		pulumi.EnvDryRun + "=" + strconv.FormatBool(req.GetDryRun()),
		pulumi.EnvMonitor + "=" + req.GetMonitorAddress(),
		pulumi.EnvEngine + "=" + engine,
	}, nil
}

// RunPlugin builds a plugin where something changed and runs it, streaming its output, until the call is cancelled.
func (h *host) RunPlugin(req *pulumirpc.RunPluginRequest, server pulumirpc.LanguageRuntime_RunPluginServer) error {
	ctx, done := h.until(server.Context())
	defer done()
	closer, stdout, stderr, err := rpcutil.MakeRunPluginStreams(server, false)
	if err != nil {
		return err
	}
	defer closer.Close()
	// Both outputs send on one stream, which takes one message at a time.
	var mu sync.Mutex
	stdout, stderr = &locked{w: stdout, mu: &mu}, &locked{w: stderr, mu: &mu}

	binary, err := build(ctx, programDir(req.GetInfo()), stderr)
	if err != nil {
		return err
	}
	code, err := runChild(ctx, child{
		path: binary, args: req.GetArgs(), dir: req.GetPwd(), env: req.GetEnv(), stdout: stdout, stderr: stderr,
	})
	if err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	return server.Send(&pulumirpc.RunPluginResponse{Output: &pulumirpc.RunPluginResponse_Exitcode{Exitcode: int32(code)}})
}

// Cancel stops children and then the host.
func (h *host) Cancel(context.Context, *emptypb.Empty) (*emptypb.Empty, error) {
	h.stop()
	return &emptypb.Empty{}, nil
}

// until gives a context that ends with the call or with the host, whichever is first.
func (h *host) until(call context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(call)
	release := context.AfterFunc(h.ctx, cancel)
	return ctx, func() { release(); cancel() }
}

// programDir is the folder of the package to build.
func programDir(info *pulumirpc.ProgramInfo) string {
	dir := filepath.Join(info.GetProgramDirectory(), info.GetEntryPoint())
	if stat, err := os.Stat(dir); err == nil && !stat.IsDir() {
		return filepath.Dir(dir) // the entry point may be a file
	}
	return dir
}

type child struct {
	path           string
	args, env      []string
	dir            string
	stdout, stderr io.Writer
}

// runChild runs a process in a group of its own, and ends the whole group with ctx: first asking, then forcing.
func runChild(ctx context.Context, c child) (int, error) {
	cmd := exec.CommandContext(ctx, c.path, c.args...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.dir, c.env, c.stdout, c.stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
	cmd.WaitDelay = killAfter
	err := cmd.Run()
	if ctx.Err() != nil && cmd.Process != nil {
		// What ignored the signal, or was started by the child, must not outlive the call.
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		return 0, context.Cause(ctx)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	if err != nil {
		return 0, fmt.Errorf("run %s: %w", filepath.Base(c.path), err)
	}
	return 0, nil
}

// locked lets two writers share one stream.
type locked struct {
	w  io.Writer
	mu *sync.Mutex
}

func (l *locked) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
