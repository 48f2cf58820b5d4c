package review

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
)

// Migration is the one that a plan runs.
type Migration struct {
	Image  string  `json:"image,omitempty"`
	From   string  `json:"from,omitempty"`   // the database's revision; empty where nobody knows it
	Left   bool    `json:"left,omitempty"`   // From is what the last migration left: nobody looked since
	Empty  bool    `json:"empty,omitempty"`  // the database is made by this plan
	Passed string  `json:"passed,omitempty"` // the database has moved past the image, so that it is not migrated
	BackTo string  `json:"backTo,omitempty"` // the revision that it goes back to
	Script *Script `json:"script,omitempty"` // what the image's source says, where it is at hand
}

// Script is the SQL that a migration will run, as the image's source prints it.
type Script struct {
	Command  string `json:"command"` // that printed it
	To       string `json:"to,omitempty"`
	SQL      string `json:"sql,omitempty"`
	Cut      bool   `json:"cut,omitempty"`      // SQL is only the beginning
	Blocks   []Note `json:"blocks,omitempty"`   // statements that keep others waiting, or break the version that serves
	NoLinter string `json:"noLinter,omitempty"` // why no linter looked at it
	Failed   string `json:"failed,omitempty"`   // why there is no SQL
}

// Note is what a linter says of a statement.
type Note struct {
	Line      int    `json:"line"` // in SQL, from 1
	Statement string `json:"statement"`
	Text      string `json:"text"`
}

// mostSQL is how much of a migration's SQL is kept, in bytes.
const mostSQL = 64 << 10

// running are the comments that Alembic writes above the statements of a revision.
var running = regexp.MustCompile(`(?m)^-- Running (?:upgrade|downgrade) \S* -> (\S*)$`)

