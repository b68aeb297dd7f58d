package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"ctr/libpod/config"
	"ctr/libpod/state"
	"ctr/netns/bridge"
	"ctr/netns/lease"
	"ctr/netns/link"
	"ctr/netns/network"
	"ctr/netns/ports"
)

// join wires the container to its networks.
func (w *wiring) join(ctx context.Context, cfg *config.Container) (err error) {
	w.networks, w.leases = network.Open(w.store.Data()), lease.Open(w.store.Run())
	if w.ports, err = w.listen(cfg); err != nil {
		return err
	}
	if w.hub, err = bridge.Open(w.store.Run(), w.leases, w.networks); err != nil {
		return err
	}
	up := make(chan error, 1)
	go func() { up <- w.uplink() }()
	err = w.takePlaces(cfg)
	if err := errors.Join(err, <-up); err != nil {
		return err
	}
	if err := w.serveNames(cfg); err != nil {
		return err
	}
	w.aim()
	if !w.hub.Root() {
		go link.Watch(ctx, w.store.Run(), w.uplink)
	} else {
		go w.hub.WatchRules(ctx, func() {
			if err := w.hub.Reload(); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		})
	}
	return nil
}

// uplink sees to it that the hub has a way out.
func (w *wiring) uplink() error {
	if w.hub.Root() {
		return nil
	}
	return link.Ensure(w.hub.NS(), w.store.Run(), link.Options{})
}

// takePlaces takes the container's place in each of its networks.
func (w *wiring) takePlaces(cfg *config.Container) error {
	for _, e := range cfg.Networks {
		p, err := w.take(cfg, e)
		if err != nil {
			return err
		}
		w.places = append(w.places, p)
	}
	w.chooseDefault(w.places)
	for _, p := range w.places {
		if err := w.attach(cfg, p); err != nil {
			return err
		}
	}
	return nil
}

// take leases addresses for e.
func (w *wiring) take(cfg *config.Container, e config.Endpoint) (*place, error) {
	n, err := w.networks.Lookup(e.Network)
	if err != nil {
		return nil, err
	}
	want := lease.Lease{
		Container: cfg.ID, Names: namesIn(cfg, e), MAC: e.MAC,
		Holder: state.ThisProcess(), HubFD: w.hub.FD(),
	}
	if want.IPv4, err = address(e.IPv4); err != nil {
		return nil, err
	}
	if want.IPv6, err = address(e.IPv6); err != nil {
		return nil, err
	}
	p := &place{asked: e, network: n, iface: e.Interface}
	if p.lease, err = w.leases.Take(n, want); err != nil {
		return nil, err
	}
	if _, err := w.networks.Lookup(n.ID); err != nil { // removed before the lease could prevent it
		return nil, errors.Join(err, w.leases.Release(n.ID, cfg.ID))
	}
	if p.iface == "" {
		p.iface = w.freeInterface(n.InterfacePrefix())
	}
	return p, nil
}

// namesIn are the names under which the container is found in a network.
func namesIn(cfg *config.Container, e config.Endpoint) []string {
	names := append([]string{cfg.Name}, e.Aliases...)
	return append(names, cfg.ShortID())
}

func address(s string) (netip.Addr, error) {
	if s == "" {
		return netip.Addr{}, nil
	}
	return netip.ParseAddr(s)
}

func (w *wiring) freeInterface(prefix string) string {
	for i := 0; ; i++ {
		name := fmt.Sprint(prefix, i)
		if !slices.ContainsFunc(w.places, func(p *place) bool { return p.iface == name }) {
			return name
		}
	}
}

// chooseDefault finds the networks whose gateways are the container's way out: that
// of the highest priority, of several the first by name, as in Docker.
func (w *wiring) chooseDefault(places []*place) {
	for family := range 2 {
		var best *place
		for _, p := range places {
			p.isDefault[family] = false
			if p.hasGateway(family) && (best == nil || p.before(best)) {
				best = p
			}
		}
		if best != nil {
			best.isDefault[family] = true
		}
	}
}

func (p *place) hasGateway(family int) bool {
	a := p.lease.IPv4
	if family == 1 {
		a = p.lease.IPv6
	}
	return a.IsValid() && !p.network.Internal
}

func (p *place) before(q *place) bool {
	return cmp.Or(cmp.Compare(q.asked.Priority, p.asked.Priority), cmp.Compare(p.network.Name, q.network.Name)) < 0
}

