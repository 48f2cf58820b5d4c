package edge

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	maxObject = 16 << 20 // larger answers are passed on without being kept
	maxCache  = 96 << 20 // bytes of bodies
)

// answer is a whole response, as the origin gave it.
type answer struct {
	status int
	header http.Header
	body   []byte
	// stored and expires are zero for an answer that is not kept.
	stored, expires time.Time
}

func (a *answer) fresh(now time.Time) bool { return a != nil && now.Before(a.expires) }

// entry is what is known about one cache key. A failure does not push out the object: CloudFront serves the expired
// object rather than a 5xx.
type entry struct {
	distribution, subject string
	object, failure       *answer
}

// cache keeps answers in memory.
type cache struct {
	mu      sync.Mutex
	entries map[string]*entry
	bytes   int
}

func newCache() *cache { return &cache{entries: map[string]*entry{}} }

// get returns copies of the pointers; answers are never changed once they are stored.
func (c *cache) get(key string) (object, failure *answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		return e.object, e.failure
	}
	return nil, nil
}

// put keeps an object or a failure. subject is what invalidation paths are compared with.
func (c *cache) put(key, distribution, subject string, a *answer, failure bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[key]
	if e == nil {
		e = &entry{distribution: distribution, subject: subject}
		c.entries[key] = e
	}
	c.bytes -= e.size()
	switch {
	case !failure:
		e.object, e.failure = a, nil
	case a.status < 500:
		e.object, e.failure = nil, a // the origin says that the object is no longer there for anybody
	default:
		e.failure = a
	}
	c.bytes += e.size()
	c.trim(key)
}

// remove forgets a key.
func (c *cache) remove(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[key]; e != nil {
		c.bytes -= e.size()
		delete(c.entries, key)
	}
}

// trim makes room, the entries that expire first going first. c.mu is held.
func (c *cache) trim(keep string) {
	for c.bytes > maxCache {
		victim, earliest := "", time.Time{}
		for key, e := range c.entries {
			if at := e.until(); key != keep && (victim == "" || at.Before(earliest)) {
				victim, earliest = key, at
			}
		}
		if victim == "" {
			return
		}
		c.bytes -= c.entries[victim].size()
		delete(c.entries, victim)
	}
}

func (e *entry) until() time.Time {
	var at time.Time
	for _, a := range []*answer{e.object, e.failure} {
		if a != nil && a.expires.After(at) {
			at = a.expires
		}
	}
	return at
}

func (e *entry) size() int {
	n := 0
	for _, a := range []*answer{e.object, e.failure} {
		if a != nil {
			n += len(a.body) + 1024 // headers and bookkeeping, so that empty answers are bounded as well
		}
	}
	return n
}

// invalidate drops what the paths of an invalidation name and returns how many answers that were.
func (c *cache) invalidate(distribution string, paths []string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for key, e := range c.entries {
		if e.distribution != distribution {
			continue
		}
		for _, path := range paths {
			if invalidates(path, e.subject) {
				c.bytes -= e.size()
				delete(c.entries, key)
				n++
				break
			}
		}
	}
	return n
}

// invalidates compares a path of an invalidation with a path and query string. Only a final * is a wildcard.
func invalidates(path, subject string) bool {
	path, subject = strings.TrimPrefix(path, "/"), strings.TrimPrefix(subject, "/")
	if prefix, wild := strings.CutSuffix(path, "*"); wild {
		return strings.HasPrefix(subject, prefix)
	}
	return path == subject
}
