package toolchain

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"plan-charge/internal/testkit/cache"
)

// fakeCLI answers `version` and installs plugins as the real one lays them out.
func fakeCLI(version, install string) string {
	return "#!/bin/sh\ncase \"$1\" in\nversion) echo " + version + " ;;\nplugin) " + install + " ;;\nesac\n"
}

const installs = `dir="$PULUMI_HOME/plugins/resource-$4-$5"; mkdir -p "$dir"; echo '#!/bin/sh' > "$dir/pulumi-resource-$4"; chmod +x "$dir/pulumi-resource-$4"`

func script(t *testing.T, path, body string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

// site stands for the publisher's.
type site struct {
	*httptest.Server
	sums, archive string // paths
	files         map[string][]byte
	cut           map[string]bool // what breaks off half way

	mu    sync.Mutex
	asked []string
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.Path)
	s.mu.Unlock()
	text, ok := s.files[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(text)))
	if s.cut[r.URL.Path] {
		w.Write(text[:len(text)/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	w.Write(text)
}

// newSite publishes the release that is wanted, with what the archive holds, under an empty cache and with no CLI on
// PATH.
func newSite(t *testing.T, contents map[string][]byte) (*site, versions) {
	t.Helper()
	_, v := repositoryOf(t)
	s := &site{files: map[string][]byte{}, cut: map[string]bool{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	name, err := release{version: v.cli}.archive()
	if err != nil {
		t.Skip(err)
	}
	s.archive = "/releases/sdk/" + name
	s.sums = "/releases/sdk/pulumi-" + strings.TrimPrefix(v.cli, "v") + "-checksums.txt"
	s.files[s.archive] = pack(t, contents)
	s.list()
	t.Setenv(EnvDownloads, s.URL)
	t.Setenv(EnvOffline, "")
	t.Setenv(cache.EnvDir, t.TempDir())
	t.Setenv("PATH", "/usr/bin:/bin")
	return s, v
}

// list writes the list of checksums for what the archive is now.
func (s *site) list() {
	s.files[s.sums] = fmt.Appendf(nil, "%064x  other.tar.gz\n%x  %s\n", 0, sha256.Sum256(s.files[s.archive]), filepath.Base(s.archive))
}

// pack makes an archive of programs by their paths.
func pack(t *testing.T, contents map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	packed, err := gzip.NewWriterLevel(&out, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	files := tar.NewWriter(packed)
	for _, name := range sorted(contents) {
		if err := files.WriteHeader(&tar.Header{Name: name, Mode: 0o755, Size: int64(len(contents[name])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := files.Write(contents[name]); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []interface{ Close() error }{files, packed} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

func wanted() map[string][]byte {
	return map[string][]byte{
		"pulumi/pulumi":                 []byte(fakeCLI("v0.0.0", installs)),
		"pulumi/pulumi-language-go":     []byte("#!/bin/sh\n"),
		"pulumi/pulumi-language-python": []byte("#!/bin/sh\n"),
	}
}

// mine puts a CLI of the user's on PATH.
func mine(t *testing.T, version, install string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "pulumi"), []byte(fakeCLI(version, install)), 0o755); err != nil {
		t.Fatal(err)
	}
	script(t, filepath.Join(dir, "pulumi-language-go"), "exit 0")
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return dir
}

func officialTools(t *testing.T, tools *Tools, err error, why string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if !tools.Official() || !strings.Contains(tools.Why, why) {
		t.Errorf("kinds are %v because of %q, want all official and %q", tools.Kinds, tools.Why, why)
	}
	for name := range built {
		if info, err := os.Stat(filepath.Join(tools.BinDir, name)); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be run: %v", name, err)
		}
	}
}

func find(t *testing.T, v versions) (*Tools, string, error) {
	t.Helper()
	var out strings.Builder
	tools, err := newOfficial(context.Background(), &out, v).find()
	return tools, out.String(), err
}

func TestReleaseIsDownloadedOnce(t *testing.T) {
	s, v := newSite(t, wanted())
	tools, _, err := find(t, v)
	officialTools(t, tools, err, "downloads answered")
	asked := len(s.asked)
	t.Setenv(EnvOffline, "1") // what is there may be used
	again, _, err := find(t, v)
	officialTools(t, again, err, "downloads answered")
	if again.BinDir != tools.BinDir || len(s.asked) != asked {
		t.Errorf("the second time %s, before %s; asked for %q", again.BinDir, tools.BinDir, s.asked[asked:])
	}
	left, err := filepath.Glob(filepath.Join(os.Getenv(cache.EnvDir), "release", "*", "*"))
	if err != nil || len(left) != len(fromRelease) {
		t.Errorf("of the release %q is kept, %v", left, err)
	}
}

func TestCLIOnPathIsTaken(t *testing.T) {
	_, v := repositoryOf(t)
	for version, why := range map[string]string{v.cli: v.cli + " is on PATH", "v3.999.0": "v3.999.0 is on PATH", "3.999.0": "v3.999.0 is on PATH"} {
		t.Run(version, func(t *testing.T) {
			s, v := newSite(t, nil)
			dir := mine(t, version, installs)
			tools, _, err := find(t, v)
			officialTools(t, tools, err, why)
			if to, err := os.Readlink(filepath.Join(tools.BinDir, "pulumi")); err != nil || to != filepath.Join(dir, "pulumi") {
				t.Errorf("pulumi is %s, %v", to, err)
			}
			for _, path := range s.asked {
				if path == s.archive {
					t.Error("the release was downloaded all the same")
				}
			}
		})
	}
	t.Run("language host elsewhere on PATH", func(t *testing.T) {
		_, v := newSite(t, nil)
		dir, other := mine(t, v.cli, installs), t.TempDir()
		if err := os.Rename(filepath.Join(dir, "pulumi-language-go"), filepath.Join(other, "pulumi-language-go")); err != nil {
			t.Fatal(err)
		}
		t.Setenv("PATH", dir+":"+other+":/usr/bin:/bin")
		tools, _, err := find(t, v)
		officialTools(t, tools, err, "is on PATH")
	})
}

// A CLI that does not do is named in one line, and the release is downloaded.
func TestUnfitCLIIsNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(t *testing.T) string
		says    []string
	}{
		"too old":    {func(t *testing.T) string { return mine(t, "v3.100.0", installs) }, []string{`is "v3.100.0"`, "or newer is needed", "update it"}},
		"no version": {func(t *testing.T) string { return mine(t, "", installs) }, []string{`is "v"`, "or newer is needed"}},
		"fails":      {func(t *testing.T) string { return mine(t, "x; exit 3", installs) }, []string{"does not say its version", "install v3"}},
		"no language host": {func(t *testing.T) string {
			dir := mine(t, "v3.999.0", installs)
			if err := os.Remove(filepath.Join(dir, "pulumi-language-go")); err != nil {
				t.Fatal(err)
			}
			return dir
		}, []string{"has no pulumi-language-go", "install the whole"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, v := newSite(t, wanted())
			dir := tt.prepare(t)
			tools, out, err := find(t, v)
			officialTools(t, tools, err, "downloads answered")
			_, line, _ := strings.Cut(out, "! ")
			line, _, _ = strings.Cut(line, "\n")
			for _, want := range append(tt.says, filepath.Join(dir, "pulumi"), "downloaded") {
				if !strings.Contains(line, want) {
					t.Errorf("said %q, want %q in it", line, want)
				}
			}
			if !strings.Contains(tools.Why, tt.says[0]) {
				t.Errorf("the reason is %q, want %q in it", tools.Why, tt.says[0])
			}
		})
	}
	t.Run("our own is none", func(t *testing.T) {
		_, v := newSite(t, wanted())
		t.Setenv(cache.EnvDir, filepath.Dir(mine(t, "v3.100.0", installs)))
		_, out, err := find(t, v)
		if err != nil || strings.Contains(out, "v3.100.0") {
			t.Errorf("got %v and %q", err, out)
		}
	})
}

// Whatever is wrong with a download is one line that says what to do, and nothing of it is used.
func TestBadDownloads(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(t *testing.T, s *site)
		says    []string
	}{
		"breaks off": {func(t *testing.T, s *site) { s.cut[s.archive] = true }, []string{"broke off", "check the network"}},
		"wrong checksum": {func(t *testing.T, s *site) {
			s.files[s.archive] = pack(t, map[string][]byte{"pulumi/pulumi": []byte("#!/bin/sh\ntouch " + os.Getenv(cache.EnvDir) + "/was-run\n")})
		}, []string{"WRONG CHECKSUM", "not opened", "another network"}},
		"no list":     {func(t *testing.T, s *site) { delete(s.files, s.sums) }, []string{"404", EnvDownloads}},
		"not in list": {func(t *testing.T, s *site) { s.files[s.sums] = []byte("0  other\n") }, []string{"has no pulumi-v", EnvDownloads}},
		"list breaks": {func(t *testing.T, s *site) { s.cut[s.sums] = true }, []string{"broke off", "check the network"}},
		"no archive":  {func(t *testing.T, s *site) { delete(s.files, s.archive) }, []string{"404", EnvDownloads}},
		"no gzip":     {func(t *testing.T, s *site) { s.files[s.archive] = []byte("<html>"); s.list() }, []string{"is no archive", EnvDownloads}},
		"damaged":     {func(t *testing.T, s *site) { s.files[s.archive] = s.files[s.archive][:400]; s.list() }, []string{"damaged", EnvDownloads}},
		"program lacks": {func(t *testing.T, s *site) {
			s.files[s.archive] = pack(t, map[string][]byte{"pulumi/pulumi": nil})
			s.list()
		}, []string{"lacks pulumi/pulumi-language-go", EnvDownloads}},
		"outside":         {outside("../../evil"), []string{"outside its folder", "../../evil", EnvDownloads}},
		"outside by root": {outside("/evil"), []string{"outside its folder", EnvDownloads}},
		"nobody there":    {func(t *testing.T, s *site) { s.Close() }, []string{"could not be reached", "refused", "check the network"}},
		"plugins refused": {func(t *testing.T, s *site) {
			contents := wanted()
			contents["pulumi/pulumi"] = []byte(fakeCLI("v0.0.0", "echo first; echo no route to host >&2; exit 1"))
			s.files[s.archive] = pack(t, contents)
			s.list()
		}, []string{"plugin aws", "no route to host", "check the network"}},
		"one plugin refused": {func(t *testing.T, s *site) {
			contents := wanted()
			contents["pulumi/pulumi"] = []byte(fakeCLI("v0.0.0", `[ "$4" != random ] || exit 1; `+installs))
			s.files[s.archive] = pack(t, contents)
			s.list()
		}, []string{"plugin random", "check the network"}},
		"no address": {func(t *testing.T, s *site) { t.Setenv(EnvDownloads, "http://[") }, []string{"is no address", "such as"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, v := newSite(t, wanted())
			tt.prepare(t, s)
			tools, _, err := find(t, v)
			if tools != nil {
				t.Errorf("got %v, want none, so that everything is built", tools)
			}
			wantError(t, err, tt.says...)
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			root := os.Getenv(cache.EnvDir)
			for _, left := range []string{"official-plugins/*", "official/*", "was-run", "evil"} {
				found, _ := filepath.Glob(filepath.Join(root, left))
				for _, path := range found {
					if !strings.HasSuffix(path, ".lock") {
						t.Errorf("left %s", path)
					}
				}
			}
		})
	}
}

// outside adds a file with that path to the archive.
func outside(path string) func(t *testing.T, s *site) {
	return func(t *testing.T, s *site) {
		contents := wanted()
		contents[path] = []byte("evil")
		s.files[s.archive] = pack(t, contents)
		s.list()
	}
}

func TestOfflineTriesNothing(t *testing.T) {
	for _, onPath := range []bool{false, true} {
		s, v := newSite(t, wanted())
		if onPath {
			mine(t, v.cli, "touch "+t.TempDir()+"/asked; exit 1")
		}
		t.Setenv(EnvOffline, "1")
		tools, out, err := find(t, v)
		if tools != nil || len(s.asked) > 0 || out != "" {
			t.Errorf("got %v, said %q and asked for %q", tools, out, s.asked)
		}
		wantError(t, err, EnvOffline+" is set")
		t.Setenv(EnvOffline, "0")
		tools, _, err = find(t, v)
		if !onPath {
			officialTools(t, tools, err, "downloads answered")
		}
	}
}

// The CLI tries for minutes by itself, so it is not asked where the site cannot be reached.
func TestPluginsAreNotTriedWithoutTheSite(t *testing.T) {
	s, v := newSite(t, nil)
	asked := filepath.Join(t.TempDir(), "asked")
	mine(t, v.cli, "touch "+asked+"; exit 1")
	s.Close()
	_, _, err := find(t, v)
	wantError(t, err, "could not be reached")
	if _, err := os.Stat(asked); err == nil {
		t.Error("the CLI was asked to download its plugins")
	}
}

// A failed try ends in what was built, which says why; for a while no other is made.
func TestBuildingIsTheLastResort(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the tools")
	}
	path := os.Getenv("PATH")
	t.Setenv(EnvOffline, "1")
	own, err := Ensure(context.Background(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	if own.Official() {
		t.Skip("official tools are at hand")
	}
	s, _ := newSite(t, wanted())
	s.files[s.archive] = append(s.files[s.archive], 0)
	t.Setenv("PATH", path)
	if err := os.Symlink(filepath.Dir(own.BinDir), filepath.Join(os.Getenv(cache.EnvDir), "tools")); err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		name string
		asks bool
	}{{"first", true}, {"again", false}, {"after an hour", true}} {
		if tt.name == "after an hour" {
			found, err := filepath.Glob(filepath.Join(os.Getenv(cache.EnvDir), "official", "*.failed"))
			if err != nil || len(found) != 1 {
				t.Fatalf("remembered in %q, %v", found, err)
			}
			if err := os.Chtimes(found[0], time.Time{}, time.Now().Add(-tryAgain-time.Second)); err != nil {
				t.Fatal(err)
			}
		}
		asked := len(s.asked)
		var out strings.Builder
		tools, err := Ensure(context.Background(), &out)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(tools.BinDir) != filepath.Base(own.BinDir) || !strings.Contains(tools.Why, "WRONG CHECKSUM") {
			t.Errorf("%s: got %s because of %q, want what was built", tt.name, tools.BinDir, tools.Why)
		}
		if asks := len(s.asked) > asked; asks != tt.asks {
			t.Errorf("%s: asked for %q", tt.name, s.asked[asked:])
		}
		if said := strings.Contains(out.String(), "! WRONG CHECKSUM"); said != tt.asks {
			t.Errorf("%s (%d): said %q", tt.name, i, out.String())
		}
	}
}

// TestRealCLITakesACopy has the real CLI download its plugins from a copy of the publisher's site.
func TestRealCLITakesACopy(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the tools")
	}
	t.Setenv(EnvOffline, "1")
	own, err := Ensure(context.Background(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	contents := map[string][]byte{}
	for _, name := range fromRelease {
		if contents["pulumi/"+name], err = os.ReadFile(filepath.Join(own.BinDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	s, v := newSite(t, contents)
	for name, version := range v.plugins {
		path := fmt.Sprintf("/releases/plugins/pulumi-resource-%s-%s-%s-%s.tar.gz", name, version, runtime.GOOS, runtime.GOARCH)
		s.files[path] = pack(t, map[string][]byte{"pulumi-resource-" + name: []byte("#!/bin/sh\necho " + name + "\n")})
	}
	// Nobody else may be asked.
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:9")
	tools, _, err := find(t, v)
	officialTools(t, tools, err, "downloads answered")
}
