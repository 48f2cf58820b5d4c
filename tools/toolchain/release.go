package toolchain

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// publisher is where Pulumi publishes its releases.
const publisher = "https://get.pulumi.com"

// EnvDownloads names the variable that names a copy of the publisher's site.
const EnvDownloads = "PLAN_CHARGE_DOWNLOADS"

// fromRelease are the programs that are taken from the CLI's release; it has language hosts for other languages, too.
var fromRelease = []string{"pulumi", "pulumi-language-go"}

// release is one of the CLI's, at the publisher's site or a copy of it.
type release struct {
	site     string
	version  string // with its "v"
	patience time.Duration
}

func (r release) url(file string) string { return r.site + "/releases/sdk/" + file }

// sums fetches the release's own list of checksums, which is short and so shows whether the site can be reached.
func (r release) sums(ctx context.Context) ([]byte, error) {
	var list bytes.Buffer
	err := fetch(ctx, r.url("pulumi-"+strings.TrimPrefix(r.version, "v")+"-checksums.txt"), r.patience, &list)
	return list.Bytes(), err
}

// unpack fetches the archive for this platform, holds it against the list and puts the programs into dir.
func (r release) unpack(ctx context.Context, dir string) error {
	name, err := r.archive()
	if err != nil {
		return err
	}
	list, err := r.sums(ctx)
	if err != nil {
		return err
	}
	want, err := sumOf(list, name)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(dir, "archive-")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	sum := sha256.New()
	if err := fetch(ctx, r.url(name), r.patience, io.MultiWriter(file, sum)); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		return fmt.Errorf("WRONG CHECKSUM: %s has the sha256 %s, and the release's list says %s. It was not opened: somebody changed it on the way, or the copy is damaged; take another network, or another copy by %s", r.url(name), got, want, EnvDownloads)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := extract(file, dir); err != nil {
		return fmt.Errorf("%s is not used: %w; name another copy of %s in %s", r.url(name), err, publisher, EnvDownloads)
	}
	return nil
}

// archive is the name of the release's file for this platform.
func (r release) archive() (string, error) {
	arch, ok := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	if !ok || runtime.GOOS == "windows" {
		return "", fmt.Errorf("there is no archive for %s: install the Pulumi CLI %s or newer by hand and put it on PATH", platform(), r.version)
	}
	return fmt.Sprintf("pulumi-%s-%s-%s.tar.gz", r.version, runtime.GOOS, arch), nil
}

// sumOf finds a file's sha256 in a list with lines such as "0a…9f  name".
func sumOf(list []byte, name string) (string, error) {
	for line := range strings.Lines(string(list)) {
		if fields := strings.Fields(line); len(fields) == 2 && strings.TrimPrefix(fields[1], "*") == name {
			return strings.ToLower(fields[0]), nil
		}
	}
	return "", fmt.Errorf("the release's list of checksums has no %s: name a copy of %s in %s that has it", name, publisher, EnvDownloads)
}

// extract takes the programs out of an archive. One that has anything outside its own folder is not trusted at all.
func extract(archive io.Reader, dir string) error {
	packed, err := gzip.NewReader(archive)
	if err != nil {
		return fmt.Errorf("it is no archive (%w)", err)
	}
	wanted := map[string]string{}
	for _, name := range fromRelease {
		wanted["pulumi/"+name] = filepath.Join(dir, name)
	}
	files := tar.NewReader(packed)
	for {
		file, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("it is damaged (%w)", err)
		}
		if !filepath.IsLocal(file.Name) {
			return fmt.Errorf("it has a file %q, which lies outside its folder", file.Name)
		}
		name := path.Clean(file.Name)
		dest, take := wanted[name]
		if !take || file.Typeflag != tar.TypeReg {
			continue
		}
		if err := writeProgram(dest, files); err != nil {
			return err
		}
		delete(wanted, name)
	}
	if len(wanted) > 0 {
		return fmt.Errorf("it lacks %s", strings.Join(sorted(wanted), " and "))
	}
	return nil
}

func writeProgram(path string, from io.Reader) error {
	out, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, from)
	return errors.Join(err, out.Close())
}