func (w *wiring) attach(cfg *config.Container, p *place) error {
	if err := w.hub.Attach(w.ns, p.network, p.lease, p.attachment()); err != nil {
		return err
	}
	w.store.Log(NetworkEvent(p.network, "connect", map[string]string{"container": cfg.ID}))
	return nil
}

func (p *place) attachment() bridge.Attachment {
	a := bridge.Attachment{Interface: p.iface, Default4: p.isDefault[0], Default6: p.isDefault[1], Sysctls: map[string]string{}}
	for _, kv := range strings.Split(p.asked.DriverOpts[sysctlsOption], ",") {
		if key, value, ok := strings.Cut(kv, "="); ok {
			a.Sysctls[key] = value
		}
	}
	return a
}

// sysctlsOption is Docker's driver option of an endpoint for settings of its interface.
const sysctlsOption = "com.docker.network.endpoint.sysctls"

// aim points the published ports at the network that is the container's way out.
func (w *wiring) aim() {
	if w.ports == nil {
		return
	}
	t := ports.Target{Transparent: true}
	for _, p := range w.places {
		for _, s := range p.network.Subnets {
			t.Subnets = append(t.Subnets, s.Subnet)
			switch {
			case p.isDefault[0] && s.Subnet.Contains(p.lease.IPv4):
				t.IPv4, t.Gateway4 = p.lease.IPv4, s.Gateway
			case p.isDefault[1] && s.Subnet.Contains(p.lease.IPv6):
				t.IPv6, t.Gateway6 = p.lease.IPv6, s.Gateway
			}
		}
	}
	w.ports.Serve(w.hub, t)
}

// further connects the running container to one more network.
func (w *wiring) further(cfg *config.Container, e config.Endpoint) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.hub == nil {
		return errors.New("the container has a link of its own and cannot be connected to a network")
	}
	if slices.ContainsFunc(w.places, func(p *place) bool { return p.network.Name == e.Network }) {
		return fmt.Errorf("endpoint with name %s already exists in network %s", cfg.Name, e.Network)
	}
	p, err := w.take(cfg, e)
	if err != nil {
		return err
	}
	before := w.defaults()
	w.chooseDefault(append(slices.Clone(w.places), p))
	if err := w.attach(cfg, p); err != nil {
		return errors.Join(err, w.release(p))
	}
	w.places = append(w.places, p)
	return w.redirect(before)
}

// leave disconnects the running container from a network.
func (w *wiring) leave(cfg *config.Container, name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.places, func(p *place) bool { return p.network.Name == name })
	if i < 0 {
		return fmt.Errorf("container %s is not connected to network %s", cfg.ID, name)
	}
	p := w.places[i]
	before := w.defaults()
	if err := w.hub.Detach(w.ns, p.network, p.lease, p.iface); err != nil {
		return fmt.Errorf("disconnecting from network %s: %w", name, err)
	}
	w.places = slices.Delete(w.places, i, i+1)
	w.chooseDefault(w.places)
	w.store.Log(NetworkEvent(p.network, "disconnect", map[string]string{"container": cfg.ID}))
	return errors.Join(w.release(p), w.redirect(before))
}

// reload takes up what has changed of the networks' definitions, and makes their rules again.
func (w *wiring) reload() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for i, p := range w.places {
		n, err := w.networks.Lookup(p.network.ID)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		renewed := *p
		renewed.network = n
		w.places[i] = &renewed
	}
	return errors.Join(append(errs, w.hub.Reload())...)
}

// defaults are the places whose gateways are the default routes.
func (w *wiring) defaults() (d [2]*place) {
	for _, p := range w.places {
		for family := range d {
			if p.isDefault[family] {
				d[family] = p
			}
		}
	}
	return d
}

// redirect makes the default routes and the published ports follow a change.
func (w *wiring) redirect(before [2]*place) error {
	now := w.defaults()
	var errs []error
	for family := range now {
		p := now[family]
		if p == nil || p == before[family] {
			continue
		}
		errs = append(errs, w.hub.SetDefault(w.ns, p.network, p.lease, p.attachment()))
	}
	w.aim()
	return errors.Join(errs...)
}

// NetworkEvent is an event of network n with the attributes that Docker gives it.
func NetworkEvent(n *network.Network, action string, more map[string]string) state.Event {
	attrs := map[string]string{"name": n.Name, "type": n.Driver}
	for k, v := range more {
		attrs[k] = v
	}
	return state.Event{Type: "network", Action: action, ID: n.ID, Attributes: attrs}
}

func withLength(a netip.Addr, subnet netip.Prefix) string {
	return netip.PrefixFrom(a, subnet.Bits()).String()
}
