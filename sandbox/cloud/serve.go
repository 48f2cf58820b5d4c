// Package cloud puts the sandbox's parts together: the process engine, the emulator, the gateway before it and the CDN edge.
package cloud

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"plan-charge/internal/testkit/postgres"
	"plan-charge/sandbox/backend"
	"plan-charge/sandbox/box"
	"plan-charge/sandbox/edge"
	"plan-charge/sandbox/emulator"
	"plan-charge/sandbox/engine"
	"plan-charge/sandbox/gateway"
	"plan-charge/sandbox/image"
	"plan-charge/sandbox/vpc"
)

// Serve is the background process of a sandbox: it runs all parts until it is told to end or one of them fails.
func Serve(ctx context.Context, b *box.Box) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	sample, err := backend.Ensure(ctx, os.Stderr)
	if err != nil {
		return err
	}
	network, err := privateNetwork(b, log.With("part", "vpc"))
	if err != nil {
		return err
	}
	if network != nil {
		defer network.Close()
	}
	images := image.Registry{Sample: sample, Added: image.Store{Dir: b.File("images")}}
	socket := b.File("engine.sock")
	authority, err := postgres.OpenAuthority(b.AuthorityFile(), b.File("authority.key"), "The sandbox in "+b.Dir)
	if err != nil {
		return err
	}
	containers, err := engine.New(engine.Options{
		Socket: socket, Dir: b.File("engine"), Images: images.Find, Network: network, Authority: authority, Log: log.With("part", "engine"),
	})
	if err != nil {
		return err
	}
	venv, err := emulator.Ensure(ctx, os.Stderr)
	if err != nil {
		return err
	}
	options := emulator.Options{
		Venv: venv, Port: b.Ports.Emulator, StateDir: b.File("account"), DockerHost: "unix://" + socket,
		Region: box.Region, DatabasePort: b.Ports.Database, Log: os.Stderr,
	}
	if network != nil { // AWS itself has a way to the databases
		options.Inside = network.Control().Do
		if err := network.Expose(b.Ports.Emulator); err != nil {
			return err
		}
	}
	cloud, err := emulator.New(options)
	if err != nil {
		return err
	}
	front, err := gateway.New(gateway.Options{
		Listen: fmt.Sprintf("127.0.0.1:%d", b.Ports.Gateway), Upstream: cloud.URL(), Dir: b.File("gateway"),
		DockerSocket: socket, Region: box.Region, Network: network, Log: log.With("part", "gateway"),
	})
	if err != nil {
		return err
	}
	cdn, err := edge.New(edge.Options{Listen: fmt.Sprintf("127.0.0.1:%d", b.Ports.Edge), AWSEndpoint: cloud.URL(), Balancers: b.GatewayURL(), From: from(network), Log: os.Stderr})
	if err != nil {
		return err
	}

	// Each part ends before what it needs: the edge first, the containers last.
	return inOrder(ctx,
		containers.Run,
		func(ctx context.Context) error { return cloud.Run(ctx, nil) },
		front.Run,
		cdn.Run,
	)
}

// privateNetwork makes the network that the box was made to have; nil where that is an open one, or none can be had here.
func privateNetwork(b *box.Box, log *slog.Logger) (*vpc.Network, error) {
	if !b.WantsPrivate() {
		return nil, b.SaveNetwork(box.Network{Kind: box.NetworkOpen})
	}
	n, err := vpc.New(vpc.Options{
		Hosts: b.File("hosts"), Region: box.Region, Services: []int{b.Ports.Gateway, b.Ports.Emulator}, Log: log,
	})
	if err != nil {
		log.Warn("no private network", "error", err)
		return nil, b.SaveNetwork(box.Network{Kind: box.NetworkOpen, Why: err.Error()})
	}
	if err := n.Door(b.Door()); err != nil {
		n.Close()
		return nil, err
	}
	return n, b.SaveNetwork(box.Network{Kind: box.NetworkPrivate})
}

// from is where the edge connects from. In an open network nobody looks at it.
func from(n *vpc.Network) string {
	if n == nil {
		return ""
	}
	return gateway.EdgeAddress
}

// inOrder runs the parts until ctx ends or one of them does, then ends them one after the other, the last one first.
func inOrder(ctx context.Context, parts ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var (
		errs  = make([]error, len(parts))
		ended = make([]chan struct{}, len(parts))
		stops = make([]context.CancelFunc, len(parts))
		group sync.WaitGroup
	)
	for i, part := range parts {
		own, stop := context.WithCancel(context.WithoutCancel(ctx))
		ended[i], stops[i] = make(chan struct{}), stop
		group.Go(func() {
			defer close(ended[i])
			defer cancel() // one part's end is everybody's
			errs[i] = part(own)
		})
	}
	<-ctx.Done()
	for i := len(parts) - 1; i >= 0; i-- {
		stops[i]()
		<-ended[i]
	}
	group.Wait()
	return errors.Join(errs...)
}
