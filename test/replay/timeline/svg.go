package timeline

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Mark is a moment that the picture points out.
type Mark struct {
	At    time.Duration // since the start of the run
	Label string
}

// Picture says what to draw.
type Picture struct {
	Title string
	Graph *Graph
	Marks []Mark
	// Shortest is what an unchanged resource must have taken to be drawn; the others are counted.
	Shortest time.Duration
}

// Measures of the picture, in pixels.
const (
	width     = 1200
	margin    = 24
	plotLeft  = 372
	plotRight = width - 76 // room for the duration behind the last bar
	rowHeight = 22
	barHeight = 12
	marksTop  = 122
)

var colors = map[string]string{
	"refresh": "#b6d7f5", "same": "#b1bac4", "create": "#2da44e", "update": "#e0a011", "replace": "#8957e5", "delete": "#d1383d",
}

const (
	ink     = "#1f2328"
	faint   = "#6a737d"
	chained = "#0a3069"
)

// row is one resource with all that was done to it.
type row struct {
	urn, name, kind string
	first           time.Duration
	operations      []Operation
}

// SVG draws the run. The picture refers to nothing outside itself.
func (r *Run) SVG(p Picture) []byte {
	chain := r.Chain(p.Graph)
	groups, left := r.rows(p)
	d := &drawing{scale: scale{total: max(r.Took, time.Second)}, on: map[string]bool{}, at: map[string]int{}}
	for _, urn := range chain {
		d.on[urn] = true
	}
	var took time.Duration
	var reading, readEnd, first time.Duration = -1, 0, -1
	read := 0
	for _, o := range r.Operations {
		if first < 0 || o.Start < first {
			first = o.Start
		}
		switch {
		case o.Op == "refresh":
			if reading < 0 {
				reading = o.Start
			}
			read, readEnd = read+1, max(readEnd, o.End)
		case d.on[o.URN] && o.onTheWay():
			took += o.Took()
		}
	}

	d.text(margin, 40, 22, ink, "600", "start", p.Title)
	result := "took " + seconds(r.Took)
	if r.Failed {
		result = "failed after " + seconds(r.Took)
	}
	d.text(margin, 62, 13, faint, "400", "start", fmt.Sprintf("pulumi up %s. The longest chain of dependencies: %s, %s of work.", result, count(len(chain), "resource"), seconds(took)))
	d.legend(84)

	// Moments stand above the bars, a line each, so that near ones can be read.
	top := marksTop
	if len(p.Marks) > 0 {
		top += len(p.Marks)*18 + 10
	}
	d.y = top + 18
	if first > 0 {
		d.line("start of engine, plugins and program", "", []Operation{{Op: "same", Start: 0, End: first}})
	}
	if read > 0 {
		d.line("refresh: "+count(read, "resource")+" read back", "", []Operation{{Op: "refresh", Start: reading, End: readEnd}})
	}
	for _, g := range groups {
		d.y += 8
		name := g.name
		if name == "" {
			name = "on their own"
		}
		d.text(margin, d.y+15, 13, ink, "600", "start", name)
		d.y += rowHeight
		for _, row := range g.rows {
			d.at[row.urn] = d.y
			d.resource(row)
		}
	}
	bottom := d.y + 6
	d.connect(chain, r)
	if left > 0 {
		d.text(margin, bottom+36, 13, faint, "400", "start",
			fmt.Sprintf("and %s more, unchanged and checked in less than %s each", count(left, "resource"), seconds(p.Shortest)))
	}

	var out bytes.Buffer
	height := bottom + 56
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="-apple-system, 'Segoe UI', 'Noto Sans', Helvetica, Arial, sans-serif" role="img">`+"\n", width, height, width, height)
	fmt.Fprintf(&out, "<title>%s</title>\n", escaped(p.Title))
	fmt.Fprintf(&out, `<rect width="%d" height="%d" fill="#ffffff"/>`+"\n", width, height)
	grid := &drawing{scale: d.scale}
	grid.axis(top, bottom)
	grid.marks(p.Marks, marksTop, bottom)
	out.Write(grid.out.Bytes())
	out.Write(d.out.Bytes())
	out.WriteString("</svg>\n")
	return out.Bytes()
}

type group struct {
	name string
	rows []*row
}

// rows are the resources to draw, by component, and how many are left out.
func (r *Run) rows(p Picture) (groups []*group, left int) {
	byURN := map[string]*row{}
	var order []*row
	for _, o := range r.Operations {
		w := byURN[o.URN]
		if w == nil {
			w = &row{urn: o.URN, name: o.Name, kind: o.Type[strings.LastIndex(o.Type, ":")+1:], first: -1}
			byURN[o.URN] = w
			order = append(order, w)
		}
		w.operations = append(w.operations, o)
		if o.Op != "refresh" && w.first < 0 {
			w.first = o.Start
		}
	}
	byName := map[string]*group{}
	slices.SortStableFunc(order, func(a, b *row) int { return int(a.first - b.first) })
	for _, w := range order {
		if !slices.ContainsFunc(w.operations, func(o Operation) bool {
			return o.Failed || o.changes() || o.Op != "refresh" && o.Took() >= p.Shortest
		}) {
			left++
			continue
		}
		name := p.Graph.component(w.urn)
		g := byName[name]
		if g == nil {
			g = &group{name: name}
			byName[name] = g
			groups = append(groups, g)
		}
		g.rows = append(g.rows, w)
	}
	return groups, left
}

type scale struct{ total time.Duration }

func (s scale) x(at time.Duration) float64 {
	return plotLeft + float64(plotRight-plotLeft)*float64(at)/float64(s.total)
}

type drawing struct {
	scale
	out bytes.Buffer
	on  map[string]bool // resources of the chain
	at  map[string]int  // where each resource's row is
	y   int
}

func (d *drawing) text(x float64, y int, size int, color, weight, anchor, text string) {
	fmt.Fprintf(&d.out, `<text x="%.1f" y="%d" font-size="%d" fill="%s" font-weight="%s" text-anchor="%s">%s</text>`+"\n",
		x, y, size, color, weight, anchor, escaped(text))
}

func (d *drawing) legend(y int) {
	x := float64(margin)
	for _, l := range [][2]string{{"create", "created"}, {"update", "updated"}, {"replace", "replaced"}, {"delete", "deleted"}, {"same", "unchanged"}, {"refresh", "read back"}} {
		fmt.Fprintf(&d.out, `<rect x="%.1f" y="%d" width="22" height="%d" rx="2" fill="%s"/>`+"\n", x, y, barHeight, colors[l[0]])
		d.text(x+29, y+11, 13, ink, "400", "start", l[1])
		x += 112
	}
	fmt.Fprintf(&d.out, `<rect x="%.1f" y="%d" width="22" height="%d" rx="2" fill="#ffffff" stroke="%s" stroke-width="2"/>`+"\n", x, y, barHeight, chained)
	d.text(x+29, y+11, 13, chained, "600", "start", "longest chain")
}

// axis draws the seconds.
func (d *drawing) axis(top, bottom int) {
	step := time.Second
	for _, s := range []time.Duration{1, 2, 5, 10, 20, 30, 60, 120, 300, 600} {
		if step = s * time.Second; d.total/step <= 14 {
			break
		}
	}
	for at := time.Duration(0); at <= d.total; at += step {
		x := d.x(at)
		fmt.Fprintf(&d.out, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#e4e7eb"/>`+"\n", x, top+6, x, bottom)
		d.text(x, top, 12, faint, "400", "middle", fmt.Sprintf("%d s", at/time.Second))
	}
}

