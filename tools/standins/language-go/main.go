// Command pulumi-language-go is a Go language host for a Pulumi CLI that was built from its Go module, which comes
// without one. It builds the program and plugins written in Go at a place of their own, so that an unchanged one starts
// without compiling or linking.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
)

// healthEvery is how often the host looks whether the engine that started it is still there.
const healthEvery = 5 * time.Minute

func main() {
	if err := serve(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-language-go:", err)
		os.Exit(1)
	}
}

// serve listens on a free port, prints it for the engine, and returns when the engine has gone.
func serve(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	engine := engineAddress(args)
	if engine != "" {
		if err := rpcutil.Healthcheck(ctx, engine, healthEvery, stop); err != nil {
			return fmt.Errorf("watch the engine at %s: %w", engine, err)
		}
	}
	host := newHost(ctx, engine, stop)
	cancel := make(chan bool)
	go func() {
		<-ctx.Done()
		close(cancel)
	}()
	handle, err := rpcutil.ServeWithOptions(rpcutil.ServeOptions{
		Cancel: cancel,
		Init: func(srv *grpc.Server) error {
			pulumirpc.RegisterLanguageRuntimeServer(srv, host)
			return nil
		},
	})
	if err != nil {
		return err
	}
	fmt.Println(handle.Port) // the engine reads the first line
	return <-handle.Done
}

// engineAddress returns the last argument that is no flag; the engine passes its address there.
func engineAddress(args []string) string {
	for i := len(args) - 1; i >= 0; i-- {
		if !strings.HasPrefix(args[i], "-") {
			return args[i]
		}
	}
	return ""
}
