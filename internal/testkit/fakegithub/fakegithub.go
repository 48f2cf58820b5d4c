// Package fakegithub is a server that answers as GitHub's API does where this project uses it, keeps what is written,
// and fails on request. It proves what is asked and what comes of it, not that GitHub answers so.
package fakegithub

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"
)

// Limits of GitHub.
const (
	longestText = 65536 // characters
	mostAPage   = 100
)

// Fault is what becomes of a request.
type Fault int

// Faults.
const (
	None    Fault = iota
	Refused       // 502, nothing done
	Lost          // done, then 502
	Limited       // 403 with Retry-After, nothing done
)

// User is who writes with a token.
type User struct {
	Login string
	May   []string // "comments" and "issues": what may be written; nil is all
}

// Comment is one of a pull request or issue.
type Comment struct {
	ID         int64
	Body, User string
}

// Issue is an issue or a pull request.
type Issue struct {
	Number             int
	Title, Body, State string
	User               string
	Labels             []string
	Pull               bool
	Comments           []*Comment
}

// Server is one repository, OWNER/NAME being o/r.
type Server struct {
	URL string

	mu      sync.Mutex
	users   map[string]User // by token
	issues  map[int]*Issue
	commits map[string]int    // pull request of a merge commit
	runs    map[string]string // status of a run, by workflow
	next    int
	fault   func(method, path string) Fault
	writes  int
}

// Token is that of the workflows' own user, who may all.
const Token = "workflow-token"

// Author is the login of that user.
const Author = "github-actions[bot]"

// New starts a server with one pull request, number 1.
func New(t testing.TB) *Server {
	s := &Server{
		users:   map[string]User{Token: {Login: Author}},
		issues:  map[int]*Issue{},
		commits: map[string]int{},
		runs:    map[string]string{},
		fault:   func(string, string) Fault { return None },
	}
	server := httptest.NewServer(s.routes())
	t.Cleanup(server.Close)
	s.URL = server.URL + "/"
	s.Add(Issue{Title: "A change", User: "dev", Pull: true})
	return s
}

// Add puts an issue or pull request there, open, and gives its number.
func (s *Server) Add(i Issue) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.add(i).Number
}

func (s *Server) add(i Issue) *Issue {
	s.next++
	i.Number = s.next
	if i.State == "" {
		i.State = "open"
	}
	s.issues[i.Number] = &i
	return &i
}

// Let gives a token to a user.
func (s *Server) Let(token string, u User) { s.with(func() { s.users[token] = u }) }

// Merge says that a commit came with a pull request.
func (s *Server) Merge(commit string, pull int) { s.with(func() { s.commits[commit] = pull }) }

// Run says that a workflow has a run of a status; empty: none.
func (s *Server) Run(workflow, status string) { s.with(func() { s.runs[workflow] = status }) }

// Fail decides the fate of each request from now on.
func (s *Server) Fail(f func(method, path string) Fault) { s.with(func() { s.fault = f }) }

// Say comments as somebody.
func (s *Server) Say(number int, user, body string) {
	s.with(func() { s.comment(s.issues[number], user, body) })
}

// Change edits an issue as somebody would by hand.
func (s *Server) Change(number int, f func(*Issue)) { s.with(func() { f(s.issues[number]) }) }

// Writes counts what was written so far.
func (s *Server) Writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writes
}

// Issue is a copy of one; its comments too.
func (s *Server) Issue(number int) Issue {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := *s.issues[number]
	i.Comments = nil
	for _, c := range s.issues[number].Comments {
		c := *c
		i.Comments = append(i.Comments, &c)
	}
	return i
}

// Issues are all that are no pull requests.
func (s *Server) Issues() []Issue {
	var all []Issue
	for _, n := range s.numbers() {
		if i := s.Issue(n); !i.Pull {
			all = append(all, i)
		}
	}
	return all
}

func (s *Server) numbers() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.issues))
}

func (s *Server) with(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *Server) comment(i *Issue, user, body string) *Comment {
	s.next++
	c := &Comment{int64(1000 + s.next), body, user}
	i.Comments = append(i.Comments, c)
	return c
}

