package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"plan-charge/internal/lastlines"
)

// Faults.
const (
	killEngine   = "engine killed"
	killProgram  = "program killed"
	killProvider = "provider killed"
	killHelper   = "helper killed"
	killDatabase = "PostgreSQL killed, back after 3 s"
	awayDatabase = "PostgreSQL refuses for 60 s"
	slowDatabase = "PostgreSQL at a tenth of its speed for 20 s"
	reset        = "3 connections reset"
	lose         = "2 answers lost"
	clockAhead   = "AWS's clock 10 min ahead"
	clockBehind  = "AWS's clock 10 min behind"
	fullDisk     = "the state's disk full"
	twoUps       = "a second up at the same time"
	twoMigrators = "two migrations by hand at the same time"
)

// trial is one fault at one point.
type trial struct {
	point point
	fault string
	delay time.Duration // after the point
}

// outcome is how a trial ended.
type outcome struct {
	trial
	struck   string // what the fault met
	first    string // how the disturbed `up` ended
	steps    string // what it took to converge
	took     time.Duration
	problems []string // empty: everything is as it should be
	outputs  []string // of every pulumi command
}

func (o outcome) String() string {
	verdict := "good"
	if len(o.problems) > 0 {
		verdict = "BAD: " + strings.Join(o.problems, "; ")
	}
	return fmt.Sprintf("%s | %s (%s) | %s | %s | %s | %s", o.where(), o.fault, o.struck, o.first, o.steps, o.took.Round(time.Second), verdict)
}

func (t trial) where() string {
	if t.point.Name == "" {
		return "a whole up"
	}
	return t.point.String()
}

