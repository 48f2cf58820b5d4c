package backend

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"
)

// The sandbox has no identity provider: logins are signed with a text that anybody may know. app/app/config.py has the
// same one. It protects nothing outside a sandbox, because a deployed service is given SSO_SECRET.
const (
	ssoSecret = "plan-charge sandbox, not a secret"
	ssoIssuer = "plan-charge-sso"
)

// SignToken returns a token, valid for an hour, with which a user of that e-mail address and name can log in to a
// sandbox: a JSON Web Token signed by HMAC-SHA256.
func SignToken(email, name string) (string, error) {
	now := time.Now()
	header, err := encode(map[string]any{"alg": "HS256", "typ": "JWT"})
	if err != nil {
		return "", err
	}
	claims, err := encode(map[string]any{
		"iss": ssoIssuer, "email": email, "name": name, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, []byte(ssoSecret))
	mac.Write([]byte(header + "." + claims))
	return header + "." + claims + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}

func encode(part any) (string, error) {
	data, err := json.Marshal(part)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(data), nil
}
