package main

// guard is one thing that keeps a bad deployment from happening, and how to take it out.
type guard struct {
	what     string // what it does, for the reader of docs/guards.md
	file     string
	old, new string // the text that is the guard, there exactly once, and the same without it
	pkg      string
	test     string // that must fail then; after a / the name of its subtest
}

// part is a group of guards in docs/guards.md.
type part struct {
	title  string
	guards []guard
}

var parts = []part{
	{"Gating: nothing goes on after a migration that did not work", gating},
	{"Order: each step waits for what it needs", order},
	{"Rollouts: a version that does not work is taken back", rollouts},
	{"Verification: success means served", verification},
	{"Secrets: none in what is printed or stored in clear", secrets},
	{"Reviews: what was seen is what is deployed", reviews},
	{"Rows: nothing is touched that the program does not own", rows},
	{"Strangers: what somebody added is named before it is removed, and nothing else is removed", strange},
	{"Access: the database stays private, and what leads to it does not stay", access},
	{"Rights: nobody may more than their calls need", allowed},
}

// Packages that are named more than once.
const (
	whole      = "."
	command    = "./cmd/plan-charge"
	review     = "./internal/review"
	workflows  = "./test/workflows"
	infra      = "./infra"
	schema     = "./schema"
	migrate    = "./internal/migrate"
	verify     = "./internal/verify"
	probe      = "./internal/probe"
	provider   = "./provider/internal/resource"
	database   = "./provider/internal/pgdb"
	served     = "./served/internal/resource"
	session    = "./internal/session"
	gateway    = "./sandbox/gateway"
	policies   = "./sandbox/rights"
	written    = "./tools/rights"
	taskEnded  = `if failure.ExitCode != nil && *failure.ExitCode == 0 && result.logErr == nil {`
	rolloutEnd = `case primary.RolloutState == types.DeploymentRolloutStateCompleted && primary.RunningCount >= primary.DesiredCount && len(s.Deployments) == 1:`
)

// What the guards of going back to an older image share.
const (
	releases    = "./internal/releases"
	notMigrated = `err != nil || passed {`
)

