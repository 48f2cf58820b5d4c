package main

import (
	"errors"
	"fmt"
)

// exitDiffers is the exit code where what was reviewed is not what would happen.
const exitDiffers = 7

// exit is an error with an exit code of its own.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string { return e.err.Error() }
func (e *exit) Unwrap() error { return e.err }

func exitf(code int, format string, args ...any) error {
	return &exit{code, fmt.Errorf(format, args...)}
}

// exitCode is 1 unless the error has one of its own.
func exitCode(err error) int {
	var e *exit
	if errors.As(err, &e) {
		return e.code
	}
	return 1
}
