package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"plan-charge/internal/strangers"
	"plan-charge/internal/verify"
)

var (
	_ infer.CustomResource[StrangersArgs, StrangersState] = (*Strangers)(nil)
	_ infer.CustomDiff[StrangersArgs, StrangersState]     = (*Strangers)(nil)
	_ infer.CustomRead[StrangersArgs, StrangersState]     = (*Strangers)(nil)
	_ infer.CustomUpdate[StrangersArgs, StrangersState]   = (*Strangers)(nil)
)

const unseen = "not seen: "

func (a StrangersArgs) owned() strangers.Owned {
	return strangers.Owned{
		SecurityGroups: a.SecurityGroups, Rules: a.Rules, Roles: a.Roles, Policies: a.Policies,
		LoadBalancers: a.LoadBalancers, Listeners: a.Listeners, ListenerRules: a.ListenerRules,
	}
}

// and is what both declare: what a changed program is about to take away is no stranger yet.
func (a StrangersArgs) and(b StrangersArgs) StrangersArgs {
	a.Rules, a.Policies = slices.Concat(a.Rules, b.Rules), slices.Concat(a.Policies, b.Policies)
	a.Listeners, a.ListenerRules = slices.Concat(a.Listeners, b.Listeners), slices.Concat(a.ListenerRules, b.ListenerRules)
	return a
}

// Create looks at nothing: what it would find nobody has been shown yet.
func (s *Strangers) Create(_ context.Context, req infer.CreateRequest[StrangersArgs]) (infer.CreateResponse[StrangersState], error) {
	return infer.CreateResponse[StrangersState]{ID: req.Name, Output: StrangersState{req.Inputs, []string{}}}, nil
}

// Read names the strangers. What cannot be looked at is named too: not seen is never green.
func (s *Strangers) Read(ctx context.Context, req infer.ReadRequest[StrangersArgs, StrangersState]) (infer.ReadResponse[StrangersArgs, StrangersState], error) {
	resp := infer.ReadResponse[StrangersArgs, StrangersState](req)
	if len(req.State.SecurityGroups)+len(req.State.Roles)+len(req.State.LoadBalancers) == 0 {
		return resp, errors.New("strangers cannot be imported: leave it to the next `pulumi up`")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, glance, fmt.Errorf("nothing within %s", glance))
	defer cancel()
	resp.State.Found = []string{}
	clients, err := s.account.clients(ctx, settingsOf(req.State.Region, req.State.Profile, req.State.Role))
	if err != nil {
		resp.State.Found = []string{unseen + verify.Plain(err)}
		return resp, nil
	}
	found := strangers.Look(ctx, clients.Query, req.State.owned())
	for _, stranger := range found.Strangers {
		if !slices.Contains(req.State.Allow, stranger.Name) {
			resp.State.Found = append(resp.State.Found, stranger.Name)
		}
	}
	for _, u := range found.Unseen {
		resp.State.Found = append(resp.State.Found, unseen+u.Kind+": "+verify.Plain(u.Err))
	}
	moved, err := strangers.Moved(ctx, clients.Versions, req.State.SecretVersions)
	if err != nil {
		moved = []string{unseen + verify.Plain(err)}
	}
	for _, note := range append(found.Notes, moved...) {
		p.GetLogger(ctx).Warning(note)
	}
	return resp, nil
}

// Diff says what an update removes.
func (s *Strangers) Diff(_ context.Context, req infer.DiffRequest[StrangersArgs, StrangersState]) (infer.DiffResponse, error) {
	resp := infer.DiffResponse{DetailedDiff: map[string]p.PropertyDiff{}}
	was, is := req.State.StrangersArgs, req.Inputs
	for key, changed := range map[string]bool{
		"securityGroups": !slices.Equal(was.SecurityGroups, is.SecurityGroups), "rules": !slices.Equal(was.Rules, is.Rules),
		"roles": !slices.Equal(was.Roles, is.Roles), "policies": !slices.Equal(was.Policies, is.Policies),
		"loadBalancers": !slices.Equal(was.LoadBalancers, is.LoadBalancers), "listeners": !slices.Equal(was.Listeners, is.Listeners),
		"listenerRules": !slices.Equal(was.ListenerRules, is.ListenerRules), "secretVersions": !slices.Equal(was.SecretVersions, is.SecretVersions),
		"allow": !slices.Equal(was.Allow, is.Allow),
	} {
		if changed {
			resp.DetailedDiff[key] = p.PropertyDiff{Kind: p.Update, InputDiff: true}
		}
	}
	for i, name := range req.State.Found {
		if !slices.Contains(is.Allow, name) {
			resp.DetailedDiff[fmt.Sprintf("found[%d]", i)] = p.PropertyDiff{Kind: p.Delete}
		}
	}
	resp.HasChanges = len(resp.DetailedDiff) > 0
	return resp, nil
}

// Update removes the strangers that a refresh has named, and no others: those nobody has been shown. One that the program
// has come to declare, or allows by now, stays.
func (s *Strangers) Update(ctx context.Context, req infer.UpdateRequest[StrangersArgs, StrangersState]) (infer.UpdateResponse[StrangersState], error) {
	resp := infer.UpdateResponse[StrangersState]{Output: StrangersState{req.Inputs, []string{}}}
	if req.DryRun || len(req.State.Found) == 0 {
		return resp, nil
	}
	clients, err := s.account.clients(ctx, settingsOf(req.Inputs.Region, req.Inputs.Profile, req.Inputs.Role))
	if err != nil {
		return resp, err
	}
	found := strangers.Look(ctx, clients.Query, req.Inputs.and(req.State.StrangersArgs).owned())
	var errs []error
	for _, u := range found.Unseen {
		errs = append(errs, fmt.Errorf("look at %s: %w", u.Kind, u.Err))
	}
	out := newProgressLog(ctx)
	for _, stranger := range found.Strangers {
		if !slices.Contains(req.State.Found, stranger.Name) || slices.Contains(req.Inputs.Allow, stranger.Name) {
			continue
		}
		if err := stranger.Remove(ctx); err != nil {
			errs = append(errs, err)
			continue
		}
		out.show(strings.TrimSpace("removed " + stranger.Name))
	}
	return resp, errors.Join(errs...)
}
