// Package oneline reads a line from a connection whose next bytes are somebody else's.
package oneline

import (
	"errors"
	"io"
)

// longest is a line's length in bytes from which on it is none of ours.
const longest = 1024

// Read reads up to a newline, and not a byte more. With an error it returns what came until then.
func Read(r io.Reader) (string, error) {
	var line []byte
	for one := make([]byte, 1); len(line) < longest; line = append(line, one[0]) {
		if _, err := io.ReadFull(r, one); err != nil {
			return string(line), err
		}
		if one[0] == '\n' {
			return string(line), nil
		}
	}
	return string(line), errors.New("a line without an end")
}
