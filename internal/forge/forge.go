// Package forge keeps one comment for each stack in a pull request, and one issue for its drift, on GitHub or on a
// server that speaks its API. Both are found by the first line of their text and by their author, and each write looks
// again first, so that a lost answer makes no second one.
package forge

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-github/v89/github"
)

// Options say where, and as whom.
type Options struct {
	API        string // URL of the API; empty: GitHub's
	Token      string
	Repository string // OWNER/NAME
	// Author is the login that comments and issues are written by; those of others are left alone whatever they say.
	Author string
	// Pause is how long to wait before what failed is tried again; it doubles. Zero: a second.
	Pause time.Duration
}

// Client writes as one author into one repository.
type Client struct {
	api         *github.Client
	owner, repo string
	author      string
	pause       time.Duration
}

// tries is how often something is tried while the server fails.
const tries = 5

// perPage is how many entries a page has at most.
const perPage = 100

// New checks the options.
func New(o Options) (*Client, error) {
	owner, repo, ok := strings.Cut(o.Repository, "/")
	var mistakes []error
	if !ok || owner == "" || repo == "" || strings.Contains(repo, "/") {
		mistakes = append(mistakes, fmt.Errorf("repository: found %q, wanted OWNER/NAME, for example nda-partners/plan-charge", o.Repository))
	}
	if o.Token == "" {
		mistakes = append(mistakes, errors.New("token: found none; set GITHUB_TOKEN"))
	}
	if o.Author == "" {
		mistakes = append(mistakes, errors.New("author: found none, wanted a login, for example github-actions[bot]"))
	}
	if len(mistakes) > 0 {
		return nil, errors.Join(mistakes...)
	}
	options := []github.ClientOptionsFunc{github.WithAuthToken(o.Token), github.WithTimeout(time.Minute)}
	if o.API != "" {
		options = append(options, github.WithURLs(&o.API, nil))
	}
	api, err := github.NewClient(options...)
	if err != nil {
		return nil, fmt.Errorf("API %q: %w", o.API, err)
	}
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	return &Client{api, owner, repo, o.Author, o.Pause}, nil
}

// PullOf is the number of the merged pull request that a commit came with; 0 where there is none.
func (c *Client) PullOf(ctx context.Context, commit string) (int, error) {
	number := 0
	err := c.patiently(ctx, "find the pull request of "+commit, func() error {
		number = 0
		pulls, err := pages(func(page github.ListOptions) ([]*github.PullRequest, *github.Response, error) {
			return c.api.PullRequests.ListPullRequestsWithCommit(ctx, c.owner, c.repo, commit, &page)
		})
		for _, p := range pulls {
			if p.GetMergeCommitSHA() == commit || number == 0 {
				number = p.GetNumber()
			}
		}
		return err
	})
	return number, err
}

// Runs says whether a run of a workflow is under way or waits.
func (c *Client) Runs(ctx context.Context, workflow string) (string, error) {
	url := ""
	err := c.patiently(ctx, "look for runs of "+workflow, func() error {
		for _, status := range []string{"in_progress", "queued", "pending"} {
			runs, _, err := c.api.Actions.ListWorkflowRunsByFileName(ctx, c.owner, c.repo, workflow, &github.ListWorkflowRunsOptions{Status: status})
			if err != nil {
				return err
			}
			if len(runs.WorkflowRuns) > 0 {
				url = runs.WorkflowRuns[0].GetHTMLURL()
				return nil
			}
		}
		return nil
	})
	return url, err
}

// patiently tries again while it is the server that fails. What is tried has to look first what is there.
func (c *Client) patiently(ctx context.Context, what string, try func() error) error {
	pause := c.pause
	for i := 1; ; i++ {
		err := try()
		if err == nil || i == tries || !passes(err) {
			return worded(what, err)
		}
		select {
		case <-ctx.Done():
			return worded(what, errors.Join(err, ctx.Err()))
		case <-time.After(max(pause, retryAfter(err))):
		}
		pause *= 2
	}
}

// passes says whether an error may be gone at the next try: the server's own, a lost answer, a limit.
func passes(err error) bool {
	var limit *github.AbuseRateLimitError
	var response *github.ErrorResponse
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, errStays):
		return false
	case errors.As(err, &limit):
		return true
	case errors.As(err, &response):
		return response.Response.StatusCode >= http.StatusInternalServerError
	}
	var rate *github.RateLimitError
	return !errors.As(err, &rate)
}

// longestWait bounds what a server may ask to wait.
const longestWait = time.Minute

func retryAfter(err error) time.Duration {
	var limit *github.AbuseRateLimitError
	if errors.As(err, &limit) && limit.RetryAfter != nil {
		return min(*limit.RetryAfter, longestWait)
	}
	return 0
}

// worded says what was tried and, for what people can mend, how.
func worded(what string, err error) error {
	if err == nil {
		return nil
	}
	var response *github.ErrorResponse
	if errors.As(err, &response) {
		switch response.Response.StatusCode {
		case http.StatusForbidden:
			return fmt.Errorf("cannot %s: the token may not (403); the workflow's job needs the permission for it: %w", what, err)
		case http.StatusUnauthorized:
			return fmt.Errorf("cannot %s: the token is not valid (401): %w", what, err)
		case http.StatusNotFound:
			return fmt.Errorf("cannot %s: not there, or not for this token (404): %w", what, err)
		}
	}
	return fmt.Errorf("cannot %s: %w", what, err)
}

// errStays is an error that no other try mends.
var errStays = errors.New("")

// pages reads all pages of a list.
func pages[T any](list func(github.ListOptions) ([]T, *github.Response, error)) ([]T, error) {
	var all []T
	for page := (github.ListOptions{PerPage: perPage}); ; {
		items, response, err := list(page)
		if err != nil {
			return nil, err
		}
		all = append(all, items...)
		if response.NextPage == 0 {
			return all, nil
		}
		page.Page = response.NextPage
	}
}

// marked says whether a text begins with a marker and is by the author.
func (c *Client) marked(body, marker string, user *github.User) bool {
	first, _, _ := strings.Cut(body, "\n")
	return strings.TrimSpace(first) == marker && user.GetLogin() == c.author
}
