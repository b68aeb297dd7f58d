package monitor

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ctr/libpod/config"
	"ctr/netns"
	"ctr/netns/dns"
	"ctr/netns/link"
	"ctr/netns/network"
	"ctr/netns/relay"
)

// connected waits for the network and fills the files that tell the container of it.
// Where nothing in particular was asked for, a network that cannot be had leaves the
// container with loopback alone, and a notice.
func (r *root) connected() error {
	w := r.wiring
	if w == nil {
		return r.writeNames()
	}
	<-w.done
	if w.err != nil {
		var asked *link.AskedError
		if !undemanding(r.cfg) || errors.As(w.err, &asked) {
			return w.err
		}
		r.notices = append(r.notices, fmt.Sprintf("the container has no network: %v", w.err))
	}
	r.notices = append(r.notices, w.notices...)
	return r.writeNames()
}

// undemanding reports whether nothing but the default network was asked for.
func undemanding(cfg *config.Container) bool {
	if cfg.NS.Network != "" || len(published(cfg)) > 0 || len(cfg.Links) > 0 || len(cfg.Networks) != 1 {
		return false
	}
	e := cfg.Networks[0]
	return e.Network == network.DefaultName && e.IPv4 == "" && e.IPv6 == "" && e.MAC == "" && len(e.Aliases)+len(e.Links) == 0
}

// writeNames fills hosts and resolv.conf in place: they are mounted already.
func (r *root) writeNames() error {
	if r.borrowed != "" {
		return nil
	}
	hosts, err := netns.Hosts(r.hostsInput())
	if err != nil {
		return err
	}
	resolv, err := netns.ResolvConf(r.resolvInput())
	if err != nil {
		return err
	}
	r.hosts, r.resolv = hosts, resolv
	return errors.Join(r.fill("hosts", "/etc/hosts", hosts), r.fill("resolv.conf", "/etc/resolv.conf", resolv))
}

func (r *root) fill(name, destination string, content []byte) error {
	if r.mounted(destination) {
		return nil
	}
	if err := os.WriteFile(filepath.Join(r.dir, name), content, 0o644); err != nil {
		return fmt.Errorf("writing the container's %s: %w", destination, err)
	}
	return nil
}

// renewHosts makes /etc/hosts follow a change of networks or of linked containers.
func (r *root) renewHosts() error {
	if r.mounted("/etc/hosts") || r.borrowed != "" {
		return nil
	}
	after, err := netns.Hosts(r.hostsInput())
	if err != nil {
		return err
	}
	if slices.Equal(after, r.hosts) {
		return nil
	}
	if err := netns.RewriteHosts(filepath.Join(r.dir, "hosts"), r.hosts, after); err != nil {
		return fmt.Errorf("updating the container's /etc/hosts: %w", err)
	}
	r.hosts = after
	return nil
}

// renewResolv makes /etc/resolv.conf follow a change of networks, unless the container
// has changed it.
func (r *root) renewResolv() error {
	if r.borrowed != "" {
		return nil
	}
	after, err := netns.ResolvConf(r.resolvInput())
	if err != nil || slices.Equal(after, r.resolv) {
		return err
	}
	if now, err := os.ReadFile(filepath.Join(r.dir, "resolv.conf")); err != nil || !slices.Equal(now, r.resolv) {
		return nil // it is the container's now
	}
	r.resolv = after
	return r.fill("resolv.conf", "/etc/resolv.conf", after)
}

func (r *root) hostsInput() netns.HostsInput {
	in := netns.HostsInput{
		Hostname: r.hostname(), Domain: r.cfg.Domainname, Extra: r.cfg.DNS.ExtraHosts, HostNetwork: r.cfg.NS.Network == "host",
	}
	w := r.wiring
	switch {
	case w == nil || w.err != nil:
	case w.link != nil:
		p := w.link.Place()
		in.Addresses, in.HostGateway, in.NoIPv6 = []netip.Addr{p.Address}, p.HostGateway, !p.Address6.IsValid()
		if p.Address6.IsValid() {
			in.Addresses = append(in.Addresses, p.Address6)
		}
	default:
		in.HostGateway, in.NoIPv6 = w.host(), true
		for _, p := range w.present() {
			for _, a := range []netip.Addr{p.lease.IPv4, p.lease.IPv6} {
				if a.IsValid() {
					in.Addresses = append(in.Addresses, a)
					in.NoIPv6 = in.NoIPv6 && a.Is4()
				}
			}
		}
		in.Links = w.linked(r.cfg)
	}
	return in
}

func (r *root) resolvInput() netns.ResolvInput {
	in := netns.ResolvInput{DNS: r.cfg.DNS}
	w := r.wiring
	switch {
	case w == nil || w.err != nil:
	case w.link != nil:
		p := w.link.Place()
		in.Forwarders, in.IPv6 = p.DNS, p.Address6.IsValid()
	case !w.knowsNames() && len(r.cfg.DNS.Servers) > 0:
		// As Docker: with no names to know, the servers are told to the container itself.
	default:
		in.Embedded, in.Names = dns.Address, w.knowsNames()
	}
	return in
}

// serveNames starts the container's name server.
func (w *wiring) serveNames(cfg *config.Container) error {
	w.tellNames(cfg)
	c := dns.Config{Names: dns.FromLeases(w.leases, func() []dns.Attached { return *w.known.Load() })}
	for _, s := range cfg.DNS.Servers {
		a, err := netip.ParseAddr(s)
		if err != nil {
			return fmt.Errorf("DNS server %q is not an IP address", s)
		}
		c.Servers = append(c.Servers, a)
	}
	var err error
	if c.Ndots, err = (netns.ResolvInput{DNS: cfg.DNS}).Ndots(); err != nil {
		return err
	}
	w.dns, err = dns.Serve(w.ns, c)
	return err
}

