package forge

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/google/go-github/v89/github"
)

// Issue is what the one issue with a marker shall be.
type Issue struct {
	Marker string // first line of the body
	Label  string
	Title  string
	Body   string // without the marker
	// Fingerprint is the same while the same is wrong. When it changes, one comment says Changed.
	Fingerprint string
	Changed     string
}

// OpenIssue makes the issue be there, open and up to date. It makes one only where the author has none with this marker,
// and opens again one that was closed.
func (c *Client) OpenIssue(ctx context.Context, want Issue) (string, error) {
	url := ""
	body := want.Marker + "\n" + fingerprint(want.Fingerprint) + "\n" + want.Body
	err := c.patiently(ctx, "write the issue", func() error {
		issue, err := c.issue(ctx, want.Marker, want.Label)
		if err != nil {
			return err
		}
		if issue == nil {
			made, _, err := c.api.Issues.Create(ctx, c.owner, c.repo, &github.IssueRequest{Title: &want.Title, Body: &body, Labels: &[]string{want.Label}})
			url = made.GetHTMLURL()
			return err
		}
		url = issue.GetHTMLURL()
		if err := c.sayOnce(ctx, issue, want.Fingerprint, want.Changed); err != nil {
			return err
		}
		if issue.GetBody() == body && issue.GetState() == "open" && issue.GetTitle() == want.Title {
			return nil
		}
		_, _, err = c.api.Issues.Edit(ctx, c.owner, c.repo, issue.GetNumber(), &github.IssueRequest{Title: &want.Title, Body: &body, State: github.Ptr("open")})
		return err
	})
	return url, err
}

// CloseIssue closes the issue with a last comment. Where there is none, or it is closed already, nothing is written.
func (c *Client) CloseIssue(ctx context.Context, marker, label, last string) (string, error) {
	url := ""
	err := c.patiently(ctx, "close the issue", func() error {
		issue, err := c.issue(ctx, marker, label)
		if err != nil || issue == nil || issue.GetState() != "open" {
			return err
		}
		url = issue.GetHTMLURL()
		if err := c.sayOnce(ctx, issue, "", last); err != nil {
			return err
		}
		_, _, err = c.api.Issues.Edit(ctx, c.owner, c.repo, issue.GetNumber(), &github.IssueRequest{State: github.Ptr("closed"), StateReason: github.Ptr("completed")})
		return err
	})
	return url, err
}

// FindIssue is the URL of the open issue, or empty.
func (c *Client) FindIssue(ctx context.Context, marker, label string) (string, error) {
	url := ""
	err := c.patiently(ctx, "look for the issue", func() error {
		issue, err := c.issue(ctx, marker, label)
		if issue.GetState() == "open" {
			url = issue.GetHTMLURL()
		}
		return err
	})
	return url, err
}

// sayOnce comments when the fingerprint is another one than the last that was told, in body or comment.
func (c *Client) sayOnce(ctx context.Context, issue *github.Issue, print, text string) error {
	comments, err := c.allComments(ctx, issue.GetNumber())
	if err != nil {
		return err
	}
	told := ""
	if lines := strings.SplitN(issue.GetBody(), "\n", 3); len(lines) > 1 {
		told = lines[1]
	}
	for _, comment := range comments {
		first, _, _ := strings.Cut(comment.GetBody(), "\n")
		if comment.GetUser().GetLogin() == c.author && strings.HasPrefix(first, printStart) {
			told = first
		}
	}
	if told == fingerprint(print) {
		return nil
	}
	text = fingerprint(print) + "\n" + text
	_, _, err = c.api.Issues.CreateComment(ctx, c.owner, c.repo, issue.GetNumber(), &github.IssueComment{Body: &text})
	return err
}

const printStart = "<!-- plan-charge fingerprint "

func fingerprint(print string) string { return printStart + print + " -->" }

// issue is the author's oldest with a marker, open or not; others, left by answers that were lost, are closed.
func (c *Client) issue(ctx context.Context, marker, label string) (*github.Issue, error) {
	all, err := pages(func(page github.ListOptions) ([]*github.Issue, *github.Response, error) {
		return c.api.Issues.ListByRepo(ctx, c.owner, c.repo, &github.IssueListByRepoOptions{State: "all", Labels: []string{label}, ListOptions: page})
	})
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(i *github.Issue) bool {
		return i.IsPullRequest() || !c.marked(i.GetBody(), marker, i.GetUser())
	})
	if len(all) == 0 {
		return nil, nil
	}
	slices.SortFunc(all, func(a, b *github.Issue) int { return cmp.Compare(a.GetNumber(), b.GetNumber()) })
	for _, other := range all[1:] {
		if other.GetState() == "open" {
			gone := fmt.Sprintf("The same as #%d.", all[0].GetNumber())
			edit := &github.IssueRequest{State: github.Ptr("closed"), StateReason: github.Ptr("not_planned"), Body: &gone}
			if _, _, err := c.api.Issues.Edit(ctx, c.owner, c.repo, other.GetNumber(), edit); err != nil {
				return nil, err
			}
		}
	}
	return all[0], nil
}
