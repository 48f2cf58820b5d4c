// Package vpc is the private network of a sandbox: each container has a network namespace of its own, in which its private
// address is the only one that is not the container's own machine. There is no route between them and none from outside;
// what may be connected is connected by this package, which asks the security groups first.
package vpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"plan-charge/internal/oneline"
)

const (
	// subnet is where addresses are taken from: the first private subnet of a network that the program makes by default.
	subnet = "10.20.128.0/20"
	// reserved are the first addresses of a subnet, which AWS keeps.
	reserved = 4
	// patience is how long a connection that nobody admits stays without an answer; clients give up before.
	patience = 2 * time.Minute
	// dialTimeout bounds a connection that is made for somebody.
	dialTimeout = 10 * time.Second
	// acceptPause is how long a listener rests that cannot take a connection now.
	acceptPause = 50 * time.Millisecond
)

// ErrNoHost says that a name means nothing in the network.
var ErrNoHost = errors.New("no such host")

// Party is one end of a connection, as security groups see it.
type Party struct {
	Address netip.Addr
	// Task is the ARN of the task that has the address, and Database the identifier of the instance; one at most is set.
	Task, Database string
	// Groups are the security groups of a party that is neither.
	Groups []string
}

// Options say how a Network runs.
type Options struct {
	// Hosts is the file that becomes the containers' /etc/hosts.
	Hosts string
	// Region is part of the databases' names.
	Region string
	// Services are ports of this machine's 127.0.0.1 that containers reach at their own: AWS's API.
	Services []int
	// Log receives what happens; nil drops it.
	Log *slog.Logger
}

// Network is one private network.
type Network struct {
	opt     Options
	prefix  netip.Prefix
	control *Interface // of AWS itself: it reaches each database at the port that it published
	door    net.Listener

	mu         sync.Mutex
	admits     func(ctx context.Context, from, to Party, port int) bool
	interfaces map[netip.Addr]*Interface
	databases  map[string]*database
	taken      map[netip.Addr]bool
}

// database is an instance's endpoint. It keeps its address when the container behind it is another.
type database struct {
	id, name string
	address  netip.Addr
	port     int
	behind   *Interface // nil while it does not run
	inside   string     // where it listens in there
}

// Interface is one namespace, and what runs in it.
type Interface struct {
	network *Network
	party   Party
	space   *namespace
	used    int // addresses of its loopback device

	mu        sync.Mutex
	listeners map[string]net.Listener // by what they are for
	closed    bool
}

// New makes a network, or says why there can be none here.
func New(o Options) (*Network, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	n := &Network{
		opt: o, prefix: netip.MustParsePrefix(subnet), interfaces: map[netip.Addr]*Interface{}, databases: map[string]*database{}, taken: map[netip.Addr]bool{},
		admits: func(context.Context, Party, Party, int) bool { return false },
	}
	if err := n.writeHosts(); err != nil {
		return nil, err
	}
	var err error
	n.control, err = n.enter(Party{})
	return n, err
}

// Enforce sets who decides which connections are admitted. Without it none is.
func (n *Network) Enforce(admits func(ctx context.Context, from, to Party, port int) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.admits = admits
}

func (n *Network) admitted(ctx context.Context, from, to Party, port int) bool {
	n.mu.Lock()
	admits := n.admits
	n.mu.Unlock()
	return admits(ctx, from, to, port)
}

// Close ends all that is connected, and every namespace that no process holds.
func (n *Network) Close() {
	n.mu.Lock()
	all := slices.Collect(maps.Values(n.interfaces))
	door := n.door
	n.mu.Unlock()
	for _, i := range append(all, n.control) {
		i.Close()
	}
	if door != nil {
		door.Close()
	}
}

// Control is where the emulator of AWS runs.
func (n *Network) Control() *Interface { return n.control }

// Address reserves a private address until Free.
func (n *Network) Address() (netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.address()
}

func (n *Network) address() (netip.Addr, error) {
	at := n.prefix.Addr()
	for range reserved {
		at = at.Next()
	}
	for ; n.prefix.Contains(at); at = at.Next() {
		if !n.taken[at] {
			n.taken[at] = true
			return at, nil
		}
	}
	return at, errors.New("the network has no address left")
}

// Free gives an address back.
func (n *Network) Free(address netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.taken, address)
}