// tellNames lets the name server know the networks of the moment.
func (w *wiring) tellNames(cfg *config.Container) {
	var list []dns.Attached
	for _, p := range w.present() {
		a := dns.Attached{NetworkID: p.network.ID, Name: p.network.Name, DNS: p.named(), Internal: p.network.Internal, Servers: p.network.DNS}
		if a.DNS {
			a.Links = map[string]string{}
			for _, l := range append(slices.Clone(cfg.Links), p.asked.Links...) {
				name, alias := splitLink(l)
				a.Links[alias] = name
			}
		}
		list = append(list, a)
	}
	w.known.Store(&list)
}

// named reports whether containers have names in this network.
func (p *place) named() bool {
	return p.network.Name != network.DefaultName && !p.network.DisableDNS
}

func (w *wiring) knowsNames() bool { return slices.ContainsFunc(w.present(), (*place).named) }

// present are the places of the moment. They do not change once they are in the list.
func (w *wiring) present() []*place {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.places)
}

// host is where the container finds the host.
func (w *wiring) host() netip.Addr {
	for _, p := range w.present() {
		if !p.isDefault[0] {
			continue
		}
		if s := p.network.Subnet4(); w.hub.Root() && s != nil {
			return s.Gateway
		}
		return relay.HostAddress
	}
	return netip.Addr{}
}

// splitLink reads container[:alias].
func splitLink(s string) (name, alias string) {
	name, alias, _ = strings.Cut(s, ":")
	name, alias = strings.TrimPrefix(name, "/"), strings.TrimPrefix(alias, "/")
	if alias == "" {
		alias = name
	}
	return name, alias
}

// onDefault is the container's place in the default network, or nil.
func (w *wiring) onDefault() *place {
	for _, p := range w.present() {
		if p.network.Name == network.DefaultName {
			return p
		}
	}
	return nil
}

// linked are the running containers that this one is linked to on the default
// network, which knows no names but these.
func (w *wiring) linked(cfg *config.Container) []netns.Linked {
	p := w.onDefault()
	if p == nil {
		return nil
	}
	var list []netns.Linked
	for _, l := range append(slices.Clone(cfg.Links), p.asked.Links...) {
		name, alias := splitLink(l)
		if other, at := w.peer(p, name); at != nil {
			list = append(list, netns.Linked{Addresses: at, Alias: alias, Hostname: hostnameOf(other), Name: other.Name})
		}
	}
	return list
}

func hostnameOf(c *config.Container) string {
	if c.Hostname != "" {
		return c.Hostname
	}
	return c.ShortID()
}

// peer is another container and its addresses in the network of p, nil when it does not run there.
func (w *wiring) peer(p *place, name string) (*config.Container, []netip.Addr) {
	id, err := w.store.Resolve(name)
	if err != nil {
		return nil, nil
	}
	other, err := w.store.Load(id)
	if err != nil {
		return nil, nil
	}
	leases, _ := w.leases.Of(p.network.ID)
	for _, l := range leases {
		if l.Container != id || !l.Holder.Alive() {
			continue
		}
		var at []netip.Addr
		for _, a := range []netip.Addr{l.IPv4, l.IPv6} {
			if a.IsValid() {
				at = append(at, a)
			}
		}
		return other, at
	}
	return other, nil
}

// linkEnv is the environment that a container has of those it is linked to on the
// default network. Those have to run.
func (w *wiring) linkEnv(cfg *config.Container) ([]string, error) {
	<-w.done
	if w.err != nil {
		return nil, nil // connected tells
	}
	p := w.onDefault()
	if p == nil {
		return nil, nil
	}
	var env []string
	for _, l := range append(slices.Clone(cfg.Links), p.asked.Links...) {
		name, alias := splitLink(l)
		other, at := w.peer(p, name)
		switch {
		case other == nil:
			return nil, fmt.Errorf("could not get container for %s", name)
		case at == nil:
			return nil, fmt.Errorf("Cannot link to a non running container: /%s AS /%s/%s", other.Name, cfg.Name, alias)
		}
		env = append(env, netns.LinkEnv(cfg.Name, alias, at[0], other.Exposed, other.Env)...)
	}
	return env, nil
}

// followLinks keeps /etc/hosts true while linked containers come and go.
func (m *Monitor) followLinks() {
	w := m.root.wiring
	if w == nil || w.hub == nil || len(m.cfg.Links) == 0 {
		return
	}
	p := w.onDefault()
	if p == nil {
		return
	}
	err := w.leases.Watch(w.life, p.network.ID, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if err := m.root.renewHosts(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	})
	if err != nil && w.life.Err() == nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// rewire serves the requests that change the networks of the running container.
func (m *Monitor) rewire(req Request) error {
	w := m.root.wiring
	if w == nil || w.hub == nil {
		return errors.New("the container has no place in any network that could be changed")
	}
	var err error
	switch {
	case req.Op == OpConnect && req.Endpoint != nil:
		err = w.further(m.cfg, *req.Endpoint)
	case req.Op == OpDisconnect:
		err = w.leave(m.cfg, req.Network)
	case req.Op == OpReload:
		err = w.reload()
	default:
		err = errors.New("reading the request: it lacks the network")
	}
	w.tellNames(m.cfg)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.record.Network = w.state()
	return errors.Join(err, m.root.renewHosts(), m.root.renewResolv(), m.store.WriteRecord(m.cfg.ID, m.record))
}