// plan chooses the trials: the moments that matter most with every fault that fits, in turn with each point of a changed
// resource with one fault; then each point of a resource that is only looked at. Faults that
// this machine cannot make are left out.
func plan(random *rand.Rand, points []point, without ...string) []trial {
	var vital, changed, others []trial
	general := []string{killEngine, killProgram, killProvider, killDatabase, slowDatabase, reset, lose, fullDisk}
	general = slices.DeleteFunc(general, func(fault string) bool { return slices.Contains(without, fault) })
	random.Shuffle(len(general), func(i, j int) { general[i], general[j] = general[j], general[i] })
	upTo := func(d time.Duration) time.Duration {
		return time.Duration(random.Int64N(int64(d))).Round(time.Millisecond)
	}
	// The engine works on many resources at once, so their order is another each time.
	points = slices.SortedFunc(slices.Values(points), func(a, b point) int { return cmp.Compare(a.String(), b.String()) })
	n := 0
	seen := map[point]bool{}
	for _, p := range points {
		if seen[p] || p.Type == "pulumi:pulumi:Stack" && p.Phase == "end" { // nothing is left to disturb then
			continue
		}
		seen[p] = true
		for n++; general[n%len(general)] == killProvider && !p.custom(); n++ {
		}
		t := trial{point: p, fault: general[n%len(general)]}
		working := p.Phase == "start" && (p.Op == "update" || p.Op == "create" || p.Op == "create-replacement")
		if working { // into the middle of what it does
			t.delay = upTo(300 * time.Millisecond)
		}
		if !p.changes() {
			others = append(others, t)
			continue
		}
		changed = append(changed, t)
		if !working {
			continue
		}
		add := func(within time.Duration, faults ...string) {
			for _, fault := range faults {
				if slices.Contains(without, fault) {
					continue
				}
				vital = append(vital, trial{point: p, fault: fault, delay: upTo(within)})
			}
		}
		switch p.Name {
		case "migration-run":
			add(4*time.Second, killEngine, killProvider, killHelper, killDatabase, awayDatabase, slowDatabase, fullDisk, clockAhead)
		case "service-rollout":
			add(8*time.Second, killEngine, lose, awayDatabase, fullDisk)
		case "verification-checks":
			add(500*time.Millisecond, killEngine, killProvider, clockBehind)
		case "organizations-rows":
			add(100*time.Millisecond, killProvider, killDatabase, slowDatabase)
		}
	}
	for _, fault := range []string{twoUps, twoMigrators, clockAhead, clockBehind} {
		vital = append(vital, trial{fault: fault})
	}
	for _, list := range [][]trial{vital, changed, others} {
		random.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	var all []trial
	for i := range max(len(vital), len(changed)) {
		if i < len(vital) {
			all = append(all, vital[i])
		}
		if i < len(changed) {
			all = append(all, changed[i])
		}
	}
	return append(all, others...)
}

func (t trial) run(ctx context.Context, b *box) outcome {
	began := time.Now()
	o := outcome{trial: t, struck: "nothing", steps: "-"}
	var saying sync.Mutex
	bad := func(format string, args ...any) {
		saying.Lock()
		defer saying.Unlock()
		o.problems = append(o.problems, fmt.Sprintf(format, args...))
	}
	if t.fault == twoMigrators {
		o.first, o.struck = b.migrateTwice(ctx, bad), "both"
		o.problems = append(o.problems, b.check(ctx)...)
		o.took = time.Since(began)
		return o
	}

	b.nextChange()
	var mending sync.WaitGroup // what the fault takes back by itself
	var second update
	fired := false
	u := b.up(ctx, func(p point, cmd *exec.Cmd) {
		if fired || t.point.Name != "" && p != t.point {
			return
		}
		fired = true
		time.Sleep(t.delay)
		if t.fault == twoUps {
			o.struck = "both"
			mending.Go(func() { second = b.up(ctx, nil) })
			return
		}
		var err error
		if o.struck, err = b.strike(ctx, t, cmd, &mending); err != nil {
			bad("the fault could not be made: %v", err)
		}
	})
	mending.Wait()
	if (t.fault == clockAhead || t.fault == clockBehind) && u.code != 0 && !strings.Contains(u.out, "Signature expired") {
		bad("the wrong clock is not named")
	}
	if t.fault == fullDisk {
		if u.code != 0 && !strings.Contains(u.out, "no space left on device") {
			bad("the full disk is not named")
		}
		if err := b.disk.empty(); err != nil {
			bad("make room again: %v", err)
		}
	}
	if err := b.calm(ctx); err != nil {
		bad("%v", err)
	}
	if !fired {
		bad("the point did not come")
	}
	outputs := []string{u.out, second.out}
	o.first = strings.ReplaceAll(ending(u), b.Dir, "STATE")
	if t.fault == twoUps {
		o.first += "; the other: " + ending(second)
		if (u.code == 0) == (second.code == 0) || !strings.Contains(u.out+second.out, "locked") {
			bad("one of two must be refused because the stack is locked")
		}
	}

	// The program and the helpers must not outlive the `up` that was disturbed. Idle plugins may: they look for their
	// engine every five minutes.
	if left := await(ctx, time.Minute, u.living); left != "" {
		bad("processes are left: %s", left)
	}
	if conn, err := b.connect(ctx); err != nil {
		bad("connect to the database: %v", err)
	} else {
		if left := await(ctx, 2*time.Minute, func() string { return b.leftBehind(ctx, conn) }); left != "" {
			bad("left behind: %s", left)
		}
		conn.Close(ctx)
	}

	if u.code != 0 && (t.fault != twoUps || second.code != 0) {
		var next []string
		o.steps, next = b.recover(ctx, bad)
		outputs = append(outputs, next...)
	}
	o.problems = append(o.problems, b.check(ctx, outputs...)...)
	o.outputs = outputs
	o.took = time.Since(began)
	return o
}

// unread is what the AWS provider says when it fails to read a long answer to its end, as happens without any fault.
const unread = "use of closed network connection"

// recover does what a person does after a failed `up`: again, and first what the message asks for.
func (b *box) recover(ctx context.Context, bad func(string, ...any)) (steps string, outputs []string) {
	var taken []string
	helped := map[string]bool{} // each remedy has one try
	for {
		u := b.up(ctx, nil)
		outputs = append(outputs, u.out)
		if u.code == 0 {
			return strings.Join(append(taken, "`up`"), ", "), outputs
		}
		remedy := ""
		switch {
		case strings.Contains(u.out, "currently locked"):
			remedy = "`pulumi cancel`"
		case strings.Contains(u.out, "failed to load checkpoint"):
			remedy = "the state's `.bak` put back"
		case strings.Contains(u.out, unread):
			remedy = "`up` (an answer was not read)"
		}
		if remedy == "" || helped[remedy] {
			bad("the next up failed: %s", complaint(u.out))
			return strings.Join(append(taken, "`up` (failed)"), ", "), outputs
		}
		helped[remedy], taken = true, append(taken, remedy)
		switch remedy {
		case "`pulumi cancel`":
			if out, err := b.pulumi(ctx, "cancel", "--yes", "--stack", "sandbox"); err != nil {
				bad("pulumi cancel: %v %s", err, lastlines.Of(out, 5))
			}
		case "the state's `.bak` put back":
			if err := b.restoreState(); err != nil {
				bad("%v", err)
			}
		}
	}
}

// restoreState puts the copy back that the engine keeps beside each file of its state.
func (b *box) restoreState() error {
	path := b.File("pulumi", ".pulumi", "stacks", "plan-charge", "sandbox.json")
	data, err := os.ReadFile(path + ".bak")
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// strike makes the fault, and says what it met.
func (b *box) strike(ctx context.Context, t trial, cmd *exec.Cmd, mending *sync.WaitGroup) (string, error) {
	all := descendants(cmd.Process.Pid)
	met := func(names []string) (string, error) {
		if len(names) == 0 {
			return "it had ended", nil
		}
		return strings.Join(names, ", "), nil
	}
	switch t.fault {
	case killEngine:
		if err := cmd.Process.Kill(); err != nil {
			return "it had ended", nil
		}
		return "pulumi", nil
	case killProgram:
		return met(kill(all, func(p program) bool { return p.pulumi }))
	case killProvider:
		return met(kill(all, func(p program) bool { return p.isProvider(t.point.pkg()) }))
	case killHelper:
		// It takes a moment to start.
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
			if names := kill(descendants(cmd.Process.Pid), program.isHelper); len(names) > 0 {
				return met(names)
			}
		}
		return met(nil)
	case reset:
		return "AWS", b.inject(ctx, `{"kind": "reset", "times": 3}`)
	case lose:
		return "AWS", b.inject(ctx, `{"kind": "lose", "times": 2}`)
	case clockAhead:
		return "every signed call", b.inject(ctx, `{"kind": "clock", "ahead": 600}`)
	case clockBehind:
		return "every signed call", b.inject(ctx, `{"kind": "clock", "ahead": -600}`)
	case fullDisk:
		return "the state", b.disk.fill()
	case killDatabase, awayDatabase, slowDatabase:
		database, err := b.Database(ctx, "sandbox")
		if err != nil {
			return "nothing", err
		}
		if t.fault == slowDatabase {
			pid, err := b.pid(ctx, database)
			mending.Go(func() { slowDown(ctx, pid, 20*time.Second) })
			return "the server", err
		}
		if err := b.Engine(ctx, http.MethodPost, "/containers/"+database.ID+"/kill", nil); err != nil {
			return "nothing", err
		}
		away := 3 * time.Second
		if t.fault == awayDatabase {
			away = time.Minute
		}
		mending.Go(func() {
			time.Sleep(away)
			if err := b.Engine(ctx, http.MethodPost, "/containers/"+database.ID+"/start", nil); err != nil {
				fmt.Println("start the database again:", err)
			}
		})
		return "the server", nil
	}
	return "", fmt.Errorf("no such fault: %s", t.fault)
}

// ending says in a few words how an `up` ended.
func ending(u update) string {
	switch u.code {
	case 0:
		return "succeeded"
	case -1:
		return "died with it"
	}
	if strings.Contains(u.out, "currently locked") {
		return "refused: the stack is locked"
	}
	return "failed: " + complaint(u.out)
}

// complaint is the first error message of a pulumi command that says more than that it failed.
func complaint(out string) string {
	lines := strings.Split(out, "\n")
	for i, line := range lines {
		message, ok := strings.CutPrefix(strings.TrimSpace(line), "error: ")
		if !ok || strings.HasPrefix(message, "update failed") {
			continue
		}
		for ; strings.HasSuffix(message, ":") && i+1 < len(lines); i++ { // what follows says more
			message += " " + strings.TrimSpace(lines[i+1])
		}
		return shorten(strings.TrimSpace(message), 300)
	}
	return "no error message"
}

func shorten(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}

// migrateTwice starts the migration's helper twice, as two machines would, and looks that their tasks never meet.
func (b *box) migrateTwice(ctx context.Context, bad func(string, ...any)) string {
	ctx, cancel := context.WithTimeout(ctx, upLimit)
	defer cancel()
	var helpers sync.WaitGroup
	ended := make(chan struct{})
	for range 2 {
		helpers.Go(func() {
			cmd, err := b.helper(ctx)
			if err != nil {
				bad("%v", err)
				return
			}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			revision, err := cmd.Output()
			if err != nil || strings.TrimSpace(string(revision)) != "0004" {
				bad("a migration ended with %q (%v): %s", revision, err, lastlines.Of(stderr.String(), 10))
			}
			for _, what := range b.secrets.In(string(revision) + stderr.String()) {
				bad("%s stands in the output", what)
			}
		})
	}
	go func() { helpers.Wait(); close(ended) }()
	most := 0
	for {
		n, err := b.tasks(ctx, family)
		if err != nil && !errors.Is(err, context.Canceled) {
			bad("%v", err)
		}
		most = max(most, n)
		select {
		case <-ended:
			if most > 1 {
				bad("%d migration tasks ran at the same time", most)
			}
			return fmt.Sprintf("both succeeded, %d task at a time", most)
		case <-time.After(200 * time.Millisecond):
		}
	}
}
