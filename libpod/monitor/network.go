package monitor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	rspec "github.com/opencontainers/runtime-spec/specs-go"

	"ctr/libpod/state"
	"ctr/netns"
	"ctr/netns/link"
)

// network is the container's own network namespace and the helper that connects it.
// The helper starts while the container is being created; the container's process
// is executed when both are ready.
type network struct {
	ns   *os.File
	link *link.Link
	err  error
	done chan struct{} // closed when link or err is set
}

// connect starts the container's network, where the configuration wants one with a
// helper; nil otherwise.
func (m *Monitor) connect() (*network, error) {
	mode, args, _ := strings.Cut(m.cfg.NS.Network, ":")
	switch mode {
	case "", "default", "bridge":
		mode = ""
	case link.Pasta, link.Slirp4netns:
	default: // none, host, container:, ns:
		return nil, nil
	}
	n := &network{done: make(chan struct{})}
	var err error
	if n.ns, err = netns.New(); err != nil {
		return nil, err
	}
	o := link.Options{Helper: mode, RunDir: m.dir}
	if args != "" {
		o.Args = strings.Split(args, ",")
	}
	go func() {
		defer close(n.done)
		n.link, n.err = link.Connect(context.Background(), n.ns, o)
	}()
	return n, nil
}

// end kills the helper. The kernel takes its time over a network device; nobody waits
// for that: the helper is gone before the monitor is.
func (n *network) end() {
	<-n.done
	if n.link != nil {
		n.link.Kill()
	}
	n.ns.Close()
}

func (n *network) state() *state.Network {
	select {
	case <-n.done:
	default:
		return nil
	}
	if n.link == nil {
		return nil
	}
	return &state.Network{Helper: n.link.Helper, Endpoints: []state.Endpoint{{
		Network: n.link.Helper, Interface: link.Interface, MAC: n.link.MAC,
		IPv4: netip.PrefixFrom(n.link.Address, n.link.Prefix.Bits()).String(), Gateway: n.link.Gateway.String(),
	}}}
}

// connected waits for the network and fills the files that tell the container of it.
// A default network that cannot be had leaves the container with loopback alone,
// and a notice; one that was asked for is an error.
func (r *root) connected() error {
	var place *netns.Place
	if r.net != nil {
		<-r.net.done
		if err := r.net.err; err != nil {
			if r.cfg.NS.Network != "" {
				return err
			}
			r.notices = append(r.notices, fmt.Sprintf("the container has no network: %v", err))
		}
		if l := r.net.link; l != nil {
			place = l.Place()
			if l.Note != "" {
				r.notices = append(r.notices, l.Note)
			}
		}
	}
	return r.writeNames(place)
}

// writeNames fills hosts and resolv.conf in place: they are mounted already.
func (r *root) writeNames(place *netns.Place) error {
	h := netns.HostsInput{
		Hostname: r.hostname(), Domain: r.cfg.Domainname, Extra: r.cfg.DNS.ExtraHosts, HostNetwork: r.cfg.NS.Network == "host",
	}
	d := netns.ResolvInput{DNS: r.cfg.DNS}
	if place != nil {
		h.Addresses, h.HostGateway = []netip.Addr{place.Address}, place.HostGateway
		d.Forwarders, d.IPv6 = place.DNS, place.Address6.IsValid()
		if d.IPv6 {
			h.Addresses = append(h.Addresses, place.Address6)
		}
	}
	hosts, err := netns.Hosts(h)
	if err != nil {
		return err
	}
	resolv, err := netns.ResolvConf(d)
	if err != nil {
		return err
	}
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

// namespaces says which namespaces the container shares and with whom.
func (r *root) namespaces() (map[rspec.LinuxNamespaceType]string, error) {
	ns := map[rspec.LinuxNamespaceType]string{}
	for _, n := range []struct {
		kind rspec.LinuxNamespaceType
		proc string
		mode string
	}{
		{rspec.NetworkNamespace, "net", r.cfg.NS.Network},
		{rspec.IPCNamespace, "ipc", r.cfg.NS.IPC},
		{rspec.PIDNamespace, "pid", r.cfg.NS.PID},
		{rspec.UTSNamespace, "uts", r.cfg.NS.UTS},
		{rspec.CgroupNamespace, "cgroup", r.cfg.NS.Cgroup},
	} {
		kind, arg, _ := strings.Cut(n.mode, ":")
		switch kind {
		case "host":
			ns[n.kind] = "host"
		case "ns":
			ns[n.kind] = arg
		case "container":
			path, err := r.join(arg, n.proc)
			if err != nil {
				return nil, err
			}
			ns[n.kind] = path
		}
	}
	if r.net != nil {
		ns[rspec.NetworkNamespace] = ownFile(r.net.ns)
	}
	return ns, nil
}

// join opens a namespace of another container that runs, so that it stays the same
// one until the executor enters it.
func (r *root) join(name, kind string) (string, error) {
	if f := r.joined[kind]; f != nil {
		return ownFile(f), nil
	}
	id, err := r.store.Resolve(name)
	if err != nil {
		return "", err
	}
	record, err := r.store.ReadRecord(id)
	if err != nil {
		return "", err
	}
	if record != nil && record.Container.Alive() {
		f, err := os.Open(fmt.Sprintf("/proc/%d/ns/%s", record.Container.Pid, kind))
		if err == nil && record.Container.Alive() {
			r.joined[kind] = f
			if kind == "ipc" {
				err = r.shareShm(record.Container.Pid)
			}
			return ownFile(f), err
		}
	}
	return "", fmt.Errorf("cannot join the %s namespace of container %s: it is not running", kind, name)
}

// ownFile is a path by which a child of this process reaches an open file of it.
func ownFile(f *os.File) string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), rawFd(f)) }
