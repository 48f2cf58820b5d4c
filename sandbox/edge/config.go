package edge

import (
	"context"
	"regexp"
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
	Origins           map[string]Origin // by ID
	Behaviors         []Behavior        // in order, the default one last
	ErrorMinTTL       map[int]time.Duration
	// Refused are the settings that the edge does not emulate. With any of them it serves nothing of the distribution.
	Refused []string
}

// Origin is a server that the distribution gets its answers from.
type Origin struct {
	Domain string
	Port   int
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
	ViewerProtocol string // allow-all, https-only, redirect-to-https
	// Header is set on answers, by the response headers policy.
	Header []HeaderField
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
	if ttl, ok := d.ErrorMinTTL[status]; ok {
		return ttl
	}
	return defaultErrorTTL
}

var wildcards = strings.NewReplacer(`\*`, `.*`, `\?`, `.`)

// matchPath tells whether a path pattern matches: * stands for any characters, ? for one, case counts and the leading
// slash of the pattern may be left out.
func matchPath(pattern, path string) bool {
	expression := wildcards.Replace(regexp.QuoteMeta(strings.TrimPrefix(pattern, "/")))
	matches, err := regexp.MatchString(`(?s)\A`+expression+`\z`, strings.TrimPrefix(path, "/"))
	return err == nil && matches
}
