package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
)

const urn = "urn:pulumi:bench::bench::pgrows:index:Rows::rows"

// engine takes what the provider logs.
type engine struct {
	pulumirpc.UnimplementedEngineServer
}

func (engine) Log(_ context.Context, req *pulumirpc.LogRequest) (*emptypb.Empty, error) {
	if req.Severity >= pulumirpc.LogSeverity_WARNING {
		fmt.Fprintln(os.Stderr, "provider:", req.Message)
	}
	return &emptypb.Empty{}, nil
}

// provider is the provider's process, and one resource as the engine keeps it.
type provider struct {
	ctx    context.Context
	cmd    *exec.Cmd
	server *grpc.Server
	conn   *grpc.ClientConn
	client pulumirpc.ResourceProviderClient

	id            string
	inputs, state *structpb.Struct
}

func start(w *world) (*provider, error) {
	p := &provider{ctx: w.ctx, server: grpc.NewServer()}
	pulumirpc.RegisterEngineServer(p.server, engine{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() { _ = p.server.Serve(listener) }()
	p.cmd = exec.Command(w.binary, listener.Addr().String())
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	port, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.stop()
		return nil, err
	}
	p.conn, err = grpc.NewClient("127.0.0.1:"+strings.TrimSpace(port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		p.stop()
		return nil, err
	}
	p.client = pulumirpc.NewResourceProviderClient(p.conn)
	args, err := marshal(map[string]any{
		"host": w.server.Host, "port": float64(w.server.Port), "database": "bench", "username": "owner", "password": "bench", "sslMode": "disable",
	})
	if err == nil {
		_, err = p.client.Configure(p.ctx, &pulumirpc.ConfigureRequest{Args: args, AcceptSecrets: true, AcceptResources: true})
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *provider) stop() {
	if p.conn != nil {
		_ = p.conn.Close()
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	p.server.Stop()
}

func marshal(v map[string]any) (*structpb.Struct, error) {
	return plugin.MarshalProperties(resource.NewPropertyMapFromMap(v), plugin.MarshalOptions{KeepUnknowns: true, KeepSecrets: true})
}

// forget begins with no resource.
func (p *provider) forget() { p.id, p.inputs, p.state = "", nil, nil }

func (p *provider) stateSize() int { return proto.Size(p.state) + proto.Size(p.inputs) }

// peak is the largest resident set of the process so far, in bytes.
func (p *provider) peak() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	if found == nil {
		return 0, errors.New("the system does not tell the peak memory")
	}
	kb, err := strconv.ParseInt(string(found[1]), 10, 64)
	return kb << 10, err
}

// up does what an update does with the resource: check, diff, and what that asks for.
func (p *provider) up(path string) error {
	news, err := marshal(map[string]any{"table": "t", "keyColumns": []any{"id"}, "file": path})
	if err != nil {
		return err
	}
	checked, err := p.client.Check(p.ctx, &pulumirpc.CheckRequest{Urn: urn, Olds: p.inputs, News: news})
	if err != nil {
		return err
	}
	if len(checked.Failures) > 0 {
		return fmt.Errorf("%s: %s", checked.Failures[0].Property, checked.Failures[0].Reason)
	}
	defer func() { p.inputs = checked.Inputs }()
	if p.id == "" {
		created, err := p.client.Create(p.ctx, &pulumirpc.CreateRequest{Urn: urn, Properties: checked.Inputs})
		if err != nil {
			return err
		}
		p.id, p.state = created.Id, created.Properties
		return nil
	}
	diff, err := p.client.Diff(p.ctx, &pulumirpc.DiffRequest{Id: p.id, Urn: urn, Olds: p.state, OldInputs: p.inputs, News: checked.Inputs})
	if err != nil || diff.Changes != pulumirpc.DiffResponse_DIFF_SOME {
		return err
	}
	updated, err := p.client.Update(p.ctx, &pulumirpc.UpdateRequest{Id: p.id, Urn: urn, Olds: p.state, OldInputs: p.inputs, News: checked.Inputs})
	if err == nil {
		p.state = updated.Properties
	}
	return err
}

func (p *provider) refresh() error {
	read, err := p.client.Read(p.ctx, &pulumirpc.ReadRequest{Id: p.id, Urn: urn, Properties: p.state, Inputs: p.inputs})
	if err != nil {
		return err
	}
	for _, key := range []string{"drift", "notSeen"} {
		if v := read.Properties.Fields[key]; v.GetStringValue() != "" {
			return fmt.Errorf("a clean table is not: %s", v.GetStringValue())
		}
	}
	return nil
}
