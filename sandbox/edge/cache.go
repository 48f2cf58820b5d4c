package edge

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxObject = 16 << 20 // larger answers are passed on without being kept
	maxCache  = 96 << 20 // bytes of all that is kept
)

// defaultErrorTTL is CloudFront's error caching minimum TTL where no custom error response sets one.
const defaultErrorTTL = 10 * time.Second

var (
	// cachedErrors are kept whatever the origin says, cachedByHeader only with max-age or s-maxage. Others never are.
	cachedErrors   = []int{404, 414, 500, 501, 502, 503, 504}
	cachedByHeader = []int{400, 403, 405, 410, 412, 415}
	// refusable are the errors for which the origin's no-store, no-cache and private count.
	refusable = []int{404, 410, 414, 501}
)

// errorTTL is how long an error of the origin is served again. minimum is the error caching minimum TTL of its status; a
// longer lifetime that the origin gives does not count, because the maximum TTL of CachingDisabled is 0.
func errorTTL(status int, header http.Header, minimum time.Duration) time.Duration {
	given := directives(header)
	says := func(names ...string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(given, name) })
	}
	switch {
	case says("no-store", "no-cache", "private") && slices.Contains(refusable, status):
		return 0
	case slices.Contains(cachedErrors, status):
		return minimum
	case slices.Contains(cachedByHeader, status) && says("max-age", "s-maxage"):
		return minimum
	default:
		return 0
	}
}

// directives are the names in Cache-Control, in lower case.
func directives(header http.Header) []string {
	var names []string
	for _, line := range header.Values("Cache-Control") {
		for part := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(part, "=")
			names = append(names, strings.ToLower(strings.TrimSpace(name)))
		}
	}
	return names
}

// answer is a whole response, as the origin gave it.
type answer struct {
	status int
	header http.Header
	body   []byte
	// stored and expires are zero for an answer that is not kept.
	stored, expires time.Time
}

// cacheKey tells which requests share an answer. CachingDisabled puts no header, cookie or query string into it.
type cacheKey struct{ distribution, path, method string }

// cache keeps errors in memory.
type cache struct {
	mu   sync.Mutex
	kept map[cacheKey]*answer
}

// get returns the answer that is kept for a key and still fresh, or nil. It must not be changed.
func (c *cache) get(key cacheKey, now time.Time) *answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.kept[key]; a != nil && now.Before(a.expires) {
		return a
	}
	return nil
}

// put keeps an answer, unless too much is kept already.
func (c *cache) put(key cacheKey, a *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.kept, func(_ cacheKey, old *answer) bool { return !a.stored.Before(old.expires) })
	size := a.size()
	for _, other := range c.kept {
		size += other.size()
	}
	if size <= maxCache {
		c.kept[key] = a
	}
}

// size is about how many bytes an answer takes, headers included.
func (a *answer) size() int { return len(a.body) + 1024 }

// invalidate drops what the paths of an invalidation name and returns how many answers that were.
func (c *cache) invalidate(distribution string, paths []string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	before := len(c.kept)
	maps.DeleteFunc(c.kept, func(key cacheKey, _ *answer) bool {
		return key.distribution == distribution &&
			slices.ContainsFunc(paths, func(path string) bool { return invalidates(path, key.path) })
	})
	return before - len(c.kept)
}

// invalidates compares a path of an invalidation with a request's. Only a final * is a wildcard.
func invalidates(path, requested string) bool {
	path, requested = strings.TrimPrefix(path, "/"), strings.TrimPrefix(requested, "/")
	if prefix, wild := strings.CutSuffix(path, "*"); wild {
		return strings.HasPrefix(requested, prefix)
	}
	return path == requested
}
