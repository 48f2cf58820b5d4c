// Package contract is what the provider and its SDK have to agree on and cannot learn from one another.
package contract

// Name is the package's name in Pulumi.
const Name = "pgrows"

// Version is the provider's version, which a program asks for. It changes with the schema.
const Version = "0.1.0"

// What is done with the rows of a file.
const (
	// Insert adds rows that are missing and leaves all others.
	Insert = "insert"
	// Upsert adds rows that are missing and changes those that differ.
	Upsert = "upsert"
	// Sync does so too, and takes out what is not in the file.
	Sync = "sync"
)

// What becomes of a row that leaves the program.
const (
	// Retain leaves it in the table.
	Retain = "retain"
	// SoftDelete sets the column that marks deleted rows.
	SoftDelete = "softDelete"
	// Delete deletes it.
	Delete = "delete"
)
