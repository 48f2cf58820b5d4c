package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"plan-charge/provider/internal/pgdb"
)

var (
	_ infer.CustomResource[RightsArgs, RightsState]       = (*Rights)(nil)
	_ infer.CustomDiff[RightsArgs, RightsState]           = (*Rights)(nil)
	_ infer.CustomRead[RightsArgs, RightsState]           = (*Rights)(nil)
	_ infer.CustomUpdate[RightsArgs, RightsState]         = (*Rights)(nil)
	_ infer.ExplicitDependencies[RightsArgs, RightsState] = (*Rights)(nil)
)

func (a RightsArgs) schema() string {
	if a.Schema == nil {
		return "public"
	}
	return *a.Schema
}

func (a RightsArgs) rights() pgdb.Rights {
	return pgdb.Rights{Role: a.Role, Schema: a.schema(), Database: a.DatabasePrivileges, Tables: a.TablePrivileges, Sequences: a.SequencePrivileges}
}

// Create looks at nothing: what it would find nobody has been shown yet.
func (r *Rights) Create(_ context.Context, req infer.CreateRequest[RightsArgs]) (infer.CreateResponse[RightsState], error) {
	return infer.CreateResponse[RightsState]{ID: req.Inputs.Role, Output: RightsState{req.Inputs, []string{}}}, nil
}

// Read names the rights that are not declared. What cannot be looked at is named too: not seen is never green.
func (r *Rights) Read(ctx context.Context, req infer.ReadRequest[RightsArgs, RightsState]) (infer.ReadResponse[RightsArgs, RightsState], error) {
	resp := infer.ReadResponse[RightsArgs, RightsState](req)
	if req.State.Role == "" {
		return resp, errors.New("rights cannot be imported: leave it to the next `pulumi up`")
	}
	var found []pgdb.Stranger
	err := r.connector.get(ctx).Look(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		found, err = req.State.rights().Strangers(ctx, tx)
		return err
	})
	resp.State.Found = []string{}
	if err != nil {
		resp.State.Found = []string{notSeen(err)}
		p.GetLogger(ctx).Warning(oneLine(err.Error()) + ": the database was not looked at. Where that ends a preview or a destroy, add --refresh=false")
	}
	for _, stranger := range found {
		if !slices.Contains(req.State.Allow, stranger.Name) {
			resp.State.Found = append(resp.State.Found, stranger.Name)
		}
	}
	return resp, nil
}

// Diff says what an update revokes.
func (r *Rights) Diff(_ context.Context, req infer.DiffRequest[RightsArgs, RightsState]) (infer.DiffResponse, error) {
	resp := infer.DiffResponse{DetailedDiff: map[string]p.PropertyDiff{}}
	was, is := req.State.RightsArgs, req.Inputs
	for key, changed := range map[string]bool{
		"schema": was.schema() != is.schema(), "databasePrivileges": !slices.Equal(was.DatabasePrivileges, is.DatabasePrivileges),
		"tablePrivileges": !slices.Equal(was.TablePrivileges, is.TablePrivileges), "sequencePrivileges": !slices.Equal(was.SequencePrivileges, is.SequencePrivileges),
		"allow": !slices.Equal(was.Allow, is.Allow),
	} {
		if changed {
			resp.DetailedDiff[key] = p.PropertyDiff{Kind: p.Update, InputDiff: true}
		}
	}
	if was.Role != is.Role {
		resp.DetailedDiff["role"] = p.PropertyDiff{Kind: p.UpdateReplace, InputDiff: true}
	}
	for i, name := range req.State.Found {
		if !slices.Contains(is.Allow, name) {
			resp.DetailedDiff[fmt.Sprintf("found[%d]", i)] = p.PropertyDiff{Kind: p.Delete}
		}
	}
	resp.HasChanges = len(resp.DetailedDiff) > 0
	return resp, nil
}

// Update revokes the rights that a refresh has named, and no others: those nobody has been shown. One that the program has
// come to declare, or allows by now, stays.
func (r *Rights) Update(ctx context.Context, req infer.UpdateRequest[RightsArgs, RightsState]) (infer.UpdateResponse[RightsState], error) {
	resp := infer.UpdateResponse[RightsState]{Output: RightsState{req.Inputs, []string{}}}
	if req.DryRun || len(req.State.Found) == 0 {
		return resp, nil
	}
	var removed []string
	err := r.connector.get(ctx).Change(ctx, func(ctx context.Context, tx pgx.Tx) (err error) {
		removed, err = req.Inputs.rights().Remove(ctx, tx, func(name string) bool {
			return slices.Contains(req.State.Found, name) && !slices.Contains(req.Inputs.Allow, name)
		})
		return err
	})
	for _, name := range removed {
		p.GetLogger(ctx).InfoStatus("removed " + name)
	}
	return resp, err
}
