package authority_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"plan-charge/internal/authority"
)

// What is kept are RDS's roots, each of which will be valid for as long as a deployment may be.
func TestTheKeptCertificatesAreRoots(t *testing.T) {
	text, err := os.ReadFile("rds.pem")
	if err != nil {
		t.Fatal(err)
	}
	regions := map[string]int{}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		var region, kind string
		if _, err := fmt.Sscanf(cert.Subject.CommonName, "Amazon RDS %s Root CA %s G1", &region, &kind); err != nil {
			t.Errorf("%q is no root of RDS's: %v", cert.Subject.CommonName, err)
		}
		if err := cert.CheckSignatureFrom(cert); err != nil || !cert.IsCA || cert.NotAfter.Before(time.Now().AddDate(20, 0, 0)) {
			t.Errorf("%s is no root for the years to come: until %s, %v", cert.Subject.CommonName, cert.NotAfter, err)
		}
		if !authority.Covers(region) {
			t.Errorf("%s is not covered", region)
		}
		regions[region]++
	}
	for region, n := range regions {
		if n != 3 { // rds-ca-rsa2048-g1, rds-ca-rsa4096-g1, rds-ca-ecc384-g1
			t.Errorf("%s has %d certificates", region, n)
		}
	}
	if regions["eu-west-3"] == 0 || authority.Covers("eu-west-9") || authority.Covers("") {
		t.Errorf("regions: %v", regions)
	}
	if _, err := os.Stat(filepath.Join("..", "..", authority.File)); err != nil {
		t.Error("clients that take a path do not find them in the project:", err)
	}
}

func TestRootsThatCannotBeUsedAreNamed(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for variable, want := range map[string]string{"": "PGSSLROOTCERT is not set", "/nowhere.pem": "/nowhere.pem", empty: "holds no certificate"} {
		t.Setenv("PGSSLROOTCERT", variable)
		if _, err := authority.Roots(authority.Environment); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", variable, err)
		}
		if _, err := authority.Roots(authority.RDS); err != nil {
			t.Errorf("%q has a say in RDS's certificates: %v", variable, err)
		}
	}
}

func TestRefusalIsAboutCertificates(t *testing.T) {
	if text := authority.Refusal(errors.New("connection refused"), authority.RDS); text != "" {
		t.Errorf("a refused connection is %q", text)
	}
}
