package forge_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"plan-charge/internal/forge"
	"plan-charge/internal/testkit/fakegithub"
)

const (
	marker = "<!-- plan-charge review of plan-charge/prod -->"
	label  = "drift"
)

var ctx = context.Background()

func client(t testing.TB, s *fakegithub.Server, token string) *forge.Client {
	t.Helper()
	c, err := forge.New(forge.Options{API: s.URL, Token: token, Repository: "o/r", Author: fakegithub.Author, Pause: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func anything(string) error { return nil }

func body(text string) string { return marker + "\n" + text }

// mine are the comments of the workflow with the marker.
func mine(s *fakegithub.Server, number int) []string {
	var bodies []string
	for _, c := range s.Issue(number).Comments {
		if c.User == fakegithub.Author && strings.HasPrefix(c.Body, marker) {
			bodies = append(bodies, c.Body)
		}
	}
	return bodies
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := forge.New(forge.Options{Repository: "nonsense"})
	for _, want := range []string{"nonsense", "OWNER/NAME", "GITHUB_TOKEN", "author"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
}

// TestOneComment: it is made once, found behind three pages of others, and edited.
func TestOneComment(t *testing.T) {
	s := fakegithub.New(t)
	c := client(t, s, fakegithub.Token)
	for i := range 250 {
		s.Say(1, "dev", fmt.Sprintf("comment %d", i))
	}
	s.Say(1, "mallory", body("by somebody else"))
	s.Say(1, fakegithub.Author, "quotes it:\n"+marker)
	for _, text := range []string{"first", "second", "second"} {
		if _, err := c.PutComment(ctx, 1, marker, body(text), anything); err != nil {
			t.Fatal(err)
		}
	}
	if got := mine(s, 1); len(got) != 1 || got[0] != body("second") {
		t.Errorf("got %q, want one that says the second", got)
	}
	if s.Writes() != 2 {
		t.Errorf("%d writes, want 2: the third says what is there", s.Writes())
	}
	found, err := c.FindComment(ctx, 1, marker)
	if err != nil || found == nil || found.Body != body("second") {
		t.Errorf("found %+v, %v", found, err)
	}
	if last := s.Issue(1).Comments[250]; last.Body != body("by somebody else") {
		t.Errorf("somebody else's comment with the marker was changed: %q", last.Body)
	}
}

func TestWhatIsRefusedChangesNothing(t *testing.T) {
	s := fakegithub.New(t)
	c := client(t, s, fakegithub.Token)
	if _, err := c.PutComment(ctx, 1, marker, body("new"), anything); err != nil {
		t.Fatal(err)
	}
	refusal := errors.New("a newer run has commented")
	if _, err := c.PutComment(ctx, 1, marker, body("old"), func(string) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
	s.Let("reader", fakegithub.User{Login: fakegithub.Author, May: []string{}})
	for name, try := range map[string]struct {
		do   func() error
		says string
	}{
		"no right": {func() error {
			_, err := client(t, s, "reader").PutComment(ctx, 1, marker, body("x"), anything)
			return err
		}, "403"},
		"no token": {func() error {
			_, err := client(t, s, "nobody").PutComment(ctx, 1, marker, body("x"), anything)
			return err
		}, "401"},
		"no such pull": {func() error { _, err := c.PutComment(ctx, 404, marker, body("x"), anything); return err }, "404"},
		"too long": {func() error {
			_, err := c.PutComment(ctx, 1, marker, body(strings.Repeat("x", 65536)), anything)
			return err
		}, "too long"},
	} {
		if err := try.do(); err == nil || !strings.Contains(err.Error(), try.says) {
			t.Errorf("%s: got %v, want it to say %s", name, err, try.says)
		}
	}
	if got := mine(s, 1); len(got) != 1 || got[0] != body("new") {
		t.Errorf("got %q", got)
	}
}

func TestPullAndRuns(t *testing.T) {
	s := fakegithub.New(t)
	c := client(t, s, fakegithub.Token)
	s.Merge("abc", 1)
	if n, err := c.PullOf(ctx, "abc"); n != 1 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	if n, err := c.PullOf(ctx, "def"); n != 0 || err != nil {
		t.Errorf("a commit without a pull request: got %d, %v", n, err)
	}
	if url, err := c.Runs(ctx, "deploy.yml"); url != "" || err != nil {
		t.Errorf("got %q, %v", url, err)
	}
	for _, status := range []string{"in_progress", "queued"} {
		s.Run("deploy.yml", status)
		if url, err := c.Runs(ctx, "deploy.yml"); url == "" || err != nil {
			t.Errorf("%s: got %q, %v", status, url, err)
		}
	}
}

func drift(print string) forge.Issue {
	return forge.Issue{Marker: "<!-- plan-charge drift of plan-charge/prod -->", Label: label, Title: "Drift", Body: "by hand: " + print, Fingerprint: print, Changed: "now " + print}
}

func TestIssueOpensFollowsAndCloses(t *testing.T) {
	s := fakegithub.New(t)
	c := client(t, s, fakegithub.Token)
	open := func(print string) {
		t.Helper()
		if _, err := c.OpenIssue(ctx, drift(print)); err != nil {
			t.Fatal(err)
		}
	}
	closed := func() {
		t.Helper()
		if _, err := c.CloseIssue(ctx, drift("").Marker, label, "all clean"); err != nil {
			t.Fatal(err)
		}
	}
	want := func(state string, comments int) {
		t.Helper()
		all := s.Issues()
		if len(all) != 1 || all[0].State != state || len(all[0].Comments) != comments {
			t.Fatalf("got %+v, want one, %s, with %d comments", all, state, comments)
		}
	}
	closed()
	if len(s.Issues()) != 0 {
		t.Fatal("an issue without drift")
	}
	open("a")
	want("open", 0)
	open("a")
	want("open", 0)
	open("b")
	want("open", 1)
	open("b")
	want("open", 1)
	number := s.Issues()[0].Number
	s.Change(number, func(i *fakegithub.Issue) { i.State = "closed" })
	open("b")
	want("open", 1)
	closed()
	want("closed", 2)
	closed()
	want("closed", 2)
	open("b")
	want("open", 3)
	s.Add(fakegithub.Issue{Title: "Drift", Body: drift("").Marker, User: "mallory", Labels: []string{label}})
	open("c")
	if got := s.Issue(number); got.State != "open" || !strings.Contains(got.Body, "by hand: c") {
		t.Errorf("got %+v", got)
	}
}

// TestRandomSequencesEndInOne lets requests fail before and after they are done, and looks what is there at the end.
func TestRandomSequencesEndInOne(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 14))
		s := fakegithub.New(t)
		c := client(t, s, fakegithub.Token)
		s.Fail(func(method, _ string) fakegithub.Fault {
			switch random.IntN(8) {
			case 0:
				return fakegithub.Refused
			case 1:
				return fakegithub.Limited
			case 2:
				if method != http.MethodGet {
					return fakegithub.Lost
				}
			}
			return fakegithub.None
		})
		last, open := "", false
		for i := range 12 {
			print := fmt.Sprintf("%c", 'a'+random.IntN(3))
			switch random.IntN(3) {
			case 0:
				c.PutComment(ctx, 1, marker, body(fmt.Sprint(i)), anything)
			case 1:
				c.OpenIssue(ctx, drift(print))
			case 2:
				c.CloseIssue(ctx, drift("").Marker, label, "all clean")
			}
			if issues := s.Issues(); len(issues) > 0 && random.IntN(4) == 0 {
				s.Change(issues[0].Number, func(i *fakegithub.Issue) { i.State = "closed" })
			}
			last, open = print, true
		}
		s.Fail(func(string, string) fakegithub.Fault { return fakegithub.None })
		if _, err := c.PutComment(ctx, 1, marker, body("end"), anything); err != nil {
			t.Fatal(err)
		}
		if open {
			if _, err := c.OpenIssue(ctx, drift(last)); err != nil {
				t.Fatal(err)
			}
		}
		if got := mine(s, 1); len(got) != 1 || got[0] != body("end") {
			t.Errorf("seed %d: got comments %q", seed, got)
		}
		alive := 0
		for _, i := range s.Issues() {
			if strings.HasPrefix(i.Body, drift("").Marker) {
				alive++
			}
			if !strings.HasPrefix(i.Body, drift("").Marker) && i.State == "open" {
				t.Errorf("seed %d: another is open: %+v", seed, i)
			}
		}
		if alive != 1 {
			t.Errorf("seed %d: %d issues with the marker", seed, alive)
		}
		wantComments(t, seed, s)
	}
}

// wantComments wants no fingerprint to be told twice in a row.
func wantComments(t *testing.T, seed uint64, s *fakegithub.Server) {
	t.Helper()
	for _, i := range s.Issues() {
		before := ""
		for _, c := range i.Comments {
			first, _, _ := strings.Cut(c.Body, "\n")
			if first == before {
				t.Errorf("seed %d: %s is told twice", seed, first)
			}
			before = first
		}
	}
}
