package emulator

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// lastLines passes on what it gets and keeps the end of it for an error message.
type lastLines struct {
	next io.Writer
	mu   sync.Mutex
	last []byte
}

func (l *lastLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = append(l.last, p...)
	if extra := len(l.last) - 8192; extra > 0 {
		l.last = bytes.Clone(l.last[extra:])
	}
	return l.next.Write(p)
}

func (l *lastLines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return tail(string(l.last), 12)
}

// tail returns the last lines of a text.
func tail(text string, lines int) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
