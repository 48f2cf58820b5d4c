package session

import (
	"errors"
	"fmt"

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
