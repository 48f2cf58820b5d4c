package toolchain

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/semver"

	"plan-charge/internal/progress"
	"plan-charge/internal/testkit/cache"
)

// EnvOffline names the variable that, when it is set to anything but 0, forbids to try a download from the publisher.
const EnvOffline = "PLAN_CHARGE_OFFLINE"

const (
	pluginsWait = 3 * time.Minute // how long downloading the plugins may take before building is the better way
	tryAgain    = time.Hour       // how long a failed try holds once everything is built
)

// official finds and downloads the tools as they are published.
type official struct {
	ctx      context.Context
	w        io.Writer
	versions versions
	release  release
	offline  bool
	unfit    error // the CLI on PATH, if there is one that does not do
	failed   error // the try
}

// cli is a Pulumi CLI with its Go language host.
type cli struct {
	pulumi, language string // paths
	from             string // for people
}

func newOfficial(ctx context.Context, w io.Writer, v versions) *official {
	offline := os.Getenv(EnvOffline)
	return &official{
		ctx: ctx, w: w, versions: v, offline: offline != "" && offline != "0",
		release: release{
			site:    strings.TrimSuffix(cmp.Or(os.Getenv(EnvDownloads), publisher), "/"),
			version: v.cli, patience: patience,
		},
	}
}

// find returns the official tools, or why they cannot be had: then everything is built, because a mixture would be
// nobody's version. A CLI of the user's is taken before one is downloaded.
func (o *official) find() (*Tools, error) {
	var found *cli
	var tools *Tools
	found, o.unfit = o.onPath()
	tools, o.failed = o.complete(found)
	if o.failed != nil {
		return nil, o.both(o.failed.Error())
	}
	tools.Why = o.both(tools.Why).Error()
	return tools, nil
}

// both puts what is wrong with the CLI on PATH before a text.
func (o *official) both(text string) error {
	if o.unfit == nil {
		return errors.New(text)
	}
	return fmt.Errorf("%w; %s", o.unfit, text)
}

func (o *official) complete(found *cli) (*Tools, error) {
	if found == nil {
		dir, err := o.once("release", "download Pulumi "+o.versions.cli, []string{o.versions.cli, platform()}, func(out string) error {
			if o.unfit != nil {
				fmt.Fprintf(o.w, "! %v. It is downloaded for the sandbox.\n", o.unfit)
			}
			return o.release.unpack(o.ctx, out)
		})
		if err != nil {
			return nil, err
		}
		found = &cli{filepath.Join(dir, "pulumi"), filepath.Join(dir, "pulumi-language-go"), "downloads answered"}
	}
	plugins, err := o.once("official-plugins", "download the official Pulumi plugins", o.versions.parts(), func(out string) error {
		if _, err := o.release.sums(o.ctx); err != nil {
			return err // the CLI itself would try for minutes
		}
		return o.plugins(found.pulumi, out)
	})
	if err != nil {
		return nil, err
	}
	dir, err := cache.Ensure(o.ctx, "official", cache.Key(found.pulumi, found.language, plugins), func(out string) error {
		err := errors.Join(os.Symlink(found.pulumi, filepath.Join(out, "pulumi")), os.Symlink(found.language, filepath.Join(out, "pulumi-language-go")))
		return errors.Join(err, linkAll(plugins, out))
	})
	if err != nil {
		return nil, err
	}
	kinds := map[string]Kind{}
	for name := range built {
		kinds[name] = Official
	}
	return &Tools{BinDir: dir, Kinds: kinds, Why: found.from, plugins: o.versions.plugins}, nil
}

// once downloads an entry of the cache, where that may be tried.
func (o *official) once(entry, what string, parts []string, download func(out string) error) (string, error) {
	begun := announceWait(o.w)
	defer begun()
	return cache.Ensure(o.ctx, entry, cache.Key(parts...), func(out string) error {
		begun()
		if err := o.forbidden(); err != nil {
			return err
		}
		step := progress.Start(o.w, what, 0)
		err := download(out)
		step.Done(err)
		return err
	})
}

