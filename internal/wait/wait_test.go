package wait_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"plan-charge/internal/wait"
)

func TestAnEndedContextSaysWhy(t *testing.T) {
	cut, why := errors.New("connection closed"), errors.New("the time is over")
	ctx, cancel := context.WithCancelCause(t.Context())
	if err := wait.For(ctx, time.Millisecond); err != nil {
		t.Errorf("a pause that nothing ended: %v", err)
	}
	if err := wait.Cause(ctx, cut); err != cut {
		t.Errorf("got %v, want the error itself while the context lives", err)
	}
	cancel(why)
	if err := wait.For(ctx, time.Hour); err != why {
		t.Errorf("a pause that was ended: got %v, want %v", err, why)
	}
	if err := wait.Cause(ctx, cut); err != why {
		t.Errorf("a call that was cut off: got %v, want %v", err, why)
	}
}
