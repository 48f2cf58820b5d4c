// Package review says to people what the engine reports of a preview, an update or a refresh: the steps, what they mean
// for those who use the site, a comment for a pull request, the digest by which a deployment is held against what was
// reviewed, and drift.
package review

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/pulumi/pulumi/sdk/v3/go/common/apitype"
)

// ErrCut is a log of events without its end: what it says is not all that will happen.
var ErrCut = errors.New("the engine's event log is cut: its last event is missing, so it does not tell all that changes")

// ReadEvents reads a log that `pulumi … --event-log FILE` wrote, one JSON document an event.
// A log without the event that the engine sends last is ErrCut.
func ReadEvents(r io.Reader) ([]apitype.EngineEvent, error) {
	var events []apitype.EngineEvent
	for dec := json.NewDecoder(r); ; {
		var e apitype.EngineEvent
		err := dec.Decode(&e)
		switch {
		case errors.Is(err, io.EOF):
			if len(events) == 0 || events[len(events)-1].CancelEvent == nil {
				return nil, ErrCut
			}
			return events, nil
		case errors.Is(err, io.ErrUnexpectedEOF):
			return nil, ErrCut
		case err != nil:
			return nil, fmt.Errorf("event %d of the engine's log cannot be read: %w", len(events)+1, err)
		}
		events = append(events, e)
	}
}
