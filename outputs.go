package main

import (
	"fmt"
	"os"

	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/rpcutil"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	pulumirpc "github.com/pulumi/pulumi/sdk/v3/proto/go"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"
)

// keepOutputs has a failed update show the stack's outputs as they are. The engine keeps what a failed program did not
// export, but only where the program has said anything about outputs; else it shows each as deleted. The SDK says it once,
// at the end, which a program that fails does not reach; what it says then takes the place of this.
func keepOutputs(ctx *pulumi.Context) error {
	engine := os.Getenv(pulumi.EnvMonitor)
	if engine == "" { // a test, with mocks in its place
		return nil
	}
	conn, err := grpc.NewClient(engine, grpc.WithTransportCredentials(insecure.NewCredentials()), rpcutil.GrpcChannelOptions())
	if err != nil {
		return fmt.Errorf("reach the engine: %w", err)
	}
	defer conn.Close()
	_, err = pulumirpc.NewResourceMonitorClient(conn).RegisterResourceOutputs(ctx.Context(), &pulumirpc.RegisterResourceOutputsRequest{
		Urn:     string(resource.DefaultRootStackURN(tokens.QName(ctx.Stack()), tokens.PackageName(ctx.Project()))),
		Outputs: &structpb.Struct{},
	})
	if err != nil {
		return fmt.Errorf("keep the outputs of the stack: %w", err)
	}
	return nil
}
