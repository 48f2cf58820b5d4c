package review

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// page is what the template prints.
type page struct {
	*Review
	level
	Marker, Data, Shortened string
}

// Title is the head line: what happens, in numbers.
func (p *Plan) Title(project, stack string) string {
	var parts []string
	count := func(n int, what string) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, what))
		}
	}
	changed := len(p.Steps) - p.Count(Create) - p.Count(Replace) - p.Count(Delete)
	count(p.Count(Delete), "deleted")
	count(p.Count(Replace), "replaced")
	count(changed, "changed")
	count(p.Count(Create), "created")
	switch {
	case p.Failed:
		parts = append([]string{"the preview failed"}, parts...)
	case len(parts) == 0:
		parts = append(parts, "no changes")
	}
	if !p.Failed {
		count(p.Same, "unchanged")
	}
	return fmt.Sprintf("%s/%s: %s", project, stack, strings.Join(parts, ", "))
}

// Title is the comment's head line.
func (p *page) Title() string { return p.Plan.Title(p.Meta.Project, p.Meta.Stack) }

// said is how each kind of finding begins.
var said = map[string]string{Loses: "**Loses data:**", Interrupts: "**Interrupts:**", Opens: "**Opens:**", Costs: "**Costs:**"}

// Findings are the plan's, the worst first.
func (p *page) Findings() []Finding {
	order := []string{Loses, Interrupts, Opens, Costs}
	all := slices.Clone(p.Plan.Findings)
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Compare(slices.Index(order, a.Kind), slices.Index(order, b.Kind))
	})
	// What is lost is named whatever the room; it stands in the list of what is deleted besides.
	if p.each > 0 && len(all) > p.each {
		all = all[:p.each]
	}
	for i := range all {
		all[i].Kind = said[all[i].Kind]
	}
	return all
}

// Gone names everything that is deleted or replaced. Where there is no room for the names, the counts stay.
func (p *page) Gone() []string {
	var lines []string
	counts := map[string]int{}
	for _, s := range p.Plan.Steps {
		if s.Op != Delete && s.Op != Replace {
			continue
		}
		counts[fmt.Sprintf("%sd: %%d of %s", s.Op, code(s.Type))]++
		line := fmt.Sprintf("%sd: %s (%s)", s.Op, code(s.Name), code(s.Type))
		if len(s.Keys) > 0 {
			line += ", because of " + codes(s.Keys)
		}
		if s.Kept {
			line += ", kept outside the stack"
		}
		lines = append(lines, line)
	}
	if p.names {
		return lines
	}
	lines = nil
	for _, format := range slices.Sorted(maps.Keys(counts)) {
		lines = append(lines, fmt.Sprintf(format, counts[format]))
	}
	return lines
}

func codes(all []string) string {
	printed := make([]string, len(all))
	for i, text := range all {
		printed[i] = code(text)
	}
	return strings.Join(printed, ", ")
}

// part is one part of a deployment, in the order of execution.
type part struct {
	Title string
	Lines []string
}

// Order is what the deployment does for those who know the application: migration, image, rows.
func (p *page) Order() []part {
	var parts []part
	images := p.Plan.images()
	if step, ok := p.Plan.migration(); ok {
		parts = append(parts, p.migrationPart(step))
	}
	if len(images) > 0 {
		parts = append(parts, part{"**Image:** " + strings.Join(images, "; "), nil})
	}
	for _, s := range p.Plan.Steps {
		if s.Type == "pgrows:index:Rows" {
			counts, lines := rowLines(s)
			parts = append(parts, part{"**Rows** " + code(s.Name) + counts, p.bounded(lines)})
		}
	}
	return parts
}

func (p *page) bounded(lines []string) []string {
	if p.each == 0 || len(lines) <= p.each {
		return lines
	}
	return append(slices.Clone(lines[:p.each]), fmt.Sprintf("and %d more", len(lines)-p.each))
}

// images says which images change, each once.
func (p *Plan) images() []string {
	var lines []string
	for _, s := range p.Steps {
		if s.Type != "aws:ecs/taskDefinition:TaskDefinition" {
			continue
		}
		for _, c := range s.Changes {
			if strings.HasSuffix(c.Path, ".image") && c.Old != c.New {
				line := fmt.Sprintf("%s → %s, new revision", code(c.Old), code(c.New))
				if !slices.Contains(lines, line) {
					lines = append(lines, line)
				}
			}
		}
	}
	return lines
}

