package postgres

import "testing"

// FetchFrom makes servers come from another address.
func FetchFrom(t *testing.T, url string) {
	old := repository
	t.Cleanup(func() { repository = old })
	repository = url
}
