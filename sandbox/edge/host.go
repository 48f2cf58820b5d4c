package edge

import (
	"net"
	"slices"
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
	for _, d := range all {
		domain := strings.ToLower(d.Domain)
		alias := slices.ContainsFunc(d.Aliases, func(alias string) bool { return strings.EqualFold(alias, host) })
		if host == domain || local && label+".cloudfront.net" == domain || alias {
			return d, true
		}
	}
	if len(all) == 1 {
		return all[0], true
	}
	return Distribution{}, false
}