// revisionName is what a revision may be called to be handed to a command, or named.
var revisionName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*$`)

// NewScript keeps what a command printed, without what looks like a password.
func NewScript(command, printed string) *Script {
	sql := strings.TrimSpace(known.String(strings.ReplaceAll(printed, "\r\n", "\n")))
	s := &Script{Command: command, SQL: sql}
	if all := running.FindAllStringSubmatch(sql, -1); len(all) > 0 {
		if to := all[len(all)-1][1]; revisionName.MatchString(to) {
			s.To = to
		}
	}
	if len(sql) > mostSQL {
		s.SQL, s.Cut = strings.ToValidUTF8(sql[:mostSQL], ""), true
	}
	return s
}

// Start is the revision that SQL can be asked from: "base" for an empty database. The error says why none can be.
func (m *Migration) Start() (string, error) {
	switch {
	case m.BackTo != "":
		return "", fmt.Errorf("the migration goes back to %s, and only the way forward is asked for", m.BackTo)
	case m.Empty:
		return "base", nil
	case m.From == "":
		return "", fmt.Errorf("the database's revision was not seen")
	case !revisionName.MatchString(m.From):
		return "", fmt.Errorf("the database is at %q, which is not one revision", m.From)
	}
	return m.From, nil
}

// migrated are the facts of a migration that several events tell.
type migrated struct {
	seen        string         // the database's revision
	notMigrated map[string]any // why, by image
	left        string         // the revision that the last migration printed
	inputs      map[string]any // of the step that migrates
}

// migrates notes the inputs of the step that migrates.
func (b *builder) migrates(m apitype.StepEventMetadata) {
	if m.Type != "command:local:Command" || !strings.Contains(m.URN, "plan-charge:schema:Migration$") {
		return
	}
	if m.New != nil && len(m.New.Inputs) > 0 {
		b.migrated.inputs = m.New.Inputs
	}
	if m.Old != nil {
		if left := strings.TrimSpace(text(m.Old.Outputs["stdout"])); left != "" {
			b.migrated.left = left
		}
	}
}

// revision notes what is known of the database's revision.
func (b *builder) revision(m apitype.StepEventMetadata) {
	if m.Type != "pgrows:index:Revision" || m.New == nil {
		return
	}
	if revision := text(m.New.Outputs["revision"]); revision != plugin.UnknownStringValue {
		b.migrated.seen = revision
	}
	if images, ok := m.New.Outputs["notMigrated"].(map[string]any); ok {
		b.migrated.notMigrated = images
	}
}

// migration puts together what is known of the migration, if the plan has one.
func (b *builder) migration() {
	step, ok := b.plan.migration()
	if !ok || step.Op == Update {
		return
	}
	m := &Migration{From: b.migrated.seen}
	if triggers, ok := b.migrated.inputs["triggers"].([]any); ok && len(triggers) > 0 && text(triggers[0]) != plugin.UnknownStringValue {
		m.Image = text(triggers[0])
	}
	if environment, ok := b.migrated.inputs["environment"].(map[string]any); ok {
		m.BackTo = text(environment["MIGRATE_DOWNGRADE_TO"])
	}
	m.Passed = text(b.migrated.notMigrated[m.Image])
	// What the state says of a database that was not looked at is from before the last migration.
	unseen := slices.ContainsFunc(b.plan.Unseen, func(p Problem) bool { return strings.Contains(p.URN, "pgrows:index:Revision::") })
	if unseen || m.From == "" {
		m.From, m.Left = b.migrated.left, b.migrated.left != ""
	}
	m.Empty = m.From == "" && slices.ContainsFunc(b.plan.Steps, func(s Step) bool {
		return s.Type == "aws:rds/instance:Instance" && (s.Op == Create || s.Op == Replace)
	})
	b.plan.Migration = m
}

// migration is the step that migrates the database.
func (p *Plan) migration() (Step, bool) {
	for _, s := range p.Steps {
		if s.Type == "command:local:Command" && strings.Contains(s.URN, "plan-charge:schema:Migration$") && s.Op != Delete {
			return s, true
		}
	}
	return Step{}, false
}

// migrationPart says of a migration where it leads, and which of its statements keep others waiting.
func (p *page) migrationPart(s Step) part {
	m := p.Plan.Migration
	if m == nil { // its settings change alone
		return part{"**Migration**", []string{"its settings change; it runs only where the database is not at its revision"}}
	}
	if m.Passed != "" {
		return part{"**No migration**", []string{plain(m.Passed)}}
	}
	title := "**Migration**"
	if to := m.to(); to != "" {
		title += " " + m.from() + " → " + code(to)
	}
	lines := []string{"runs again, as a task of the new image"}
	if s.Op == Create {
		lines = []string{"runs for the first time in this stack"}
	}
	for _, c := range s.Changes {
		if strings.HasPrefix(c.Path, "triggers") {
			c.Path = "" // which says nothing to people
			lines = append(lines, "because of "+arrow(c))
		}
	}
	switch {
	case m.From != "" && m.Left:
		lines = append(lines, "the last migration left the database at revision "+code(m.From)+"; nobody looked since")
	case m.From != "":
		lines = append(lines, "the database is at revision "+code(m.From))
	}
	return part{title, append(lines, p.bounded(m.Script.lines())...)}
}

// to is the revision that is left, "" where it is not known.
func (m *Migration) to() string {
	if m.BackTo != "" || m.Script == nil {
		return m.BackTo
	}
	return m.Script.To
}

func (m *Migration) from() string {
	if m.Empty {
		return "(empty)"
	}
	return code(m.From)
}

// lines says what people notice of the SQL, which stands folded below.
func (s *Script) lines() []string {
	switch {
	case s == nil:
		return []string{"to which revision it goes, and by which SQL, is known when it runs: the image's source is not at hand here"}
	case s.Failed != "":
		return []string{"its SQL is not known: " + plain(cut(s.Failed, 0))}
	}
	var lines []string
	for _, n := range s.Blocks {
		lines = append(lines, fmt.Sprintf("line %d, %s: %s", n.Line, code(clipped(n.Statement, 120)), plain(cut(n.Text, 0))))
	}
	if s.NoLinter != "" {
		lines = append(lines, "which statements lock a table was not looked at: "+plain(cut(s.NoLinter, 0)))
	} else if len(s.Blocks) == 0 {
		lines = append(lines, "no statement is known to keep others from a table for long")
	}
	return lines
}

// folded is a text under a summary.
type folded struct{ Summary, Text string }

// SQL is the migration's, as far as there is room.
func (p *page) SQL() *folded {
	m := p.Plan.Migration
	if m == nil || m.Passed != "" || m.Script == nil || m.Script.SQL == "" || p.sql == 0 {
		return nil
	}
	sql, cut := m.Script.SQL, m.Script.Cut
	if len(sql) > p.sql {
		sql, cut = strings.ToValidUTF8(sql[:p.sql], ""), true
	}
	f := &folded{fmt.Sprintf("SQL of the migration (%s)", counted(strings.Count(m.Script.SQL, "\n")+1, "line")), "Printed by " + code(clipped(m.Script.Command, 200)) + ":\n\n" + block("sql", sql)}
	if cut {
		f.Text += "\n\nand more, for which there is no room"
	}
	return f
}