func (d *drawing) marks(marks []Mark, top, bottom int) {
	marks = slices.Clone(marks)
	slices.SortStableFunc(marks, func(a, b Mark) int { return int(a.At - b.At) })
	for i, m := range marks {
		x, y := d.x(m.At), top+i*18
		fmt.Fprintf(&d.out, `<line x1="%.1f" y1="%d" x2="%.1f" y2="%d" stroke="#1a7f37" stroke-width="1.5" stroke-dasharray="4 3"/>`+"\n", x, y, x, bottom)
		label, anchor, at := fmt.Sprintf("%s: %s", m.Label, seconds(m.At)), "start", x+6
		if x+float64(len(label))*7.6 > width { // what bold letters of this size take at the most
			anchor, at = "end", x-6
		}
		d.text(at, y+9, 13, "#1a7f37", "600", anchor, label)
	}
}

// resource draws one row.
func (d *drawing) resource(w *row) { d.bars(w.name, w.kind, w.operations, d.on[w.urn]) }

// line draws a row that is no resource.
func (d *drawing) line(name, kind string, operations []Operation) {
	d.bars(name, kind, operations, false)
}

func (d *drawing) bars(name, kind string, operations []Operation, onChain bool) {
	color, weight := ink, "400"
	if onChain {
		color, weight = chained, "600"
	}
	indent, most := float64(margin+14), 32
	if kind == "" {
		indent, most = margin, 48
	}
	d.text(indent, d.y+15, 13, color, weight, "start", shortened(name, most))
	d.text(plotLeft-12, d.y+15, 11, faint, "400", "end", shortened(kind, 22))
	// The duration of what took the longest stands behind it.
	end, text, longest := 0.0, "", time.Duration(-1)
	for _, o := range operations {
		x, w := d.x(o.Start), max(d.x(o.End)-d.x(o.Start), 2)
		fill := colors[family(o.Op)]
		outline := ""
		if onChain && o.onTheWay() {
			outline = fmt.Sprintf(` stroke="%s" stroke-width="2"`, chained)
		}
		if o.Failed {
			outline = ` stroke="#b00020" stroke-width="2" stroke-dasharray="3 2"`
		}
		fmt.Fprintf(&d.out, `<rect x="%.1f" y="%d" width="%.1f" height="%d" rx="2" fill="%s"%s><title>%s %s, %s</title></rect>`+"\n",
			x, d.y+(rowHeight-barHeight)/2, w, barHeight, fill, outline, escaped(name), o.Op, seconds(o.Took()))
		if o.Op == "refresh" && kind != "" || o.Took() <= longest {
			continue
		}
		end, text, longest = x+w, seconds(o.Took()), o.Took()
		if o.Failed {
			text += ", failed"
		}
	}
	d.text(end+6, d.y+15, 12, color, weight, "start", text)
	d.y += rowHeight
}

