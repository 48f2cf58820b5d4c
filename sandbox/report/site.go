package report

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"plan-charge/sandbox/backend"
)

const (
	// LoginPath is where a login starts.
	LoginPath = "/api/v1/auth/sso/token-exchange"
	// StructuredLogin is the login of the incident with a token that is no good.
	StructuredLogin = `{"userInfo":{"email":"test@nda-partners.com","name":"Test User","id":"test-id"},"access_token":"test"}`
)

// ValidLogin is the login of a user with a token that the sample backend accepts.
func ValidLogin(email, name string) (string, error) {
	token, err := backend.SignToken(email, name)
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]any{
		"userInfo":     map[string]string{"email": email, "name": name, "id": strings.ReplaceAll(strings.ToLower(name), " ", "-")},
		"access_token": token,
	})
	return string(body), err
}

// Request is what a browser sends for a path of the site, made so that the sandbox's edge gets it.
func (s *Status) Request(ctx context.Context, method, path, body string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, s.Edge+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Host = strings.TrimPrefix(s.Output("siteUrl"), "https://")
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, nil
}

// Get asks for a path of the site and reads the answer to its end.
func (s *Status) Get(ctx context.Context, path string) (*http.Response, error) {
	return s.ask(ctx, http.MethodGet, path, "")
}

// Login tries a login, with a query or without, and tells the status code, also in words when there is none.
func (s *Status) Login(ctx context.Context, query, body string) (code int, text string) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	resp, err := s.ask(ctx, http.MethodPost, LoginPath+query, body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, fmt.Sprint(resp.StatusCode)
}

func (s *Status) ask(ctx context.Context, method, path, body string) (*http.Response, error) {
	req, err := s.Request(ctx, method, path, body)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, err
}