// plugins lets the CLI fetch its plugins into a home of their own and puts the programs into dir.
func (o *official) plugins(pulumi, dir string) error {
	ctx, cancel := context.WithTimeout(o.ctx, pluginsWait)
	defer cancel()
	home, err := os.MkdirTemp(dir, "home-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	for _, name := range sorted(o.versions.plugins) {
		version := o.versions.plugins[name]
		args := []string{"plugin", "install", "resource", name, version}
		if o.release.site != publisher {
			args = append(args, "--server", o.release.site+"/releases/plugins")
		}
		cmd := exec.CommandContext(ctx, pulumi, args...)
		cmd.Dir = home // inside a project its packages would have a say
		// Nothing but the site of the plugins is asked.
		cmd.Env = append(os.Environ(), "PULUMI_HOME="+home, "PULUMI_SKIP_UPDATE_CHECK=true", "PULUMI_DISABLE_REGISTRY_RESOLVE=true")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("the plugin %s %s could not be downloaded (%w: %s): check the network, or name a copy of %s in %s",
				name, version, cmp.Or(ctx.Err(), err), lastLine(text), publisher, EnvDownloads)
		}
		program := "pulumi-resource-" + name
		if err := os.Rename(filepath.Join(home, "plugins", "resource-"+name+"-"+version, program), filepath.Join(dir, program)); err != nil {
			return err
		}
	}
	return nil
}

// onPath finds a CLI that is the user's, or says why the one that is there does not do.
func (o *official) onPath() (*cli, error) {
	path := look("pulumi", os.Getenv("PATH"))
	if path == "" {
		return nil, nil
	}
	out, err := exec.CommandContext(o.ctx, path, "version").Output()
	if err != nil {
		return nil, fmt.Errorf("%s does not say its version (%w): install %s or newer, or take it off PATH", path, err, o.versions.cli)
	}
	version := "v" + strings.TrimPrefix(string(bytes.TrimSpace(out)), "v") // some packagers leave it out
	if semver.Compare(version, o.versions.cli) < 0 {                       // nonsense counts as older
		return nil, fmt.Errorf("%s says that it is %q, and %s or newer is needed: update it, or take it off PATH", path, version, o.versions.cli)
	}
	language := look("pulumi-language-go", filepath.Dir(path)+string(filepath.ListSeparator)+os.Getenv("PATH"))
	if language == "" {
		return nil, fmt.Errorf("%s has no pulumi-language-go beside it or on PATH: install the whole of Pulumi %s or newer", path, o.versions.cli)
	}
	return &cli{path, language, version + " is on PATH and its plugins could be downloaded"}, nil
}

// look finds a program, skipping what this package put into the cache: in the sandbox's environment the tools find
// themselves.
func look(name, path string) string {
	own, err := cache.Dir()
	if err != nil {
		return ""
	}
	for _, dir := range filepath.SplitList(path) {
		path := filepath.Join(dir, name)
		if !filepath.IsAbs(path) || strings.HasPrefix(path, own+string(filepath.Separator)) {
			continue
		}
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// forbidden returns why nothing may be tried: the user says so, or a try failed a short time ago.
func (o *official) forbidden() error {
	if o.offline {
		return fmt.Errorf("%s is set", EnvOffline)
	}
	path, err := o.memory()
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil || time.Since(info.ModTime()) > tryAgain {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	return fmt.Errorf("at %s: %s", info.ModTime().Format("15:04"), text)
}

// remember keeps why the try failed. It is called when all is built: then not every command need try again.
func (o *official) remember() error {
	path, err := o.memory()
	if err != nil || o.forbidden() != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, []byte(o.failed.Error()), 0o644)
}

// memory is the file of a failed try, another one for each site and version.
func (o *official) memory() (string, error) {
	root, err := cache.Dir()
	return filepath.Join(root, "official", cache.Key(append(o.versions.parts(), o.release.site)...)+".failed"), err
}

func lastLine(text []byte) string {
	text = bytes.TrimSpace(text)
	return string(bytes.TrimSpace(text[bytes.LastIndexByte(text, '\n')+1:]))
}
