package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Variables that move the sandbox, so that several can live side by side on one machine.
const (
	envState  = "PLAN_CHARGE_STATE"       // folder of everything the sandbox remembers
	envOffset = "PLAN_CHARGE_PORT_OFFSET" // added to every default port when the sandbox is first made
)

// state is where one sandbox lives: its folder and its ports. It is settled when the sandbox is first made and kept
// until the folder is removed, because the addresses are part of the stack's state.
type state struct {
	dir   string
	Ports ports `json:"ports"`
}

type ports struct {
	Gateway  int `json:"gateway"`  // the AWS API, AWS_ENDPOINT_URL
	Emulator int `json:"emulator"` // MiniStack, behind the gateway
	Edge     int `json:"edge"`     // the CDN
	Database int `json:"database"` // the first database instance; further ones count upwards
}

// openState reads the sandbox's folder, making it where it does not exist.
func openState() (*state, error) {
	dir, err := stateDir()
	if err != nil {
		return nil, err
	}
	for _, d := range []string{dir, filepath.Join(dir, "pulumi")} {
		if err := os.MkdirAll(d, 0o711); err != nil {
			return nil, fmt.Errorf("sandbox folder: %w (set %s to a folder that can be written)", err, envState)
		}
	}
	s := &state{dir: dir}
	err = readJSON(s.file("settings.json"), s)
	if err == nil {
		return s, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	offset := 0
	if v := os.Getenv(envOffset); v != "" {
		if offset, err = strconv.Atoi(v); err != nil || offset < 0 || offset > 40000 {
			return nil, fmt.Errorf("%s: found %q, allowed is a whole number from 0 to 40000, for example 1000", envOffset, v)
		}
	}
	s.Ports = ports{Gateway: 4566 + offset, Emulator: 4567 + offset, Edge: 4580 + offset, Database: 15432 + offset}
	return s, writeJSON(s.file("settings.json"), s)
}

func stateDir() (string, error) {
	if dir := os.Getenv(envState); dir != "" {
		return filepath.Abs(dir)
	}
	if os.Geteuid() == 0 {
		return "/var/lib/plan-charge", nil // PostgreSQL runs as another user, and /root is closed to it
	}
	if base := os.Getenv("XDG_STATE_HOME"); base != "" {
		return filepath.Join(base, "plan-charge"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no home folder: set %s to a folder for the sandbox: %w", envState, err)
	}
	return filepath.Join(home, ".local", "state", "plan-charge"), nil
}

func (s *state) file(name ...string) string {
	return filepath.Join(append([]string{s.dir}, name...)...)
}

func (s *state) gatewayURL() string { return fmt.Sprintf("http://127.0.0.1:%d", s.Ports.Gateway) }
func (s *state) edgeURL() string    { return fmt.Sprintf("http://127.0.0.1:%d", s.Ports.Edge) }

// awsConfig is for calls of the sandbox's own.
func awsConfig(ctx context.Context, s *state) (aws.Config, error) {
	return awsconfig.LoadDefaultConfig(ctx,
		awsconfig.WithRegion("eu-west-3"),
		awsconfig.WithBaseEndpoint(s.gatewayURL()),
		awsconfig.WithAppID("plan-charge-sandbox"),
		awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider("test", "test", "")))
}

func readJSON(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%s: %w (remove the file to start afresh)", path, err)
	}
	return nil
}

// writeJSON replaces the file in one step, so that a crash leaves either the old or the new one.
func writeJSON(path string, value any) error {
	data, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