// connect leads from the end of each bar of the chain to the start of the next one that is drawn.
func (d *drawing) connect(chain []string, r *Run) {
	type span struct{ start, end time.Duration }
	spans := map[string]span{}
	for _, o := range r.Operations {
		if s, ok := spans[o.URN]; o.onTheWay() {
			if !ok {
				s.start = o.Start
			}
			s.end = max(s.end, o.End)
			spans[o.URN] = s
		}
	}
	last := ""
	for _, urn := range chain {
		y, drawn := d.at[urn]
		if !drawn {
			continue
		}
		if last != "" {
			from, to := d.x(spans[last].end), d.x(spans[urn].start)
			fmt.Fprintf(&d.out, `<path d="M%.1f %d V%d H%.1f" fill="none" stroke="%s" stroke-width="1.5" stroke-opacity="0.55"/>`+"\n",
				from, d.at[last]+rowHeight/2, y+rowHeight/2, max(to, from), chained)
		}
		last = urn
	}
}

// family is what an operation is drawn as.
func family(op string) string {
	switch {
	case op == "create-replacement" || op == "delete-replaced":
		return "replace"
	case strings.HasPrefix(op, "delete"):
		return "delete"
	case colors[op] != "":
		return op
	}
	return "same"
}

func seconds(d time.Duration) string {
	if d >= time.Minute {
		return fmt.Sprintf("%d min %d s", d.Round(time.Second)/time.Minute, d.Round(time.Second)%time.Minute/time.Second)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func shortened(text string, most int) string {
	runes := []rune(text)
	if len(runes) <= most {
		return text
	}
	return string(runes[:most-1]) + "…"
}

// escaped is text as XML allows it: what it does not allow at all becomes a replacement character.
func escaped(text string) string {
	var out bytes.Buffer
	_ = xml.EscapeText(&out, []byte(text)) // a buffer takes everything
	return out.String()
}
