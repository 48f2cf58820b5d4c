package datachannel_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"plan-charge/internal/datachannel"
)

func sample() datachannel.Frame {
	return datachannel.Frame{
		Type: datachannel.InputData, Created: time.UnixMilli(0x0102030405), Sequence: 7, Flags: 1,
		ID: uuid.MustParse("00010203-0405-0607-0809-0a0b0c0d0e0f"), PayloadType: datachannel.Output, Payload: []byte("hi"),
	}
}

// The layout is written out here once, as AWS's plugin writes it.
func TestLayout(t *testing.T) {
	f := sample()
	want := "00000074" + // the header's length, 116
		hex.EncodeToString([]byte("input_stream_data               ")) +
		"00000001" + "0000000102030405" + "0000000000000007" + "0000000000000001" +
		"08090a0b0c0d0e0f" + "0001020304050607" + // the id's halves change places
		"8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4" + // SHA-256 of "hi"
		"00000001" + "00000002" + "6869"
	if got := hex.EncodeToString(f.Marshal()); got != want {
		t.Errorf("written as\n%s, want\n%s", got, want)
	}
}

func TestParse(t *testing.T) {
	f := sample()
	whole := f.Marshal()
	got, err := datachannel.Parse(whole)
	if err != nil {
		t.Fatal(err)
	}
	if !got.Created.Equal(f.Created) || got.Type != f.Type || got.Sequence != 7 || got.Flags != 1 || got.ID != f.ID || got.PayloadType != f.PayloadType || string(got.Payload) != "hi" {
		t.Errorf("read back as %+v", got)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"empty":             func([]byte) []byte { return nil },
		"cut in header":     func(b []byte) []byte { return b[:100] },
		"cut in payload":    func(b []byte) []byte { return b[:len(b)-1] },
		"longer":            func(b []byte) []byte { return append(b, 0) },
		"another payload":   func(b []byte) []byte { b[len(b)-1]++; return b },
		"header of 0":       func(b []byte) []byte { b[3] = 0; return b },
		"header too long":   func(b []byte) []byte { b[0] = 0x7f; return b },
		"header to the end": func(b []byte) []byte { b[3] = byte(len(b) - 2); return b },
	} {
		t.Run(name, func(t *testing.T) {
			if f, err := datachannel.Parse(damage(bytes.Clone(whole))); !errors.Is(err, datachannel.ErrDamaged) {
				t.Errorf("read as %+v, %v", f, err)
			}
		})
	}
	pause := datachannel.Frame{Type: datachannel.PausePublication}
	text := pause.Marshal()
	copy(text, make([]byte, 4)) // the service may leave its header's length out
	if got, err := datachannel.Parse(text); err != nil || got.Type != datachannel.PausePublication {
		t.Errorf("pause: %+v, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	one := sample()
	f.Add(one.Marshal())
	f.Add([]byte(strings.Repeat("\x00", 120)))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := datachannel.Parse(data)
		if err != nil {
			return
		}
		again, err := datachannel.Parse(got.Marshal())
		if err != nil || again.Sequence != got.Sequence || !bytes.Equal(again.Payload, got.Payload) || again.ID != got.ID {
			t.Errorf("%+v is read back as %+v, %v", got, again, err)
		}
	})
}
