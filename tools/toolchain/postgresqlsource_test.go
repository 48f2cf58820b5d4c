package toolchain

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func TestPostgreSQLProviderIsMended(t *testing.T) {
	root, err := Repository()
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBuilder(context.Background(), root, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := b.postgresqlSource(dir); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "postgresql", "resource_postgresql_grant.go"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(text, []byte(ownersAfter)) || bytes.Contains(text, []byte("\t"+ownersBefore)) {
		t.Error("the check is not in the copy")
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Error(err)
	}
}
