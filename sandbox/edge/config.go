package edge

import (
	"context"
	"strings"
	"time"
)

// Source is where the configuration comes from.
type Source interface {
	// Distributions returns all there are, with the policies they name.
	Distributions(ctx context.Context) ([]Distribution, error)
	// Invalidations returns those of one distribution, in any order.
	Invalidations(ctx context.Context, distributionID string) ([]Invalidation, error)
}

// Invalidation drops what is cached for some paths. A path may end in * for all that start with it.
type Invalidation struct {
	ID    string
	Paths []string
}

// Distribution is what the edge has to know of one.
type Distribution struct {
	ID, Domain string
	// Version changes whenever the configuration does.
	Version           string
	Aliases           []string
	Enabled, Deployed bool
	DefaultRootObject string
	Origins           map[string]Origin // by ID
	Behaviors         []Behavior        // in order, the default one last
	Errors            map[int]ErrorResponse
}

// Origin is a server that the distribution gets its answers from.
type Origin struct {
	Domain string
	Port   int
	// Path is put before the path of each request.
	Path string
	// Header is set over what the viewer sent.
	Header []HeaderField
	// ConnectTimeout bounds one attempt to connect, ReadTimeout the wait for an answer and between its parts.
	ConnectTimeout, ReadTimeout time.Duration
	Attempts                    int
}

// HeaderField is one header. Override says whether it replaces one that is there already.
type HeaderField struct {
	Name, Value string
	Override    bool
}

// Behavior says how requests for some paths are answered.
type Behavior struct {
	Pattern        string // "*" for the default one
	Origin         string
	Methods        []string
	CachesOptions  bool
	ViewerProtocol string // allow-all, https-only, redirect-to-https
	Compress       bool
	Cache          CachePolicy
	Request        RequestPolicy
	Response       *ResponsePolicy
}

// CachePolicy says for how long an answer is kept, and which parts of a request make it another one.
type CachePolicy struct {
	MinTTL, DefaultTTL, MaxTTL time.Duration
	Gzip                       bool
	Headers, Cookies, Query    Selection
}

// RequestPolicy says what of the viewer's request goes to the origin beside what is part of the cache key.
type RequestPolicy struct {
	Headers, Cookies, Query Selection
	// Generated are the CloudFront-… headers to be added.
	Generated []string
}

// Selection picks names: those listed, all, or all except those listed.
type Selection struct {
	All   bool
	Names []string // with All: the exceptions
}

// includes compares without regard to case where fold is set, as for headers.
func (s Selection) includes(name string, fold bool) bool {
	for _, n := range s.Names {
		if n == name || fold && strings.EqualFold(n, name) {
			return !s.All
		}
	}
	return s.All
}

// ErrorResponse says what is done about an error of the origin.
type ErrorResponse struct {
	MinTTL time.Duration
	// Page is the path of what is served instead, with Code as its status. "" leaves the origin's answer.
	Page string
	Code int
}

// ResponsePolicy changes the headers of answers.
type ResponsePolicy struct {
	Set    []HeaderField
	Remove []string
	CORS   *CORS
}

// CORS is the part of a response headers policy about other origins.
type CORS struct {
	Origins, Headers, Methods, Expose []string
	Credentials, Override             bool
	MaxAge                            time.Duration
}

// behavior returns the first one whose pattern matches the path.
func (d *Distribution) behavior(path string) *Behavior {
	for i := range d.Behaviors {
		if matchPath(d.Behaviors[i].Pattern, path) {
			return &d.Behaviors[i]
		}
	}
	return nil
}

// errorMinTTL is the error caching minimum TTL of a status.
func (d *Distribution) errorMinTTL(status int) time.Duration {
	if r, ok := d.Errors[status]; ok {
		return r.MinTTL
	}
	return defaultErrorTTL
}

// matchPath tells whether a path pattern matches: * stands for any characters, ? for one, case counts and the leading
// slash of the pattern may be left out.
func matchPath(pattern, path string) bool {
	return matchGlob(strings.TrimPrefix(pattern, "/"), strings.TrimPrefix(path, "/"))
}

func matchGlob(pattern, text string) bool {
	p, t := 0, 0
	star, resume := -1, 0 // the last *, and how far into text it reaches
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, t
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == text[t]):
			p++
			t++
		case star >= 0:
			resume++
			p, t = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
