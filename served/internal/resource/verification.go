package resource

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"plan-charge/internal/probe"
	"plan-charge/internal/verify"
)

var (
	_ infer.CustomResource[VerificationArgs, VerificationState] = (*Verification)(nil)
	_ infer.CustomCheck[VerificationArgs]                       = (*Verification)(nil)
	_ infer.CustomDiff[VerificationArgs, VerificationState]     = (*Verification)(nil)
	_ infer.CustomRead[VerificationArgs, VerificationState]     = (*Verification)(nil)
	_ infer.CustomUpdate[VerificationArgs, VerificationState]   = (*Verification)(nil)
)

// Check names every mistake at once. What is not known yet is not looked at.
func (v *Verification) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[VerificationArgs], error) {
	args, failures, err := infer.DefaultCheck[VerificationArgs](ctx, req.NewInputs)
	if err != nil || len(failures) > 0 {
		return infer.CheckResponse[VerificationArgs]{Inputs: args, Failures: failures}, err
	}
	known := func(key string) bool { return !req.NewInputs.Get(key).HasComputed() }
	if known("siteUrl") && !verify.IsAddress(args.SiteURL) {
		failures = append(failures, refuse("siteUrl", "found %q; allowed: %s; for example https://site.example", args.SiteURL, verify.AddressRule))
	}
	if _, err := args.checks(); known("checks") && err != nil {
		failures = append(failures, refuse("checks", "%v", err))
	}
	if _, err := timeoutOf(args.Timeout); known("timeout") && err != nil {
		failures = append(failures, refuse("timeout", "%v", err))
	}
	return infer.CheckResponse[VerificationArgs]{Inputs: args, Failures: failures}, nil
}

// checks reads the list of checks.
func (a VerificationArgs) checks() ([]probe.Check, error) {
	version, err := json.Marshal(text(a.AppVersion))
	if err != nil {
		return nil, err
	}
	list := strings.ReplaceAll(a.Checks, probe.Version, string(version[1:len(version)-1])) // inside of quotes
	var checks []probe.Check
	decoder := json.NewDecoder(strings.NewReader(list))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&checks); err != nil || len(checks) == 0 {
		return nil, fmt.Errorf(`found no list of checks (%v); allowed: JSON; for example [{"path":"/health","status":200}]`, err)
	}
	for _, check := range checks {
		if err := check.Validate(); err != nil {
			return nil, err
		}
	}
	return checks, nil
}

// open makes what a verification needs.
func (v *Verification) open(ctx context.Context, args VerificationArgs) (verify.Settings, verify.Clients, error) {
	checks, err := args.checks()
	if err != nil {
		return verify.Settings{}, verify.Clients{}, err
	}
	timeout, err := timeoutOf(args.Timeout)
	if err != nil {
		return verify.Settings{}, verify.Clients{}, err
	}
	clients, err := v.account.clients(ctx, settingsOf(args.Region, args.Profile, args.Role))
	return verify.Settings{
		SiteURL: args.SiteURL, Cluster: args.Cluster, Service: args.Service, TaskDefinition: args.TaskDefinition, DistributionID: args.DistributionID,
		Checks: checks, Timeout: timeout, TimeoutKey: args.TimeoutKey, ConnectTo: v.account.connectTo,
	}, clients.Clients, err
}

// Create verifies for the first time.
func (v *Verification) Create(ctx context.Context, req infer.CreateRequest[VerificationArgs]) (infer.CreateResponse[VerificationState], error) {
	resp := infer.CreateResponse[VerificationState]{ID: req.Inputs.SiteURL, Output: VerificationState{VerificationArgs: req.Inputs}}
	if req.DryRun {
		return resp, nil
	}
	var err error
	resp.Output, err = v.verify(ctx, req.Inputs)
	return resp, err
}

// Update verifies again.
func (v *Verification) Update(ctx context.Context, req infer.UpdateRequest[VerificationArgs, VerificationState]) (infer.UpdateResponse[VerificationState], error) {
	state := req.State
	state.VerificationArgs = req.Inputs
	resp := infer.UpdateResponse[VerificationState]{Output: state}
	if req.DryRun {
		return resp, nil
	}
	var err error
	resp.Output, err = v.verify(ctx, req.Inputs)
	return resp, err
}