// answer is a status and what is said with it.
type answer struct {
	status int
	body   any
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern, right string, f func(r *http.Request, u User) answer) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.serve(w, r, right, f) })
	}
	const repo = "/repos/o/r"
	handle("GET "+repo+"/issues", "", s.listIssues)
	handle("POST "+repo+"/issues", "issues", s.createIssue)
	handle("PATCH "+repo+"/issues/{number}", "issues", s.editIssue)
	handle("GET "+repo+"/issues/{number}/comments", "", s.listComments)
	handle("POST "+repo+"/issues/{number}/comments", "comments", s.createComment)
	handle("PATCH "+repo+"/issues/comments/{id}", "comments", s.editComment)
	handle("DELETE "+repo+"/issues/comments/{id}", "comments", s.deleteComment)
	handle("GET "+repo+"/commits/{sha}/pulls", "", s.listPulls)
	handle("GET "+repo+"/actions/workflows/{file}/runs", "", s.listRuns)
	return mux
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request, right string, f func(*http.Request, User) answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fault := s.fault(r.Method, r.URL.Path)
	switch fault {
	case Refused:
		reply(w, r, answer{http.StatusBadGateway, message("Server Error")})
		return
	case Limited:
		w.Header().Set("Retry-After", "0")
		reply(w, r, answer{http.StatusForbidden, map[string]any{"message": "You have exceeded a secondary rate limit", "documentation_url": "https://docs.github.com/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"}})
		return
	}
	u, ok := s.users[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
	switch {
	case !ok:
		reply(w, r, answer{http.StatusUnauthorized, message("Bad credentials")})
		return
	case right != "" && u.May != nil && !slices.Contains(u.May, right):
		reply(w, r, answer{http.StatusForbidden, message("Resource not accessible by integration")})
		return
	}
	a := f(r, u)
	if right != "" && a.status < 300 {
		s.writes++
	}
	if fault == Lost {
		a = answer{http.StatusBadGateway, message("Server Error")}
	}
	reply(w, r, a)
}

func message(text string) map[string]any { return map[string]any{"message": text} }