var gating = []guard{
	{
		"a migration that exits non-zero stops the deployment", "internal/migrate/failure.go",
		taskEnded, `if failure.ExitCode != nil && result.logErr == nil {`,
		migrate, "TestFailures/exits non-zero",
	},
	{
		"a migration that is killed stops the deployment", "internal/migrate/failure.go",
		taskEnded, `if failure.ExitCode != nil && (*failure.ExitCode == 0 || *failure.ExitCode == 137) && result.logErr == nil {`,
		migrate, "TestFailures/is killed",
	},
	{
		"a migration that never started because its image is missing stops the deployment", "internal/migrate/failure.go",
		taskEnded, `if failure.ExitCode == nil || *failure.ExitCode == 0 && result.logErr == nil {`,
		migrate, "TestFailures/image is missing",
	},
	{
		"a migration that never started because its secret cannot be read stops the deployment", "internal/migrate/failure.go",
		taskEnded, `if failure.ExitCode == nil || *failure.ExitCode == 0 && result.logErr == nil {`,
		migrate, "TestFailures/secret is unreadable",
	},
	{
		"exit code 0 with a lost log is no success", "internal/migrate/failure.go",
		taskEnded, `if failure.ExitCode != nil && *failure.ExitCode == 0 {`,
		migrate, "TestFailures/loses its log",
	},
	{
		"a lost log makes no success of a failure", "internal/migrate/failure.go",
		taskEnded, `if failure.ExitCode != nil && (*failure.ExitCode == 0) == (result.logErr == nil) {`,
		migrate, "TestFailures/fails and loses its log",
	},
	{
		"exit code 0 without a revision in the database is no success", "internal/migrate/migrate.go",
		`if after == "" {`, `if false {`,
		migrate, "TestFailures/migrates nothing",
	},
	{
		"the error of a failed migration ends with the last lines of its log", "internal/migrate/failure.go",
		`for _, line := range e.Log {`, `for _, line := range e.Log[:0] {`,
		migrate, "TestFailures/exits non-zero",
	},
	{
		"the error of a failed migration says why ECS stopped the task", "internal/migrate/failure.go",
		`{"stopped reason", e.StoppedReason}, `, ``,
		migrate, "TestFailures/image is missing",
	},
	{
		"a migration that hangs is given up at its timeout", "internal/migrate/migrate.go",
		`context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("the time allowed by migration.timeout`, `context.WithTimeoutCause(ctx, DefaultTimeout, fmt.Errorf("the time allowed by migration.timeout`,
		migrate, "TestTimeoutStopsTheTask",
	},
	{
		"a migration that is given up is stopped", "internal/migrate/task.go",
		`return result, m.abandon(ctx, arn, stream, &result, err)`, `return result, err`,
		migrate, "TestTimeoutStopsTheTask",
	},
	{
		"a statement of the migration that keeps the site waiting for a table is cancelled", "internal/migrate/locks.go",
		`if now.Sub(first) < l.limit {`, `if now.Sub(first) >= 0 {`,
		migrate, "TestAStatementWaitsForATableOnlySoLong/readers would wait behind it",
	},
	{
		"two deployers do not migrate at once", "internal/migrate/database.go",
		`if got {`, `if got || key != 0 {`,
		migrate, "TestOneDeployerAtATime",
	},
	{
		"a task that an earlier, killed deployment left behind is waited for", "internal/migrate/migrate.go",
		`if err := m.waitForOthers(ctx); err != nil {`, `if err := ctx.Err(); err != nil {`,
		migrate, "TestWaitsForATaskThatWasLeftBehind",
	},
	{
		"such a task is waited for as well while it is being stopped", "internal/migrate/task.go",
		`{types.DesiredStatusRunning, types.DesiredStatusStopped}`, `{types.DesiredStatusRunning}`,
		migrate, "TestWaitsForATaskThatIsStillStopping",
	},
	{
		"a helper ends when the engine that started it dies", "internal/lifeline/lifeline.go",
		`if dead := chain.broken(os.Getppid(), find); dead != "" {`, `if dead := chain.broken(os.Getppid(), find); dead == "?" {`,
		"./internal/lifeline", "TestKilledEngineEndsTheWork",
	},
	{
		"a new image migrates", "schema/migration.go",
		`pulumi.Array{args.Image, pulumi.String(command), generation},`, `pulumi.Array{pulumi.String(command), generation},`,
		schema, "TestMigration",
	},
	{
		"the image that triggers it is the stack's", "wiring.go",
		`Image:             pulumi.String(cfg.MigrationImage()),`, `Image:             pulumi.String("latest"),`,
		whole, "TestMigrationRunsWhatIsDeployed",
	},
	{
		"a new command migrates", "schema/migration.go",
		`pulumi.Array{args.Image, pulumi.String(command), generation},`, `pulumi.Array{args.Image, generation},`,
		schema, "TestMigration",
	},
	{
		"a revision that somebody changed by hand migrates", "schema/migration.go",
		`pulumi.Array{args.Image, pulumi.String(command), generation},`, `pulumi.Array{args.Image, pulumi.String(command)},`,
		schema, "TestMigration",
	},
	{
		"a refresh reports a revision that somebody changed by hand", "provider/internal/resource/revision.go",
		`"drift": req.State.Drift != "",`, `"drift": false,`,
		provider, "TestRevision",
	},
	{
		"a refresh logs in as the tasks do", "provider/internal/resource/login.go",
		`resp.State.Drift = l.try(ctx, req.State.LoginArgs).drift`, `resp.State.Drift = ""`,
		provider, "TestLogin/password",
	},
	{
		"a login that could not be tried is not taken for one that works", "provider/internal/resource/login.go",
		`return attempt{drift: notSeen(err)}`, `return attempt{}`,
		provider, "TestLoginThatIsNotSeen",
	},
	{
		"an up with a login that nothing of it makes work is no success", "provider/internal/resource/login.go",
		`} else if got.drift != "" {`, `} else if got.drift == "?" {`,
		provider, "TestLoginThatTheRoleIsNoCureFor",
	},
	{
		"a changed password is set again", "schema/roles.go",
		`again(v[2].(int))...)...)`, `again(1)...)...)`,
		schema, "TestRolesAndGrants",
	},
	{
		"a changed setting migrates a database that was downgraded meanwhile", "internal/migrate/schema.go",
		`return left.marked && left.revision == left.mark.Revision &&`, `return left.marked &&`,
		migrate, "TestUnlessDone",
	},
	{
		"the migration runs the image that is deployed", "infra/task.go",
		`"image":       t.settings.Image,`, `"image":       "backend:latest",`,
		whole, "TestMigrationRunsWhatIsDeployed",
	},
	{
		"the migration logs in as the owner", "infra/migration.go",
		`args.Database.URL(args.Database.Owner)`, `args.Database.URL(args.Database.App)`,
		infra, "TestDatabaseURLs",
	},

	// What the schema is made of.
	{
		"a refresh names what was changed by hand in the schema", "provider/internal/resource/look.go",
		`schemaobjects.Diff(left, live, schemaobjects.NewPatterns(ignore))`, `schemaobjects.Diff(live, live, schemaobjects.NewPatterns(ignore))`,
		provider, "TestObjectsThatChangedByHand/a dropped table",
	},
	{
		"a schema that could not be read in time is not green", "provider/internal/resource/look.go",
		`return notSeen(errors.New(unread))`, `return ""`,
		provider, "TestObjectsThatAreNotSeenAreNotGreen/too large",
	},
	{
		"an up after which the schema still differs from what the last migration left fails", "internal/migrate/schema.go",
		`return m.diff(*left.mark.Schema, live).Fold()`, `return nil`,
		migrate, "TestWhatMigratingDoesNotMendFails/dropped",
	},
	{
		"what was missing before a new revision, and is so after it, fails the up", "internal/migrate/schema.go",
		`missing := left.changes.StillMissing(live).Fold()`, `missing := []schemaobjects.Difference(nil)`,
		migrate, "TestAnotherRevision/what was missing before it stays missing",
	},
	{
		"a schema that differs is migrated although nothing else has changed", "internal/migrate/schema.go",
		"\n\t\tlen(m.refused(left.changes.Fold())) == 0", "\n\t\ttrue",
		migrate, "TestWhatMigratingMendsIsASuccess",
	},
	{
		"a difference is accepted by its exact name only", "internal/migrate/schema.go",
		`return slices.Contains(m.Accept, d.Object)`, `return slices.ContainsFunc(m.Accept, func(name string) bool { return strings.HasPrefix(d.Object, name) })`,
		migrate, "TestAccept",
	},
	{
		"a newer version's mark is neither read nor overwritten", "internal/versiontable/mark.go",
		`case format > markFormat:`, `case false:`,
		"./internal/versiontable", "TestMarkOfANewerVersion",
	},
	{
		"an image whose revision the database has moved past is rolled out without migrating", "internal/migrate/migrate.go",
		notMigrated, `err != nil || passed && false {`,
		migrate, "TestBackAndForth",
	},
	{
		"a downgrade that is asked for takes a snapshot first", "internal/migrate/migrate.go",
		`if m.DowngradeTo != "" && left.revision != m.DowngradeTo {`, `if false {`,
		migrate, "TestADowngradeThatIsAskedForTakesASnapshotFirst",
	},
	{
		"a downgrade goes to the revision that was named and no other", "internal/migrate/migrate.go",
		`if m.DowngradeTo != "" && after != m.DowngradeTo {`, `if false {`,
		migrate, "TestADowngradeThatIsAskedForTakesASnapshotFirst",
	},
	{
		"a downgrade never happens unasked", "internal/migrate/migrate.go",
		notMigrated, `err != nil || passed && false {`,
		migrate, "TestADowngradeNeverHappensUnasked",
	},
	{
		"an image that was never here, and does not know the database's revision, is not let through", "internal/releases/releases.go",
		`if !known || last.Revision == live`, `if !known && false || last.Revision == live`,
		migrate, "TestAnUnknownImageIsNotLetThrough",
	},
	{
		"an older image is not rolled out on a schema that is not what the last migration left", "internal/migrate/back.go",
		`len(refused) > 0 {`, `len(refused) > len(differences) {`,
		migrate, "TestAnOlderImageIsNotRolledOutOnASchemaThatIsNotWhatWasLeft",
	},
	{
		"a database that is not past an image's revision, but before it, is migrated", "internal/releases/releases.go",
		`&& h.firstOf(r.From) < h.firstOf(r.Revision) {`, `{`,
		releases, "TestPassed/downgraded by an image",
	},
	{
		"an image that does not fit another branch of the schema is not let through", "internal/releases/releases.go",
		`if reached[r.From] && `, `if `,
		releases, "TestPassed/another branch",
	},
}

