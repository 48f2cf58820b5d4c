package testbed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Secrets are values that must stand nowhere in clear, by what they are.
type Secrets map[string]string

// Secrets reads the values as only the stack's owner can. They are three at least: the database owner's password, the
// app's, and the origin header's.
func (s *Sandbox) Secrets(ctx context.Context) (Secrets, error) {
	status, err := s.Status(ctx, true)
	if err != nil {
		return nil, err
	}
	u, err := url.Parse(status.Database)
	if err != nil {
		return nil, errors.New("the owner's URL cannot be parsed")
	}
	owner, _ := u.User.Password()
	if len(owner) < 20 {
		return nil, fmt.Errorf("the owner's password is missing or short: %d characters", len(owner))
	}
	cmd, err := s.Pulumi(ctx, "stack", "export", "--show-secrets", "--stack", "sandbox")
	if err != nil {
		return nil, err
	}
	state, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("stack export: %w", err)
	}
	values, err := generated(state)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(values, owner) {
		return nil, errors.New("the state does not hold the owner's password as a secret")
	}
	if len(values) < 3 {
		return nil, fmt.Errorf("%d secrets in the state, want the owner's, the app's and the origin header's", len(values))
	}
	found := Secrets{}
	for i, value := range values {
		found[fmt.Sprintf("generated value %d", i+1)] = value
	}
	return found, nil
}

// generated finds the passwords among a state's secrets: each a single word of 16 letters and digits or more.
func generated(state []byte) ([]string, error) {
	var tree any
	if err := json.Unmarshal(state, &tree); err != nil {
		return nil, fmt.Errorf("stack export: %w", err)
	}
	var values []string
	var walk func(any)
	walk = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, child := range node {
				walk(child)
			}
		case map[string]any:
			var value string
			if text, ok := node["plaintext"].(string); ok && json.Unmarshal([]byte(text), &value) == nil && isWord(value) {
				values = append(values, value)
			}
			for _, child := range node {
				walk(child)
			}
		}
	}
	walk(tree)
	slices.Sort(values)
	return slices.Compact(values), nil
}

func isWord(s string) bool {
	return len(s) >= 16 && strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") == ""
}

// In names those that stand in a text, as they are or as a URL has them.
func (s Secrets) In(text string) (found []string) {
	for what, value := range s {
		if strings.Contains(text, value) || strings.Contains(text, url.QueryEscape(value)) {
			found = append(found, what)
		}
	}
	slices.Sort(found)
	return found
}
