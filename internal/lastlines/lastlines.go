// Package lastlines keeps the end of a text, which is what an error message has room for.
package lastlines

import (
	"bytes"
	"io"
	"os"
	"strings"
	"sync"
)

// kept is how many bytes a Keeper remembers.
const kept = 8192

// Of returns the last n lines of a text, without the white space around it.
func Of(text string, n int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-n):], "\n")
}

// OfFile returns the last n lines of a file, or why it cannot be read.
func OfFile(path string, n int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return Of(string(text), n)
}

// Keeper passes on what is written to it and remembers the end of it. It may be used by several goroutines.
type Keeper struct {
	Next io.Writer

	mu   sync.Mutex
	last []byte
}

func (k *Keeper) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.last = append(k.last, p...)
	if extra := len(k.last) - kept; extra > 0 {
		k.last = bytes.Clone(k.last[extra:])
	}
	return k.Next.Write(p)
}

// Last returns the last n lines of what was written; of very long ones the end.
func (k *Keeper) Last(n int) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return Of(string(k.last), n)
}
