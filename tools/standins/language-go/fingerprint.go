package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"golang.org/x/mod/modfile"
)

// fingerprint condenses everything under the user's hand that goes into the binary of the package in dir: its Go files
// and those of every package it imports from its own module (or one replaced by a local folder), what they embed, and
// the module files. Modules from elsewhere are fixed by go.sum. It reads files only, so it costs milliseconds where
// asking the go tool costs seconds.
func fingerprint(dir string) (string, error) {
	root, err := moduleRoot(dir)
	if err != nil {
		return "", err
	}
	c := &closure{files: map[string]bool{}, packages: map[string]bool{}}
	if err := c.addModule(root, ""); err != nil {
		return "", err
	}
	if err := c.addPackage(dir); err != nil {
		return "", err
	}
	return c.hash(root)
}

// moduleRoot is the nearest folder at or above dir that holds a go.mod.
func moduleRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no go.mod in %s or above it: a Go program needs one", dir)
		}
	}
}

// module is a local one: imports that start with its path are found below its folder.
type module struct{ path, dir string }

type closure struct {
	modules  []module
	files    map[string]bool // full paths
	packages map[string]bool // folders seen
}

// addModule notes a local module, and those that it replaces by local folders. Under the name `as` a replaced module is
// imported; empty means its own.
func (c *closure) addModule(dir, as string) error {
	for _, name := range []string{"go.mod", "go.sum", "go.work", "go.work.sum", "vendor/modules.txt"} {
		if p := filepath.Join(dir, name); isFile(p) {
			c.files[p] = true
		}
	}
	name := filepath.Join(dir, "go.mod")
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	mod, err := modfile.ParseLax(name, text, nil)
	if err != nil {
		return err
	}
	if as == "" {
		if mod.Module == nil {
			return fmt.Errorf("%s: no module line", name)
		}
		as = mod.Module.Mod.Path
	}
	first := len(c.modules) == 0
	c.modules = append(c.modules, module{path: as, dir: dir})
	if !first {
		return nil // only the main module's replacements count
	}
	full, err := modfile.Parse(name, text, nil)
	if err != nil {
		return err
	}
	for _, r := range full.Replace {
		if r.New.Version != "" {
			continue
		}
		local := r.New.Path
		if !filepath.IsAbs(local) {
			local = filepath.Join(dir, local)
		}
		if isFile(filepath.Join(local, "go.mod")) {
			if err := c.addModule(local, r.Old.Path); err != nil {
				return err
			}
		}
	}
	return nil
}

// addPackage notes the files of the package in dir and follows its imports.
func (c *closure) addPackage(dir string) error {
	if c.packages[dir] {
		return nil
	}
	c.packages[dir] = true
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		switch ext := filepath.Ext(e.Name()); {
		case e.IsDir() || strings.HasSuffix(e.Name(), "_test.go"):
		case ext == ".go":
			c.files[name] = true
			if err := c.addGoFile(name); err != nil {
				return err
			}
		case ext == ".s" || ext == ".c" || ext == ".h" || ext == ".syso":
			c.files[name] = true
		}
	}
	return nil
}

// addGoFile follows one file's imports and embedded files. A file that does not parse counts with its text alone:
// the go tool will say what is wrong with it.
func (c *closure) addGoFile(name string) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if strings.Contains(string(text), "//go:embed") {
		if err := c.addEmbedded(filepath.Dir(name), string(text)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ImportsOnly)
	if err != nil {
		return nil
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if dir := c.localDir(imported); dir != "" {
			if err := c.addPackage(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// localDir is the folder of an imported package, or empty when it comes from elsewhere. The longest module path wins,
// as it does for the go tool.
func (c *closure) localDir(imported string) string {
	var best module
	for _, m := range c.modules {
		if (imported == m.path || strings.HasPrefix(imported, m.path+"/")) && len(m.path) > len(best.path) {
			best = m
		}
	}
	if best.path == "" {
		return ""
	}
	return filepath.Join(best.dir, filepath.FromSlash(strings.TrimPrefix(strings.TrimPrefix(imported, best.path), "/")))
}

// addEmbedded notes the files that the //go:embed lines of a source text name. Folders count with everything in them,
// which is never less than what the go tool takes.
func (c *closure) addEmbedded(dir, text string) error {
	for _, line := range strings.Split(text, "\n") {
		rest, found := strings.CutPrefix(strings.TrimSpace(line), "//go:embed ")
		if !found {
			continue
		}
		for _, pattern := range embedPatterns(rest) {
			pattern = strings.TrimPrefix(pattern, "all:")
			matches, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(path.Clean(pattern))))
			if err != nil {
				continue // the go tool reports a bad pattern better
			}
			for _, m := range matches {
				if err := c.addTree(m); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// embedPatterns splits the rest of a //go:embed line: patterns are separated by spaces and may be quoted.
func embedPatterns(line string) []string {
	var out []string
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		if line[0] == '"' || line[0] == '`' {
			if quoted, err := strconv.QuotedPrefix(line); err == nil {
				if pattern, err := strconv.Unquote(quoted); err == nil {
					out = append(out, pattern)
				}
				line = line[len(quoted):]
				continue
			}
		}
		word, rest, _ := strings.Cut(line, " ")
		out, line = append(out, word), rest
	}
	return out
}

func (c *closure) addTree(root string) error {
	return filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			c.files[p] = true
		}
		return err
	})
}

// hash condenses names (relative to the module, so that a copy elsewhere is the same) and contents.
func (c *closure) hash(root string) (string, error) {
	names := make([]string, 0, len(c.files))
	for name := range c.files {
		names = append(names, name)
	}
	sort.Strings(names)
	all := sha256.New()
	for _, name := range names {
		rel, err := filepath.Rel(root, name)
		if err != nil {
			rel = name
		}
		sum := sha256.New()
		f, err := os.Open(name)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(sum, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%q %x\n", rel, sum.Sum(nil))
	}
	return hex.EncodeToString(all.Sum(nil)), nil
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}
