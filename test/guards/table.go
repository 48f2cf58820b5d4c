package main

import (
	"fmt"
	"strings"
)

// render is docs/guards.md. It has no times in it, so that it changes with the guards only.
func render() string {
	guards, tests, packages := 0, map[string]bool{}, map[string]bool{}
	var rows strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&rows, "\n## %s\n\n| guard | taken out of | test that fails then |\n|---|---|---|\n", p.title)
		for _, g := range p.guards {
			guards++
			tests[g.pkg+" "+g.test], packages[g.pkg] = true, true
			fmt.Fprintf(&rows, "| %s | [%s](../%s) | `%s` in `%s` |\n", strings.ReplaceAll(g.what, "|", "\\|"), g.file, g.file, g.test, g.pkg)
		}
	}
	return fmt.Sprintf(`# Guards, and the test that misses each

Made by `+"`make guards`"+`, which takes each guard out of a copy of the project, one at a time, and looks whether the test beside it
fails: not another one, not by a panic, and not because nothing compiles any more. With every guard in place all of them pass.

%d guards, %d tests in %d packages. `+"`go run ./test/guards -run REGEXP`"+` takes out those whose description fits.
`, guards, len(tests), len(packages)) + rows.String()
}
