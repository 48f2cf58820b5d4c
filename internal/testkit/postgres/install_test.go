package postgres_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"plan-charge/internal/testkit/cache"
	"plan-charge/internal/testkit/postgres"
)

func TestVersionThatIsAskedForRuns(t *testing.T) {
	t.Setenv(postgres.EnvDir, "")
	for _, version := range []int{14, 18} { // the oldest and the newest; others run in other tests
		t.Run(strconv.Itoa(version), func(t *testing.T) {
			o := options(t)
			o.Version = version
			s := start(t, o)
			if got := query(t, s.URL(), `SHOW server_version`); !strings.HasPrefix(got, strconv.Itoa(version)+".") {
				t.Errorf("version %q", got)
			}
			if !postgres.Here(version) {
				t.Error("it runs, and is not said to be here")
			}
		})
	}
}

// refusal is what must be said when a version cannot be had: one line.
func refusal(t *testing.T, err error, want ...string) {
	t.Helper()
	if !errors.Is(err, postgres.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	for _, text := range append(want, postgres.EnvDir) {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%q is not in: %v", text, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("more than one line: %v", err)
	}
}

func TestVersionsThatNobodyHasAreRefused(t *testing.T) {
	t.Setenv(postgres.EnvDir, "")
	for _, version := range []int{13, 99, -1} {
		refusal(t, postgres.Check(version), strconv.Itoa(version), "14 to 18")
		_, err := postgres.Start(t.Context(), postgres.Options{Version: version, Dir: t.TempDir(), User: "u", Password: "p", Database: "d"})
		refusal(t, err, strconv.Itoa(version), "14 to 18")
	}
}

func TestFailedFetchSaysWhatToDoAndLeavesNothing(t *testing.T) {
	t.Setenv(postgres.EnvDir, "")
	jar := strings.Repeat("no archive", 100)
	stopped := httptest.NewServer(nil)
	stopped.Close()
	for name, answer := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"no network": {nil, "unable to connect"},
		"not there":  {http.NotFound, "16"},
		"breaks half way": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(2*len(jar)))
			w.Write([]byte(jar))
		}, "unexpected EOF"},
		"wrong checksum": {func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, ".sha256") {
				w.Write([]byte(strings.Repeat("0", 64)))
				return
			}
			w.Write([]byte(jar))
		}, "checksums do not match"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			t.Setenv(cache.EnvDir, dir)
			t.Setenv("TMPDIR", t.TempDir()) // the library leaves a log there
			url := stopped.URL
			if answer.handler != nil {
				server := httptest.NewServer(answer.handler)
				defer server.Close()
				url = server.URL
			}
			postgres.FetchFrom(t, url)
			refusal(t, postgres.Ensure(t.Context(), 16), "version 16 could not be fetched", answer.want, "network")
			if postgres.Here(16) {
				t.Error("it is said to be here")
			}
			left, err := filepath.Glob(filepath.Join(dir, "postgres", "*"))
			if err != nil || len(left) != 1 || !strings.HasSuffix(left[0], ".lock") {
				t.Errorf("left %v (%v), want the lock alone", left, err)
			}
		})
	}
}

func TestFetchEndsWithItsContext(t *testing.T) {
	t.Setenv(postgres.EnvDir, "")
	t.Setenv(cache.EnvDir, t.TempDir())
	t.Setenv("TMPDIR", t.TempDir()) // the library leaves a log there
	asked, release := make(chan struct{}), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-release
		http.NotFound(w, r)
	}))
	defer server.Close()
	defer close(release)
	postgres.FetchFrom(t, server.URL)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	go func() {
		<-asked
		cancel()
	}()
	refusal(t, postgres.Ensure(ctx, 16), context.Canceled.Error())
}

// machine makes a folder that looks like an installed server.
func machine(t *testing.T, says string, programs ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range programs {
		if err := os.WriteFile(filepath.Join(dir, "bin", name), []byte("#!/bin/sh\necho '"+says+"'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestServerOfThisMachine(t *testing.T) {
	t.Setenv(cache.EnvDir, t.TempDir())
	postgres.FetchFrom(t, "http://127.0.0.1:1") // nothing may be fetched
	dir := machine(t, "postgres (PostgreSQL) 17.2 (Distribution 1)", "postgres", "initdb")
	t.Setenv(postgres.EnvDir, dir)
	for _, version := range []int{0, 17} {
		if err := postgres.Ensure(t.Context(), version); err != nil || !postgres.Here(version) {
			t.Errorf("version %d: %v", version, err)
		}
	}
	refusal(t, postgres.Ensure(t.Context(), 16), "version 16 is asked for", "version 17", dir)

	t.Setenv(postgres.EnvDir, machine(t, "17", "postgres"))
	refusal(t, postgres.Check(0), "no bin/initdb")
	t.Setenv(postgres.EnvDir, machine(t, "no version", "postgres", "initdb"))
	refusal(t, postgres.Check(0), "no version")
}
