// Package authority knows who may vouch for a database server: Amazon RDS, or whoever this machine's environment names.
package authority

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Who may vouch for a server, as database.authority says it.
const (
	// RDS is Amazon RDS, with the root certificates that are kept here.
	RDS = "rds"
	// Environment is whoever has a certificate in the file that Variable names, as for PostgreSQL's own clients.
	Environment = "environment"
)

const (
	// Variable names a file of certificates (PEM) for PostgreSQL's own clients.
	Variable = "PGSSLROOTCERT"
	// File is RDS's certificates as clients find them that run in the project's folder and take a path only.
	File = "internal/authority/rds.pem"
)

//go:embed rds.pem
var rds []byte

// Covers says whether the certificates that are kept here are those of a region, too.
func Covers(region string) bool {
	return bytes.Contains(rds, []byte("Amazon RDS "+region+" Root CA "))
}

// Roots are the certificates of who may vouch: RDS, Environment, or a file of one's own.
func Roots(who string) (*x509.CertPool, error) {
	text, file := rds, ""
	switch who {
	case RDS:
	case Environment:
		if file = os.Getenv(Variable); file == "" {
			return nil, fmt.Errorf("%s is not set: set it to the file with the certificate (PEM) of who signed the database server's, or leave database.authority to %s", Variable, RDS)
		}
	default:
		file = who
	}
	if file != "" {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return nil, fmt.Errorf("the certificates to verify the database server with: %w", err)
		}
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("%s holds no certificate (PEM) to verify the database server with", file)
	}
	return pool, nil
}

// Verify is how to connect with a server of that name, for which somebody has to vouch.
func Verify(who, name string) (*tls.Config, error) {
	roots, err := Roots(who)
	if err != nil {
		return nil, err
	}
	return &tls.Config{ServerName: name, RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// Refusal says in one line why a server's certificate was refused: what was expected, what was found, and what sets it. It is
// empty where an error is about something else.
func Refusal(err error, who string) string {
	var (
		name    x509.HostnameError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &name):
		return fmt.Sprintf("its certificate is for %s, and %s was expected: another server answers there, or this one is called by a name of your own",
			strings.Join(append(name.Certificate.DNSNames, addresses(name.Certificate)...), ", "), name.Host)
	case errors.As(err, &unknown):
		wayOut := "set database.authority to " + Environment + " and " + Variable
		if who == Environment {
			wayOut = "set " + Variable
		}
		return fmt.Sprintf("its certificate is signed by %q, and %s was expected. Where it is right, %s to the file with the certificate of who signed it",
			unknown.Cert.Issuer.CommonName, expected(who), wayOut)
	case errors.As(err, &invalid):
		return fmt.Sprintf("its certificate, signed by %q, is not valid: %v", invalid.Cert.Issuer.CommonName, invalid)
	}
	return ""
}

func addresses(cert *x509.Certificate) []string {
	var all []string
	for _, ip := range cert.IPAddresses {
		all = append(all, ip.String())
	}
	return all
}

// expected names who may vouch.
func expected(who string) string {
	switch who {
	case RDS:
		return "Amazon RDS (database.authority: " + RDS + ")"
	case Environment:
		return "one of " + os.Getenv(Variable) + " (database.authority: " + Environment + ", " + Variable + ")"
	case "":
		return "one that this system trusts"
	}
	return "one of " + who
}
