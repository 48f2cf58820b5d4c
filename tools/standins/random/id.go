package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/big"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
)

var (
	_ infer.CustomResource[IDArgs, IDState] = (*RandomID)(nil)
	_ infer.CustomCheck[IDArgs]             = (*RandomID)(nil)
)

// RandomID has no update: like the official one it is replaced when any input changes.
type RandomID struct{}

// IDArgs are the inputs; the prefix is put in front of each output but the resource's id.
type IDArgs struct {
	ByteLength int                `pulumi:"byteLength"`
	Keepers    *map[string]string `pulumi:"keepers,optional"`
	Prefix     *string            `pulumi:"prefix,optional"`
}

// IDState adds the random bytes in several notations.
type IDState struct {
	IDArgs
	B64Std string `pulumi:"b64Std"`
	B64Url string `pulumi:"b64Url"`
	Dec    string `pulumi:"dec"`
	Hex    string `pulumi:"hex"`
}

// Annotate gives the resource its official name.
func (r *RandomID) Annotate(a infer.Annotator) {
	a.Describe(&r, "Random bytes, not secret, that stay what they are until an input changes.")
	a.SetToken("index/randomId", "RandomId")
}

// Check refuses an id of no bytes.
func (*RandomID) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[IDArgs], error) {
	args, failures, err := infer.DefaultCheck[IDArgs](ctx, req.NewInputs)
	if err == nil && len(failures) == 0 && !hasUnknown(req.NewInputs) && args.ByteLength < 1 {
		failures = append(failures, p.CheckFailure{Property: "byteLength", Reason: fmt.Sprintf("is %d; must be 1 or more", args.ByteLength)})
	}
	return infer.CheckResponse[IDArgs]{Inputs: args, Failures: failures}, err
}

// Create draws the bytes.
func (*RandomID) Create(_ context.Context, req infer.CreateRequest[IDArgs]) (infer.CreateResponse[IDState], error) {
	resp := infer.CreateResponse[IDState]{Output: IDState{IDArgs: req.Inputs}}
	if req.DryRun {
		return resp, nil
	}
	random := make([]byte, req.Inputs.ByteLength)
	if _, err := rand.Read(random); err != nil {
		return resp, fmt.Errorf("read random bytes: %w", err)
	}
	prefix := ""
	if req.Inputs.Prefix != nil {
		prefix = *req.Inputs.Prefix
	}
	resp.ID = base64.RawURLEncoding.EncodeToString(random)
	resp.Output.B64Url = prefix + resp.ID
	resp.Output.B64Std = prefix + base64.StdEncoding.EncodeToString(random)
	resp.Output.Dec = prefix + new(big.Int).SetBytes(random).String()
	resp.Output.Hex = prefix + hex.EncodeToString(random)
	return resp, nil
}

// hasUnknown says whether some input is not known yet, as happens in a preview; then numbers read as 0.
func hasUnknown(inputs property.Map) bool {
	return property.New(inputs).HasComputed()
}