var order = []guard{
	{
		"roles and default privileges come before the migration", "wiring.go",
		`order.Done(roles, task)`, `order.Done(task)`,
		whole, "TestOrder",
	},
	{
		"grants wait for the migration", "main.go",
		`DependsOn: order.Done(migration)}`, `DependsOn: order.Done()}`,
		whole, "TestOrder",
	},
	{
		"organizations wait for the migration", "wiring.go",
		`DependsOn:  order.Done(migration),`, `DependsOn:  order.Done(),`,
		whole, "TestOrder",
	},
	{
		"the service waits for the migration", "main.go",
		`After: order.Done(migration, grants, organizations),`, `After: order.Done(migration, grants, organizations)[:0],`,
		whole, "TestOrder",
	},
	{
		"the service waits for the grants", "main.go",
		`After: order.Done(migration, grants, organizations),`, `After: append(order.Done(migration), order.Done(organizations, grants)[:1]...),`,
		whole, "TestOrder",
	},
	{
		"the service waits for the organizations", "main.go",
		`After: order.Done(migration, grants, organizations),`, `After: order.Done(migration, grants, organizations)[:4],`,
		whole, "TestOrder",
	},
	{
		"the service's DATABASE_URL is written after the organizations", "infra/service.go",
		`after:         args.After,`, ``,
		whole, "TestOrder",
	},
	{
		"what the CDN keeps is removed after the rollout, not before", "wiring.go",
		`DependsOn:           order.Done(service, cdn, dns),`, `DependsOn:           order.Done(cdn, dns),`,
		whole, "TestOrder",
	},
	{
		"the checks wait for the invalidation", "infra/verification.go",
		`append([]pulumi.CustomResource{invalidation}, args.DependsOn...)`, `append([]pulumi.CustomResource{invalidation}[:0], args.DependsOn...)`,
		whole, "TestOrder",
	},
}

var rollouts = []guard{
	{
		"a database is never replaced unless the configuration names it, whatever `protect` says", "infra/database.go",
		`pulumi.DeleteBeforeReplace(db.Replace != "")`, `pulumi.DeleteBeforeReplace(true)`,
		infra, "TestDatabase",
	},
	{
		"tasks that do not come up end a rollout (circuit breaker)", "infra/service.go",
		"DeploymentCircuitBreaker: &ecs.ServiceDeploymentCircuitBreakerArgs{\n\t\t\tEnable:   pulumi.Bool(true),", "DeploymentCircuitBreaker: &ecs.ServiceDeploymentCircuitBreakerArgs{\n\t\t\tEnable:   pulumi.Bool(false),",
		infra, "TestService",
	},
	{
		"such a rollout goes back to the version before", "infra/service.go",
		"Rollback: pulumi.Bool(true),\n\t\t},", "Rollback: pulumi.Bool(false),\n\t\t},",
		infra, "TestService",
	},
	{
		"a rollout during which the application answers with 5xx is taken back", "infra/service.go",
		`AlarmNames: args.Alarms.Deployment,`, ``,
		infra, "TestService",
	},
	{
		"the old version's tasks all stay until the new ones are healthy", "infra/service.go",
		`DeploymentMinimumHealthyPercent: pulumi.Int(100),`, `DeploymentMinimumHealthyPercent: pulumi.Int(50),`,
		infra, "TestService",
	},
	{
		"a changed DATABASE_URL is a rollout, and never changes a running version", "infra/task.go",
		"url := fmt.Sprintf(\"%s:::%s\", v[0], v[1])", "url := fmt.Sprint(v[0])",
		infra, "TestDatabaseURLs",
	},
	{
		"a service that was rolled back, though steady, is no success", "internal/verify/rollout.go",
		`case !Same(aws.ToString(primary.TaskDefinition), wanted):`, `case wanted == "":`,
		verify, "TestRolloutThatFails/rolled back",
	},
	{
		"a rollout that failed for good is reported at once", "internal/verify/rollout.go",
		` && d.RolloutState == types.DeploymentRolloutStateFailed {`, ` && d.RolloutState == "" {`,
		verify, "TestRolloutThatFails/failed, no way",
	},
	{
		"a rollout that ECS has not completed is no success", "internal/verify/rollout.go",
		rolloutEnd, `case primary.RunningCount >= primary.DesiredCount && len(s.Deployments) == 1:`,
		verify, "TestRolloutThatFails/not yet complete",
	},
	{
		"a rollout beside which the old version still serves is no success", "internal/verify/rollout.go",
		rolloutEnd, `case primary.RolloutState == types.DeploymentRolloutStateCompleted && primary.RunningCount >= primary.DesiredCount:`,
		verify, "TestRolloutThatFails/old one serves",
	},
	{
		"the error of a failed rollout says why its tasks stopped", "internal/verify/stopped.go",
		`Reasons: reasons(t)}`, `Reasons: nil}`,
		verify, "TestRolloutThatFails/rolled back",
	},
	{
		"the error of a failed rollout has the last lines of its tasks' logs", "internal/verify/stopped.go",
		`task.Log = append(task.Log, lines...)`, `task.Log = append(task.Log, lines[:0]...)`,
		verify, "TestRolloutThatFails/rolled back",
	},
	{
		"the site is not asked while the wrong version answers", "internal/verify/verify.go",
		"return v.results, hide.Error(err)\n\t\t}\n\t\tv.results", "defer func(rollout error) { fmt.Fprintln(clean, rollout) }(err)\n\t\t}\n\t\tv.results",
		verify, "TestRolloutThatFails/rolled back",
	},
	{
		"what comes after the service waits for its rollout", "infra/service.go",
		`parent, order.After(rollout, bounds))`, `parent, order.After(service, bounds))`,
		whole, "TestOrder",
	},
	{
		"a deployment that only changes the service's settings is followed", "served/internal/resource/rollout.go",
		`"settings": was.Settings != is.Settings`, `"settings": false`,
		served, "TestRolloutIsFollowedAgain",
	},
	{
		"every setting of the service counts for that", "infra/service.go",
		`sha256.Sum256([]byte(text))`, `sha256.Sum256([]byte(text[:0]))`,
		infra, "TestRolloutFollowsTheServicesSettings",
	},
	{
		"a rollout that was killed is followed again", "served/internal/resource/rollout.go",
		`"taskDefinition": was.TaskDefinition != is.TaskDefinition`, `"taskDefinition": false`,
		served, "TestRolloutIsFollowedAgain",
	},
	{
		"a rollout that failed is followed again, whatever has become of the inputs", "served/internal/resource/rollout.go",
		`state.Deployed = deployed(context.WithoutCancel(ctx), args, settings, clients)`, `return state, err`,
		served, "TestFailedRollout",
	},
	{
		"a version that was deployed by hand, or that ECS went back to, is replaced by the next update", "served/internal/resource/rollout.go",
		`found.TaskDefinition == "" || given && reached &&`, `found.TaskDefinition != "" && !(given && found.Failed) || given && reached &&`,
		served, "TestRollout",
	},
	{
		"what ECS takes back leaves the state as it was, so that a refresh is silent", "served/internal/resource/rollout.go",
		`&& r.isAsBefore(`, `&& len(done) == 0 && r.isAsBefore(`,
		served, "TestRolloutThatIsTakenBackLeavesTheTruth",
	},
	{
		"a new port is deployed in one call with the task definition that has it", "served/internal/resource/rollout.go",
		`if !reached {`, `if false {`,
		served, "TestTargetsAreDeployedWithTheTaskDefinition",
	},
	{
		"what ECS takes back is no change of the service either", "infra/service.go",
		`"taskDefinition", "loadBalancers", //`, `//`,
		infra, "TestService",
	},
	{
		"a first version that ECS has given up is no success, and is tried once more", "served/internal/resource/rollout.go",
		`(!found.Failed || !again)`, `true`,
		served, "TestFirstRolloutThatFails",
	},
	{
		"a rollout that was taken back to another one of the same task definition is no success", "internal/verify/rollout.go",
		`case id != "" && aws.ToString(primary.Id) != id:`, `case false:`,
		verify, "TestFollowsOneDeployment",
	},
	{
		"a failure before the one that is followed does not end it", "internal/verify/rollout.go",
		` && !before`, ` && (before || !before)`,
		verify, "TestFollowsOneDeployment",
	},

	{
		"ECS can go back to what was deployed earlier, because it stays registered", "infra/service.go",
		`kept:          true,`, `kept:          false,`,
		infra, "TestService",
	},
}