// rowLines says of a table's rows how many come, change and go, and of each row which columns.
func rowLines(s Step) (counts string, lines []string) {
	if s.Op == Create {
		return "", []string{"the table's rows are written for the first time"}
	}
	rows := map[string][]Change{}
	var keys []string
	for _, c := range s.Changes {
		key := c.Path
		if m := ofRow.FindStringSubmatch(c.Path); m != nil {
			key = m[1]
			c.Path = m[2]
		}
		if rows[key] == nil {
			keys = append(keys, key)
		}
		rows[key] = append(rows[key], c)
	}
	var come, change, gone int
	for _, key := range keys {
		if rows[key][0].Path == key { // another property of the table
			lines = append(lines, arrow(rows[key][0]))
			continue
		}
		line := "row " + code(key) + ": "
		whole := slices.ContainsFunc(rows[key], func(c Change) bool { return inKey(key, c.Path) })
		switch {
		case whole && !slices.ContainsFunc(rows[key], func(c Change) bool { return c.Old != "" }):
			come++
			line = "new " + line
		case whole && !slices.ContainsFunc(rows[key], func(c Change) bool { return c.New != "" }):
			gone++
			line = "without " + line
		default:
			change++
		}
		var columns []string
		for _, c := range rows[key] {
			if !inKey(key, c.Path) {
				columns = append(columns, arrow(c))
			}
		}
		lines = append(lines, strings.TrimSuffix(line+strings.Join(columns, ", "), ": "))
	}
	var parts []string
	for _, n := range []struct {
		n        int
		one, all string
	}{{come, "comes", "come"}, {change, "changes", "change"}, {gone, "goes", "go"}} {
		switch {
		case n.n == 1:
			parts = append(parts, "1 "+n.one)
		case n.n > 1:
			parts = append(parts, fmt.Sprintf("%d %s", n.n, n.all))
		}
	}
	if len(parts) > 0 {
		counts = ": " + strings.Join(parts, ", ")
	}
	return counts, lines
}

// ofRow is the path of a row's value: its key, such as id=3, and the column.
var ofRow = regexp.MustCompile(`^rows\["(.*?)"\]\.([^.\[]+)$`)

// inKey says whether a column is one that a row is told by.
func inKey(key, column string) bool {
	return strings.HasPrefix(key, column+"=") || strings.Contains(key, ","+column+"=")
}

func arrow(c Change) string {
	path := ""
	if c.Path != "" {
		path = code(c.Path) + ": "
	}
	switch {
	case c.Old == hiddenValue || c.Old == secretValue:
		return path + strings.Trim(c.Old, "[]")
	case c.Old == "":
		return path + "+ " + code(c.New)
	case c.New == "":
		return path + "− " + code(c.Old)
	}
	return fmt.Sprintf("%s%s → %s", path, code(c.Old), code(c.New))
}

// Operations lists every step with what differs.
func (p *page) Operations() []string {
	if !p.operations {
		return nil
	}
	return p.steps(p.Plan.Steps)
}

// Drifted lists what a refresh found.
func (p *page) Drifted() []string { return p.bounded(p.steps(p.Plan.Drift)) }

func (p *page) steps(steps []Step) []string {
	var lines []string
	for _, s := range steps {
		line := fmt.Sprintf("- %s %s (%s)", s.Op, code(s.Name), code(s.Type))
		if p.values > 0 {
			for _, c := range s.Changes {
				c.Old, c.New = clipped(c.Old, p.values), clipped(c.New, p.values)
				line += "\n  - " + arrow(c)
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func clipped(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "…"
}

// ends keeps the beginning and, longer, the end of a text: of a log the end says most.
func ends(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n/4]+"\n…\n"+text[len(text)-3*n/4:], "")
}

// Unseen says what nobody could look at, each reason once.
func (p *page) Unseen() []string {
	var lines []string
	names := map[string][]string{}
	for _, u := range p.Plan.Unseen {
		if names[u.Message] == nil {
			lines = append(lines, u.Message)
		}
		names[u.Message] = append(names[u.Message], u.Name())
	}
	for i, message := range lines {
		lines[i] = plain(cut(message, 0))
		if all := slices.DeleteFunc(names[message], func(name string) bool { return name == "" }); len(all) > 0 {
			lines[i] = codes(all) + ": " + lines[i]
		}
	}
	return p.bounded(lines)
}

// Outcome is the comment's last word, after a deployment.
func (p *page) Outcome() string {
	if p.Review.Outcome == nil {
		return ""
	}
	return p.Review.Outcome.Text()
}

// Footer says where the preview comes from.
func (p *page) Footer() string {
	var parts []string
	add := func(label, text string) {
		if text != "" {
			parts = append(parts, label+" "+code(text))
		}
	}
	add("head", clipped12(p.Meta.Head))
	add("base", clipped12(p.Meta.Base))
	add("digest", clipped12(p.Digest))
	parts = append(parts, p.Meta.Time.UTC().Format("2006-01-02 15:04 UTC"))
	if p.Meta.RunURL != "" {
		parts = append(parts, fmt.Sprintf("[run %d](%s)", p.Meta.Run, p.Meta.RunURL))
	}
	return strings.Join(parts, " · ")
}

func clipped12(text string) string { return text[:min(12, len(text))] }
