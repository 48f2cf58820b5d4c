package timeline

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"time"
)

// followEvery is how exactly the times are known.
const followEvery = 10 * time.Millisecond

// Follow reads the file as it grows and hands over each whole line with the time it was found, until ctx ends; then
// what is left, and returns. The file need not exist yet.
func Follow(ctx context.Context, path string, line func(at time.Time, line []byte) error) error {
	var file *os.File
	defer func() {
		if file != nil {
			file.Close()
		}
	}()
	var rest []byte
	read := func() error {
		if file == nil {
			f, err := os.Open(path)
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			file = f
		}
		more, err := io.ReadAll(file)
		if err != nil {
			return err
		}
		at := time.Now()
		rest = append(rest, more...)
		for {
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				return nil
			}
			if err := line(at, rest[:end]); err != nil {
				return err
			}
			rest = rest[end+1:]
		}
	}
	tick := time.NewTicker(followEvery)
	defer tick.Stop()
	for {
		if err := read(); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return read()
		}
	}
}