var verification = []guard{
	{
		"/health is asked", "internal/probe/check.go",
		"\t\thealth,\n", "",
		probe, "TestStandardChecks",
	},
	{
		"a login with a basic token is tried", "internal/probe/check.go",
		`{Name: "login, basic token", Method: http.MethodPost, Path: loginPath, Headers: headers, Body: token, Status: "4xx", Safe: true},`, ``,
		probe, "TestStandardChecks",
	},
	{
		"a login with a cache-busting query is tried", "internal/probe/check.go",
		`{Name: "login, cache-busting query", Method: http.MethodPost, Path: loginPath + query + "t=" + Nonce,`, `{Name: "login, cache-busting query", Method: http.MethodPost, Path: loginPath + query[:0],`,
		probe, "TestStandardChecks",
	},
	{
		"a structured login has to be answered by 400, as the application does it", "internal/probe/check.go",
		`Status: "400",`, `Status: "4xx,5xx",`,
		probe, "TestStandardChecks",
	},
	{
		"a login that is answered by 500 fails the deployment", "internal/verify/site.go",
		`case !check.Status.Allows(a.status):`, `case a.status == 0:`,
		verify, "TestSiteThatFails/structured login gives 500",
	},
	{
		"a failing GET is asked a second time", "internal/probe/check.go",
		`Status: "4xx", Repeat: true},`, `Status: "4xx"},`,
		probe, "TestStandardChecks",
	},
	{
		"an error that the CDN's cache answers is found by its Age", "internal/verify/site.go",
		`case second.cache != "":`, `case second.cache == "?":`,
		verify, "TestCachedErrorsAreFound/by age",
	},
	{
		"an old version that still answers fails the deployment", "internal/verify/site.go",
		`if fmt.Sprint(got) != want {`, `if got == nil {`,
		verify, "TestSiteThatFails/old version",
	},
	{
		"the version asked for is that of the image", "wiring.go",
		`args.Version = cfg.Version()`, `args.Version = ""`,
		whole, "TestVerificationChecksWhatIsDeployed",
	},
	{
		"the stack's own checks are asked", "wiring.go",
		`Checks:              cfg.Verification.Checks,`, ``,
		whole, "TestVerificationChecksWhatIsDeployed",
	},
	{
		"the verification waits no longer than its timeout", "internal/verify/verify.go",
		`context.WithTimeoutCause(ctx, s.Timeout, fmt.Errorf("the time allowed by %s, %s`, `context.WithTimeoutCause(ctx, 24*time.Hour, fmt.Errorf("the time allowed by %s, %s`,
		verify, "TestWaitIsBounded",
	},
	{
		"every request is reported", "internal/verify/site.go",
		`fmt.Fprintf(v.out, "  %-7s %-58s %6s %7d  %s\n", check.Verb()`, `fmt.Fprintf(io.Discard, "  %-7s %-58s %6s %7d  %s\n", check.Verb()`,
		verify, "TestSiteThatServes",
	},
	{
		"a new task definition is verified", "served/internal/resource/verification.go",
		`was.TaskDefinition != is.TaskDefinition`, `false`,
		served, "TestVerificationAsksAgain",
	},
	{
		"a changed distribution is verified", "served/internal/resource/verification.go",
		`was.DistributionVersion != is.DistributionVersion`, `false`,
		served, "TestVerificationAsksAgain",
	},
	{
		"a verification that failed is made again", "served/internal/resource/verification.go",
		`infer.ResourceInitFailedError{Reasons: []string{err.Error()}}`, `nil`,
		served, "TestFailedVerification",
	},
	{
		"a refresh asks the site", "served/internal/resource/verification.go",
		`verify.Look(ctx, settings, clients, req.State.Verified)`, `func(verify.Clients) verify.Results { return req.State.Results }(clients)`,
		served, "TestRefreshAsksTheSite",
	},
	{
		"a refresh asks nothing that might change something", "internal/verify/look.go",
		`if !check.Harmless() {`, `if false {`,
		verify, "TestLookAsksOnlyWhatIsHarmless",
	},
	{
		"a service without its tasks is seen", "served/internal/resource/capacity.go",
		`resp.State.Desired = cmp.Or(found.Lack, enough)`, `resp.State.Desired = cmp.Or(found.Lack[:0], enough)`,
		served, "TestCapacity",
	},
	{
		"what cannot be seen is not taken for enough", "served/internal/resource/capacity.go",
		`resp.State.Desired = "not seen: " + verify.Plain(err)`, ``,
		served, "TestCapacity",
	},
	{
		"the site is asked once the service has its tasks", "infra/service.go",
		`return []pulumi.CustomResource{s.service, s.rollout, s.capacity}`, `return []pulumi.CustomResource{s.service}`,
		whole, "TestOrder",
	},
	{
		"a changed distribution is invalidated", "infra/verification.go",
		`pulumi.Array{args.DistributionID, args.DistributionVersion},`, `pulumi.Array{args.DistributionID},`,
		infra, "TestVerification",
	},
	{
		"one state of a distribution is invalidated once", "internal/verify/distribution.go",
		`"\x00" + i.Key + "\x00"`, `"\x00" + i.Key + time.Now().String() + "\x00"`,
		verify, "TestInvalidate",
	},
	{
		"an invalidation is waited for until it is complete", "internal/verify/distribution.go",
		`status != "Completed";`, `status == "";`,
		verify, "TestInvalidate",
	},
	{
		"the CDN is told to cache no error", "infra/cdn.go",
		`ErrorCachingMinTtl: pulumi.Int(0),`, `ErrorCachingMinTtl: pulumi.Int(10),`,
		infra, "TestCDN",
	},
	{
		"that is said for every code, since the rest is cached for ten seconds", "infra/cdn.go",
		`416, 500, 501,`, `416, 501,`,
		infra, "TestCDN",
	},
	{
		"a distribution that caches an error fails the deployment", "internal/verify/distribution.go",
		`} else if seconds != 0 {`, `} else if seconds < 0 {`,
		verify, "TestDistribution/at 10",
	},
}

