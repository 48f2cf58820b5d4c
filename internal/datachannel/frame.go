// Package datachannel speaks the data channel of AWS Systems Manager sessions: binary messages over a websocket, each with
// a sequence number and repeated until it is acknowledged, and on them one stream of bytes in each direction. AWS documents
// none of it; the source is that of session-manager-plugin and of the agent, whose names are used here.
package datachannel

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Types of messages.
const (
	InputData        = "input_stream_data"  // from the client
	OutputData       = "output_stream_data" // from the agent
	Acknowledge      = "acknowledge"
	ChannelClosed    = "channel_closed"
	StartPublication = "start_publication" // the other side is there (again)
	PausePublication = "pause_publication" // the other side is away: send no data
)

// PayloadType is what a message of data carries.
type PayloadType uint32

// Payload types of a port session.
const (
	Output            PayloadType = 1 // bytes of the stream, in both directions
	HandshakeRequest  PayloadType = 5
	HandshakeResponse PayloadType = 6
	HandshakeComplete PayloadType = 7
	FlagPayload       PayloadType = 10 // one Flag
)

// Flag is a signal between client and agent, four bytes long.
type Flag uint32

// Flags of a port session.
const (
	DisconnectToPort   Flag = 1 // basic mode: the client's connection has ended
	TerminateSession   Flag = 2
	ConnectToPortError Flag = 3 // the agent cannot reach the port
)

// Bytes is the flag as a payload.
func (f Flag) Bytes() []byte { return binary.BigEndian.AppendUint32(nil, uint32(f)) }

// ParseFlag reads a payload; ok is false for one that is no flag.
func ParseFlag(payload []byte) (f Flag, ok bool) {
	if len(payload) != 4 {
		return 0, false
	}
	return Flag(binary.BigEndian.Uint32(payload)), true
}

// Values of Frame.Flags.
const (
	flagData = 0
	flagSyn  = 1 // the first message of data
	flagAck  = 3 // an acknowledgement
)

// Frame is one message.
type Frame struct {
	Type        string
	Created     time.Time // to the millisecond
	Sequence    int64
	Flags       uint64
	ID          uuid.UUID
	PayloadType PayloadType
	Payload     []byte
}

// The header's fields and where each begins: its own length, the type padded with spaces, schema version, creation in
// milliseconds, sequence number, flags, message id, SHA-256 of the payload, its type. The payload's length follows the header.
const (
	typeAt     = 4
	schemaAt   = typeAt + 32
	createdAt  = schemaAt + 4
	sequenceAt = createdAt + 8
	flagsAt    = sequenceAt + 8
	idAt       = flagsAt + 8
	digestAt   = idAt + 16
	payTypeAt  = digestAt + sha256.Size
	headerLen  = payTypeAt + 4
	payloadAt  = headerLen + 4
	schema     = 1
)

// maxFrame bounds what is read: the service's own messages are far smaller.
const maxFrame = 1 << 20

// Marshal writes the message. A type longer than 32 bytes is cut.
func (f *Frame) Marshal() []byte {
	out := make([]byte, payloadAt, payloadAt+len(f.Payload))
	binary.BigEndian.PutUint32(out, headerLen)
	copy(out[typeAt:schemaAt], f.Type+strings.Repeat(" ", 32))
	binary.BigEndian.PutUint32(out[schemaAt:], schema)
	binary.BigEndian.PutUint64(out[createdAt:], uint64(f.Created.UnixMilli()))
	binary.BigEndian.PutUint64(out[sequenceAt:], uint64(f.Sequence))
	binary.BigEndian.PutUint64(out[flagsAt:], f.Flags)
	copy(out[idAt:], f.ID[8:]) // its two halves are swapped on the wire
	copy(out[idAt+8:], f.ID[:8])
	digest := sha256.Sum256(f.Payload)
	copy(out[digestAt:], digest[:])
	binary.BigEndian.PutUint32(out[payTypeAt:], uint32(f.PayloadType))
	binary.BigEndian.PutUint32(out[headerLen:], uint32(len(f.Payload)))
	return append(out, f.Payload...)
}

// ErrDamaged is why a message is not read.
var ErrDamaged = errors.New("damaged message")

// Parse reads a message. Its payload shares the memory of data.
func Parse(data []byte) (*Frame, error) {
	if len(data) < payloadAt {
		return nil, fmt.Errorf("%w: %d bytes, a header has %d", ErrDamaged, len(data), payloadAt)
	}
	header := binary.BigEndian.Uint32(data)
	f := &Frame{
		Type:     strings.Trim(string(data[typeAt:schemaAt]), " \x00"),
		Created:  time.UnixMilli(int64(binary.BigEndian.Uint64(data[createdAt:]))),
		Sequence: int64(binary.BigEndian.Uint64(data[sequenceAt:])),
		Flags:    binary.BigEndian.Uint64(data[flagsAt:]),
	}
	copy(f.ID[8:], data[idAt:])
	copy(f.ID[:8], data[idAt+8:])
	if f.Type == StartPublication || f.Type == PausePublication {
		return f, nil // these are all that they say, and AWS's plugin does not hold their headers against them either
	}
	// Some messages have a shorter header, without the payload's type.
	if header < payTypeAt || uint64(header)+4 > uint64(len(data)) {
		return nil, fmt.Errorf("%w: its header's length is %d of %d bytes", ErrDamaged, header, len(data))
	}
	if header >= headerLen {
		f.PayloadType = PayloadType(binary.BigEndian.Uint32(data[payTypeAt:]))
	}
	length, rest := binary.BigEndian.Uint32(data[header:]), data[header+4:]
	if uint64(length) != uint64(len(rest)) {
		return nil, fmt.Errorf("%w: a payload of %d bytes is announced, and %d follow", ErrDamaged, length, len(rest))
	}
	f.Payload = rest
	if digest := sha256.Sum256(rest); len(rest) > 0 && !bytes.Equal(digest[:], data[digestAt:payTypeAt]) {
		return nil, fmt.Errorf("%w: the payload's digest is another one", ErrDamaged)
	}
	return f, nil
}
