package postgres

import "testing"

// SearchOnly makes Find look nowhere but in dir.
func SearchOnly(t *testing.T, dir string) {
	old := binDirs
	t.Cleanup(func() { binDirs = old })
	binDirs = []string{dir}
	t.Setenv("PATH", dir)
}