func reply(w http.ResponseWriter, r *http.Request, a answer) {
	if list, ok := a.body.([]any); ok {
		a.body = page(w, r, list)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	if a.body != nil {
		_ = json.NewEncoder(w).Encode(a.body) // a client that has gone needs no answer
	}
}

// page cuts a list as asked, and links the next one.
func page(w http.ResponseWriter, r *http.Request, list []any) []any {
	q := r.URL.Query()
	size, number := 30, 1
	if n, err := strconv.Atoi(q.Get("per_page")); err == nil {
		size = min(max(n, 1), mostAPage)
	}
	if n, err := strconv.Atoi(q.Get("page")); err == nil {
		number = max(n, 1)
	}
	start := min((number-1)*size, len(list))
	end := min(start+size, len(list))
	if end < len(list) {
		q.Set("page", strconv.Itoa(number+1))
		w.Header().Set("Link", fmt.Sprintf(`<http://%s%s?%s>; rel="next"`, r.Host, r.URL.Path, q.Encode()))
	}
	return append([]any{}, list[start:end]...)
}

func (s *Server) number(r *http.Request) *Issue {
	n, _ := strconv.Atoi(r.PathValue("number"))
	return s.issues[n]
}

var notFound = answer{http.StatusNotFound, message("Not Found")}

// tooLong is how GitHub refuses a text.
func tooLong(body string) (answer, bool) {
	if utf8.RuneCountInString(body) <= longestText && body != "" {
		return answer{}, false
	}
	return answer{http.StatusUnprocessableEntity, map[string]any{
		"message": "Validation Failed",
		"errors":  []any{map[string]any{"resource": "IssueComment", "code": "unprocessable", "field": "data", "message": "Body is too long (maximum is 65536 characters)"}},
	}}, true
}

func (s *Server) commentJSON(i *Issue, c *Comment) map[string]any {
	return map[string]any{"id": c.ID, "body": c.Body, "user": map[string]any{"login": c.User}, "html_url": fmt.Sprintf("https://github.example/o/r/pull/%d#issuecomment-%d", i.Number, c.ID)}
}

func (s *Server) issueJSON(i *Issue) map[string]any {
	m := map[string]any{
		"number": i.Number, "title": i.Title, "body": i.Body, "state": i.State, "user": map[string]any{"login": i.User},
		"html_url": fmt.Sprintf("https://github.example/o/r/issues/%d", i.Number),
	}
	if i.Pull {
		m["pull_request"] = map[string]any{"url": "https://github.example"}
	}
	return m
}

func (s *Server) listIssues(r *http.Request, _ User) answer {
	state, label := r.URL.Query().Get("state"), r.URL.Query().Get("labels")
	list := []any{}
	for _, n := range slices.Backward(slices.Sorted(maps.Keys(s.issues))) { // the newest first, as GitHub lists them
		i := s.issues[n]
		if (state == "all" || i.State == state || state == "" && i.State == "open") && (label == "" || slices.Contains(i.Labels, label)) {
			list = append(list, s.issueJSON(i))
		}
	}
	return answer{http.StatusOK, list}
}

// written is what a request writes of an issue or comment.
type written struct {
	Title, Body, State *string
	Labels             *[]string
}

func read(r *http.Request) written {
	var w written
	_ = json.NewDecoder(r.Body).Decode(&w) // what is damaged says nothing
	return w
}

func (s *Server) createIssue(r *http.Request, u User) answer {
	in := read(r)
	if a, bad := tooLong(*in.Body); bad {
		return a
	}
	i := s.add(Issue{Title: *in.Title, Body: *in.Body, User: u.Login, Labels: *in.Labels})
	return answer{http.StatusCreated, s.issueJSON(i)}
}

func (s *Server) editIssue(r *http.Request, _ User) answer {
	i, in := s.number(r), read(r)
	if i == nil {
		return notFound
	}
	if in.Body != nil {
		if a, bad := tooLong(*in.Body); bad {
			return a
		}
		i.Body = *in.Body
	}
	if in.Title != nil {
		i.Title = *in.Title
	}
	if in.State != nil {
		i.State = *in.State
	}
	return answer{http.StatusOK, s.issueJSON(i)}
}

func (s *Server) listComments(r *http.Request, _ User) answer {
	i := s.number(r)
	if i == nil {
		return notFound
	}
	list := []any{}
	for _, c := range i.Comments {
		list = append(list, s.commentJSON(i, c))
	}
	return answer{http.StatusOK, list}
}

func (s *Server) createComment(r *http.Request, u User) answer {
	i, in := s.number(r), read(r)
	if i == nil {
		return notFound
	}
	if a, bad := tooLong(*in.Body); bad {
		return a
	}
	return answer{http.StatusCreated, s.commentJSON(i, s.comment(i, u.Login, *in.Body))}
}

// find is the comment of a request and what it belongs to.
func (s *Server) find(r *http.Request) (*Issue, int) {
	id, _ := strconv.ParseInt(r.PathValue("id"), 10, 64)
	for _, i := range s.issues {
		for at, c := range i.Comments {
			if c.ID == id {
				return i, at
			}
		}
	}
	return nil, 0
}

func (s *Server) editComment(r *http.Request, u User) answer {
	i, at := s.find(r)
	if i == nil {
		return notFound
	}
	if i.Comments[at].User != u.Login {
		return answer{http.StatusForbidden, message("Must have admin rights to Repository.")}
	}
	in := read(r)
	if a, bad := tooLong(*in.Body); bad {
		return a
	}
	i.Comments[at].Body = *in.Body
	return answer{http.StatusOK, s.commentJSON(i, i.Comments[at])}
}

func (s *Server) deleteComment(r *http.Request, _ User) answer {
	i, at := s.find(r)
	if i == nil {
		return notFound
	}
	i.Comments = slices.Delete(i.Comments, at, at+1)
	return answer{http.StatusNoContent, nil}
}

func (s *Server) listPulls(r *http.Request, _ User) answer {
	list := []any{}
	if pull, ok := s.commits[r.PathValue("sha")]; ok {
		list = append(list, map[string]any{"number": pull, "merge_commit_sha": r.PathValue("sha")})
	}
	return answer{http.StatusOK, list}
}

func (s *Server) listRuns(r *http.Request, _ User) answer {
	runs := []any{}
	if status := s.runs[r.PathValue("file")]; status != "" && status == r.URL.Query().Get("status") {
		runs = append(runs, map[string]any{"id": 7, "status": status, "html_url": "https://github.example/o/r/actions/runs/7"})
	}
	return answer{http.StatusOK, map[string]any{"total_count": len(runs), "workflow_runs": runs}}
}
