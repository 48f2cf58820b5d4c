// Package wait pauses work that a context may end, and says why it ended.
package wait

import (
	"context"
	"time"
)

// For returns nil after d, or the cause of ctx when that ends first.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// Cause prefers the reason why a context ended to the bare fact that a call was cut off.
func Cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
