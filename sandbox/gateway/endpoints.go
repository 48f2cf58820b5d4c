package gateway

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"sync"

	"plan-charge/sandbox/vpc"
)

// defaultPort is PostgreSQL's.
const defaultPort = 5432

// endpoints tell databases by the name and port that they have in the private network. The emulator tells where it reaches
// them itself.
type endpoints struct {
	file    string
	network *vpc.Network // nil: the emulator's answers stay
	log     *slog.Logger

	mu    sync.Mutex
	ports map[string]int // by instance identifier
}

func newEndpoints(file string, n *vpc.Network, log *slog.Logger) (*endpoints, error) {
	e := &endpoints{file: file, network: n, log: log, ports: map[string]int{}}
	if n == nil {
		return e, nil
	}
	if err := readState(file, &e.ports); err != nil {
		return nil, err
	}
	for id, port := range e.ports {
		if err := n.Declare(id, port); err != nil {
			return nil, err
		}
	}
	return e, nil
}

// before declares a database as soon as it is asked for: its container must find its name.
func (e *endpoints) before(c *call) {
	if e.network == nil || c.service != "rds" {
		return
	}
	id, asked := c.form.Get("DBInstanceIdentifier"), c.form.Get("DBPortNumber")
	switch c.action {
	case "CreateDBInstance":
		asked = cmp.Or(c.form.Get("Port"), strconv.Itoa(defaultPort))
	case "ModifyDBInstance":
	default:
		return
	}
	port, err := strconv.Atoi(asked)
	if err != nil || id == "" {
		return // nothing about the port, or the emulator refuses it
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ports[id] != 0 && c.action == "CreateDBInstance" {
		return // it exists
	}
	e.ports[id] = port
	if err := e.network.Declare(id, port); err != nil {
		e.log.Error("name a database in the private network", "instance", id, "error", err)
	}
	e.save()
}

// save keeps the ports. e.mu is held.
func (e *endpoints) save() {
	if err := writeState(e.file, e.ports); err != nil {
		e.log.Error("keep the databases' ports", "error", err)
	}
}

var endpointXML = regexp.MustCompile(`(?s)<Endpoint>\s*<Address>[^<]*</Address>\s*<Port>[^<]*</Port>`)

// after returns what puts the names into the emulator's answer, and does next before.
func (e *endpoints) after(c *call, next func(context.Context, *call, *response)) func(context.Context, *call, *response) {
	if e.network == nil || c.service != "rds" {
		return next
	}
	return func(ctx context.Context, c *call, r *response) {
		if next != nil {
			next(ctx, c, r)
		}
		r.body = oneInstance.ReplaceAllFunc(r.body, func(xml []byte) []byte {
			found := instanceID.FindSubmatch(xml)
			if found == nil {
				return xml
			}
			id := string(found[1])
			e.mu.Lock()
			port := cmp.Or(e.ports[id], defaultPort)
			e.mu.Unlock()
			return endpointXML.ReplaceAll(xml, fmt.Appendf(nil, "<Endpoint><Address>%s</Address><Port>%d</Port>", e.network.DatabaseName(id), port))
		})
		if id := c.form.Get("DBInstanceIdentifier"); c.action == "DeleteDBInstance" && r.status < 300 {
			e.mu.Lock()
			defer e.mu.Unlock()
			delete(e.ports, id)
			e.save()
			if err := e.network.Withdraw(id); err != nil {
				e.log.Error("forget a database's name", "instance", id, "error", err)
			}
		}
	}
}
