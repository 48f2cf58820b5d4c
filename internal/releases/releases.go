// Package releases is a database's memory of who migrated it: which image left which revision. From it follows whether an
// image is an older one, whose revision the database has moved past, so that it can be rolled out and cannot migrate.
package releases

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Release is an image that was deployed here, and a revision that its migration left.
type Release struct {
	Image    string // as it was configured
	Revision string // that it left
	From     string // the revision that the database was known to be at before, "" for none
	First    time.Time
	Last     time.Time
}

// History is the releases of a database in the order in which they were first recorded.
type History []Release

// Passed is an image whose revision the database has moved past.
type Passed struct {
	Image string
	Knows string // the revision that it left when it was deployed last
	Live  string // the revision that the database is at
	By    string // the image that brought it there
}

// String says what a rollout of the image does: everything but migrate.
func (p Passed) String() string {
	image, by := shortNames(p.Image, p.By)
	return fmt.Sprintf("schema is at %s by %s; %s knows %s: not migrated", p.Live, by, image, p.Knows)
}

// Passed tells whether migrations led from the revision that this image left to the one that the database is at. False
// for an image that was never here, and for a revision that no recorded migration left. What counts is which migration
// came after which: revisions have no order of their own.
func (h History) Passed(image, live string) (Passed, bool) {
	last, known := h.last(image)
	if !known || last.Revision == live || !h.leads(last.Revision, live) {
		return Passed{}, false
	}
	return Passed{Image: image, Knows: last.Revision, Live: live, By: h[h.firstOf(live)].Image}, true
}

// AllPassed says of each image that the database has moved past what its rollout does, of the newest ones first and of
// at most limit.
func (h History) AllPassed(live string, limit int) map[string]string {
	said := map[string]string{}
	for _, r := range h.Newest(len(h)) {
		if len(said) == limit {
			break
		}
		if p, ok := h.Passed(r.Image, live); ok {
			said[r.Image] = p.String()
		}
	}
	return said
}

// Newest returns at most n releases, the one that migrated last first.
func (h History) Newest(n int) []Release {
	sorted := slices.Clone(h)
	slices.Reverse(sorted)
	slices.SortStableFunc(sorted, func(a, b Release) int { return b.Last.Compare(a.Last) })
	return sorted[:min(n, len(sorted))]
}

// last is what the image left when it migrated last.
func (h History) last(image string) (Release, bool) {
	for _, r := range h.Newest(len(h)) {
		if same(r.Image, image) {
			return r, true
		}
	}
	return Release{}, false
}

// firstOf is the place of the first release that left a revision, -1 where none did.
func (h History) firstOf(revision string) int {
	return slices.IndexFunc(h, func(r Release) bool { return r.Revision == revision })
}

// leads tells whether recorded migrations lead from one revision to another. One that led back, to a revision that was
// there before, is a downgrade and no way forward.
func (h History) leads(from, to string) bool {
	reached := map[string]bool{from: true}
	for grew := true; grew && !reached[to]; {
		grew = false
		for _, r := range h {
			if reached[r.From] && !reached[r.Revision] && h.firstOf(r.From) < h.firstOf(r.Revision) {
				reached[r.Revision], grew = true, true
			}
		}
	}
	return reached[to]
}

// before is the revision that a migration started from as the history knows it: what no release left, such as the half of
// a migration that failed, counts as the last revision that one did.
func (h History) before(found string) string {
	if len(h) == 0 || h.firstOf(found) >= 0 {
		return found
	}
	return h.Newest(1)[0].Revision
}

// same tells whether two references are of one image: a digest names it, whatever stands before.
func same(a, b string) bool {
	da, db := digest(a), digest(b)
	if da != "" && db != "" {
		return da == db
	}
	return a == b
}

func digest(image string) string {
	_, digest, _ := strings.Cut(image, "@")
	return digest
}

// shortNames are two images as a message tells them apart: by tag or digest, in full where they are of two repositories
// or have one tag.
func shortNames(a, b string) (string, string) {
	repoA, shortA := split(a)
	repoB, shortB := split(b)
	if repoA != repoB || shortA == shortB || shortA == "" || shortB == "" {
		return a, b
	}
	return shortA, shortB
}

// split parts a reference into its repository and what tells its images apart.
func split(image string) (repository, short string) {
	name, digest, _ := strings.Cut(image, "@")
	tag := ""
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		name, tag = name[:i], name[i+1:]
	}
	return name, cmp.Or(tag, digest[:min(len(digest), len("sha256:")+12)])
}
