// Package image makes programs of this machine into images of the sandbox: a folder with what its program needs is copied
// into the cache, so that what is edited later changes no image, and a Python project gets its virtual environment.
package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"plan-charge/internal/testkit/cache"
	"plan-charge/sandbox/engine"
	"plan-charge/sandbox/venv"
)

// Workdir is the path that images usually have for their program's folder.
const Workdir = "/app"

// ErrNothingToRun means that a folder has no program, or none that starts without being told how.
var ErrNothingToRun = errors.New("nothing to run")

// Program is what an image runs.
type Program struct {
	// Dir is the folder in the cache that stands for Workdir. Bin holds the commands of its virtual environment, "" for none.
	Dir     string `json:"dir"`
	Bin     string `json:"bin,omitempty"`
	Workdir string `json:"workdir"`
	// Command starts the service where a task definition says nothing else.
	Command []string `json:"command"`
}

// Options say how a folder becomes a program.
type Options struct {
	// Name is its folder in the cache, What its name in the progress.
	Name, What string
	// Workdir is the path that the image has for the folder; Workdir above where empty.
	Workdir string
	// Command starts the service; empty means the one that the project's layout names.
	Command []string
}

// Build copies a folder into the cache and installs what its requirements.txt or pyproject.toml names. Progress goes to w.
func Build(ctx context.Context, w io.Writer, folder fs.FS, o Options) (Program, error) {
	folder = source{folder}
	p := Program{Workdir: o.Workdir, Command: o.Command}
	if p.Workdir == "" {
		p.Workdir = Workdir
	}
	python := has(folder, "requirements.txt") || has(folder, "pyproject.toml")
	if len(p.Command) == 0 {
		command, err := start(folder, python)
		if err != nil {
			return Program{}, err
		}
		p.Command = command
	}
	key, err := contents(folder)
	if err != nil {
		return Program{}, fmt.Errorf("read the folder: %w", err)
	}
	if p.Dir, err = cache.Ensure(ctx, o.Name, key, func(dir string) error { return os.CopyFS(dir, folder) }); err != nil {
		return Program{}, fmt.Errorf("copy the folder: %w", err)
	}
	if python {
		dir, err := environment(ctx, w, folder, p.Dir, key, o)
		if err != nil {
			return Program{}, err
		}
		p.Bin = filepath.Join(dir, "bin")
	}
	return p, p.findCommand()
}

// Image is what the process engine runs for a tag.
func (p Program) Image(tag string) engine.Image {
	return engine.CommandImage{Dir: p.Dir, Workdir: p.Workdir, Command: p.Command, Path: p.Bin, Env: Env(tag)}
}

// Env is the environment that an image with this tag has by itself. What a task definition sets wins over it.
func Env(tag string) map[string]string {
	return map[string]string{
		"SERVICE_VERSION":         tag,
		"PYTHONUNBUFFERED":        "1", // or the last lines before a crash are lost
		"PYTHONDONTWRITEBYTECODE": "1", // containers share the folder
	}
}

// findCommand refuses a program that is not there, before a task fails of it.
func (p Program) findCommand() error {
	spec := engine.Spec{ID: strings.Repeat("0", 64), Dir: os.TempDir(), IP: "127.0.0.1"}
	if _, err := p.Image("").Exec(spec, p.Command); err != nil {
		return fmt.Errorf("%w: the command's program %q is neither in the folder (./%s) nor on PATH", ErrNothingToRun, p.Command[0], filepath.Base(p.Command[0]))
	}
	return nil
}

// starts are the ways to start a Python project that its layout gives away.
var starts = []struct {
	file    string
	command []string
}{
	{"app/__main__.py", []string{"python", "-m", "app"}},
	{"__main__.py", []string{"python", "."}},
	{"main.py", []string{"python", "main.py"}},
	{"app.py", []string{"python", "app.py"}},
}

func start(folder fs.FS, python bool) ([]string, error) {
	if !python {
		return nil, fmt.Errorf("%w: the folder has no requirements.txt, no pyproject.toml, and no command was given: give the program's "+
			"command line after --, for example -- ./server", ErrNothingToRun)
	}
	for _, s := range starts {
		if has(folder, s.file) {
			return s.command, nil
		}
	}
	return nil, fmt.Errorf("%w: the Python project has neither app/__main__.py, __main__.py, main.py nor app.py: give its command line "+
		"after --, for example -- uvicorn app.main:app --host 0.0.0.0 --port 8000", ErrNothingToRun)
}

// local finds lines of a requirements file that name other files of the folder.
var local = regexp.MustCompile(`(?m)^\s*(-r|-c|-e|--requirement|--constraint|--editable|\.|/|.*@\s*file:)`)

func environment(ctx context.Context, w io.Writer, folder fs.FS, dir, key string, o Options) (string, error) {
	options := venv.Options{Name: o.Name + "-venv", What: "install the Python packages of " + o.What, Takes: 30 * time.Second, Folder: dir}
	requirements, err := fs.ReadFile(folder, "requirements.txt")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		options.Install, options.Key = []string{"."}, key
	case err != nil:
		return "", err
	case local.Match(requirements):
		options.Install, options.Key = []string{"-r", "requirements.txt"}, key
	default:
		options.Requirements = string(requirements) + "\n"
	}
	return venv.Ensure(ctx, w, options)
}

func has(folder fs.FS, file string) bool {
	info, err := fs.Stat(folder, file)
	return err == nil && info.Mode().IsRegular()
}

// contents condenses names, rights and contents of a folder's files.
func contents(folder fs.FS) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(folder, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %s %d\n", path, info.Mode(), info.Size())
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := fs.ReadLink(folder, path)
			fmt.Fprintln(h, target)
			return err
		case d.IsDir():
			return nil
		}
		f, err := folder.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = io.Copy(h, f)
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:16], err
}

// source is a folder without what belongs to a working copy and not to a program.
type source struct{ fs.FS }

var left = []string{".git", ".venv", "venv", "__pycache__", ".pytest_cache"}

// ReadDir leaves them out, and what is neither file, folder nor link.
func (s source) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(s.FS, name)
	return slices.DeleteFunc(entries, func(e fs.DirEntry) bool {
		return slices.Contains(left, e.Name()) || !e.IsDir() && !e.Type().IsRegular() && e.Type() != fs.ModeSymlink
	}), err
}

// ReadLink and Lstat keep symbolic links what they are.
func (s source) ReadLink(name string) (string, error)   { return fs.ReadLink(s.FS, name) }
func (s source) Lstat(name string) (fs.FileInfo, error) { return fs.Lstat(s.FS, name) }
