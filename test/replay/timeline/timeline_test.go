package timeline_test

import (
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"plan-charge/test/replay/timeline"
)

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func urn(name string) string {
	return "urn:pulumi:sandbox::plan-charge::aws:ecs/service:Service::" + name
}

// line is an event as the engine logs it.
func line(kind, op, name string, custom bool) []byte {
	text, err := json.Marshal(map[string]any{"sequence": 1, "timestamp": 1795471151, kind: map[string]any{
		"metadata": map[string]any{"op": op, "urn": urn(name), "type": "aws:ecs/service:Service", "new": map[string]any{"custom": custom}},
	}})
	if err != nil {
		panic(err)
	}
	return text
}

// record plays steps of "seconds kind op name" and returns the run.
func record(t *testing.T, steps ...string) *timeline.Run {
	t.Helper()
	r := timeline.NewRun(began)
	kinds := map[string]string{"begin": "resourcePreEvent", "end": "resOutputsEvent", "fail": "resOpFailedEvent"}
	for _, step := range steps {
		var at float64
		var kind, op, name string
		if _, err := fmt.Sscan(step, &at, &kind, &op, &name); err != nil {
			t.Fatal(err)
		}
		if err := r.Add(began.Add(time.Duration(at*float64(time.Second))), line(kinds[kind], op, name, true)); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

func graph(t *testing.T, needs map[string][]string) *timeline.Graph {
	t.Helper()
	type resource struct {
		URN          string              `json:"urn"`
		Parent       string              `json:"parent"`
		Provider     string              `json:"provider"`
		Dependencies []string            `json:"dependencies"`
		Property     map[string][]string `json:"propertyDependencies"`
	}
	all := []resource{
		{URN: "urn:pulumi:sandbox::plan-charge::pulumi:pulumi:Stack::plan-charge-sandbox"},
		{URN: urn("outer"), Parent: "urn:pulumi:sandbox::plan-charge::pulumi:pulumi:Stack::plan-charge-sandbox"},
		{URN: urn("inner"), Parent: urn("outer")},
	}
	for name, list := range needs {
		r := resource{URN: urn(name), Parent: urn("inner"), Property: map[string][]string{}}
		for n, need := range list {
			if provider, ok := strings.CutPrefix(need, "provider "); ok {
				r.Provider = urn(provider) + "::4f0c"
			} else if n%2 == 0 {
				r.Dependencies = append(r.Dependencies, urn(need))
			} else {
				r.Property["name"] = append(r.Property["name"], urn(need))
			}
		}
		all = append(all, r)
	}
	text, err := json.Marshal(map[string]any{"deployment": map[string]any{"resources": all}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := timeline.ReadGraph(text)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestOperations(t *testing.T) {
	r := record(t,
		"1 begin refresh db", "2 end refresh db",
		"3 begin create-replacement db", "3.5 begin update web", "5 end create-replacement db",
		"5 begin replace db", "5 end replace db", // the engine's note that it is one: no work
		"6 fail update web", "6 begin same late",
	)
	if err := r.Add(began.Add(time.Second), line("resourcePreEvent", "create", "component", false)); err != nil {
		t.Fatal(err)
	}
	r.Close(began.Add(7 * time.Second))
	var got []string
	for _, o := range r.Operations {
		got = append(got, fmt.Sprintf("%s %s %v-%v %v", o.Name, o.Op, o.Start.Seconds(), o.End.Seconds(), o.Failed))
	}
	want := []string{"db refresh 1-2 false", "db create-replacement 3-5 false", "web update 3.5-6 true", "late same 6-7 true"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if !r.Failed || r.Took != 7*time.Second {
		t.Errorf("failed %v, took %s", r.Failed, r.Took)
	}
	if err := r.Add(began, []byte("{")); err == nil {
		t.Error("a line that is no JSON is taken")
	}
}

func TestChain(t *testing.T) {
	steps := []string{
		"0 begin refresh slow", "50 end refresh slow", // counts for nothing, as what is deleted at the end
		"64 begin delete-replaced cdn", "99 end delete-replaced cdn",
		"50 begin create net", "51 end create net",
		"51 begin create db", "61 end create db",
		"51 begin create cdn", "58 end create cdn",
		"61 begin create service", "64 end create service",
		"64 begin same slow", "64 end same slow",
	}
	for name, c := range map[string]struct {
		needs map[string][]string
		want  []string
	}{
		"by dependencies": {map[string][]string{"net": nil, "db": {"net"}, "cdn": {"net"}, "service": {"cdn", "db"}, "slow": {"net"}}, []string{"net", "db", "service"}},
		"by a provider":   {map[string][]string{"net": nil, "db": {"net"}, "cdn": nil, "service": {"provider db"}, "slow": nil}, []string{"net", "db", "service"}},
		"through what did nothing": {
			map[string][]string{"net": nil, "db": {"net"}, "pg": {"db"}, "cdn": nil, "service": {"pg"}, "slow": nil},
			[]string{"net", "db", "service"},
		},
		"alone":    {map[string][]string{"net": nil, "db": nil, "cdn": nil, "service": nil, "slow": nil}, []string{"service"}},
		"a circle": {map[string][]string{"net": {"service"}, "db": nil, "cdn": nil, "service": {"net"}, "slow": nil}, []string{"net", "service"}},
		// What took longer beside it was not waited for.
		"by the end, not by the work": {map[string][]string{"net": nil, "db": nil, "cdn": {"net"}, "service": {"cdn", "net"}, "slow": {"db"}}, []string{"net", "cdn", "service"}},
	} {
		r := record(t, steps...)
		var got []string
		for _, u := range r.Chain(graph(t, c.needs)) {
			got = append(got, u[strings.LastIndex(u, ":")+1:])
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

func TestPicture(t *testing.T) {
	r := record(t,
		"0.5 begin refresh db", "1 end refresh db",
		"1 begin update db", "11 end update db",
		"11 begin create-replacement check", "12 end create-replacement check",
		"1 begin same quick", "1.05 end same quick",
		"1 begin same slow", "1.9 end same slow",
		"1 begin update blink", "1.01 end update blink",
	)
	r.Close(began.Add(13 * time.Second))
	svg := string(r.SVG(timeline.Picture{
		Title: "a <run>", Shortest: 200 * time.Millisecond, Marks: []timeline.Mark{{At: 11 * time.Second, Label: "people can log in"}},
		Graph: graph(t, map[string][]string{"db": nil, "check": {"db"}, "quick": nil, "slow": nil, "blink": nil}),
	}))
	wellFormed(t, svg)
	for _, want := range []string{
		"a &lt;run&gt;", ">db<", ">check<", ">slow<", ">blink<", ">outer<", "people can log in: 11.0 s", ">10.0 s<",
		"2 resources, 11.0 s of work", "refresh: 1 resource read back", "and 1 resource more, unchanged", "took 13.0 s", `<path d="`,
	} {
		if !strings.Contains(svg, want) {
			t.Errorf("the picture has no %q", want)
		}
	}
	for _, no := range []string{">quick<", "http://127", "href"} {
		if strings.Contains(svg, no) {
			t.Errorf("the picture has %q", no)
		}
	}
	if n := strings.Count(svg, `stroke="#0a3069" stroke-width="2"><title>`); n != 2 {
		t.Errorf("%d bars are marked as the chain, want 2", n)
	}
}

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("no XML: %v", err)
		}
	}
}

func FuzzPicture(f *testing.F) {
	f.Add("db", "title", int64(3))
	f.Add("<&\"'\x00]]>", "\xff\u2028", int64(-1))
	f.Fuzz(func(t *testing.T, name, title string, took int64) {
		r := timeline.NewRun(began)
		_ = r.Add(began, line("resourcePreEvent", "create", name, true))
		_ = r.Add(began.Add(time.Duration(took%int64(time.Hour))), line("resOutputsEvent", "create", name, true))
		r.Close(began.Add(time.Second))
		wellFormed(t, string(r.SVG(timeline.Picture{Title: title, Graph: graph(t, nil), Marks: []timeline.Mark{{Label: name}}})))
	})
}

func TestFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	ctx, cancel := context.WithCancel(context.Background())
	lines, done := make(chan string), make(chan error, 1)
	go func() {
		done <- timeline.Follow(ctx, path, func(_ time.Time, l []byte) error {
			lines <- string(l)
			return nil
		})
	}()
	want := func(text string) {
		t.Helper()
		select {
		case got := <-lines:
			if got != text {
				t.Fatalf("got %q, want %q", got, text)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%q did not come", text)
		}
	}
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	file.WriteString("one\ntw")
	want("one")
	file.WriteString("o\nthree\n")
	want("two")
	want("three")
	file.WriteString("last\nhalf a line")
	cancel()
	want("last")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
