package edge

import (
	"crypto/rand"
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// alwaysForwarded go to the origin whatever the policies say.
var alwaysForwarded = []string{
	"Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range",
	"Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition",
}

// perConnection headers are about one connection and never passed on, in either direction.
var perConnection = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade",
}

// request is a viewer's request with the configuration that it falls under.
type request struct {
	viewer       *http.Request
	distribution *Distribution
	behavior     *Behavior
	origin       Origin
	path         string // still encoded, the default root object put in
}

func (q *request) gzip() bool {
	return acceptsGzip(q.viewer.Header.Get("Accept-Encoding"))
}

// key tells which requests share an answer.
func (q *request) key() string {
	p := q.behavior.Cache
	var b strings.Builder
	add := func(parts ...string) {
		for _, s := range parts {
			b.WriteString(url.QueryEscape(s) + "&")
		}
		b.WriteByte('\n')
	}
	add(q.distribution.ID, q.path)
	add(filterQuery(q.viewer.URL.RawQuery, p.Query))
	for _, name := range p.Headers.Names {
		add(append([]string{strings.ToLower(name)}, q.headerValues(name)...)...)
	}
	add(filterCookies(q.viewer.Header.Values("Cookie"), p.Cookies))
	if p.Gzip && q.gzip() {
		add("gzip")
	}
	return b.String()
}

func (q *request) headerValues(name string) []string {
	if strings.EqualFold(name, "Host") {
		return []string{q.viewer.Host}
	}
	return q.viewer.Header.Values(name)
}

// subject is what the paths of an invalidation are compared with: the path, and the part of the query string that is in
// the cache key.
func (q *request) subject() string {
	if query := filterQuery(q.viewer.URL.RawQuery, q.behavior.Cache.Query); query != "" {
		return q.path + "?" + query
	}
	return q.path
}

// upstream is the request to the origin, without body. Host is "" for the origin's own name.
func (q *request) upstream() (query, host string, header http.Header) {
	cachePolicy, requestPolicy := q.behavior.Cache, q.behavior.Request
	query = filterQuery(q.viewer.URL.RawQuery, cachePolicy.Query, requestPolicy.Query)
	wanted := func(name string) bool {
		return cachePolicy.Headers.includes(name, true) || requestPolicy.Headers.includes(name, true)
	}
	header = http.Header{}
	reading := q.viewer.Method == http.MethodGet || q.viewer.Method == http.MethodHead
	for name, values := range q.viewer.Header {
		if wanted(name) || contains(alwaysForwarded, name) || name == "Authorization" && !reading {
			header[name] = values
		}
	}
	for _, name := range append([]string{"Cookie", "Host", "Content-Length"}, perConnection...) {
		header.Del(name)
	}
	for name := range header {
		if strings.HasPrefix(name, "Cloudfront-") || strings.HasPrefix(name, "X-Amz-Cf-") || strings.HasPrefix(name, "X-Sandbox-") {
			delete(header, name) // only the edge may set these
		}
	}
	if cookies := filterCookies(q.viewer.Header.Values("Cookie"), cachePolicy.Cookies, requestPolicy.Cookies); cookies != "" {
		header.Set("Cookie", cookies)
	}
	if cachePolicy.Gzip {
		header.Del("Accept-Encoding")
		if q.gzip() {
			header.Set("Accept-Encoding", "gzip")
		}
	}
	if header.Get("User-Agent") == "" {
		header.Set("User-Agent", "Amazon CloudFront")
	}
	if wanted("Host") {
		host = q.viewer.Host
	}
	for _, name := range append(append([]string{}, cachePolicy.Headers.Names...), requestPolicy.Generated...) {
		switch strings.ToLower(name) {
		case "cloudfront-forwarded-proto":
			header.Set(name, q.scheme())
		case "cloudfront-viewer-address":
			header.Set(name, q.viewer.RemoteAddr)
		case "cloudfront-viewer-http-version":
			header.Set(name, strings.TrimPrefix(q.viewer.Proto, "HTTP/"))
		}
	}
	address, _, err := net.SplitHostPort(q.viewer.RemoteAddr)
	if err != nil {
		address = q.viewer.RemoteAddr
	}
	if before := q.viewer.Header.Get("X-Forwarded-For"); before != "" {
		address = before + ", " + address
	}
	header.Set("X-Forwarded-For", address)
	header.Set("Via", strings.TrimPrefix(q.viewer.Proto, "HTTP/")+" "+viaName)
	header.Set("X-Amz-Cf-Id", requestID())
	for _, h := range q.origin.Header {
		header.Set(h.Name, h.Value)
	}
	return query, host, header
}

// scheme is https, unless the viewer says otherwise: TLS is not emulated.
func (q *request) scheme() string {
	if strings.EqualFold(q.viewer.Header.Get("X-Forwarded-Proto"), "http") {
		return "http"
	}
	return "https"
}

const viaName = "sandbox.cloudfront.net (CloudFront)"

func requestID() string {
	var id [40]byte
	_, _ = rand.Read(id[:]) // does not fail
	return base64.URLEncoding.EncodeToString(id[:])
}

// filterQuery keeps the parameters that any selection includes, in the viewer's order and encoding.
func filterQuery(raw string, selections ...Selection) string {
	return filterPairs(raw, "&", selections, func(name string) string {
		if decoded, err := url.QueryUnescape(name); err == nil {
			return decoded
		}
		return name
	})
}

func filterCookies(lines []string, selections ...Selection) string {
	return filterPairs(strings.Join(lines, "; "), "; ", selections, strings.TrimSpace)
}

func filterPairs(raw, separator string, selections []Selection, clean func(string) string) string {
	var kept []string
	for _, pair := range strings.Split(raw, strings.TrimSpace(separator)) {
		name, _, _ := strings.Cut(pair, "=")
		for _, s := range selections {
			if pair != "" && s.includes(clean(name), false) {
				kept = append(kept, strings.TrimSpace(pair))
				break
			}
		}
	}
	return strings.Join(kept, separator)
}

func contains(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

// acceptsGzip reads an Accept-Encoding header.
func acceptsGzip(header string) bool {
	for _, part := range strings.Split(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		if n := strings.ToLower(strings.TrimSpace(name)); n == "gzip" || n == "*" {
			q := strings.ReplaceAll(strings.TrimSpace(params), " ", "")
			return q != "q=0" && q != "q=0.0" && q != "q=0.00" && q != "q=0.000"
		}
	}
	return false
}
