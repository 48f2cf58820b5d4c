package postgres

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"time"
)

// years that a certificate is valid.
const years = 10

// Authority signs servers' certificates. Who trusts it trusts them.
type Authority struct {
	// File is its certificate, PEM.
	File string

	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// OpenAuthority opens the authority whose certificate and key are in these files, or makes one. The key's is closed to others.
func OpenAuthority(certFile, keyFile, name string) (*Authority, error) {
	_, err := os.Stat(certFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = makeAuthority(certFile, keyFile, name)
	}
	if err != nil {
		return nil, err
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("the authority in %s: %w (remove both files to have another one)", certFile, err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("%s holds no authority: remove it to have one", certFile)
	}
	return &Authority{File: certFile, cert: pair.Leaf, key: key}, nil
}

func makeAuthority(certFile, keyFile, name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := certificate(name)
	if err != nil {
		return err
	}
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageCertSign, nil
	template.IsCA = true
	return write(certFile, keyFile, template, template, key, key)
}

// sign writes a certificate for one name, and its key.
func (a *Authority) sign(certFile, keyFile, name string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := certificate(name)
	if err != nil {
		return err
	}
	template.DNSNames = []string{name}
	return write(certFile, keyFile, template, a.cert, key, a.key)
}

// writeCertificate makes a certificate for the loopback names that signs itself, with its key.
func writeCertificate(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template, err := certificate("localhost")
	if err != nil {
		return err
	}
	template.DNSNames = []string{"localhost"}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	template.KeyUsage |= x509.KeyUsageCertSign
	template.IsCA = true // so that clients can give it as their only root and verify fully
	return write(certFile, keyFile, template, template, key, key)
}

// certificate is a server's, which still lacks its names.
func certificate(commonName string) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             now.Add(-time.Hour),
		NotAfter:              now.AddDate(years, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}, err
}

// write signs a certificate, and writes it and its key. The certificate comes last: where it is there, so is its key.
func write(certFile, keyFile string, template, parent *x509.Certificate, key, signer *ecdsa.PrivateKey) error {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		return err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}), 0o600); err != nil {
		return err
	}
	return os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644)
}