var secrets = []guard{
	{
		"a migration's log is passed on without the password", "internal/migrate/migrate.go",
		`Clients: c, out: clean, hide: hide`, `Clients: c, out: out, hide: hide`,
		migrate, "TestSuccess",
	},
	{
		"the error of a failed migration is without the password", "internal/migrate/migrate.go",
		`return after, hide.Error(err)`, `return after, err`,
		migrate, "TestFailures/prints the password when failing",
	},
	{
		"the log of a stopped task is shown without the service's secrets", "internal/verify/stopped.go",
		`v.hideSecrets(ctx, c.Secrets)`, ``,
		verify, "TestRolloutThatFails/rolled back",
	},
	{
		"the app role's password reaches the server as a verifier only", "schema/roles.go",
		`return scramVerifier(v[1].(string), append([]string{v[0].(string), c.Database, args.AppName}, again(v[2].(int))...)...)`, `return v[1].(string), nil`,
		schema, "TestRolesAndGrants",
	},
}

var rows = []guard{
	{
		"only a missing table means that rows are gone, an unreachable database does not", "provider/internal/resource/rows.go",
		"case errors.Is(err, pgdb.ErrNoTable):\n\t\treturn p.ReadResponse{}, nil", "case err != nil:\n\t\treturn p.ReadResponse{}, nil",
		provider, "TestOnlyAMissingTableMeansGone",
	},
	{
		"rows that a refresh could not look at are not green", "provider/internal/resource/rows.go",
		`kept.Properties = kept.Properties.Set(notSeenKey, property.New(notSeen(err)))`, `p.GetLogger(ctx).Warning(err.Error())`,
		provider, "TestOnlyAMissingTableMeansGone",
	},
	{
		"a revision that a refresh could not look at is not green", "provider/internal/resource/revision.go",
		`resp.State.Drift = notSeen(err)`, `p.GetLogger(ctx).Warning(err.Error())`,
		provider, "TestRevision",
	},
	{
		"a preview of new rows writes nothing", "provider/internal/resource/rows.go",
		"resp := p.CreateResponse{ID: in.id()}\n\tif req.DryRun {", "resp := p.CreateResponse{ID: in.id()}\n\tif req.DryRun && len(in.rows) == 0 {",
		provider, "TestPreviewWritesNothingAndNeedsNoDatabase",
	},
	{
		"a preview of changed rows writes nothing", "provider/internal/resource/rows.go",
		"owner := ownerOf(req.State)\n\tif req.DryRun {", "owner := ownerOf(req.State)\n\tif req.DryRun && len(in.rows) == 0 {",
		provider, "TestPreviewWritesNothingAndNeedsNoDatabase",
	},
	{
		"a row that is as declared is not touched, nor its updated_at", "provider/internal/pgdb/write.go",
		`w.declared.onKeys(w.spec.Keys, "t", "d"), strings.Join(conditions, " OR ")))`, `w.declared.onKeys(w.spec.Keys, "t", "d"), "true"))`,
		provider, "TestLifeOfReferenceRows",
	},
	{
		"a row that leaves the program stays in the table unless told otherwise", "provider/internal/resource/rows_inputs.go",
		`schema: defaultSchema, onRemove: pgdb.Retain,`, `schema: defaultSchema, onRemove: pgdb.Delete,`,
		provider, "TestRowsAreRetainedUnlessToldOtherwise",
	},
	{
		"a row that the program does not know is never removed", "provider/internal/pgdb/remove.go",
		`condition := staged.onKeys(goneKeys, "t", "g")`, `condition := "true"`,
		provider, "TestRemovedRows/delete",
	},
	{
		"no more rows go than may when a table is made the same as a file", "provider/internal/pgdb/changes.go",
		`src.MaxDeletes >= 0 && c.Go > src.MaxDeletes {`, `src.MaxDeletes < -1 {`,
		provider, "TestModesOfAFile/sync",
	},
	{
		"a file that has changed since it was planned with is not written", "provider/internal/pgdb/file.go",
		`digest != src.Digest {`, `digest == "" {`,
		provider, "TestAFileThatChangesWhileItIsUsed",
	},
	{
		"a refresh without the file that was applied is not green", "provider/internal/resource/rows_file.go",
		`case digest != in.digest:`, `case digest == "none":`,
		provider, "TestARefreshWithoutTheFile",
	},
	{
		"a table that is not as the last update left it is not green", "provider/internal/pgdb/file.go",
		`return t, now == digest, nil`, `return t, true, nil`,
		provider, "TestLifeOfRowsFromAFile",
	},
	{
		"rows from a file need a table of which nothing belongs to another resource", "provider/internal/pgdb/file.go",
		`if t.isOver(spec, Row{}, c) {`, `if c.owner != "" {`,
		provider, "TestATableWithRowsFromAFileBelongsToOneResource/two stacks",
	},
	{
		"no other resource writes to a table with rows from a file", "provider/internal/pgdb/owner.go",
		"if c.whole() {\n\t\treturn \"true\"", "if c.whole() {\n\t\treturn \"false\"",
		provider, "TestATableWithRowsFromAFileBelongsToOneResource/two stacks",
	},
	{
		"rows are written all or none, in one transaction", "provider/internal/pgdb/database.go",
		"if err != nil || !commit {\n\t\treturn err\n\t}", "if err != nil || !commit {\n\t\tif commit {\n\t\t\t_ = tx.Commit(ctx)\n\t\t}\n\t\treturn err\n\t}",
		provider, "TestATriggerThatDropsARowIsSaid",
	},

	{
		"what is written to a database in another encoding is converted", "provider/internal/pgdb/settings.go",
		`"client_encoding":    "UTF8",`, ``,
		provider, "TestADatabaseThatIsNotUTF8",
	},
	{
		"a character that the database cannot store is refused by row and column", "provider/internal/pgdb/encoding.go",
		`if err != nil || lacking == "" {`, `if err != nil || len(used) > 0 {`,
		provider, "TestADatabaseThatIsNotUTF8",
	},
	{
		"two resources of a program do not declare one row", "provider/internal/resource/rows_owner.go",
		`if labels[r.label] {`, `if labels[r.label] && len(labels) == 0 {`,
		provider, "TestARowBelongsToOneResource/two in one program",
	},
	{
		"a stack does not take another one's rows", "provider/internal/pgdb/owner.go",
		`c.stack != o.Stack || `, ``,
		provider, "TestARowBelongsToOneResource/two stacks",
	},
	{
		"a resource that goes does not take rows along that another one has by now", "provider/internal/pgdb/remove.go",
		`condition += " AND NOT " + owned`, `condition += ""`,
		provider, "TestARowBelongsToOneResource/renamed without an alias",
	},
	{
		"an error shows no column that the program does not own", "provider/internal/pgdb/refusal.go",
		"default:\n\t\treturn \"\"\n\t}\n\tif declared == nil {", "default:\n\t\treturn pg.Detail\n\t}\n\tif declared == nil {",
		provider, "TestErrorsNameTheRightRow",
	},
	{
		"what ignoreChanges names is not written", "provider/internal/resource/rows.go",
		`in.ignore(req.IgnoreChanges, old)`, `in.ignore(nil, old)`,
		provider, "TestIgnoredChanges",
	},
	{
		"rows that row-level security hides are not taken for deleted ones", "provider/internal/pgdb/compare.go",
		`if err == nil && t.Filtered && slices`, `if err == nil && len(rows) == 0 && slices`,
		provider, "TestRowsThatRowSecurityHidesAreNotSeen",
	},
	{
		"a row that a trigger drops is no success", "provider/internal/pgdb/apply.go",
		`if len(lost) > 0 {`, `if len(lost) < 0 {`,
		provider, "TestATriggerThatDropsARowIsSaid",
	},
	{
		"the application's next insert does not collide with a declared row", "provider/internal/pgdb/apply.go",
		`behind, err := t.moveSequences(ctx, tx, declared)`, `behind, err := []string(nil), error(nil)`,
		provider, "TestSequencesAreMovedPastDeclaredRows",
	},
	{
		"a COMMIT whose answer was lost is asked about, not repeated or given up", "provider/internal/pgdb/commit.go",
		"case \"committed\":\n\t\t\treturn nil", "case \"committed\":\n\t\t\treturn err",
		database, "TestAConnectionLostDuringCommit",
	},
	{
		"a cancelled deployment does not go on waiting for a lock", "provider/internal/pgdb/database.go",
		`close(closing)`, `_ = closing`,
		database, "TestCancelEndsWhatWaits/the database",
	},
}

