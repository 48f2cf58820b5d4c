package forge

import (
	"context"
	"fmt"

	"github.com/google/go-github/v89/github"
)

// Comment is one that was found.
type Comment struct {
	ID        int64
	Body, URL string
}

// FindComment looks for the author's comment with a marker; nil where there is none.
func (c *Client) FindComment(ctx context.Context, pull int, marker string) (*Comment, error) {
	var found *Comment
	err := c.patiently(ctx, fmt.Sprintf("read the comments of pull request %d", pull), func() error {
		all, err := c.comments(ctx, pull, marker)
		if len(all) > 0 {
			found = &all[0]
		}
		return err
	})
	return found, err
}

// PutComment makes the author's comment with this marker say a text: edited where it is there, else made. check sees
// what stands there now and may refuse to overwrite it. A second one, left by an answer that was lost, is removed.
func (c *Client) PutComment(ctx context.Context, pull int, marker, body string, check func(existing string) error) (string, error) {
	url := ""
	err := c.patiently(ctx, fmt.Sprintf("write the comment of pull request %d", pull), func() error {
		all, err := c.comments(ctx, pull, marker)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			made, _, err := c.api.Issues.CreateComment(ctx, c.owner, c.repo, pull, &github.IssueComment{Body: &body})
			url = made.GetHTMLURL()
			return err
		}
		for _, existing := range all {
			if err := check(existing.Body); err != nil {
				return fmt.Errorf("%w%w", err, errStays)
			}
		}
		for _, other := range all[1:] {
			if _, err := c.api.Issues.DeleteComment(ctx, c.owner, c.repo, other.ID); err != nil {
				return err
			}
		}
		url = all[0].URL
		if all[0].Body == body {
			return nil
		}
		_, _, err = c.api.Issues.EditComment(ctx, c.owner, c.repo, all[0].ID, &github.IssueComment{Body: &body})
		return err
	})
	return url, err
}

// comments are the author's with a marker, the oldest first.
func (c *Client) comments(ctx context.Context, number int, marker string) ([]Comment, error) {
	all, err := c.allComments(ctx, number)
	var mine []Comment
	for _, found := range all {
		if c.marked(found.GetBody(), marker, found.GetUser()) {
			mine = append(mine, Comment{found.GetID(), found.GetBody(), found.GetHTMLURL()})
		}
	}
	return mine, err
}

func (c *Client) allComments(ctx context.Context, number int) ([]*github.IssueComment, error) {
	return pages(func(page github.ListOptions) ([]*github.IssueComment, *github.Response, error) {
		return c.api.Issues.ListComments(ctx, c.owner, c.repo, number, &github.IssueListCommentsOptions{ListOptions: page})
	})
}