// verify asks for all of it. A verification that fails is kept as one that failed, with nothing verified, so that the
// next update asks again, whatever has become of the inputs until then.
func (v *Verification) verify(ctx context.Context, args VerificationArgs) (VerificationState, error) {
	state := VerificationState{VerificationArgs: args, Results: map[string]string{}, Verified: map[string]string{}}
	settings, clients, err := v.open(ctx, args)
	if err == nil {
		state.Results, err = verify.Run(ctx, settings, clients, newProgressLog(ctx))
	}
	if err != nil {
		state.Summary = fmt.Sprintf("%s: not verified at %s", args.SiteURL, now())
		err = verify.Aftermath{
			Failed: "the verification", Cluster: args.Cluster, Service: args.Service, Site: args.SiteURL, HealthPath: healthPath(settings.Checks),
			ConnectTo: v.account.connectTo,
			Next:      "`pulumi up` verifies again; for another version first `pulumi config set image …`",
		}.WithLastWords(ctx, clients, err)
		return state, infer.ResourceInitFailedError{Reasons: []string{err.Error()}}
	}
	if left := verify.NotAsked(settings.Checks); len(left) > 0 {
		p.GetLogger(ctx).Info(fmt.Sprintf("a refresh does not ask %s, since it might change something; a check that changes nothing can have safe: true",
			strings.Join(left, "; ")))
	}
	state.Verified = state.Results
	state.Summary = fmt.Sprintf("%s: %d checks passed at %s", args.SiteURL, len(settings.Checks), now())
	return state, nil
}

// healthPath is the path of the first check that only reads, which of the standard checks is the health.
func healthPath(checks []probe.Check) string {
	for _, check := range checks {
		if check.Verb() == http.MethodGet && !strings.Contains(check.Path, probe.Nonce) {
			return check.Path
		}
	}
	return "/"
}

func now() string { return time.Now().UTC().Format(time.RFC3339) }

// Diff asks again when something else has to be served, and when what came last is not what was verified.
func (v *Verification) Diff(_ context.Context, req infer.DiffRequest[VerificationArgs, VerificationState]) (infer.DiffResponse, error) {
	resp := infer.DiffResponse{DetailedDiff: map[string]p.PropertyDiff{}}
	was, is := req.State.VerificationArgs, req.Inputs
	for key, changed := range map[string]bool{
		"siteUrl": was.SiteURL != is.SiteURL, "cluster": was.Cluster != is.Cluster, "service": was.Service != is.Service,
		"taskDefinition": was.TaskDefinition != is.TaskDefinition, "checks": was.Checks != is.Checks, "appVersion": text(was.AppVersion) != text(is.AppVersion),
		"distributionId": was.DistributionID != is.DistributionID, "distributionVersion": was.DistributionVersion != is.DistributionVersion,
	} {
		if changed {
			resp.DetailedDiff[key] = p.PropertyDiff{Kind: p.Update, InputDiff: true}
		}
	}
	if len(differing(req.State)) > 0 {
		resp.DetailedDiff["results"] = p.PropertyDiff{Kind: p.Update}
	}
	if len(req.State.Verified) == 0 {
		resp.DetailedDiff["verified"] = p.PropertyDiff{Kind: p.Update}
	}
	resp.HasChanges = len(resp.DetailedDiff) > 0
	return resp, nil
}

// differing are the titles of what came otherwise than it was verified, sorted.
func differing(state VerificationState) []string {
	var titles []string
	for _, title := range slices.Sorted(maps.Keys(state.Results)) {
		if state.Results[title] != state.Verified[title] {
			titles = append(titles, title)
		}
	}
	return titles
}

// Read asks once, as far as asking changes nothing. What cannot be seen is not as it was verified.
func (v *Verification) Read(ctx context.Context, req infer.ReadRequest[VerificationArgs, VerificationState]) (infer.ReadResponse[VerificationArgs, VerificationState], error) {
	resp := infer.ReadResponse[VerificationArgs, VerificationState](req)
	if req.State.Checks == "" {
		return resp, errors.New("a verification cannot be imported: leave it to the next `pulumi up`")
	}
	settings, clients, err := v.open(ctx, req.State.VerificationArgs)
	if err != nil {
		resp.State.Results = maps.Clone(req.State.Results)
		resp.State.Results[verify.ServiceResult] = "not seen: " + verify.Plain(err)
		return resp, nil
	}
	resp.State.Results = verify.Look(ctx, settings, clients, req.State.Verified)
	if text := complaint(resp.State); text != "" {
		p.GetLogger(ctx).Warning(text)
	}
	return resp, nil
}

// complaint says what is not as it was verified, "" when all is.
func complaint(state VerificationState) string {
	var wrong []string
	for _, title := range differing(state) {
		wrong = append(wrong, fmt.Sprintf("%s: %s", title, state.Results[title]))
	}
	switch {
	case len(state.Verified) == 0:
		return fmt.Sprintf("the last verification of %s failed, and the next `pulumi up` makes it again; now came %s", state.SiteURL, strings.Join(wrong, "; "))
	case len(wrong) > 0:
		return fmt.Sprintf("%s does not serve as it was verified: %s", state.SiteURL, strings.Join(wrong, "; "))
	}
	return ""
}
