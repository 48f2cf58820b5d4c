package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"plan-charge/sandbox/backend"
	"plan-charge/sandbox/edge"
	"plan-charge/sandbox/emulator"
	"plan-charge/sandbox/engine"
	"plan-charge/sandbox/gateway"
	"plan-charge/sandbox/image"
)

// serve is the background process: the process engine, the emulator, the gateway in front of it and the CDN edge, until
// it is told to end or one of them fails.
func serve(ctx context.Context) error {
	s, err := openState()
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	sample, err := backend.Ensure(ctx, os.Stderr)
	if err != nil {
		return err
	}
	images := image.Registry{Sample: sample, Added: image.Store{Dir: s.file("images")}}
	socket := s.file("engine.sock")
	containers, err := engine.New(engine.Options{Socket: socket, Dir: s.file("engine"), Images: images.Find, Log: log.With("part", "engine")})
	if err != nil {
		return err
	}
	venv, err := emulator.Ensure(ctx, os.Stderr)
	if err != nil {
		return err
	}
	cloud, err := emulator.New(emulator.Options{
		Venv: venv, Port: s.Ports.Emulator, StateDir: s.file("account"), DockerHost: "unix://" + socket,
		Region: "eu-west-3", DatabasePort: s.Ports.Database, Log: os.Stderr,
	})
	if err != nil {
		return err
	}
	front, err := gateway.New(gateway.Options{
		Listen: fmt.Sprintf("127.0.0.1:%d", s.Ports.Gateway), Upstream: cloud.URL(), Dir: s.file("gateway"),
		DockerSocket: socket, Region: "eu-west-3", Log: log.With("part", "gateway"),
	})
	if err != nil {
		return err
	}
	cdn, err := edge.New(edge.Options{Listen: fmt.Sprintf("127.0.0.1:%d", s.Ports.Edge), AWSEndpoint: cloud.URL(), Balancers: s.gatewayURL(), Log: os.Stderr})
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
