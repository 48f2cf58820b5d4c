package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// writeTable writes docs/faults.md.
func writeTable(path string, seed uint64, points, planned int, took time.Duration, done []outcome) error {
	var s strings.Builder
	bad := 0
	counts := map[string][4]int{} // by fault: trials, up succeeded, next up converged, bad
	for _, o := range done {
		c := counts[o.fault]
		c[0]++
		switch {
		case len(o.problems) > 0:
			bad++
			c[3]++
		case o.steps == "-":
			c[1]++
		default:
			c[2]++
		}
		counts[o.fault] = c
	}
	fmt.Fprintf(&s, `# What a fault leaves behind

Made by `+"`make faults`"+`; it is written over by the next run. Each trial deploys a new version with a changed organization, breaks
something at one point of the engine's work, and deploys again. Afterwards it looks that

- a preview wants no change, the site serves the version asked for, and the database is at its revision;
- the changed organization is there once and right, and every other row is as it was, to the column;
- no program and no helper of the disturbed deployment, no task but the service's own and no advisory lock is left;
- no secret stands in anything that was printed.

%d of %d planned trials, on %d points of a change, %d of them bad, in %s. Seed %d; `+"`go run ./test/faults -seed %d -points %d`"+` repeats them.

| fault | trials | the deployment went on and succeeded | the next one converged | bad |
|---|---|---|---|---|
`, len(done), planned, points, bad, took.Round(time.Second), seed, seed, len(done))
	faults := make([]string, 0, len(counts))
	for fault := range counts {
		faults = append(faults, fault)
	}
	slices.Sort(faults)
	for _, fault := range faults {
		c := counts[fault]
		fmt.Fprintf(&s, "| %s | %d | %d | %d | %d |\n", fault, c[0], c[1], c[2], c[3])
	}
	s.WriteString(`
## What to do
After a killed engine the next ` + "`pulumi up`" + ` says that the stack is locked, by whom and since when. When that deployment is
really gone, ` + "`pulumi cancel`" + ` takes the lock away, and the next ` + "`pulumi up`" + ` goes on from there. After anything else ` + "`pulumi up`" + ` alone does.

A migration that was running when its deployment was killed is stopped within seconds, because its helper watches the engine; one
whose helper was killed runs to its end, and the next deployment waits for it. Idle provider plugins of a killed engine end by
themselves: they look for it every five minutes.

` + "`Signature expired`" + ` names a clock that is more than 5 minutes wrong: set it, and ` + "`pulumi up`" + `.

` + "`decomposing response: … use of closed network connection`" + ` is the AWS provider that did not read an answer to its end, with or without
a fault: ` + "`pulumi up`" + ` again.

A state kept in files needs ` + "`?metadata=skip`" + ` at the end of its ` + "`file://`" + ` URL, as the sandbox has it. Without it the engine keeps
an ` + "`.attrs`" + ` file beside each of its files and does not replace it in one step: killed at that moment it leaves an empty one, and
every command after it ends with ` + "`failed to load checkpoint: EOF`" + `. Removing that ` + "`.attrs`" + ` file brings the state back.

A full disk cuts such a state short: the engine puts even a file that it could not write whole in the place of the good one, and
then says ` + "`failed to load checkpoint: … unexpected end of JSON input`" + `. The good one is beside it. Make room, then
` + "`cp .pulumi/stacks/plan-charge/STACK.json.bak .pulumi/stacks/plan-charge/STACK.json`" + ` and ` + "`pulumi up`" + `. A state in S3 has
no such disk.

## Every trial

| point | fault | met | that deployment | to converge | took | outcome |
|---|---|---|---|---|---|---|
`)
	for _, o := range done {
		verdict := "good"
		if len(o.problems) > 0 {
			verdict = "**bad**: " + shorten(strings.Join(o.problems, "; "), 400)
		}
		cells := []string{o.where(), o.fault, o.struck, o.first, o.steps, o.took.Round(time.Second).String(), verdict}
		for i, c := range cells {
			cells[i] = strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(c)
		}
		fmt.Fprintf(&s, "| %s |\n", strings.Join(cells, " | "))
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(s.String()), 0o644)
}
