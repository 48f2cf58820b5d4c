// Package migrationsql asks an application's own source for the SQL that a migration will run, and squawk, a linter for
// PostgreSQL, which of its statements keep others from a table.
package migrationsql

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"plan-charge/internal/lastlines"
	"plan-charge/internal/redact"
	"plan-charge/internal/review"
)

// Source is where an application's migrations can be asked.
type Source struct {
	Dir     string // folder to call the command in
	Command string // words; {from} is the database's revision, {image} the image that migrates
}

// DefaultCommand prints Alembic's.
const DefaultCommand = "alembic upgrade {from}:head --sql"

const (
	// within is how long the source or the linter may take.
	within = 2 * time.Minute
	// mostOutput is how much of what they print is read, in bytes.
	mostOutput = 128 << 10
)

// Check says what is wrong with a source, before anything is asked.
func (s Source) Check() error {
	var mistakes []error
	if info, err := os.Stat(s.Dir); err != nil || !info.IsDir() {
		mistakes = append(mistakes, fmt.Errorf("--migrations: found %q, allowed is a folder that exists, for example ../backend", s.Dir))
	}
	if !strings.Contains(s.Command, "{from}") {
		mistakes = append(mistakes, fmt.Errorf("--migrations-sql: found %q, allowed is a command with {from} in it, for example %s", s.Command, DefaultCommand))
	}
	return errors.Join(mistakes...)
}

var known redact.Redactor

// image is a name that a command may be given.
var image = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@-]*$`)

// Tell asks the source for a migration's SQL and notes it, or why there is none.
func (s Source) Tell(ctx context.Context, m *review.Migration) {
	m.Script = &review.Script{Command: s.Command}
	words, err := s.words(m)
	if err != nil {
		m.Script.Failed = err.Error()
		return
	}
	printed, err := run(ctx, s.Dir, "", words...)
	if err != nil {
		m.Script.Failed = known.String(err.Error())
		return
	}
	m.Script = review.NewScript(strings.Join(words, " "), printed)
	notes, err := lint(ctx, m.Script.SQL)
	if err != nil {
		m.Script.NoLinter = err.Error()
	}
	m.Script.Blocks = notes
}

// words are the command's, with the revision and the image in them. No shell reads them.
func (s Source) words(m *review.Migration) ([]string, error) {
	from, err := m.Start()
	if err != nil {
		return nil, err
	}
	if strings.Contains(s.Command, "{image}") && !image.MatchString(m.Image) {
		return nil, errors.New("which image migrates is not known yet")
	}
	words := strings.Fields(s.Command)
	for i, word := range words {
		words[i] = strings.NewReplacer("{from}", from, "{image}", m.Image).Replace(word)
	}
	return words, nil
}

// handed are the variables that a command is given: none that opens anything.
var handed = []string{"PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "VIRTUAL_ENV", "DOCKER_HOST", "DOCKER_CONFIG"}

// bounded keeps the beginning of what is written to it.
type bounded struct{ bytes.Buffer }

func (b *bounded) Write(p []byte) (int, error) {
	b.Buffer.Write(p[:min(len(p), max(0, mostOutput-b.Len()))])
	return len(p), nil
}

// run returns what a command prints. The error has the end of what it said.
func run(ctx context.Context, dir, stdin string, words ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var out bounded
	said := &lastlines.Keeper{Next: &bytes.Buffer{}}
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, strings.NewReader(stdin), &out, said
	cmd.WaitDelay = time.Second // for what it started and left behind
	for _, key := range handed {
		if value, ok := os.LookupEnv(key); ok {
			cmd.Env = append(cmd.Env, key+"="+value)
		}
	}
	err := cmd.Run()
	if ctx.Err() != nil {
		err = cmp.Or(context.Cause(ctx), err)
	}
	if err != nil {
		return out.String(), fmt.Errorf("%s: %w: %s", words[0], err, said.Last(3))
	}
	return out.String(), nil
}

// blocks are the rules of squawk by which a statement keeps others from a table for as long as the table is large, or takes
// away what the version that still serves uses.
var blocks = map[string]bool{
	"adding-field-with-default": true, "adding-foreign-key-constraint": true, "adding-not-nullable-field": true,
	"adding-serial-primary-key-field": true, "changing-column-type": true, "constraint-missing-not-valid": true,
	"disallowed-unique-constraint": true, "prefer-repack": true, "require-concurrent-index-creation": true,
	"require-concurrent-index-deletion": true, "require-concurrent-partition-detach": true, "require-concurrent-reindex": true,
	"adding-required-field": true, "ban-drop-column": true, "ban-drop-table": true, "renaming-column": true,
	"renaming-table": true, "ban-truncate-cascade": true, "syntax-error": true,
}

// lint asks squawk, where it is installed.
func lint(ctx context.Context, sql string) ([]review.Note, error) {
	squawk, err := exec.LookPath("squawk")
	if err != nil {
		return nil, errors.New("the linter squawk is not on the PATH")
	}
	// Its own settings would be looked for from the folder upwards, and may leave out rules.
	dir, err := os.MkdirTemp("", "plan-charge-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	if err := os.WriteFile(dir+"/.squawk.toml", nil, 0o600); err != nil {
		return nil, err
	}
	printed, failed := run(ctx, dir, sql, squawk, "--reporter=json", "--pg-version=13.0", "--include=prefer-repack", "--stdin-filepath=migration.sql")
	var found []struct {
		Line    int    `json:"line"`     // from 0
		LineEnd int    `json:"line_end"` // from 0
		Rule    string `json:"rule_name"`
		Message string `json:"message"`
	}
	// It ends with 1 where it finds something.
	if err := json.Unmarshal([]byte(printed), &found); err != nil {
		return nil, cmp.Or(failed, fmt.Errorf("squawk: %w", err))
	}
	lines := strings.Split(sql, "\n")
	var notes []review.Note
	for _, f := range found {
		if !blocks[f.Rule] || f.Line < 0 || f.Line >= len(lines) {
			continue
		}
		statement := strings.Join(lines[f.Line:min(max(f.LineEnd, f.Line), len(lines)-1)+1], " ")
		note := review.Note{Line: f.Line + 1, Statement: strings.TrimSpace(statement), Text: f.Message}
		if last := len(notes) - 1; last >= 0 && notes[last].Line == note.Line {
			notes[last] = note // the more special rule comes later
			continue
		}
		notes = append(notes, note)
	}
	return notes, nil
}
