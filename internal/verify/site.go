package verify

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"plan-charge/internal/probe"
	"plan-charge/internal/progress"
	"plan-charge/internal/wait"
)

// maxBody is how much of an answer is read.
const maxBody = 64 << 10

// answer is what one request brought.
type answer struct {
	status  int
	took    time.Duration
	cache   string // how it is known that a cache answered, or ""
	xcache  string
	request string // the origin's id of the request, or ""
	body    []byte
	err     error
}

// site asks until every check passes or the time is over.
func (v *verification) site(ctx context.Context) (err error) {
	client, base := v.client()
	v.told = map[string]string{}
	step := progress.Start(v.out, "the site answers as it should", 0)
	defer func() { step.Done(err) }()
	fmt.Fprintf(v.out, "requests to %s\n  %-7s %-58s %6s %7s  %s\n", v.SiteURL, "method", "path", "status", "ms", "answered by")
	last := make([]error, len(v.Checks)) // what was wrong with each check the last time that it was answered
	titles := titles(v.Checks)
	pending := make([]int, len(v.Checks))
	for i := range pending {
		pending[i] = i
	}
	for pause := v.pace.first; ; pause = min(2*pause, v.pace.longest) {
		var failed []int
		for _, i := range pending {
			came, err := v.check(ctx, client, base, v.Checks[i])
			if err == nil {
				last[i], v.results[titles[i]] = nil, came
				continue
			}
			failed = append(failed, i)
			// A request that the time limit cut off says less than the answer before it.
			if ctx.Err() == nil || last[i] == nil {
				last[i], v.results[titles[i]] = err, came
			}
		}
		if len(failed) == 0 {
			fmt.Fprintf(v.out, "all %d checks passed\n", len(v.Checks))
			return nil
		}
		pending = failed
		if ctx.Err() == nil {
			step.Tell(fmt.Sprintf("%d of %d checks fail and are tried again", len(failed), len(v.Checks)))
		}
		if err := wait.For(ctx, pause); err != nil {
			return fmt.Errorf("the site does not answer as it should (%w):\n%w", err, errors.Join(last...))
		}
	}
}

