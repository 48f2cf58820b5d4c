package toolchain

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"plan-charge/internal/testkit/cache"
)

// fake puts a CLI on PATH that answers `version` and installs plugins as the real one lays them out.
func fake(t *testing.T, version, install string) string {
	t.Helper()
	t.Setenv(cache.EnvDir, t.TempDir())
	dir := t.TempDir()
	script(t, filepath.Join(dir, "pulumi"), `case "$1" in
version) echo `+version+` ;;
plugin) `+install+` ;;
esac`)
	script(t, filepath.Join(dir, "pulumi-language-go"), "exit 0")
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return dir
}

const installs = `dir="$PULUMI_HOME/plugins/resource-$4-$5"; mkdir -p "$dir"; echo '#!/bin/sh' > "$dir/pulumi-resource-$4"; chmod +x "$dir/pulumi-resource-$4"`

func script(t *testing.T, path, body string) {
	t.Helper()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestOfficialToolsAreTakenWhole(t *testing.T) {
	fake(t, "v"+Version, installs)
	tools, err := findOfficial(context.Background(), io.Discard)
	if err != nil || tools == nil {
		t.Fatalf("got %v, %v; want the tools", tools, err)
	}
	if !tools.Official() {
		t.Errorf("kinds are %v", tools.Kinds)
	}
	for name := range built {
		if info, err := os.Stat(filepath.Join(tools.BinDir, name)); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be run: %v", name, err)
		}
	}
	// The next time nothing is downloaded.
	fakeAgain := filepath.Join(filepath.Dir(tools.BinDir), "..")
	t.Setenv(cache.EnvDir, fakeAgain)
	if again, err := findOfficial(context.Background(), io.Discard); err != nil || again == nil || again.BinDir != tools.BinDir {
		t.Errorf("second call: %v, %v", again, err)
	}
}

func TestOfficialToolsAreLeftWhenNotComplete(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T){
		"another version":      func(t *testing.T) { fake(t, "v3.100.0", installs) },
		"plugins out of reach": func(t *testing.T) { fake(t, "v"+Version, "echo no route to host >&2; exit 1") },
		"one plugin missing":   func(t *testing.T) { fake(t, "v"+Version, `[ "$4" != random ] || exit 1; `+installs) },
		"no language host": func(t *testing.T) {
			if err := os.Remove(filepath.Join(fake(t, "v"+Version, installs), "pulumi-language-go")); err != nil {
				t.Fatal(err)
			}
		},
		"no CLI": func(t *testing.T) { t.Setenv("PATH", t.TempDir()) },
		"our own": func(t *testing.T) {
			dir := fake(t, "v"+Version, installs)
			t.Setenv(cache.EnvDir, filepath.Dir(dir))
		},
	} {
		t.Run(name, func(t *testing.T) {
			prepare(t)
			tools, err := findOfficial(context.Background(), io.Discard)
			if tools != nil || err != nil {
				t.Errorf("got %v, %v; want none, so that everything is built", tools, err)
			}
		})
	}
}
