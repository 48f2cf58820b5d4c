package schema

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"

	"golang.org/x/text/secure/precis"
)

// scramIterations is PostgreSQL's own default.
const scramIterations = 4096

// scramVerifier returns what PostgreSQL stores for a password, so that the password itself is never part of a statement
// that a server may log, and no provider has to quote it. The salt follows from the scope: a new one each time would
// change the role at each update.
func scramVerifier(password string, scope ...string) (string, error) {
	// Clients normalise before they hash; what cannot be normalised they take as it is.
	if normal, err := precis.OpaqueString.String(password); err == nil {
		password = normal
	}
	h := sha256.New()
	h.Write([]byte("plan-charge role"))
	for _, part := range scope {
		fmt.Fprintf(h, "\x00%s", part)
	}
	salt := h.Sum(nil)[:16]
	salted, err := pbkdf2.Key(sha256.New, password, salt, scramIterations, sha256.Size)
	if err != nil {
		return "", fmt.Errorf("hash a role's password: %w", err)
	}
	stored := sha256.Sum256(mac(salted, "Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", scramIterations, b64(salt), b64(stored[:]), b64(mac(salted, "Server Key"))), nil
}

// again is what a verifier's scope has besides when a role is given the same password again, so that it is another
// verifier. The first one is without it.
func again(generation int) []string {
	if generation <= 1 {
		return nil
	}
	return []string{strconv.Itoa(generation)}
}

func mac(key []byte, text string) []byte {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(text))
	return m.Sum(nil)
}