var strange = []guard{
	{
		"a stranger that no refresh has named stays", "served/internal/resource/strangers.go",
		`if !slices.Contains(req.State.Found, stranger.Name) || slices`, `if slices`,
		served, "TestStrangers",
	},
	{
		"a stranger that the configuration allows stays", "served/internal/resource/strangers.go",
		` || slices.Contains(req.Inputs.Allow, stranger.Name) {`, ` {`,
		served, "TestStrangers",
	},
	{
		"what the program declared until now is no stranger", "served/internal/resource/strangers.go",
		`req.Inputs.and(req.State.StrangersArgs).owned()`, `req.Inputs.owned()`,
		served, "TestWhatWasDeclaredIsNoStranger",
	},
	{
		"strangers that could not be looked for are not green", "served/internal/resource/strangers.go",
		`for _, u := range found.Unseen {
		resp`, `for _, u := range found.Unseen[:0] {
		resp`,
		served, "TestStrangers",
	},
	{
		"every security group and its rules are watched", "infra/database.go",
		`d.Owned.rule(fromTasks)`, ``,
		infra, "TestNothingDeclaredIsAStranger",
	},
	{
		"a rule of a security group that nobody declared is named", "internal/strangers/strangers.go",
		`if slices.Contains(l.Rules, Rule(`, `if len(l.Rules) > 0 || slices.Contains(l.Rules, Rule(`,
		"./internal/strangers", "TestEachStrangerIsNamedAndRemoved/the whole world",
	},
	{
		"a policy that somebody attached to a role is named", "internal/strangers/strangers.go",
		`if !slices.Contains(l.Policies, Policy(role, arn)) {`, `if false {`,
		"./internal/strangers", "TestEachStrangerIsNamedAndRemoved/an attached policy",
	},
	{
		"a listener that somebody added is named", "internal/strangers/strangers.go",
		`if !slices.Contains(l.Listeners, listening.ARN) {`, `if false {`,
		"./internal/strangers", "TestEachStrangerIsNamedAndRemoved/a listener",
	},
	{
		"rights in the database that nobody declared are named", "provider/internal/pgdb/rights.go",
		`return found.Declared && !found.Grantable })`, `return true })`,
		provider, "TestRightsOfStrangers",
	},
	{
		"a right that no refresh has named is not revoked", "provider/internal/resource/rights.go",
		`return slices.Contains(req.State.Found, name) && !slices`, `return !slices`,
		provider, "TestOnlyRightsThatWereNamedAreRevoked",
	},
	{
		"rights that could not be looked at are not green", "provider/internal/resource/rights.go",
		`resp.State.Found = []string{notSeen(err)}`, ``,
		provider, "TestRightsThatCannotBeSeen",
	},
	{
		"others' rights are revoked before the app's are granted", "schema/roles.go",
		`append([]pulumi.CustomResource{rights}, args.DependsOn...)`, `append([]pulumi.CustomResource{rights}[:0], args.DependsOn...)`,
		whole, "TestOrder",
	},
}

