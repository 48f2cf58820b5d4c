package review

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Canonical lists the steps in words that are the same for the same steps, whatever order the engine took: operation,
// URN, the properties that force a replacement, and old and new values as far as they may be printed.
func (p *Plan) Canonical() []string {
	lines := make([]string, 0, len(p.Steps))
	for _, s := range p.Steps {
		lines = append(lines, s.canonical())
	}
	slices.Sort(lines)
	return lines
}

func (s Step) canonical() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", s.Op, s.URN)
	if len(s.Keys) > 0 {
		fmt.Fprintf(&b, " by %s", strings.Join(slices.Sorted(slices.Values(s.Keys)), ","))
	}
	for _, c := range s.Changes {
		fmt.Fprintf(&b, "\n  %s: %s → %s", c.Path, c.Old, c.New)
	}
	return b.String()
}

// Digest is what a deployment is held against: SHA-256 of the canonical steps, 64 hexadecimal digits.
func (p *Plan) Digest() string { return digest(p.Canonical()) }

func digest(lines []string) string {
	h := sha256.New()
	for _, line := range lines {
		fmt.Fprintf(h, "%d:%s\n", len(line), line)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Beside is one resource of two lists: what was reviewed and what would happen now. Empty is no step.
type Beside struct{ Name, Reviewed, Now string }

// Compare puts two lists of canonical steps side by side, those that differ only.
func Compare(reviewed, now []string) []Beside {
	was, is := byURN(reviewed), byURN(now)
	var rows []Beside
	for _, urn := range keysOf(was, is) {
		if was[urn] != is[urn] {
			rows = append(rows, Beside{nameOf(urn), text(was[urn]), text(is[urn])})
		}
	}
	return rows
}

func byURN(lines []string) map[string]any {
	m := map[string]any{}
	for _, line := range lines {
		head, rest, _ := strings.Cut(line, "\n")
		op, urn, _ := strings.Cut(head, " ")
		urn, by, _ := strings.Cut(urn, " by ")
		words := op
		if by != "" {
			words += ", because of " + by
		}
		for _, change := range strings.Split(rest, "\n") {
			if change = strings.TrimSpace(change); change != "" {
				words += "\n" + change
			}
		}
		if before := text(m[urn]); before != "" {
			words = before + "\n" + words
		}
		m[urn] = words
	}
	return m
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// pack makes the canonical steps small enough to travel inside a comment, in letters that end no HTML comment.
func pack(lines []string) (string, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := json.NewEncoder(z).Encode(lines); err != nil {
		return "", err
	}
	if err := z.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

// mostUnpacked bounds what a comment's steps may unpack to, in bytes: who may edit comments may write anything there.
const mostUnpacked = 16 << 20

func unpack(packed string) ([]string, error) {
	raw, err := base64.StdEncoding.DecodeString(packed)
	if err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(z, mostUnpacked+1))
	if err != nil {
		return nil, err
	}
	if len(text) > mostUnpacked {
		return nil, errors.New("its steps are larger than any deployment's")
	}
	var lines []string
	return lines, json.Unmarshal(text, &lines)
}
