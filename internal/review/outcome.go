package review

import (
	"fmt"
	"slices"
	"strings"

	"plan-charge/internal/lastlines"
)

// SideBySide prints two lists of canonical steps as an HTML table, those that differ only.
func SideBySide(reviewed, now []string) string {
	rows := Compare(reviewed, now)
	if len(rows) == 0 {
		return "The steps are the same.\n"
	}
	var b strings.Builder
	b.WriteString("<table>\n<tr><th>resource</th><th>reviewed</th><th>now</th></tr>\n")
	for i, row := range rows {
		if i == mostRows {
			fmt.Fprintf(&b, "<tr><td colspan=\"3\">and %d more</td></tr>\n", len(rows)-mostRows)
			break
		}
		fmt.Fprintf(&b, "<tr><td>%s</td><td>%s</td><td>%s</td></tr>\n", cell(row.Name), cell(row.Reviewed), cell(row.Now))
	}
	b.WriteString("</table>\n")
	return b.String()
}

// Plain prints a text in Markdown as it is.
func Plain(text string) string { return plain(text) }

// Serves says which version serves after an update.
func (p *Plan) Serves() string {
	version := "the version before"
	for _, image := range p.changedImages() {
		version = image
	}
	for _, typ := range []string{"served:index:Rollout", "aws:ecs/service:Service"} { // the service alone is that of an earlier program
		i := slices.IndexFunc(p.Steps, func(s Step) bool { return s.Type == typ })
		if i < 0 {
			continue
		}
		s := p.Steps[i]
		switch {
		case s.Failed:
			return fmt.Sprintf("The rollout failed, so ECS goes back to %s, which serves on.", version)
		case s.Done && p.Failed:
			return "The new version was rolled out before it failed."
		case s.Done:
			return "The new version serves."
		}
		return fmt.Sprintf("The service was not reached: %s serves on.", version)
	}
	if p.Failed {
		return fmt.Sprintf("The service was not reached: %s serves on.", version)
	}
	return "The version that serves did not change."
}

// changedImages are the images that were to be replaced by others.
func (p *Plan) changedImages() []string {
	var images []string
	for _, s := range p.Steps {
		for _, c := range s.Changes {
			if s.Type == "aws:ecs/taskDefinition:TaskDefinition" && strings.HasSuffix(c.Path, ".image") && c.Old != "" {
				images = append(images, c.Old)
			}
		}
	}
	return images
}

// Text says the outcome in Markdown.
func (o *Outcome) Text() string {
	run := "by hand"
	if o.Run > 0 && link.MatchString(o.RunURL) {
		run = fmt.Sprintf("in [run %d](%s)", o.Run, o.RunURL)
	}
	if o.Deployed {
		return fmt.Sprintf("**Deployed** %s. %s", run, plain(o.Serves))
	}
	text := fmt.Sprintf("**The deployment failed** %s. %s\n\n%s\n\nNext: correct what it names, then %s", run, plain(o.Serves), block("text", lastlines.Of(o.Why, 6)), code(o.Next))
	if strings.Count(o.Why, "\n") >= 6 {
		text += "\n\n<details><summary>All that it said</summary>\n\n" + block("text", ends(o.Why, 4000)) + "\n\n</details>"
	}
	return text
}
