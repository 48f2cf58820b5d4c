// Package contract is what the provider and its SDK have to agree on and cannot learn from one another.
package contract

// Name is the package's name in Pulumi.
const Name = "served"

// Version is the provider's version, which a program asks for. It changes with the schema.
const Version = "0.1.0"

// Tokens of the resources.
const (
	Verification = Name + ":index:Verification"
	Capacity     = Name + ":index:Capacity"
	Rollout      = Name + ":index:Rollout"
	Strangers    = Name + ":index:Strangers"
)
