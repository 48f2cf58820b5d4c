package edge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// The values of X-Cache.
const (
	hit        = "Hit from cloudfront"
	miss       = "Miss from cloudfront"
	refreshHit = "RefreshHit from cloudfront"
	failed     = "Error from cloudfront"
)

// ServeHTTP answers a viewer.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	e.serve(w, r, false)
}

// serve answers from the cache or the origin. verified says that the API was asked since the request arrived.
func (e *Edge) serve(w http.ResponseWriter, r *http.Request, verified bool) {
	q, refusal := e.route(r)
	if refusal != nil {
		e.reply(w, r, nil, refusal, xCache(refusal.status, miss), -1)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead && !(r.Method == http.MethodOptions && q.behavior.CachesOptions) {
		e.pass(w, q)
		return
	}

	now := e.clock()
	key := q.key()
	object, failure := e.cache.get(key)
	if r.Method != http.MethodGet {
		// HEAD is answered from a GET, never the other way round.
		key += r.Method
		if r.Method == http.MethodOptions || !object.fresh(now) && !failure.fresh(now) {
			object, failure = e.cache.get(key)
		}
	}
	if !verified && (object.fresh(now) || failure.fresh(now)) {
		e.freshen(r.Context())
		e.serve(w, r, true)
		return
	}
	switch {
	case object.fresh(now):
		e.reply(w, r, q, object, hit, now.Sub(object.stored))
	case failure.fresh(now) && failure.status >= 500 && object != nil:
		e.reply(w, r, q, object, hit, now.Sub(object.stored))
	case failure.fresh(now):
		e.reply(w, r, q, failure, failed, now.Sub(failure.stored))
	default:
		e.fill(w, q, key, object)
	}
}

// route finds out which behavior a request falls under, or why it is refused.
func (e *Edge) route(r *http.Request) (*request, *answer) {
	d, found, ready := e.pick(r.Host)
	switch {
	case !ready:
		page := errorPage(http.StatusServiceUnavailable, "The sandbox has not read its distributions yet: the CloudFront API does not answer.")
		page.header.Set(sandboxError, "no configuration")
		return nil, page
	case !found:
		return nil, errorPage(http.StatusForbidden, "No distribution has this host name as its alias or domain.")
	case !d.Enabled:
		return nil, errorPage(http.StatusForbidden, "The distribution is disabled.")
	case len(r.URL.RequestURI()) > 8192:
		return nil, errorPage(http.StatusRequestURITooLong, "The URL is longer than 8192 characters.")
	}
	q := &request{viewer: r, distribution: &d, path: r.URL.EscapedPath()}
	if q.path == "" || q.path[0] != '/' {
		q.path = "/" + q.path
	}
	if q.behavior = d.behavior(q.path); q.behavior == nil {
		return nil, errorPage(http.StatusBadGateway, "No behavior of the distribution matches the path.")
	}
	var known bool
	if q.origin, known = d.Origins[q.behavior.Origin]; !known {
		return nil, errorPage(http.StatusBadGateway, "The behavior names an origin that the distribution does not have.")
	}
	if q.path == "/" && d.DefaultRootObject != "" {
		q.path += d.DefaultRootObject
	}
	if q.scheme() == "http" {
		switch q.behavior.ViewerProtocol {
		case "redirect-to-https":
			return nil, redirect(r)
		case "https-only":
			return nil, errorPage(http.StatusForbidden, "The distribution answers HTTPS only.")
		}
	}
	if !contains(q.behavior.Methods, r.Method) {
		return nil, errorPage(http.StatusForbidden, "The distribution does not allow the method "+strconv.Quote(r.Method)+" here.")
	}
	if (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.ContentLength != 0 {
		return nil, errorPage(http.StatusForbidden, "A GET or HEAD request must not have a body.")
	}
	return q, nil
}

func redirect(r *http.Request) *answer {
	status := http.StatusTemporaryRedirect
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		status = http.StatusMovedPermanently
	}
	page := errorPage(status, "The document has moved.")
	page.header.Set("Location", "https://"+r.Host+r.URL.RequestURI())
	return page
}

// pass sends a request on whose answer is never kept.
func (e *Edge) pass(w http.ResponseWriter, q *request) {
	query, host, header := q.upstream()
	resp, err := e.fetch(q.viewer.Context(), q.origin, q.viewer.Method, q.path, query, host, header, q.viewer.Body, q.viewer.ContentLength)
	if err != nil {
		e.unreachable(w, q, "", nil, err)
		return
	}
	defer resp.Body.Close()
	if _, page := e.customised(q.distribution, resp.StatusCode); page {
		if a, err := readAnswer(resp); err == nil {
			e.reply(w, q.viewer, q, e.customise(q, a), failed, -1)
			return
		}
	}
	e.stream(w, q, resp, nil, xCache(resp.StatusCode, miss))
}

// fill gets an answer that may be kept. object is the expired one, if there is one.
func (e *Edge) fill(w http.ResponseWriter, q *request, key string, object *answer) {
	query, host, header := q.upstream()
	revalidate := false
	if object != nil && !conditional(q.viewer.Header) {
		if tag := object.header.Get("ETag"); tag != "" {
			header.Set("If-None-Match", tag)
			revalidate = true
		} else if date := object.header.Get("Last-Modified"); date != "" {
			header.Set("If-Modified-Since", date)
			revalidate = true
		}
	}
	resp, err := e.fetch(q.viewer.Context(), q.origin, q.viewer.Method, q.path, query, host, header, nil, 0)
	if err != nil {
		e.unreachable(w, q, key, object, err)
		return
	}
	defer resp.Body.Close()
	now := e.clock()
	policy := q.behavior.Cache
	switch {
	case resp.StatusCode >= 400:
		a, err := readAnswer(resp)
		if errors.Is(err, errTooLarge) {
			e.stream(w, q, resp, a.body, failed)
			return
		}
		if err != nil {
			e.unreachable(w, q, key, object, err)
			return
		}
		e.failure(w, q, key, object, a)
	case resp.StatusCode == http.StatusNotModified && revalidate:
		again := *object
		again.header = object.header.Clone()
		dropPerConnection(resp.Header)
		for name, values := range resp.Header {
			if name != "Content-Length" {
				again.header[name] = values
			}
		}
		again.stored, again.expires = now, now.Add(objectTTL(object.status, again.header, policy, now))
		e.cache.put(key, q.distribution.ID, q.subject(), &again, false)
		e.reply(w, q.viewer, q, &again, refreshHit, -1)
	default:
		ttl := objectTTL(resp.StatusCode, resp.Header, policy, now)
		if ttl <= 0 {
			if resp.StatusCode == http.StatusOK {
				e.cache.remove(key) // what was kept is out of date, and must not come back when the origin fails
			}
			e.stream(w, q, resp, nil, miss)
			return
		}
		a, err := readAnswer(resp)
		if errors.Is(err, errTooLarge) {
			e.stream(w, q, resp, a.body, miss)
			return
		}
		if err != nil {
			e.unreachable(w, q, key, object, err)
			return
		}
		a.stored, a.expires = now, now.Add(ttl)
		e.cache.put(key, q.distribution.ID, q.subject(), a, false)
		e.reply(w, q.viewer, q, a, miss, -1)
	}
}

// unreachable answers for an origin that gave no answer. key is "" where nothing is kept.
func (e *Edge) unreachable(w http.ResponseWriter, q *request, key string, object *answer, err error) {
	if q.viewer.Context().Err() != nil {
		panic(http.ErrAbortHandler) // it is the viewer who left: that tells nothing about the origin
	}
	reason := asOriginError(err)
	e.log.printf("%s %s of %s: origin %s: %v", q.viewer.Method, q.path, q.distribution.ID, q.origin.Domain, reason)
	page := errorPage(reason.status, "The origin could not be reached, or did not answer in time.")
	if key == "" {
		e.reply(w, q.viewer, q, e.customise(q, page), failed, -1)
		return
	}
	e.failure(w, q, key, object, page)
}

// failure answers with an error that may be kept, or with an expired object in its place.
func (e *Edge) failure(w http.ResponseWriter, q *request, key string, object, a *answer) {
	now := e.clock()
	ttl := errorTTL(a.status, a.header, q.distribution.errorMinTTL(a.status), q.behavior.Cache.MaxTTL, now)
	stale := object != nil && a.status >= 500 && !neverStale(object.header)
	if !stale {
		a = e.customise(q, a)
	}
	if ttl > 0 {
		kept := *a
		kept.stored, kept.expires = now, now.Add(ttl)
		e.cache.put(key, q.distribution.ID, q.subject(), &kept, true)
	}
	if stale {
		e.reply(w, q.viewer, q, object, hit, now.Sub(object.stored))
		return
	}
	e.reply(w, q.viewer, q, a, failed, -1)
}

// neverStale tells that the origin forbids to serve its object in place of an error.
func neverStale(header http.Header) bool {
	age, given := parseCacheControl(header).seconds("stale-if-error")
	return given && age == 0
}

// customised tells whether a distribution has a page of its own for a status.
func (e *Edge) customised(d *Distribution, status int) (ErrorResponse, bool) {
	r, ok := d.Errors[status]
	return r, ok && r.Page != ""
}

// customise replaces an error by the distribution's page for it. Where the page cannot be had the error stays.
func (e *Edge) customise(q *request, a *answer) *answer {
	r, ok := e.customised(q.distribution, a.status)
	if !ok {
		return a
	}
	behavior := q.distribution.behavior(r.Page)
	if behavior == nil {
		return a
	}
	origin, ok := q.distribution.Origins[behavior.Origin]
	if !ok {
		return a
	}
	header := http.Header{"User-Agent": {"Amazon CloudFront"}, "Via": {"1.1 " + viaName}}
	for _, h := range origin.Header {
		header.Set(h.Name, h.Value)
	}
	resp, err := e.fetch(q.viewer.Context(), origin, http.MethodGet, r.Page, "", "", header, nil, 0)
	if err != nil {
		return a
	}
	defer resp.Body.Close()
	page, err := readAnswer(resp)
	if err != nil || resp.StatusCode >= 400 {
		return a
	}
	page.status = a.status
	if r.Code != 0 {
		page.status = r.Code
	}
	return page
}

var errTooLarge = errors.New("the answer is too large to be kept")

// readAnswer reads a whole answer. With errTooLarge it returns what it has read; the rest is still in resp.
func readAnswer(resp *http.Response) (*answer, error) {
	a := &answer{status: resp.StatusCode, header: resp.Header.Clone()}
	dropPerConnection(a.header)
	var err error
	if a.body, err = io.ReadAll(io.LimitReader(resp.Body, maxObject+1)); err != nil {
		return a, fmt.Errorf("the origin's answer broke off: %w", err)
	}
	if len(a.body) > maxObject {
		return a, errTooLarge
	}
	if resp.Request == nil || resp.Request.Method != http.MethodHead {
		a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	return a, nil
}

// conditional tells whether a request asks for less than the whole object.
func conditional(header http.Header) bool {
	for _, name := range []string{"Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"} {
		if header.Get(name) != "" {
			return true
		}
	}
	return false
}

func xCache(status int, otherwise string) string {
	if status >= 400 {
		return failed
	}
	return otherwise
}

var _ http.Handler = (*Edge)(nil)