// Attach makes the namespace of a container. One of a database is reached at the port it publishes.
func (n *Network) Attach(p Party, published int) (*Interface, error) {
	i, err := n.enter(p)
	if err != nil {
		return nil, err
	}
	for _, port := range n.opt.Services {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		dial := func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp4", address) }
		if err := i.serve("service "+address, address, dial); err != nil {
			i.Close()
			return nil, err
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.interfaces[p.Address] = i
	if p.Database == "" {
		for _, d := range n.databases {
			n.offer(i, d)
		}
		return i, nil
	}
	d, err := n.declare(p.Database)
	if err != nil {
		return i, err
	}
	d.behind, d.inside = i, net.JoinHostPort("127.0.0.1", strconv.Itoa(published))
	err = n.control.serve("database "+d.id, d.inside, func(ctx context.Context) (net.Conn, error) { return i.dial(ctx, d.inside) })
	return i, err
}

// Declare makes a database's name and port known in the network, before it runs or while it does.
func (n *Network) Declare(id string, port int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	d, err := n.declare(id)
	if err != nil || d.port == port {
		return err
	}
	d.port = port
	for _, i := range n.interfaces {
		if i.party.Database == "" {
			n.offer(i, d)
		}
	}
	return nil
}

// declare returns a database, a new one on its default port. n.mu is held.
func (n *Network) declare(id string) (*database, error) {
	if d := n.databases[id]; d != nil {
		return d, nil
	}
	address, err := n.address()
	if err != nil {
		return nil, err
	}
	d := &database{id: id, name: n.DatabaseName(id), address: address, port: 0}
	n.databases[id] = d
	return d, n.writeHosts()
}

// Withdraw forgets a database that was deleted.
func (n *Network) Withdraw(id string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	d := n.databases[id]
	if d == nil {
		return nil
	}
	delete(n.databases, id)
	delete(n.taken, d.address)
	for _, i := range n.interfaces {
		i.stop("database " + id)
	}
	return n.writeHosts()
}

// DatabaseName is an instance's address as RDS names it.
func (n *Network) DatabaseName(id string) string {
	return fmt.Sprintf("%s.c0sandbox0db.%s.rds.amazonaws.com", strings.ToLower(id), n.opt.Region)
}

// offer lets an interface reach a database where the security groups admit it. n.mu is held.
func (n *Network) offer(i *Interface, d *database) {
	if d.port == 0 {
		return // not declared yet
	}
	err := i.add(d.address)
	if err == nil {
		err = i.serve("database "+d.id, netip.AddrPortFrom(d.address, uint16(d.port)).String(), func(ctx context.Context) (net.Conn, error) {
			return n.connect(ctx, i.party, d)
		})
	}
	if err != nil {
		n.opt.Log.Error("let a container reach a database", "address", i.party.Address, "database", d.id, "error", err)
	}
}

// connect connects somebody to a database. One whom nothing admits gets no answer, as one whose packets are dropped.
func (n *Network) connect(ctx context.Context, from Party, d *database) (net.Conn, error) {
	if !n.admitted(ctx, from, Party{Address: d.address, Database: d.id}, d.port) {
		n.opt.Log.Warn("no security group admits it", "from", from.Address, "task", from.Task, "database", d.id)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return n.open(ctx, d)
}

// open connects to a database, whatever the security groups say.
func (n *Network) open(ctx context.Context, d *database) (net.Conn, error) {
	n.mu.Lock()
	behind, inside := d.behind, d.inside
	n.mu.Unlock()
	if behind == nil {
		return nil, fmt.Errorf("database %s does not run", d.id)
	}
	return behind.dial(ctx, inside)
}

// DialFrom dials as a process of the container with that address does.
func (n *Network) DialFrom(ctx context.Context, source netip.Addr, address string) (net.Conn, error) {
	n.mu.Lock()
	i := n.interfaces[source]
	n.mu.Unlock()
	if i == nil {
		return nil, fmt.Errorf("nothing has the address %s", source)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err != nil {
		d := n.named(host)
		if d == nil {
			return nil, &net.DNSError{Err: ErrNoHost.Error(), Name: host, IsNotFound: true}
		}
		host = d.address.String()
	}
	return i.dial(ctx, net.JoinHostPort(host, port))
}

func (n *Network) named(host string) *database {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range n.databases {
		if strings.EqualFold(d.name, host) {
			return d
		}
	}
	return nil
}

// DialTo dials a container from outside, as a load balancer does. What no security group admits gets no answer.
func (n *Network) DialTo(ctx context.Context, from Party, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	i := n.interfaces[to.Addr()]
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	if i == nil || !n.admitted(ctx, from, i.party, int(to.Port())) { // packets to an address that nobody has get lost, too
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return i.dial(ctx, address)
}

// enter makes a namespace with an address, if the party has one.
func (n *Network) enter(p Party) (*Interface, error) {
	space, err := newNamespace(n.opt.Hosts)
	if err != nil {
		return nil, err
	}
	i := &Interface{network: n, party: p, space: space, listeners: map[string]net.Listener{}}
	if p.Address.IsValid() {
		if err := i.add(p.Address); err != nil {
			i.Close()
			return nil, err
		}
	}
	return i, nil
}

// Do runs what starts processes or opens sockets: they are the interface's. It must not take long.
func (i *Interface) Do(f func() error) error { return i.space.do(f) }

func (i *Interface) add(address netip.Addr) error {
	i.mu.Lock()
	i.used++
	alias := "lo:" + strconv.Itoa(i.used)
	i.mu.Unlock()
	return i.Do(func() error { return addAddress(alias, address) })
}

func (i *Interface) dial(ctx context.Context, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	return i.space.dial(ctx, address)
}

// serve listens in the interface and connects who comes with what dial returns.
func (i *Interface) serve(what, address string, dial func(context.Context) (net.Conn, error)) error {
	var l net.Listener
	err := i.Do(func() (err error) {
		l, err = net.Listen("tcp4", address)
		return err
	})
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.closed {
		return errors.Join(net.ErrClosed, l.Close())
	}
	if before := i.listeners[what]; before != nil {
		before.Close()
	}
	i.listeners[what] = l
	go i.network.forward(l, dial, false)
	return nil
}

func (i *Interface) stop(what string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if l := i.listeners[what]; l != nil {
		l.Close()
		delete(i.listeners, what)
	}
}

// Close ends the interface: what still runs in it is killed, and what is connected to it ends with that.
func (i *Interface) Close() {
	i.mu.Lock()
	over := i.closed
	i.closed = true
	for _, l := range i.listeners {
		l.Close()
	}
	i.mu.Unlock()
	if over {
		return
	}
	n := i.network
	n.mu.Lock()
	delete(n.interfaces, i.party.Address)
	if d := n.databases[i.party.Database]; d != nil && d.behind == i {
		d.behind = nil
		n.control.stop("database " + d.id)
	}
	n.mu.Unlock()
	i.space.close()
}

// Expose lets this machine reach a port of the emulator's. It speaks HTTP, whose clients have gone when they end their half:
// what is kept for them would be open for a minute after each call.
func (n *Network) Expose(port int) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	l, err := net.Listen("tcp4", address)
	if err != nil {
		return err
	}
	n.control.mu.Lock()
	defer n.control.mu.Unlock()
	n.control.listeners["outside "+address] = l
	go n.forward(l, func(ctx context.Context) (net.Conn, error) { return n.control.dial(ctx, address) }, true)
	return nil
}

// Door serves the sandbox's own way to its databases, for what looks at them from outside: a unix socket on which a client
// writes NAME:PORT and a newline, and gets an empty line once it is connected. Nothing that is deployed knows of it.
func (n *Network) Door(path string) error {
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(err, l.Close())
	}
	n.mu.Lock()
	n.door = l
	n.mu.Unlock()
	go func() {
		for {
			conn, err := n.accept(l)
			if err != nil {
				return
			}
			go n.letIn(conn)
		}
	}()
	return nil
}

func (n *Network) letIn(conn net.Conn) {
	defer conn.Close()
	line, err := oneline.Read(conn)
	host, _, _ := strings.Cut(line, ":")
	d := n.named(host)
	if err != nil || d == nil {
		fmt.Fprintf(conn, "%s: %v\n", line, cmp.Or(err, ErrNoHost))
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	inside, err := n.open(ctx, d)
	if err != nil {
		fmt.Fprintf(conn, "%v\n", err)
		return
	}
	if _, err := io.WriteString(conn, "\n"); err != nil {
		inside.Close()
		return
	}
	join(conn, inside, false)
}

// EnterBy connects to a database by the door at path.
func EnterBy(ctx context.Context, path, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	_, err = io.WriteString(conn, address+"\n")
	var refused string
	if err == nil {
		refused, err = oneline.Read(conn)
	}
	if err == nil && refused != "" {
		err = errors.New(refused)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("the sandbox's door to %s: %w", address, err), conn.Close())
	}
	return conn, nil
}

// writeHosts writes the names into the file that every container has as /etc/hosts. It is never empty in between.
func (n *Network) writeHosts() error {
	var text strings.Builder
	text.WriteString("127.0.0.1 localhost\n::1 localhost\n")
	for _, id := range slices.Sorted(maps.Keys(n.databases)) {
		d := n.databases[id]
		fmt.Fprintf(&text, "%s %s\n", d.address, d.name)
	}
	f, err := os.OpenFile(n.opt.Hosts, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(text.String()), 0); err != nil {
		return err
	}
	return f.Truncate(int64(text.Len()))
}

// accept returns the next connection, or net.ErrClosed. Any other error passes: there are too many open files, mostly.
func (n *Network) accept(l net.Listener) (net.Conn, error) {
	for {
		conn, err := l.Accept()
		if err == nil || errors.Is(err, net.ErrClosed) {
			return conn, err
		}
		n.opt.Log.Error("take a connection", "at", l.Addr(), "error", err)
		time.Sleep(acceptPause)
	}
}

// forward connects who comes to a listener, until that is closed.
func (n *Network) forward(l net.Listener, dial func(context.Context) (net.Conn, error), whole bool) {
	for {
		conn, err := n.accept(l)
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			defer cancel()
			other, err := dial(ctx)
			if err == nil {
				join(conn, other, whole)
			} else if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // it sees a reset, as near to being refused as can be
			}
		}()
	}
}

// join copies both ways. The end of one direction is passed on, and the other goes on to its own; or it ends the whole.
func join(a, b net.Conn, whole bool) {
	defer a.Close()
	defer b.Close()
	var both sync.WaitGroup
	one := func(to, from net.Conn) {
		_, err := io.Copy(to, from)
		half, ok := to.(interface{ CloseWrite() error })
		if whole || err != nil || !ok || half.CloseWrite() != nil {
			to.Close()
			from.Close()
		}
	}
	both.Go(func() { one(a, b) })
	both.Go(func() { one(b, a) })
	both.Wait()
}