// client returns a client that goes where ConnectTo says, and the base of the URLs that it is given.
func (v *verification) client() (*http.Client, *url.URL) {
	base, _ := url.Parse(v.SiteURL) // FromEnv has looked at it
	if v.ConnectTo != "" {
		base, _ = url.Parse(v.ConnectTo)
	}
	return &http.Client{
		Transport:     v.Transport,
		Timeout:       30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, base
}

// check makes a check's request, or two, and says what came, and what is wrong with it.
func (v *verification) check(ctx context.Context, client *http.Client, base *url.URL, check probe.Check) (came string, err error) {
	// Both requests of a repeated check share their path, which no request before had: the first fills a cache
	// that keeps errors, and the second would be answered by it.
	path := strings.ReplaceAll(check.Path, probe.Nonce, strings.ToLower(rand.Text()))
	first := v.ask(ctx, client, base, check, path, 1)
	if wrong := judge(check, path, first); wrong != nil {
		return wrong.result(), wrong
	}
	if !check.Repeat {
		return strconv.Itoa(first.status), nil
	}
	second := v.ask(ctx, client, base, check, path, 2)
	if wrong := judgeSecond(check, path, first, second); wrong != nil {
		return wrong.result(), wrong
	}
	return strconv.Itoa(first.status) + ", twice from the origin", nil
}

// judgeSecond says what is wrong with the answer to a request that was made before.
func judgeSecond(check probe.Check, path string, first, second answer) *failure {
	switch {
	case second.cache != "":
		return &failure{check, path, "the second answer from the origin as well", fmt.Sprintf("one from a cache (%s)", second.cache), second}
	case first.request != "" && first.request == second.request:
		return &failure{check, path, "two answers from the origin", "the first answer again (X-Request-Id " + first.request + ")", second}
	}
	return judge(check, path, second)
}

func (v *verification) ask(ctx context.Context, client *http.Client, base *url.URL, check probe.Check, path string, nth int) answer {
	a := send(ctx, client, base, v.SiteURL, check, path)
	status, by := fmt.Sprint(a.status), "origin"
	switch {
	case a.err != nil:
		status, by = "-", "nobody: "+brief(a.err)
	case a.cache != "":
		by = "cache, " + a.cache
	}
	if v.isNew(check, nth, status+" "+by) {
		fmt.Fprintf(v.out, "  %-7s %-58s %6s %7d  %s\n", check.Verb(), path, status, a.took.Milliseconds(), by)
	}
	return a
}

// isNew reports whether the nth request of a check was answered otherwise than the last time that it was made.
func (v *verification) isNew(check probe.Check, nth int, came string) bool {
	if v.told == nil { // a single look, of which nothing is reported
		return true
	}
	key := fmt.Sprintf("%s %s %s %d", check.Title(), check.Verb(), check.Path, nth)
	before, asked := v.told[key]
	v.told[key] = came
	return !asked || before != came
}

func send(ctx context.Context, client *http.Client, base *url.URL, site string, check probe.Check, path string) answer {
	request, err := http.NewRequestWithContext(ctx, check.Verb(), strings.TrimSuffix(base.String(), "/")+path, strings.NewReader(check.Body))
	if err != nil {
		return answer{err: err}
	}
	for name, value := range check.Headers {
		request.Header.Set(name, value)
	}
	request.Header.Set("User-Agent", "plan-charge-verify")
	if u, err := url.Parse(site); err == nil {
		request.Host = u.Host
	}
	started := time.Now()
	response, err := client.Do(request)
	if err != nil {
		return answer{took: time.Since(started), err: wait.Cause(ctx, err)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	return answer{
		status: response.StatusCode, took: time.Since(started), body: body, err: err,
		cache: fromCache(response.Header), xcache: response.Header.Get("X-Cache"), request: response.Header.Get("X-Request-Id"),
	}
}

// fromCache says how a header shows that a cache answered, or "". CloudFront adds Age to whatever it serves from its
// cache, errors included. X-Cache alone does not do: it says "Error from cloudfront" for every error, cached or not.
func fromCache(h http.Header) string {
	if age := h.Get("Age"); age != "" {
		return "Age: " + age
	}
	xcache := h.Get("X-Cache")
	for _, hit := range []string{"Hit", "RefreshHit"} {
		if strings.HasPrefix(xcache, hit+" ") || xcache == hit {
			return "X-Cache: " + xcache
		}
	}
	return ""
}

// judge says what is wrong with one answer.
func judge(check probe.Check, path string, a answer) *failure {
	switch {
	case a.err != nil:
		return &failure{check, path, "status " + string(check.Status), "no answer: " + brief(a.err), a}
	case !check.Status.Allows(a.status):
		return &failure{check, path, "status " + string(check.Status), fmt.Sprintf("status %d", a.status), a}
	case len(check.Fields) == 0:
		return nil
	}
	var object map[string]any
	if err := json.Unmarshal(a.body, &object); err != nil {
		return &failure{check, path, "a JSON object", "something else", a}
	}
	for name, want := range check.Fields {
		got, ok := object[name]
		if !ok {
			return &failure{check, path, fmt.Sprintf("%s %q", name, want), "none", a}
		}
		if fmt.Sprint(got) != want {
			return &failure{check, path, fmt.Sprintf("%s %q", name, want), fmt.Sprintf("%q", fmt.Sprint(got)), a}
		}
	}
	return nil
}

// failure says how an answer differs from what it has to be.
type failure struct {
	check          probe.Check
	path           string
	expected, came string
	answer         answer
}

func (f *failure) Error() string {
	text := fmt.Sprintf("%s: %s %s: expected %s, came %s", f.check.Title(), f.check.Verb(), f.path, f.expected, f.came)
	if f.answer.xcache != "" {
		text += ", X-Cache: " + f.answer.xcache
	}
	if body := excerpt(f.answer.body); body != "" {
		text += "\n    body: " + body
	}
	return text
}

// result is the failure in a few words, the same ones each time.
func (f *failure) result() string {
	switch {
	case f.answer.err != nil:
		return "no answer: " + Plain(f.answer.err)
	case !f.check.Status.Allows(f.answer.status):
		return strconv.Itoa(f.answer.status)
	}
	return fmt.Sprintf("%d, expected %s, came %s", f.answer.status, f.expected, f.came)
}

func excerpt(body []byte) string {
	const limit = 200
	text := string(bytes.Join(bytes.Fields(body), []byte(" ")))
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}

// brief drops the method and URL that the HTTP client puts before its errors; the table has both.
func brief(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err.Error()
}
