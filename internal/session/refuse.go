package session

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"io"
	"math/big"
	"net"
	"time"
)

// A PostgreSQL client's first packet begins with its length and a code (protocol, "Message Formats"): 8 bytes.
const (
	packetHead = 8

	sslRequest    = 80877103
	gssRequest    = 80877104
	cancelRequest = 80877102
	// longestStartup is what the server itself takes (MAX_STARTUP_PACKET_LENGTH).
	longestStartup = 10000
)

// refuse tells a PostgreSQL client why there is no connection, as a server would: a closed port tells it nothing, and what
// it shows is all that a person gets to see. First are its first bytes.
func refuse(c net.Conn, first []byte, reason error) {
	c.SetDeadline(time.Now().Add(firstWords))
	for {
		length, code := binary.BigEndian.Uint32(first), binary.BigEndian.Uint32(first[4:])
		switch code {
		case gssRequest:
			if _, err := c.Write([]byte("N")); err != nil {
				return
			}
		case sslRequest:
			cert, err := nobody(reason)
			if err != nil {
				return
			}
			if _, err := c.Write([]byte("S")); err != nil {
				return
			}
			c = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
		case cancelRequest:
			return
		default:
			if length < packetHead || length > longestStartup {
				return // it does not speak PostgreSQL
			}
			if _, err := io.CopyN(io.Discard, c, int64(length-packetHead)); err != nil {
				return
			}
			_, _ = c.Write(fatal(reason.Error())) // who is gone needs no reason
			c.Close()
			return
		}
		if _, err := io.ReadFull(c, first); err != nil {
			return
		}
	}
}

// fatal is the ErrorResponse of a server that takes no connection.
func fatal(text string) []byte {
	var fields bytes.Buffer
	for _, f := range []struct {
		kind byte
		text string
	}{{'S', "FATAL"}, {'V', "FATAL"}, {'C', "08001"}, {'M', text}} { // sqlclient_unable_to_establish_sqlconnection
		fields.WriteByte(f.kind)
		fields.WriteString(f.text)
		fields.WriteByte(0)
	}
	fields.WriteByte(0)
	packet := binary.BigEndian.AppendUint32([]byte{'E'}, uint32(4+fields.Len()))
	return append(packet, fields.Bytes()...)
}

// nobody is a certificate that no authority has signed: a client that verifies one takes this for no server of its own, and
// hears no more. So the reason is the name of who signed it, which Go's clients repeat (pulumi-postgresql is one).
func nobody(reason error) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	now := time.Now()
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
			BasicConstraintsValid: true,
		}
	}
	signer := template(reason.Error())
	signerDER, err := x509.CreateCertificate(rand.Reader, signer, signer, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, err
	}
	der, err := x509.CreateCertificate(rand.Reader, template("no connection"), signer, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der, signerDER}, PrivateKey: key}, err
}
