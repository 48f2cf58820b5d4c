package toolchain

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"go/version"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"plan-charge/internal/testkit/cache"
)

// compileFlags halve the time to compile: no inlining and no debug tables. The CLI and the plugins wait for networks,
// so what they lose in speed is not seen. They are the same for every package, so that the modules share what they
// have in common.
const compileFlags = "-gcflags=all=-l -dwarf=false"

const linkFlags = "-s -w"

// needDisk is what a build from empty caches leaves behind, with some room.
const needDisk = 6 << 30

// wantGo is the oldest Go that compiles everything.
const wantGo = "go1.26"

// builder knows where the sources are and how to call the go tool.
type builder struct {
	ctx     context.Context
	root    string // the repository
	plugins string // tools in it
	goTool  string
	version string // of Go
	w       io.Writer
}

func newBuilder(ctx context.Context, root string, w io.Writer) (*builder, error) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("the go tool is not on PATH: install Go %s or newer, or put its bin folder on PATH", strings.TrimPrefix(wantGo, "go"))
	}
	b := &builder{ctx: ctx, root: root, plugins: filepath.Join(root, "tools"), goTool: goTool, w: w}
	if b.version, err = b.goEnv("GOVERSION"); err != nil {
		return nil, err
	}
	if version.IsValid(b.version) && version.Compare(b.version, wantGo) < 0 {
		return nil, fmt.Errorf("found %s at %s, need %s or newer: install it, or set GOTOOLCHAIN=auto so that Go fetches it", b.version, goTool, wantGo)
	}
	return b, nil
}

// Repository finds the project's root from the current folder upwards.
func Repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "tools", "bridged", "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("%s is not inside the project: change into its folder and try again", dir)
		}
	}
}

// keys names the three groups by what goes into them.
type keys struct {
	version                string // of the CLI, without its "v"
	cli, standIns, bridged string
}

// keys needs no subprocess, so a warm start costs milliseconds.
func (b *builder) keys(v versions) (keys, error) {
	texts := map[string]string{}
	for _, module := range []string{"pulumi", "standins", "bridged"} {
		text, err := digest(filepath.Join(b.plugins, module))
		if err != nil {
			return keys{}, err
		}
		texts[module] = text
	}
	common := []string{b.version, platform(), compileFlags, linkFlags}
	key := func(parts ...string) string { return cache.Key(slices.Concat(common, parts)...) }
	version := strings.TrimPrefix(v.cli, "v")
	return keys{
		version:  version,
		cli:      key(version, texts["pulumi"]),
		standIns: key(texts["standins"]),
		bridged:  key(awsSourceKey(), postgresqlSourceKey(), texts["bridged"]),
	}, nil
}

// standardLibrary compiles what all programs import of it into Go's build cache.
func (b *builder) standardLibrary() error {
	return b.goRun(b.root, "build", compileFlags, "net/http", "html/template", "database/sql", "encoding/xml",
		"encoding/gob", "go/format", "go/types", "net/http/httputil", "os/signal", "os/user", "runtime/pprof", "testing")
}

// cli builds the Pulumi CLI from its module.
func (b *builder) cli(k keys) (string, error) {
	return cache.Ensure(b.ctx, "pulumi", k.cli, func(out string) error {
		return b.goBuild(filepath.Join(b.plugins, "pulumi"), filepath.Join(out, "pulumi"),
			"github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
			"-X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version="+k.version)
	})
}

// standIns builds the programs of their module.
func (b *builder) standIns(key string) (string, error) {
	return cache.Ensure(b.ctx, "plugins", key, func(out string) error {
		for dir, name := range map[string]string{
			"language-go": "pulumi-language-go", "command": "pulumi-resource-command", "random": "pulumi-resource-random",
		} {
			if err := b.goBuild(filepath.Join(b.plugins, "standins"), filepath.Join(out, name), "./"+dir, ""); err != nil {
				return err
			}
		}
		return nil
	})
}

// bridged builds the plugins that are made of Terraform providers: from a copy of their module in which the AWS provider
// is replaced by its cut copy, and in two steps, because what the generator writes is compiled into the plugins.
func (b *builder) bridged(key string) (string, error) {
	aws, err := b.awsSource()
	if err != nil {
		return "", fmt.Errorf("cut the AWS provider: %w", err)
	}
	return cache.Ensure(b.ctx, "bridged", key, func(out string) error {
		src := filepath.Join(out, "src")
		if err := os.CopyFS(src, os.DirFS(filepath.Join(b.plugins, "bridged"))); err != nil {
			return err
		}
		if err := b.goRun(src, "mod", "edit", "-replace", awsModule+"="+aws); err != nil {
			return err
		}
		postgresql := filepath.Join(src, "terraform-postgresql")
		if err := b.postgresqlSource(postgresql); err != nil {
			return fmt.Errorf("mend the PostgreSQL provider: %w", err)
		}
		if err := b.goRun(src, "mod", "edit", "-replace", postgresqlModule+"="+postgresql); err != nil {
			return err
		}
		generator := filepath.Join(out, "generator")
		if err := b.goBuild(src, generator, "./schema", ""); err != nil {
			return err
		}
		generate := exec.CommandContext(b.ctx, generator, src)
		generate.Dir = src
		if text, err := generate.CombinedOutput(); err != nil {
			return fmt.Errorf("generate the schemas: %w\n%s", err, tail(text))
		}
		for _, name := range []string{"aws", "postgresql"} {
			if err := b.goBuild(src, filepath.Join(out, "pulumi-resource-"+name), "./"+name, ""); err != nil {
				return err
			}
			// Kept beside the plugin for the test that compares its names with the SDK's.
			if err := os.MkdirAll(filepath.Join(out, "schemas"), 0o755); err != nil {
				return err
			}
			if err := copyFile(filepath.Join(src, name, "schema.json"), filepath.Join(out, "schemas", name+".json")); err != nil {
				return err
			}
		}
		return errors.Join(os.Remove(generator), os.RemoveAll(src))
	})
}

