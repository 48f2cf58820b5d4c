package edge

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// defaultErrorTTL is CloudFront's error caching minimum TTL where no custom error response sets one.
const defaultErrorTTL = 10 * time.Second

var (
	// cachedErrors are kept whatever the origin says, cachedByHeader only with max-age or s-maxage. Others never are.
	cachedErrors   = []int{404, 414, 500, 501, 502, 503, 504}
	cachedByHeader = []int{400, 403, 405, 410, 412, 415}
	// refusable are the errors for which the origin's no-store, no-cache and private count.
	refusable = []int{404, 410, 414, 501}
	// cachedObjects are the other statuses that can be kept. 206 is not: only whole objects are.
	cachedObjects = []int{200, 203, 204, 300, 301, 302, 303, 307, 308}
)

// errorTTL is how long an error of the origin is served again. min is the error caching minimum TTL of its status; a
// longer lifetime that the origin gives counts up to the maximum TTL of the cache policy.
func errorTTL(status int, header http.Header, min, maxTTL time.Duration, now time.Time) time.Duration {
	cc := parseCacheControl(header)
	age, given := cc.lifetime(header, now)
	switch {
	case slices.Contains(cachedErrors, status):
	case slices.Contains(cachedByHeader, status):
		if !cc.has("max-age") && !cc.has("s-maxage") {
			return 0
		}
	default:
		return 0
	}
	if cc.uncacheable() && slices.Contains(refusable, status) {
		return 0
	}
	if given && !cc.uncacheable() {
		return max(min, minDuration(age, maxTTL))
	}
	return min
}

// objectTTL is how long an answer that is no error counts as fresh.
func objectTTL(status int, header http.Header, p CachePolicy, now time.Time) time.Duration {
	if !slices.Contains(cachedObjects, status) {
		return 0
	}
	cc := parseCacheControl(header)
	age, given := cc.lifetime(header, now)
	switch {
	case cc.uncacheable():
		return p.MinTTL
	case given:
		return max(p.MinTTL, minDuration(age, p.MaxTTL))
	default:
		return max(p.MinTTL, minDuration(p.DefaultTTL, p.MaxTTL))
	}
}

func minDuration(a, b time.Duration) time.Duration {
	if a < b {
		return a
	}
	return b
}

// cacheControl holds the directives of a Cache-Control header, in lower case.
type cacheControl map[string]string

func parseCacheControl(header http.Header) cacheControl {
	cc := cacheControl{}
	for _, line := range header.Values("Cache-Control") {
		for _, part := range strings.Split(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" {
				cc[name] = strings.Trim(strings.TrimSpace(value), `"`)
			}
		}
	}
	return cc
}

func (cc cacheControl) has(name string) bool {
	_, ok := cc[name]
	return ok
}

func (cc cacheControl) uncacheable() bool {
	return cc.has("no-store") || cc.has("no-cache") || cc.has("private")
}

// seconds reads a directive. A number that cannot be read counts as 0, the careful reading.
func (cc cacheControl) seconds(name string) (time.Duration, bool) {
	value, ok := cc[name]
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil || n < 0 {
		return 0, true
	}
	return time.Duration(n) * time.Second, true
}

// lifetime is what the origin grants: s-maxage before max-age before Expires.
func (cc cacheControl) lifetime(header http.Header, now time.Time) (time.Duration, bool) {
	for _, name := range []string{"s-maxage", "max-age"} {
		if age, ok := cc.seconds(name); ok {
			return age, true
		}
	}
	if expires := header.Get("Expires"); expires != "" {
		at, err := http.ParseTime(expires)
		if err != nil || at.Before(now) {
			return 0, true
		}
		return at.Sub(now), true
	}
	return 0, false
}
