// Package redact keeps passwords out of what is printed: the ones it is told, in every spelling that URLs,
// ini files and JSON give them, and anything that looks like one.
package redact

import (
	"bytes"
	"encoding/json"
	"io"
	"net/url"
	"regexp"
	"sort"
	"strings"
	"sync"
)

// Mask replaces what was removed.
const Mask = "***"

var (
	// The user part may be empty (redis://:secret@host). The secret reaches to the last @ before a space,
	// because an unencoded password may hold an @ itself.
	urlPassword = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.\-]*://[^\s:/@'"]*):[^\s'"]*@`)
	keyPassword = regexp.MustCompile(`(?i)((?:password|passwd|pgpassword|secret_key|access_token|id_token|client_secret)["']?\s*[=:]\s*)("[^"]*"|'[^']*'|[^\s,;&"'})]+)`)
	// ALTER ROLE … PASSWORD 'it', with the quotes of any kind that SQL has.
	sqlPassword = regexp.MustCompile(`(?i)(\bpassword\s+)(?:(?:e|u&)?'(?:[^'\\]|\\.|'')*'?|\$\w*\$[^$]*(?:\$\w*\$)?)`)
	bearer      = regexp.MustCompile(`(?i)(authorization["']?\s*[=:]\s*["']?(?:bearer|basic)\s+)[^\s"',]+`)
)

// Redactor removes secrets from text. The zero value knows no secret and still removes what looks like one.
type Redactor struct {
	mu       sync.RWMutex
	secrets  []string
	replacer *strings.Replacer
}

// New returns a Redactor for the given secrets; empty ones are ignored.
func New(secrets ...string) *Redactor {
	r := &Redactor{}
	r.Add(secrets...)
	return r
}

// Add makes the redactor remove more secrets, each in all its spellings.
func (r *Redactor) Add(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := make(map[string]bool, len(r.secrets))
	for _, s := range r.secrets {
		known[s] = true
	}
	for _, secret := range secrets {
		for _, s := range spellings(secret) {
			if !known[s] {
				known[s] = true
				r.secrets = append(r.secrets, s)
			}
		}
	}
	// A longer spelling may contain a shorter one, and the replacer takes the first that fits.
	sort.SliceStable(r.secrets, func(i, j int) bool { return len(r.secrets[i]) > len(r.secrets[j]) })
	pairs := make([]string, 0, 2*len(r.secrets))
	for _, s := range r.secrets {
		pairs = append(pairs, s, Mask)
	}
	r.replacer = strings.NewReplacer(pairs...)
}

// AddURL makes the redactor remove the URL itself and its password. A text that is no URL is removed as it is.
func (r *Redactor) AddURL(raw string) {
	r.Add(raw)
	u, err := url.Parse(raw)
	if err != nil || u.User == nil {
		return
	}
	if password, ok := u.User.Password(); ok {
		r.Add(password)
	}
	// The encoded form as it was written may be spelled in a way that no encoder of ours produces.
	if _, after, ok := strings.Cut(raw, "://"); ok {
		if at := strings.LastIndexByte(after, '@'); at > 0 {
			if _, written, ok := strings.Cut(after[:at], ":"); ok {
				r.Add(written)
				for _, decode := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
					if plain, err := decode(written); err == nil {
						r.Add(plain)
					}
				}
			}
		}
	}
}

// spellings lists the forms in which a secret turns up in logs.
func spellings(secret string) []string {
	if secret == "" {
		return nil
	}
	query := url.QueryEscape(secret)
	escaped := []string{query, strings.ReplaceAll(query, "+", "%20"), url.PathEscape(secret), strings.TrimPrefix(url.UserPassword("", secret).String(), ":")}
	all := append([]string{secret}, escaped...)
	for _, s := range escaped {
		all = append(all, lowerHex(s), strings.ReplaceAll(s, "%", "%%"))
	}
	if quoted, err := json.Marshal(secret); err == nil {
		all = append(all, string(quoted[1:len(quoted)-1]))
	}
	return append(all, strings.ReplaceAll(secret, "%", "%%"), strings.ReplaceAll(secret, `'`, `''`), strings.ReplaceAll(secret, `'`, `\'`))
}

var hexEscape = regexp.MustCompile(`%[0-9A-F]{2}`)

func lowerHex(s string) string { return hexEscape.ReplaceAllStringFunc(s, strings.ToLower) }

// String returns the text without secrets.
func (r *Redactor) String(text string) string {
	r.mu.RLock()
	replacer := r.replacer
	r.mu.RUnlock()
	if replacer != nil {
		text = replacer.Replace(text)
	}
	text = urlPassword.ReplaceAllString(text, "${1}:"+Mask+"@")
	text = keyPassword.ReplaceAllString(text, "${1}"+Mask)
	text = sqlPassword.ReplaceAllString(text, "${1}"+Mask)
	return bearer.ReplaceAllString(text, "${1}"+Mask)
}

// Error wraps an error so that its text has no secret in it; errors.Is and errors.As see the original.
func (r *Redactor) Error(err error) error {
	if err == nil {
		return nil
	}
	return &redacted{err: err, text: r.String(err.Error())}
}

type redacted struct {
	err  error
	text string
}

func (e *redacted) Error() string { return e.text }
func (e *redacted) Unwrap() error { return e.err }

// Writer passes whole lines without secrets on to another writer, one write a line. It is safe for concurrent use.
type Writer struct {
	r    *Redactor
	mu   sync.Mutex
	w    io.Writer
	rest []byte
}

// NewWriter returns a Writer. Call Flush at the end for a last line that has no newline.
func NewWriter(w io.Writer, r *Redactor) *Writer { return &Writer{w: w, r: r} }

// Write never fails: what reports progress must not stop the work when nobody listens any more.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		end := bytes.IndexByte(w.rest, '\n')
		if end < 0 {
			return len(p), nil
		}
		_, _ = io.WriteString(w.w, w.r.String(string(w.rest[:end]))+"\n")
		w.rest = w.rest[end+1:]
	}
}

// Flush writes what is left of an unfinished line.
func (w *Writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) > 0 {
		_, _ = io.WriteString(w.w, w.r.String(string(w.rest))+"\n")
		w.rest = nil
	}
}
