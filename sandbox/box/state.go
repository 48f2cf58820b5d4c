// Package box is one sandbox on this machine: its folder and ports, its environment, and the background process.
package box

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"plan-charge/tools/toolchain"
)

// Variables that move the sandbox, so that several can live side by side on one machine.
const (
	EnvState  = "PLAN_CHARGE_STATE"       // folder of everything the sandbox remembers
	EnvOffset = "PLAN_CHARGE_PORT_OFFSET" // added to every default port when the sandbox is first made
)

// Region is the one that the sandbox's account works in.
const Region = "eu-west-3"

// Box is one sandbox. Its folder and its ports are settled when it is first made and kept until the folder is removed,
// because the addresses are part of the stack's state.
type Box struct {
	Dir     string // of all that it remembers
	Ports   Ports
	Program string // path of the sandbox's program, whose `serve` is the background process

	// Known after Prepare.
	Project string // folder of the program that is deployed
	Tools   *toolchain.Tools

	variables []string // see Env
	network   string   // what it was made with: NetworkPrivate or NetworkOpen
}

// Ports are those of the sandbox's parts on the loopback interface.
type Ports struct {
	Gateway  int `json:"gateway"`  // the AWS API, AWS_ENDPOINT_URL
	Emulator int `json:"emulator"` // MiniStack, behind the gateway
	Edge     int `json:"edge"`     // the CDN
	Database int `json:"database"` // the first database instance; further ones count upwards
}

// PortsAt are the default ports with an offset.
func PortsAt(offset int) Ports {
	return Ports{Gateway: 4566 + offset, Emulator: 4567 + offset, Edge: 4580 + offset, Database: 15432 + offset}
}

// Free returns an error that names the first port that something else listens on. The databases' are not asked for:
// those of an earlier run may still be served.
func (p Ports) Free() error {
	for _, part := range []struct {
		name string
		port int
	}{{"gateway", p.Gateway}, {"emulator", p.Emulator}, {"edge", p.Edge}} {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", part.port))
		if err != nil {
			return fmt.Errorf("port %d, which the sandbox's %s needs, is in use: stop what uses it ('ss -ltnp | grep %d' names it), or set %s=1000 and %s to a new folder",
				part.port, part.name, part.port, EnvOffset, EnvState)
		}
		l.Close()
	}
	return nil
}

// Open opens the sandbox that the environment names. It starts nothing.
func Open() (*Box, error) {
	dir, err := stateDir()
	if err != nil {
		return nil, err
	}
	offset := 0
	if v := os.Getenv(EnvOffset); v != "" {
		if offset, err = strconv.Atoi(v); err != nil || offset < 0 || offset > 40000 {
			return nil, fmt.Errorf("%s: found %q, allowed is a whole number from 0 to 40000, for example 1000", EnvOffset, v)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return At(dir, PortsAt(offset), self)
}

// At opens the sandbox in a folder, making it with these ports where it does not exist.
func At(dir string, ports Ports, program string) (*Box, error) {
	for _, d := range []string{dir, filepath.Join(dir, "pulumi")} {
		if err := os.MkdirAll(d, 0o711); err != nil {
			return nil, fmt.Errorf("sandbox folder: %w (set %s to a folder that can be written)", err, EnvState)
		}
	}
	b := &Box{Dir: dir, Program: program}
	network, err := networkAsked()
	if err != nil {
		return nil, err
	}
	var kept settings
	err = readJSON(b.File("settings.json"), &kept)
	if errors.Is(err, fs.ErrNotExist) {
		kept = settings{ports, network}
		err = writeJSON(b.File("settings.json"), kept)
	}
	b.Ports, b.network = kept.Ports, cmp.Or(kept.Network, NetworkOpen)
	return b, err
}

// settings are what the folder keeps from one call to the next.
type settings struct {
	Ports   Ports  `json:"ports"`
	Network string `json:"network"`
}

func stateDir() (string, error) {
	if dir := os.Getenv(EnvState); dir != "" {
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
		return "", fmt.Errorf("no home folder: set %s to a folder for the sandbox: %w", EnvState, err)
	}
	return filepath.Join(home, ".local", "state", "plan-charge"), nil
}

// File is the path of something in the sandbox's folder.
func (b *Box) File(name ...string) string {
	return filepath.Join(append([]string{b.Dir}, name...)...)
}

// AuthorityFile is the certificate of who signs those of the sandbox's databases. The background process makes it.
func (b *Box) AuthorityFile() string { return b.File("authority.pem") }

// WantsPrivate tells whether the sandbox was made to have a private network.
func (b *Box) WantsPrivate() bool { return b.network == NetworkPrivate }

// GatewayURL is that of the AWS API.
func (b *Box) GatewayURL() string { return fmt.Sprintf("http://127.0.0.1:%d", b.Ports.Gateway) }

// EdgeURL is that of the CDN edge.
func (b *Box) EdgeURL() string { return fmt.Sprintf("http://127.0.0.1:%d", b.Ports.Edge) }

// AWS is for calls of the sandbox's own.
func (b *Box) AWS(ctx context.Context) (aws.Config, error) {
	return awsconfig.LoadDefaultConfig(ctx,
		awsconfig.WithRegion(Region),
		awsconfig.WithBaseEndpoint(b.GatewayURL()),
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