var access = []guard{
	{
		"the task that leads to the database can carry an agent, and do nothing else", "infra/policy.go",
		`"ssmmessages:OpenDataChannel",`, `"ssmmessages:OpenDataChannel", "secretsmanager:GetSecretValue",`,
		infra, "TestRights",
	},
	{
		"it ends by itself when nobody is connected", "internal/session/keeper.go",
		`"$3"*) idle=0 ;;`, `*) idle=0 ;;`,
		session, "TestKeeper",
	},
	{
		"it is not stopped while others use it", "internal/session/task.go",
		`if aws.ToString(other.SessionId) != ours &&`, `if false &&`,
		session, "TestReleaseStopsOnlyWhatNobodyUses/another",
	},
	{
		"it is stopped where it cannot be used", "internal/session/task.go",
		"\t\ts.release(ctx, t, \"\")\n", "",
		session, "TestWhatIsMissingIsNamed/agent never up",
	},
	{
		"a killed command's connections end, and with them its transactions and locks", "internal/session/channel.go",
		`clientVersion = "1.2.331.0"`, `clientVersion = "1.3.0.0"`,
		"./sandbox/ssm", "TestAgentSeesThatItsClientIsDead",
	},
	{
		"a preview opens no session to the database", "internal/session/way.go",
		"	if w.Preview {\n		return nil, ErrPreview\n	}\n	s, err := w.live(ctx)", "	s, err := w.live(ctx)",
		"./sandbox/ssm", "TestAPreviewOpensNothing",
	},
	{
		"commands of two deployers do not share what ends with one of them", "internal/session/way.go",
		`w.database() + strconv.Itoa(w.Command)`, `w.database()`,
		"./sandbox/ssm", "TestTwoCommandsDoNotBreakEachOther",
	},
	{
		"nobody lands in another account's database of the same name", "internal/session/way.go",
		`case !strings.HasPrefix(line, w.database()):`, `case false:`,
		"./sandbox/ssm", "TestAPortThatLeadsElsewhereIsRefused",
	},
	{
		"a command that does without the database leaves nothing running meanwhile", "internal/session/way.go",
		"	w.session, w.busy = nil, make(chan struct{})\n	w.mu.Unlock()\n	s.Close()", "	w.session, w.busy = nil, make(chan struct{})\n	w.mu.Unlock()\n	s.Leave()",
		"./sandbox/ssm", "TestAWayRests",
	},
	{
		"a port that another program has gets no password", "internal/session/way.go",
		"	case err != nil:\n		if took, _ := w.take(); took {", "	case false:\n		if took, _ := w.take(); took {",
		"./sandbox/ssm", "TestAPortThatIsTakenIsNamed",
	},
	{
		"the owner's password goes to the database alone, whose certificate says so", "provider/internal/pgdb/settings.go",
		`query := url.Values{"sslmode": {mode}}`, `query := url.Values{"sslmode": {"require"}}`,
		database, "TestTheServerIsVerified/another name",
	},
	{
		"so it is with the migration", "internal/migrate/database.go",
		`if config.TLSConfig, err = authority.Verify(s.Authority, config.Host); err != nil {`, `if _, err = authority.Verify(s.Authority, config.Host); err != nil {`,
		migrate, "TestAnotherServerIsRefusedAtOnce/not RDS",
	},
	{
		"and with roles and grants, which dial a port of this machine", "schema/connection.go",
		`args.Sslmode = pulumi.String("verify-ca")`, `args.Sslmode = pulumi.String("require")`,
		whole, "TestSessionLeadsEverything",
	},
	{
		"a database that cannot be reached from here is not waited for", "internal/migrate/database.go",
		`if session.Outside(err) {`, `if false {`,
		migrate, "TestAnotherServerIsRefusedAtOnce/no name of here",
	},
	{
		"a cancelled statement ends on the server behind a session, too", "internal/session/way.go",
		`func (n *named) RemoteAddr() net.Addr { return farEnd(n.address) }`, ``,
		"./sandbox/ssm", "TestAStatementIsCancelledThroughAWay",
	},
	{
		"what was under way when a session is lost is not written a second time", "provider/internal/pgdb/database.go",
		"		if !errors.As(err, &pg) || (pg.Code", "		var lost *lostError\n		if errors.As(err, &lost) && tries < 2 {\n			continue\n		}\n		if !errors.As(err, &pg) || (pg.Code",
		database, "TestALostConnectionRepeatsReadingAlone",
	},
	{
		"a lost lock lets no second migration run beside the first", "internal/migrate/migrate.go",
		"	if err := m.waitForOthers(ctx); err != nil {\n		return \"\", err\n	}\n", "",
		migrate, "TestLostLockLetsNobodyMigrateBeside",
	},
	{
		"nothing of a release is in what the providers reach the database by", "wiring.go",
		`TaskDefinition: infra.AccessFamily(cfg.Names), Container`, `TaskDefinition: infra.AccessFamily(cfg.Names) + ":1", Container`,
		whole, "TestSessionLeadsEverything",
	},
	{
		"a command gets the password by its environment alone, and no other database's", "cmd/plan-charge/db.go",
		`"PGHOST", "PGHOSTADDR",`, `"PGHOST",`,
		"./cmd/plan-charge", "TestLoginGoesByEnvironment",
	},
	{
		"in the sandbox's private network a database is reached by whom its security groups admit", "sandbox/vpc/vpc.go",
		`if !n.admitted(ctx, from, Party{Address: d.address, Database: d.id}, d.port) {`, `if false {`,
		"./sandbox/vpc", "TestOnlyWhoIsAdmittedReachesTheDatabase",
	},
	{
		"in the sandbox's private network a task is reached by whom its security groups admit", "sandbox/vpc/vpc.go",
		`if i == nil || !n.admitted(ctx, from, i.party, int(to.Port())) {`, `if i == nil {`,
		"./sandbox/vpc", "TestATaskIsReachedByWhomItsGroupNames",
	},
	{
		"in the sandbox's private network both ends' security groups have to admit a connection", "sandbox/gateway/groups.go",
		`return in && out`, `return in || out`,
		gateway, "TestGroupsOfBothEnds",
	},
	{
		"nothing of the sandbox's private network is left when its background process is killed", "sandbox/engine/image.go",
		`vpc.EndWithParent(cmd.SysProcAttr, syscall.SIGKILL)`, `_ = vpc.EndWithParent`,
		"./sandbox/engine", "TestNothingIsLeftOfAPrivateNetwork",
	},
}

