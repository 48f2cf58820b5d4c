package toolchain

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// The newest PostgreSQL provider that is a Go module with its source published under its own name.
const (
	postgresqlModule  = "github.com/terraform-providers/terraform-provider-postgresql"
	postgresqlVersion = "v1.7.1"
)

// Since PostgreSQL 15 the schema public belongs to pg_database_owner, of which the database's owner is a member and of
// which nobody can be made one: the provider, as no superuser, tries and fails. Newer providers know better, and this
// makes the old one do the same.
const (
	ownersBefore = "if !sliceContainsStr(owners, schemaOwner) {"
	ownersAfter  = `if schemaOwner != "pg_database_owner" && !sliceContainsStr(owners, schemaOwner) {`
)

func postgresqlSourceKey() string { return postgresqlVersion + ownersAfter }

// postgresqlSource writes the mended provider's module to dir.
func (b *builder) postgresqlSource(dir string) error {
	src, err := b.download(postgresqlModule + "@" + postgresqlVersion)
	if err != nil {
		return err
	}
	if err := os.CopyFS(dir, os.DirFS(src)); err != nil {
		return err
	}
	file := filepath.Join(dir, "postgresql", "resource_postgresql_grant.go")
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if bytes.Count(text, []byte(ownersBefore)) != 1 {
		return fmt.Errorf("%s is not the one that is mended here: found no single %q", file, ownersBefore)
	}
	return os.WriteFile(file, bytes.Replace(text, []byte(ownersBefore), []byte(ownersAfter), 1), 0o644)
}
