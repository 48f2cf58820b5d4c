package testkit

import (
	"os"
	"path/filepath"
	"testing"
)

// Project is the folder with the project's Pulumi.yaml, looked for from the test's own folder upwards.
func Project(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "Pulumi.yaml")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("not inside the project: no Pulumi.yaml here or above")
		}
		dir = filepath.Dir(dir)
	}
}
