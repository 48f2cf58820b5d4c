package toolchain

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"plan-charge/internal/progress"
	"plan-charge/internal/testkit/cache"
)

// downloadWait bounds how long a download may take before building is the better way.
const downloadWait = 3 * time.Minute

// findOfficial uses a downloaded CLI when one of the right version is on PATH with its Go language host, and its plugins
// can be downloaded. Otherwise it returns nil, and everything is built: a mixture would be nobody's version.
func findOfficial(ctx context.Context, w io.Writer) (*Tools, error) {
	cli, language := lookOfficial("pulumi"), lookOfficial("pulumi-language-go")
	if cli == "" || language == "" {
		return nil, nil
	}
	version, err := exec.CommandContext(ctx, cli, "version").Output()
	if err != nil || string(bytes.TrimSpace(version)) != "v"+Version {
		return nil, nil
	}
	parts := []string{Version, platform(), cli, language}
	for _, name := range []string{"aws", "command", "postgresql", "random"} {
		parts = append(parts, name, pluginVersions[name])
	}
	dir, err := cache.Ensure(ctx, "official", cache.Key(parts...), func(out string) error {
		step := progress.Start(w, "download the official Pulumi plugins", time.Minute)
		err := downloadOfficial(ctx, cli, out)
		step.Done(err)
		if err != nil {
			return err
		}
		for name, from := range map[string]string{"pulumi": cli, "pulumi-language-go": language} {
			if err := os.Symlink(from, filepath.Join(out, name)); err != nil {
				return err
			}
		}
		return nil
	})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, nil // no way to the download: build
	}
	kinds := map[string]Kind{}
	for name := range built {
		kinds[name] = Official
	}
	return &Tools{BinDir: dir, Kinds: kinds}, nil
}

// downloadOfficial lets the CLI fetch its plugins into a home of their own and puts the programs into dir.
func downloadOfficial(ctx context.Context, cli, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, downloadWait)
	defer cancel()
	home, err := os.MkdirTemp(dir, "home-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	for name, version := range pluginVersions {
		cmd := exec.CommandContext(ctx, cli, "plugin", "install", "resource", name, version)
		cmd.Env = append(os.Environ(), "PULUMI_HOME="+home, "PULUMI_SKIP_UPDATE_CHECK=true")
		if err := cmd.Run(); err != nil {
			return err
		}
		program := "pulumi-resource-" + name
		if err := copyFile(filepath.Join(home, "plugins", "resource-"+name+"-"+version, program), filepath.Join(dir, program)); err != nil {
			return err
		}
	}
	return nil
}

// lookOfficial finds a program on PATH, skipping what this package put into the cache: in the sandbox's environment the
// tools find themselves.
func lookOfficial(name string) string {
	own, err := cache.Dir()
	if err != nil {
		return ""
	}
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
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
