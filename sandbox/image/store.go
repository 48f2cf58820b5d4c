package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"plan-charge/sandbox/engine"
)

// Added is an image that somebody added.
type Added struct {
	Reference string `json:"image"`
	Program
}

// Present tells whether the cache still has what the image runs; adding it again brings it back.
func (a Added) Present() bool {
	_, err := os.Stat(a.Dir)
	return err == nil
}

// Store keeps which images were added, one file each, in a folder of the sandbox's state. What one process adds another
// finds at once.
type Store struct {
	// Dir is made when the first image is added.
	Dir string
}

// Errors of Store, for bad input.
var (
	ErrBadName = errors.New("not an image's name")
	ErrTaken   = errors.New("the name is taken")
	ErrUnknown = errors.New("no such image")
)

// reference is a name with its registry or without, and a tag.
var reference = regexp.MustCompile(`^([a-zA-Z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)

// Request says what to add.
type Request struct {
	Reference string // NAME:TAG
	Folder    string
	Workdir   string
	Command   []string
	// Port is tried, unless it is 0: the program is started once and has to listen on it.
	Port int
	// Replace allows for a name that an added image has already.
	Replace bool
}

// Add makes an image of a folder. Progress goes to w.
func (s Store) Add(ctx context.Context, w io.Writer, r Request) (Added, error) {
	if err := s.check(r); err != nil {
		return Added{}, err
	}
	program, err := Build(ctx, w, os.DirFS(r.Folder), Options{Name: "image", What: r.Reference, Workdir: r.Workdir, Command: r.Command})
	if err != nil {
		return Added{}, err
	}
	if r.Port != 0 {
		if err := Try(ctx, w, program, r.Port); err != nil {
			return Added{}, err
		}
	}
	added := Added{Reference: r.Reference, Program: program}
	data, err := json.MarshalIndent(added, "", "  ")
	if err != nil {
		return Added{}, err
	}
	return added, errors.Join(os.MkdirAll(s.Dir, 0o711), write(s.file(r.Reference), data))
}

func (s Store) check(r Request) error {
	if !reference.MatchString(r.Reference) {
		return fmt.Errorf("%w: found %q, allowed is NAME:TAG in lower case, with a registry or without, for example my/app:1.0.0", ErrBadName, r.Reference)
	}
	if builtIn(r.Reference) {
		return fmt.Errorf("%w: %s is the sandbox's own; choose another name", ErrTaken, r.Reference)
	}
	if old, err := s.read(r.Reference); err == nil && old.Present() && !r.Replace {
		return fmt.Errorf("%w: there is an image %s; choose another tag, or add --force to replace it", ErrTaken, r.Reference)
	}
	if info, err := os.Stat(r.Folder); err != nil || !info.IsDir() {
		return fmt.Errorf("--dir: found %q, allowed is an existing folder, for example --dir ../my-app", r.Folder)
	}
	if r.Workdir != "" && !filepath.IsAbs(r.Workdir) {
		return fmt.Errorf("--workdir: found %q, allowed is an absolute path, for example %s", r.Workdir, Workdir)
	}
	if r.Port < 0 || r.Port > 65535 {
		return fmt.Errorf("--port: found %d, allowed is 1 to 65535, for example 8000", r.Port)
	}
	return nil
}

// Find returns the image of a reference, nil where none was added.
func (s Store) Find(reference string) engine.Image {
	added, err := s.read(reference)
	if err != nil || !added.Present() {
		return nil
	}
	_, tag := split(reference)
	return added.Image(tag)
}

// List returns what was added, by name.
func (s Store) List() ([]Added, error) {
	entries, err := os.ReadDir(s.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var all []Added
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok {
			continue
		}
		reference, err := url.PathUnescape(name)
		if err != nil {
			continue // nobody's
		}
		added, err := s.read(reference)
		if err != nil {
			return nil, err
		}
		all = append(all, added)
	}
	slices.SortFunc(all, func(a, b Added) int { return strings.Compare(a.Reference, b.Reference) })
	return all, nil
}

// Remove forgets an image. Tasks of it that run go on.
func (s Store) Remove(reference string) error {
	err := os.Remove(s.file(reference))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: found %q, allowed is one that 'image list' shows", ErrUnknown, reference)
	}
	return err
}

func (s Store) file(reference string) string {
	return filepath.Join(s.Dir, url.PathEscape(reference)+".json")
}

func (s Store) read(reference string) (Added, error) {
	var added Added
	data, err := os.ReadFile(s.file(reference))
	if err != nil {
		return added, err
	}
	return added, json.Unmarshal(data, &added)
}

// write replaces the file in one step: the engine may be reading it.
func write(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
