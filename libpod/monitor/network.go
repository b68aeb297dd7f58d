package monitor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"ctr/libpod/config"
	"ctr/libpod/config/parse"
	"ctr/libpod/state"
	"ctr/netns"
	"ctr/netns/bridge"
	"ctr/netns/dns"
	"ctr/netns/lease"
	"ctr/netns/link"
	"ctr/netns/network"
	"ctr/netns/ports"
)

// wiring is the container's own network namespace and what connects it: places in
// networks, or a user-mode link of its own. It is made while the container is being
// created; the container's process is executed when both are ready. It serves every
// restart.
type wiring struct {
	store *state.Store
	id    string // of the namespace, for inspect
	ns    *os.File
	done  chan struct{} // closed when the wiring is made or err is set
	err   error
	life  context.Context
	end   context.CancelFunc

	networks *network.Networks
	leases   *lease.Leases
	hub      *bridge.Hub
	link     *link.Link // of its own
	dns      *dns.Server
	known    atomic.Pointer[[]dns.Attached] // to the name server
	ports    *ports.Listeners
	notices  []string

	mu     sync.Mutex
	places []*place
}

// place is where the container is in one network.
type place struct {
	asked     config.Endpoint
	network   *network.Network
	lease     lease.Lease
	iface     string
	isDefault [2]bool // its gateway is the default route: of IPv4, of IPv6
}

// connect begins to wire the container, where its configuration wants that; nil otherwise.
func (m *Monitor) connect() (*wiring, error) {
	mode, _, _ := strings.Cut(m.cfg.NS.Network, ":")
	var wire func(context.Context, *config.Container) error
	w := &wiring{store: m.store, id: state.NewID(), done: make(chan struct{})}
	switch mode {
	case "":
		wire = w.join
		// The kernel's work on devices and rules is not to hold up the container's creation.
		runtime.GOMAXPROCS(2)
	case link.Pasta, link.Slirp4netns:
		wire = w.own
	default: // none, host, container:, ns:
		return nil, nil
	}
	var err error
	if w.ns, err = netns.New(); err != nil {
		return nil, err
	}
	w.life, w.end = context.WithCancel(context.Background())
	go func() {
		defer close(w.done)
		w.err = wire(w.life, m.cfg)
	}()
	return w, nil
}

// own gives the container a user-mode link of its own.
func (w *wiring) own(ctx context.Context, cfg *config.Container) (err error) {
	helper, options, _ := strings.Cut(cfg.NS.Network, ":")
	o := link.Options{Helper: helper, RunDir: w.store.RunDir(cfg.ID), Ports: published(cfg)}
	if options != "" {
		o.Args = strings.Split(options, ",")
	}
	if helper == link.Slirp4netns {
		if w.ports, err = w.listen(cfg); err != nil {
			return err
		}
	}
	if w.link, err = link.Connect(ctx, w.ns, o); err != nil {
		return err
	}
	if w.link.Note != "" {
		w.notices = append(w.notices, w.link.Note)
	}
	if w.ports != nil {
		w.ports.Serve(inside{w.ns}, ports.Target{IPv4: w.link.Address, IPv6: w.link.Address6})
	}
	return nil
}

// inside makes sockets in a container's own namespace.
type inside struct{ ns *os.File }

func (i inside) Socket(domain, typ int, prepare func(fd int) error) (fd int, err error) {
	err = netns.Do(i.ns, func() error {
		if fd, err = unix.Socket(domain, typ|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0); err != nil {
			return err
		}
		if prepare == nil {
			return nil
		}
		if err := prepare(fd); err != nil {
			unix.Close(fd)
			return err
		}
		return nil
	})
	return fd, err
}

// published are the ports that were asked for, those of -P included.
func published(cfg *config.Container) []config.PortMapping {
	if !cfg.PublishAll {
		return cfg.Ports
	}
	return parse.PublishAll(cfg.Exposed, cfg.Ports)
}

// listen binds the published ports on the host; nil when there are none.
func (w *wiring) listen(cfg *config.Container) (*ports.Listeners, error) {
	want := published(cfg)
	if len(want) == 0 {
		return nil, nil
	}
	return ports.Listen(want, w.ownerOf)
}

// ownerOf names the running container that has published the port p.
func (w *wiring) ownerOf(p config.PortMapping) string {
	ids, _ := w.store.RunningIDs()
	for _, id := range ids {
		r, err := w.store.ReadRecord(id)
		if err != nil || r == nil || r.Network == nil || !r.Monitor.Alive() {
			continue
		}
		for _, bound := range r.Network.Ports {
			if bound.HostPort == p.HostPort && bound.Protocol == p.Protocol {
				if cfg, err := w.store.Load(id); err == nil {
					return cfg.Name
				}
			}
		}
	}
	return ""
}

// close gives everything back. The kernel takes its time over a network device;
// nobody waits for that.
func (w *wiring) close() {
	<-w.done
	w.end()
	if w.ports != nil {
		w.ports.Close()
	}
	if w.dns != nil {
		w.dns.Close()
	}
	if w.link != nil {
		w.link.Kill()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.places {
		if err := w.release(p); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		w.store.Log(NetworkEvent(p.network, "disconnect", map[string]string{"container": p.lease.Container}))
	}
	w.places = nil
	w.ns.Close()
	if w.hub != nil {
		w.hub.Close()
	}
}

func (w *wiring) release(p *place) error {
	return errors.Join(w.leases.Release(p.network.ID, p.lease.Container), w.hub.Left(p.network))
}

// state is what is on record while the container runs.
func (w *wiring) state() *state.Network {
	select {
	case <-w.done:
	default:
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := &state.Network{SandboxID: w.id}
	if w.ports != nil {
		s.Ports = w.ports.Bound()
	}
	if l := w.link; l != nil {
		s.Helper = l.Helper
		s.Endpoints = []state.Endpoint{{
			Network: l.Helper, Interface: l.Interface, MAC: l.MAC,
			IPv4: withLength(l.Address, l.Prefix), Gateway: l.Gateway.String(),
		}}
		if s.Ports == nil {
			s.Ports = l.Ports
		}
	}
	for _, p := range w.places {
		s.Endpoints = append(s.Endpoints, p.state())
	}
	return s
}

func (p *place) state() state.Endpoint {
	e := state.Endpoint{
		Network: p.network.Name, NetworkID: p.network.ID, EndpointID: p.lease.Endpoint, Interface: p.iface, MAC: p.lease.MAC,
		Names: slices.Clone(p.lease.Names), Priority: p.asked.Priority,
	}
	for _, s := range p.network.Subnets {
		switch {
		case s.Subnet.Contains(p.lease.IPv4):
			e.IPv4 = withLength(p.lease.IPv4, s.Subnet)
			if !p.network.Internal {
				e.Gateway = s.Gateway.String()
			}
		case s.Subnet.Contains(p.lease.IPv6):
			e.IPv6 = withLength(p.lease.IPv6, s.Subnet)
			if !p.network.Internal {
				e.Gateway6 = s.Gateway.String()
			}
		}
	}
	return e
}
