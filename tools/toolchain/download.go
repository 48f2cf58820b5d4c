package toolchain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// patience is how long a download may take to begin, and how long nothing may come while it runs.
const patience = 5 * time.Second

// fetch writes what is at the address to w. It may take as long as it needs while something comes.
func fetch(ctx context.Context, address string, patience time.Duration, w io.Writer) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	idle := time.AfterFunc(patience, func() { cancel(fmt.Errorf("nothing came for %s", patience)) })
	defer idle.Stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("%s is no address: set %s to one such as %s", address, EnvDownloads, publisher)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("%s could not be reached (%w): check the network, or name a copy of %s in %s", address, cause(ctx, err), publisher, EnvDownloads)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s: name a copy of %s in %s that has it", address, resp.Status, publisher, EnvDownloads)
	}
	n, err := io.Copy(w, lively{resp.Body, func() { idle.Reset(patience) }})
	if err != nil {
		return fmt.Errorf("%s broke off after %.1f MB (%w): check the network", address, float64(n)/1e6, cause(ctx, err))
	}
	return nil
}

// cause prefers what ended the context to the error that came of it, and leaves out the address, which is said already.
func cause(ctx context.Context, err error) error {
	if why := context.Cause(ctx); why != nil {
		return why
	}
	if inner := (*url.Error)(nil); errors.As(err, &inner) {
		return inner.Err
	}
	return err
}

// lively calls back with everything that is read.
type lively struct {
	io.Reader
	alive func()
}

func (l lively) Read(p []byte) (int, error) {
	n, err := l.Reader.Read(p)
	if n > 0 {
		l.alive()
	}
	return n, err
}
