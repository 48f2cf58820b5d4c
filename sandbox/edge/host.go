package edge

import (
	"net"
	"strings"
)

// hostName is a Host header in lower case without port, brackets and final dot.
func hostName(host string) string {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// choose returns the distribution that a Host header names, or the only one there is.
func choose(all []Distribution, header string) (Distribution, bool) {
	host := hostName(header)
	label, local := strings.CutSuffix(host, ".localhost")
	best, length := -1, 0
	for i, d := range all {
		domain := strings.ToLower(d.Domain)
		if host == domain || local && label+".cloudfront.net" == domain {
			return d, true
		}
		for _, alias := range d.Aliases {
			alias = strings.ToLower(alias)
			if alias == host {
				return d, true
			}
			// A wildcard stands for one label or more; the longest one wins.
			if suffix, wild := strings.CutPrefix(alias, "*"); wild && len(host) > len(suffix) && strings.HasSuffix(host, suffix) && len(suffix) > length {
				best, length = i, len(suffix)
			}
		}
	}
	if best >= 0 {
		return all[best], true
	}
	if len(all) == 1 {
		return all[0], true
	}
	return Distribution{}, false
}
