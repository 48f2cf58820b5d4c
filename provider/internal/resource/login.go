package resource

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	p "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"

	"plan-charge/provider/internal/pgdb"
)

var (
	_ infer.CustomResource[LoginArgs, LoginState]       = (*Login)(nil)
	_ infer.CustomCheck[LoginArgs]                      = (*Login)(nil)
	_ infer.CustomDiff[LoginArgs, LoginState]           = (*Login)(nil)
	_ infer.CustomRead[LoginArgs, LoginState]           = (*Login)(nil)
	_ infer.CustomUpdate[LoginArgs, LoginState]         = (*Login)(nil)
	_ infer.ExplicitDependencies[LoginArgs, LoginState] = (*Login)(nil)
)

// attempt is how a login went.
type attempt struct {
	drift string // in words, "" when it worked
	// curable means that a new password, the role's attributes or its rights make it work.
	curable bool
}

// try logs in as the role does.
func (l *Login) try(ctx context.Context, args LoginArgs) attempt {
	settings := l.connector.settings(ctx)
	settings.Username, settings.Password = args.Username, args.Password
	err := settings.Login(ctx)
	var refusal *pgconn.PgError
	switch {
	case err == nil:
		return attempt{}
	case !errors.As(err, &refusal) || isUnreachable(err):
		return attempt{drift: notSeen(err)}
	}
	reason, curable := l.explain(ctx, args.Username, settings.Database, refusal)
	return attempt{fmt.Sprintf("cannot log in as %s: %s", args.Username, oneLine(reason)), curable}
}

// explain says why the server refused a login. It does not tell whoever tries one: a role that does not exist and an
// expired password look like a wrong password. So the catalog is asked, as the provider's own user.
func (l *Login) explain(ctx context.Context, username, database string, refusal *pgconn.PgError) (reason string, curable bool) {
	role := &pgdb.Role{CanLogin: true, Limit: -1} // unless the catalog knows better
	_ = l.connector.get(ctx).Glance(ctx, func(ctx context.Context, tx pgx.Tx) error {
		found, err := pgdb.FindRole(ctx, tx, username)
		if err == nil {
			role = found
		}
		return err
	})
	switch code := refusal.Code; {
	case role == nil:
		return "the role does not exist", true
	case !role.CanLogin:
		return "the role may not log in", true
	case code == pgerrcode.InvalidPassword && role.Expired:
		return "its password has expired", true
	case code == pgerrcode.InvalidPassword:
		return "the password is another one", true
	case code == pgerrcode.InsufficientPrivilege:
		return fmt.Sprintf("it may not connect to the database %s", database), true
	case code == pgerrcode.TooManyConnections && role.Limit >= 0:
		return fmt.Sprintf("the role may have no more than %d connections", role.Limit), true
	}
	return refusal.Message, false
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// Check refuses what nobody can log in with.
func (l *Login) Check(ctx context.Context, req infer.CheckRequest) (infer.CheckResponse[LoginArgs], error) {
	args, failures, err := infer.DefaultCheck[LoginArgs](ctx, req.NewInputs)
	for _, key := range []string{"username", "password"} {
		if v := req.NewInputs.Get(key); v.IsString() && v.AsString() == "" {
			failures = append(failures, p.CheckFailure{Property: key, Reason: "is empty"})
		}
	}
	return infer.CheckResponse[LoginArgs]{Inputs: args, Failures: failures}, err
}

// Create logs in nowhere, because the role is made after it.
func (l *Login) Create(_ context.Context, req infer.CreateRequest[LoginArgs]) (infer.CreateResponse[LoginState], error) {
	return infer.CreateResponse[LoginState]{ID: req.Inputs.Username, Output: LoginState{LoginArgs: req.Inputs, Generation: 1}}, nil
}

// Diff reports drift as a change, because a refresh shows what an update would mend.
func (l *Login) Diff(_ context.Context, req infer.DiffRequest[LoginArgs, LoginState]) (infer.DiffResponse, error) {
	resp := infer.DiffResponse{DetailedDiff: map[string]p.PropertyDiff{}}
	for key, changed := range map[string]bool{
		"password": req.State.Password != req.Inputs.Password,
		"triggers": !slices.Equal(req.State.Triggers, req.Inputs.Triggers), "drift": req.State.Drift != "",
	} {
		if changed {
			resp.DetailedDiff[key] = p.PropertyDiff{Kind: p.Update}
		}
	}
	if req.State.Username != req.Inputs.Username {
		resp.DetailedDiff["username"] = p.PropertyDiff{Kind: p.UpdateReplace}
	}
	resp.HasChanges = len(resp.DetailedDiff) > 0
	return resp, nil
}

// Update tries again, and raises the generation where the login still does not work. It fails where a role that is set
// again would not work either. A changed password is no reason: the role is given it after this.
func (l *Login) Update(ctx context.Context, req infer.UpdateRequest[LoginArgs, LoginState]) (infer.UpdateResponse[LoginState], error) {
	resp := infer.UpdateResponse[LoginState]{Output: LoginState{LoginArgs: req.Inputs, Generation: req.State.Generation}}
	moved := !slices.Equal(req.State.Triggers, req.Inputs.Triggers)
	switch {
	case req.State.Drift == "" && !moved:
	case req.DryRun:
		if moved || !isUnseen(req.State.Drift) {
			resp.Output.Generation++
		}
	default:
		got := l.try(ctx, req.Inputs)
		if got.curable {
			resp.Output.Generation++
		} else if got.drift != "" {
			return resp, fmt.Errorf("%s. Setting the role again would not change that: see to the database, then run pulumi up again", got.drift)
		}
	}
	return resp, nil
}

// Read logs in with the password that the role was given.
func (l *Login) Read(ctx context.Context, req infer.ReadRequest[LoginArgs, LoginState]) (infer.ReadResponse[LoginArgs, LoginState], error) {
	resp := infer.ReadResponse[LoginArgs, LoginState](req)
	if req.State.Generation == 0 {
		return resp, errors.New("a Login cannot be imported, because no server tells a role's password: declare it")
	}
	resp.State.Drift = l.try(ctx, req.State.LoginArgs).drift
	if isUnseen(resp.State.Drift) { // beside an error for each role and grant, which do not say what to do
		p.GetLogger(ctx).Warning("the database could not be looked at. When it is there again, try again; `pulumi preview --refresh=false` and `pulumi up --refresh=false` go on without looking")
	}
	return resp, nil
}
