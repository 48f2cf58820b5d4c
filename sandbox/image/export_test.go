package image

import "time"

// SetTryTimeout makes tries shorter, and returns what makes them long again.
func SetTryTimeout(d time.Duration) func() {
	before := tryTimeout
	tryTimeout = d
	return func() { tryTimeout = before }
}
