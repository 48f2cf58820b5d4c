package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"strings"

	"plan-charge/internal/awsclient"
)

// Route is what a process has to know to reach a stack's database through a session: what a provider's configuration and a
// command's environment hold. Nothing in it is secret, or of one machine.
type Route struct {
	Stack          string   `json:"stack"`
	Database       string   `json:"database"` // the instance's resource id, which no other one has
	Region         string   `json:"region"`
	Profile        string   `json:"profile,omitempty"`
	Role           string   `json:"role,omitempty"`
	Cluster        string   `json:"cluster"`
	TaskDefinition string   `json:"taskDefinition"`
	Container      string   `json:"container"`
	Subnets        []string `json:"subnets"`
	SecurityGroups []string `json:"securityGroups"`
	// Port on 127.0.0.1 leads to the database while a command runs, for programs that take a host and a port only.
	Port int `json:"port"`
	// PreviewReads lets a preview open a session.
	PreviewReads bool `json:"previewReads,omitempty"`
}

// Ports that LoopbackPort chooses from: none that a system gives out by itself (Linux from 32768, others from 49152), and
// none below, where services are.
const (
	firstPort = 15000
	ports     = 15000
)

// LoopbackPort is a database's port on the loopback of every machine. It follows from the instance's resource id, because two
// accounts may have stacks of one name, and a program that takes a port only would land in the other's database.
func LoopbackPort(database string) int {
	h := fnv.New32a()
	h.Write([]byte(database))
	return firstPort + int(h.Sum32()%ports)
}

// ParseRoute reads a route, and names all that is missing in it.
func ParseRoute(text string) (*Route, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	var r Route
	if err := dec.Decode(&r); err != nil {
		return nil, fmt.Errorf("is no route to a database: %w", err)
	}
	var missing []string
	for _, field := range []struct {
		name  string
		empty bool
	}{
		{"stack", r.Stack == ""},
		{"database", r.Database == ""},
		{"region", r.Region == ""},
		{"cluster", r.Cluster == ""},
		{"taskDefinition", r.TaskDefinition == ""},
		{"container", r.Container == ""},
		{"subnets", len(r.Subnets) == 0},
		{"securityGroups", len(r.SecurityGroups) == 0},
		{"port", r.Port < 1 || r.Port > 65535},
	} {
		if field.empty {
			missing = append(missing, field.name)
		}
	}
	if len(missing) > 0 {
		return nil, errors.New("is no route to a database: it lacks " + strings.Join(missing, ", "))
	}
	return &r, nil
}

func (r Route) aws() awsclient.Settings {
	return awsclient.Settings{Region: r.Region, Profile: r.Profile, Role: r.Role}
}

func (r Route) settings(host string, port int) Settings {
	return Settings{
		Stack: r.Stack, Cluster: r.Cluster, TaskDefinition: r.TaskDefinition, Container: r.Container,
		Subnets: r.Subnets, SecurityGroups: r.SecurityGroups, Host: host, Port: port, Idle: afterCommand,
	}
}
