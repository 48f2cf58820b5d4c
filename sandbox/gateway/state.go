package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/natefinch/atomic"
)

// readState fills in what an earlier gateway kept in a file, if there is one.
func readState(file string, into any) error {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s is damaged, delete it to start without what it kept: %w", file, err)
	}
	return nil
}

// writeState replaces a file in one step, for this user alone.
func writeState(file string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return atomic.WriteFile(file, bytes.NewReader(data))
}
