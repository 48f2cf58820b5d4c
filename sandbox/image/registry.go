package image

import (
	"strings"

	"plan-charge/sandbox/engine"
)

// Registry is what the sandbox's registry holds: PostgreSQL, every tag of the sample backend, and what was added.
type Registry struct {
	Sample Program
	Added  Store
}

// Find returns the image of a reference, nil where there is none.
func (r Registry) Find(reference string) engine.Image {
	repository, tag := split(reference)
	switch {
	case repository == "postgres":
		return engine.PostgresImage{Tag: tag}
	case !builtIn(reference):
		return r.Added.Find(reference)
	case tag == "" || strings.HasPrefix(tag, "missing"): // a deployment of an image that was never pushed can be shown
		return nil
	}
	return r.Sample.Image(tag)
}

// builtIn tells whether a name is one of the sandbox's own images.
func builtIn(reference string) bool {
	repository, _ := split(reference)
	return repository == "postgres" || strings.HasSuffix(repository, "plan-charge/backend")
}

// split takes the tag off a reference. The port of a registry is none.
func split(reference string) (repository, tag string) {
	colon := strings.LastIndex(reference, ":")
	if colon < 0 || colon < strings.LastIndex(reference, "/") {
		return reference, ""
	}
	return reference[:colon], reference[colon+1:]
}