// Schema returns the Pulumi schema of the bridged plugin with the name (aws or postgresql), building it when needed.
func Schema(ctx context.Context, w io.Writer, name string) ([]byte, error) {
	root, err := Repository()
	if err != nil {
		return nil, err
	}
	v, err := readVersions(root)
	if err != nil {
		return nil, err
	}
	b, err := newBuilder(ctx, root, w)
	if err != nil {
		return nil, err
	}
	k, err := b.keys(v)
	if err != nil {
		return nil, err
	}
	dir, err := b.bridged(k.bridged)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "schemas", name+".json"))
}

func (b *builder) goBuild(dir, out, pkg, link string) error {
	return b.goRun(dir, "build", "-buildvcs=false", compileFlags, strings.TrimSpace("-ldflags="+linkFlags+" "+link), "-o", out, pkg)
}

// goRun calls the go tool. Its output is shown only when it fails: mostly it names modules being downloaded.
func (b *builder) goRun(dir string, args ...string) error {
	cmd := exec.CommandContext(b.ctx, b.goTool, args...)
	cmd.Dir = dir
	// Flags and workspaces of the user's are for their own code.
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) } // compilers included
	cmd.WaitDelay = 5 * time.Second
	text, err := cmd.CombinedOutput()
	if b.ctx.Err() != nil {
		return b.ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("go %s in %s: %w\n%s%s", args[0], dir, err, tail(text), advice(text))
	}
	return nil
}

func (b *builder) goEnv(name string) (string, error) {
	cmd := exec.CommandContext(b.ctx, b.goTool, "env", name)
	cmd.Dir = b.root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w\n%s", name, err, tail(stderr.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}

// advice adds what to do about failures that are not the sources' fault.
func advice(output []byte) string {
	text := string(output)
	switch {
	case strings.Contains(text, "no space left on device"):
		return "\nThe disk is full: free some space, or move Go's caches (GOCACHE, GOMODCACHE) and the sandbox's (" + cache.EnvDir + ") to another disk."
	case strings.Contains(text, "dial tcp") || strings.Contains(text, "no such host") || strings.Contains(text, "i/o timeout"):
		return "\nThe Go module proxy cannot be reached: check the network, or set GOPROXY to one that can."
	case strings.Contains(text, "signal: killed"):
		return "\nA compiler was killed, which is what a machine short of memory does: 4 GB must be free."
	}
	return ""
}

// tail keeps the end of an output, where the error is.
func tail(text []byte) []byte {
	const most = 4000
	text = bytes.TrimSpace(text)
	if len(text) > most {
		text = append([]byte("…"), text[len(text)-most:]...)
	}
	return text
}

// checkDisk refuses to begin what cannot be finished.
func (b *builder) checkDisk() error {
	dirs := map[string]string{}
	for _, name := range []string{"GOCACHE", "GOMODCACHE"} {
		dir, err := b.goEnv(name)
		if err != nil {
			return err
		}
		dirs[name] = dir
	}
	dir, err := cache.Dir()
	if err != nil {
		return err
	}
	dirs[cache.EnvDir] = dir
	for name, dir := range dirs {
		var stat syscall.Statfs_t
		existing := dir
		for syscall.Statfs(existing, &stat) != nil && existing != filepath.Dir(existing) {
			existing = filepath.Dir(existing)
		}
		if free := stat.Bavail * uint64(stat.Bsize); free < needDisk {
			return fmt.Errorf("building the tools needs about %d GB, and %s has %.1f GB free: make room, or set %s to a folder on another disk",
				needDisk>>30, dir, float64(free)/(1<<30), name)
		}
	}
	return nil
}

// digest condenses a folder's files, leaving out tests. Names are relative, so where the repository lies is no matter.
func digest(dir string) (string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() && !strings.HasSuffix(path, "_test.go") {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	h := sha256.New()
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return "", err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(h, "%q %d %s\n", filepath.ToSlash(rel), len(text), text)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
