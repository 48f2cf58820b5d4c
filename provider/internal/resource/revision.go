package resource

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"plan-charge/internal/releases"
	"plan-charge/internal/schemaobjects"
	"plan-charge/internal/versiontable"
	"plan-charge/provider/internal/rowid"
)

var (
	_ infer.CustomResource[RevisionArgs, RevisionState]       = (*Revision)(nil)
	_ infer.CustomCheck[RevisionArgs]                         = (*Revision)(nil)
	_ infer.CustomDiff[RevisionArgs, RevisionState]           = (*Revision)(nil)
	_ infer.CustomRead[RevisionArgs, RevisionState]           = (*Revision)(nil)
	_ infer.CustomUpdate[RevisionArgs, RevisionState]         = (*Revision)(nil)
	_ infer.ExplicitDependencies[RevisionArgs, RevisionState] = (*Revision)(nil)
)

func (a RevisionArgs) versionTable() versiontable.Table {
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	return versiontable.New(text(a.Schema), text(a.Table), text(a.Column))
}

func (a RevisionArgs) id() string {
	t := a.versionTable()
	return rowid.ID{Schema: t.Schema, Table: t.Name, KeyColumns: []string{t.Column}}.String()
}

// shownImages is how many images a state tells that they would not be migrated: the newest ones.
const shownImages = 50

// seen is what a look at the database tells.
type seen struct {
	current, drift string
	notMigrated    map[string]string
}

// into notes it in a state.
func (s seen) into(state *RevisionState) {
	state.Revision, state.Drift, state.NotMigrated = s.current, s.drift, s.notMigrated
}

// observe reads the revision, and compares revision and schema with the mark of the last migration and with what earlier
// images left.
func (r *Revision) observe(ctx context.Context, args RevisionArgs) (s seen, err error) {
	table := args.versionTable()
	err = r.connector.get(ctx).Look(ctx, func(ctx context.Context, tx pgx.Tx) error {
		var err error
		if s.current, s.drift, err = look(ctx, tx, table, args.IgnoreObjects); err != nil {
			return err
		}
		history, err := releases.Load(ctx, tx, table)
		s.notMigrated = history.AllPassed(s.current, shownImages)
		return err
	})
	return s, err
}

// Check fills in defaults, and refuses patterns that name nothing.
func (r *Revision) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[RevisionArgs], error) {
	args, failures, err := infer.DefaultCheck[RevisionArgs](ctx, req.NewInputs)
	for i, pattern := range args.IgnoreObjects {
		if !schemaobjects.ValidPattern(pattern) {
			failures = append(failures, p.CheckFailure{
				Property: fmt.Sprintf("ignoreObjects[%d]", i), Reason: fmt.Sprintf("found %q; allowed: %s; for example table public.cache_*", pattern, schemaobjects.AllowedPattern),
			})
		}
	}
	if err == nil && len(failures) == 0 {
		r.connector.notice(ctx)
	}
	return infer.CheckResponse[RevisionArgs]{Inputs: args, Failures: failures}, err
}

// Create notes the revision as it is. A migration that is created together with it runs anyway.
func (r *Revision) Create(ctx context.Context, req infer.CreateRequest[RevisionArgs]) (infer.CreateResponse[RevisionState], error) {
	state := RevisionState{RevisionArgs: req.Inputs, Generation: 1}
	resp := infer.CreateResponse[RevisionState]{ID: req.Inputs.id(), Output: state}
	if req.DryRun {
		return resp, nil
	}
	now, err := r.observe(ctx, req.Inputs)
	if err != nil {
		return resp, err
	}
	now.drift = "" // the migration that follows ends it
	now.into(&resp.Output)
	return resp, nil
}

// Diff reports drift as a change, because a refresh shows what an update would mend.
func (r *Revision) Diff(ctx context.Context, req infer.DiffRequest[RevisionArgs, RevisionState]) (infer.DiffResponse, error) {
	resp := infer.DiffResponse{DetailedDiff: map[string]p.PropertyDiff{}}
	before, now := req.State.versionTable(), req.Inputs.versionTable()
	for key, changed := range map[string]bool{
		"schema": before.Schema != now.Schema, "table": before.Name != now.Name, "column": before.Column != now.Column,
		"triggers": !slices.Equal(req.State.Triggers, req.Inputs.Triggers), "drift": req.State.Drift != "",
		"ignoreObjects": !slices.Equal(req.State.IgnoreObjects, req.Inputs.IgnoreObjects),
	} {
		if changed {
			resp.DetailedDiff[key] = p.PropertyDiff{Kind: p.Update}
		}
	}
	resp.HasChanges = len(resp.DetailedDiff) > 0
	return resp, nil
}

// Update raises the generation: whatever led here, the schema has to be migrated again. What only could not be looked at,
// or is to be compared otherwise, is looked at again, and migrated if need be.
func (r *Revision) Update(ctx context.Context, req infer.UpdateRequest[RevisionArgs, RevisionState]) (infer.UpdateResponse[RevisionState], error) {
	state := RevisionState{RevisionArgs: req.Inputs, Revision: req.State.Revision, Generation: req.State.Generation + 1, NotMigrated: req.State.NotMigrated}
	moved := req.Inputs.versionTable() != req.State.versionTable() || !slices.Equal(req.Inputs.Triggers, req.State.Triggers)
	onlyLook := !moved && unknown(req.State.Drift)
	if req.DryRun {
		if onlyLook {
			state.Generation = req.State.Generation
		}
		return infer.UpdateResponse[RevisionState]{Output: state}, nil
	}
	now, err := r.observe(ctx, req.Inputs)
	if err != nil {
		return infer.UpdateResponse[RevisionState]{Output: state}, err
	}
	if onlyLook && unknown(now.drift) {
		state.Generation = req.State.Generation
	}
	now.drift = "" // the migration that follows ends it
	now.into(&state)
	return infer.UpdateResponse[RevisionState]{Output: state}, nil
}

// unknown says of a drift that nothing in it calls for a migration.
func unknown(drift string) bool { return drift == "" || isUnseen(drift) }

// Read compares the live revision and schema with the last migration's mark. What cannot be read stays as it was known, and is
// reported: not seen is never green.
func (r *Revision) Read(ctx context.Context, req infer.ReadRequest[RevisionArgs, RevisionState]) (infer.ReadResponse[RevisionArgs, RevisionState], error) {
	resp := infer.ReadResponse[RevisionArgs, RevisionState](req)
	imported := req.State.Generation == 0
	if imported {
		id, err := rowid.ParseID(req.ID)
		if err != nil {
			return resp, err
		}
		resp.Inputs.Schema, resp.Inputs.Table, resp.Inputs.Column = &id.Schema, &id.Table, &id.KeyColumns[0]
		resp.State = RevisionState{RevisionArgs: resp.Inputs, Generation: 1}
	}
	now, err := r.observe(ctx, resp.State.RevisionArgs)
	switch {
	case err != nil && imported:
		return resp, err
	case err != nil:
		resp.State.Drift = notSeen(err)
		return resp, nil
	}
	now.into(&resp.State)
	return resp, nil
}