var allowed = []guard{
	{
		"in the sandbox a call that its caller's policies do not allow is refused", "sandbox/gateway/rights.go",
		`case !held:`, `case !held || known:`,
		gateway, "TestACallOutsideThePoliciesIsRefused/not allowed, in XML",
	},
	{
		"in the sandbox a call of which nobody has written down what it needs is refused under a policy", "sandbox/gateway/rights.go",
		`case !known:`, `case !known && !held:`,
		gateway, "TestACallOutsideThePoliciesIsRefused/a call that nobody knows",
	},
	{
		"in the sandbox whoever runs a task needs the right to pass its roles on", "sandbox/rights/calls.go",
		`if c.Service == "ecs" && action == "RunTask" {`, `if false {`,
		gateway, "TestACallOutsideThePoliciesIsRefused/a role that may not be passed on",
	},
	{
		"a policy that is not understood as a whole is not enforced by half", "sandbox/rights/policy.go",
		`decoder.DisallowUnknownFields()`, `decoder.UseNumber()`,
		policies, "TestAPolicyIsUnderstoodAsAWhole",
	},
	{
		"a right under a condition is none where the condition does not hold", "sandbox/rights/policy.go",
		`if !has || !slices.ContainsFunc(values,`, `if has && !slices.ContainsFunc(values,`,
		policies, "TestDecisions",
	},
	{
		"no policy allows what no call used", "rights/reader.json",
		`"ecs:StopTask"`, `"ecs:StopTask", "ecs:UpdateService"`,
		written, "TestNoPolicyAllowsWhatNoCallUsed",
	},
	{
		"the policies allow all that calls used", "rights/reader.json",
		`"ecs:StopTask"`, `"ecs:StopTasks"`,
		written, "TestThePoliciesAllowWhatCallsUsed",
	},
}

var reviews = []guard{
	{
		"steps that nobody reviewed are not deployed", "cmd/plan-charge/gate.go",
		`if r.hidden.Digest == now.Digest {`, `if true {`,
		command, "TestGateStopsWhatWasNotReviewed",
	},
	{
		"a deployment that somebody agreed to is that one only", "cmd/plan-charge/gate.go",
		`equal = digest == now.Digest`, `equal = true`,
		command, "TestGateStopsWhatWasNotReviewed",
	},
	{
		"a comment by somebody else is no review", "internal/forge/forge.go",
		`return strings.TrimSpace(first) == marker && user.GetLogin() == c.author`, `return strings.TrimSpace(first) == marker`,
		command, "TestNothingIsDeployedThatNobodyReviewed",
	},
	{
		"an application's source is asked for its SQL without credentials", "internal/migrationsql/migrationsql.go",
		`cmd.Env = append(cmd.Env, key+"="+value)`, `_, cmd.Env = value, os.Environ()`,
		"./internal/migrationsql", "TestCommandIsCalledByWordsAndWithoutCredentials",
	},
	{
		"a migration's SQL shows no password", "internal/redact/redact.go",
		`	text = sqlPassword.ReplaceAllString(text, "${1}"+Mask)` + "\n", "",
		review, "TestHostileSQLStaysSQL",
	},
	{
		"a revision that nobody looked at is not taken for the database's", "internal/review/migration.go",
		`if unseen || m.From == "" {`, `if !unseen && m.From == "" {`,
		review, "TestMigrationGoesOnFromTheLastOne",
	},
	{
		"an event log that is cut is no preview", "internal/review/events.go",
		`if len(events) == 0 || events[len(events)-1].CancelEvent == nil {`, `if len(events) == 0 {`,
		review, "TestCutLogIsAnError",
	},
	{
		"an operation that nobody knows is a change", "internal/review/plan.go",
		"\t}\n\treturn string(op)\n}", "\t}\n\treturn \"\"\n}",
		review, "TestUnknownOperationIsAChange",
	},
	{
		"a value that is secret on one side only is hidden on both", "internal/review/mask.go",
		`case isSecret(old) || isSecret(new):`, `case isSecret(old) && isSecret(new):`,
		review, "TestSecretsStandNowhere",
	},
	{
		"values of a type that nobody allowed are hidden", "internal/review/mask.go",
		`case !mayPrint(typ, path):`, `case sensitive.MatchString(path):`,
		review, "TestSecretsStandNowhere",
	},
	{
		"a comment that is too long drops no deletion", "internal/review/comment.go",
		`{0, false, 50, true, true, 2000},`, `{0, false, 50, true, false, 2000},`,
		review, "TestBudgetDropsDetailAndNoDeletion",
	},
	{
		"what a look for drift did not see is never green", "internal/review/report.go",
		`return ExitUnseen`, `return ExitClean`,
		command, "TestDriftIsOneIssue",
	},
	{
		"what waits for a maintenance window and nobody declared is drift", "internal/review/report.go",
		`declared != "" && p.Then != declared`, `false && p.Then != declared`,
		review, "TestOnlyWhatWaitsAsDeclaredIsNoDrift",
	},
	{
		"a database that is not asked what waits is never green", "cmd/plan-charge/drift.go",
		`d.Unseen = append(d.Unseen, review.Problem{URN: i.URN,`, `_ = append(d.Unseen, review.Problem{URN: i.URN,`,
		command, "TestWhatWaitsForTheWindowIsNoDrift",
	},
	{
		"a fork's change runs without login, secrets and rights", ".github/workflows/preview.yml",
		"    if: github.event.pull_request.head.repo.full_name == github.repository\n", "",
		workflows, "TestForksGetNoRights",
	},
	{
		"a role is taken from its own environments alone", "rights/trust-deployer.json",
		`"StringEquals"`, `"StringLike"`,
		workflows, "TestRolesTrustEnvironmentsAlone",
	},
}
