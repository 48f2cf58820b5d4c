package session

import (
	"errors"
	"fmt"
	"net"

	"github.com/aws/smithy-go"
)

// explain adds to a refused call which right is missing.
func explain(what string, err error, right string) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode() {
		case "AccessDeniedException", "AccessDenied", "UnauthorizedOperation":
			return fmt.Errorf("%s: these credentials lack a right, %s (docs/database.md lists all): %w", what, right, err)
		}
	}
	return fmt.Errorf("%s: %w", what, err)
}

// ErrOutside is why a name that means nothing here is not dialled again.
var ErrOutside = errors.New("its name does not resolve on this machine (no such host), as is so for an address of a private network. " +
	"Run Pulumi inside that network, or set database.access to session, which leads there from anywhere")

// Outside says whether an error means that a server's name is not known where it was dialled. Waiting does not mend that.
func Outside(err error) bool {
	var name *net.DNSError
	return errors.As(err, &name) && name.IsNotFound
}
