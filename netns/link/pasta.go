package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"ctr/libpod/config"
)

// pastaOptions is what the user gives pasta(1), options and their values by name.
type pastaOptions struct {
	args  []string
	given map[string][]string // by the long name
	mapGW bool                // Podman's --map-gw: the gateway's address is the host
}

// longNames of the options that this package gives itself or refuses.
func longName(option string) string {
	switch option {
	case "-I":
		return "--ns-ifname"
	case "-a":
		return "--address"
	case "-n":
		return "--netmask"
	case "-g":
		return "--gateway"
	case "-m":
		return "--mtu"
	case "-i":
		return "--interface"
	case "-t":
		return "--tcp-ports"
	case "-u":
		return "--udp-ports"
	case "-T":
		return "--tcp-ns"
	case "-U":
		return "--udp-ns"
	case "-4":
		return "--ipv4-only"
	case "-6":
		return "--ipv6-only"
	case "-P":
		return "--pid"
	case "-F":
		return "--fd"
	case "-f":
		return "--foreground"
	case "-h":
		return "--help"
	}
	return option
}

func parsePasta(args []string) (pastaOptions, error) {
	o := pastaOptions{given: map[string][]string{}}
	last := ""
	for _, arg := range args {
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			if last == "" {
				return o, fmt.Errorf("--network %s: %q is not an option: they are pasta(1)'s, with commas instead of spaces, as in %s:--mtu,1500", Pasta, arg, Pasta)
			}
			o.given[last] = append(o.given[last], arg)
			o.args = append(o.args, arg)
			last = ""
			continue
		}
		name, value, found := strings.Cut(arg, "=")
		if !strings.HasPrefix(arg, "--") && len(arg) > 2 {
			name, value, found = arg[:2], arg[2:], true
		}
		name = longName(name)
		switch name {
		case "--map-gw":
			o.mapGW = true
			continue
		case "--", "--netns", "--netns-only", "--userns", "--pid", "--fd", "--runas", "--foreground", "--help", "--version":
			return o, fmt.Errorf("--network %s: option %s cannot be given: ctr itself decides it", Pasta, name)
		}
		o.args = append(o.args, arg)
		o.given[name] = append(o.given[name], nil...)
		last = name
		if found {
			o.given[name] = append(o.given[name], value)
			last = ""
		}
	}
	return o, nil
}

func (o pastaOptions) has(names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { _, given := o.given[n]; return given })
}

// value is the last that was given for an option.
func (o pastaOptions) value(name string) string {
	if v := o.given[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// planPasta runs pasta(1). The namespace is its standard input, because newer
// versions close every other descriptor, and its pid file, written when the
// network is ready, is its standard output, a pipe: nothing is left on disk.
func planPasta(o Options) (plan, error) {
	user, err := parsePasta(o.Args)
	if err != nil {
		return nil, err
	}
	return func(path string) (*Link, *exec.Cmd, func(*os.File), error) {
		host, err := lookAtHost()
		if err != nil {
			return nil, nil, nil, err
		}
		l := host.link(Pasta, o.MTU)
		if l.Ports, err = choosePorts(o.Ports); err != nil {
			return nil, nil, nil, err
		}
		args := []string{
			"--foreground", "--quiet", "--netns", "/proc/self/fd/0", "--no-netns-quit",
			"--pid", "/proc/self/fd/1",
			"--runas", "0:0", // of the user namespace; as real root it could not join the namespace as nobody
			"--config-net",
		}
		args = append(args, user.defaults(l, host)...)
		args = append(args, user.ports(l.Ports)...)
		cmd := exec.Command(path, append(args, user.args...)...)
		return l, cmd, func(w *os.File) { cmd.Stdout = w }, nil
	}, nil
}

// defaults are ours for what the user leaves open; l becomes what the user says.
func (o pastaOptions) defaults(l *Link, host hostNetwork) []string {
	var args []string
	unless := func(name string, more ...string) {
		if !o.has(name) {
			args = append(append(args, name), more...)
		}
	}
	if name := o.value("--ns-ifname"); name != "" {
		l.Interface = name
	}
	unless("--ns-ifname", l.Interface)
	if mac := o.value("--ns-mac-addr"); mac != "" {
		l.MAC = mac
	}
	unless("--ns-mac-addr", l.MAC)
	if mtu, err := strconv.Atoi(o.value("--mtu")); err == nil && mtu > 0 {
		l.MTU = mtu
	}
	unless("--mtu", strconv.Itoa(l.MTU))
	if dns, err := netip.ParseAddr(o.value("--dns-forward")); err == nil {
		l.DNS = []netip.Addr{dns}
	}
	unless("--dns-forward", l.DNS[0].String())
	if !o.mapGW {
		unless("--no-map-gw")
		unless("--map-host-loopback", "none")
	}
	if host.fallback != "" {
		unless("--interface", host.fallback)
	}
	return append(args, o.addresses(l, host)...)
}

// addresses chooses the container's, unless the user does.
func (o pastaOptions) addresses(l *Link, host hostNetwork) []string {
	if o.has("--address", "--netmask", "--gateway", "--ipv6-only", "--interface") {
		o.adopt(l)
		return nil
	}
	args := []string{"--address", l.Address.String(), "--netmask", strconv.Itoa(l.Prefix.Bits()), "--gateway", l.Gateway.String()}
	switch {
	case o.has("--ipv4-only"):
	case host.ipv6:
		l.Address6, l.Gateway6 = netip.MustParseAddr(pastaRange6+"100"), netip.MustParseAddr(pastaRange6+"2")
		args = append(args, "--address", l.Address6.String(), "--gateway", l.Gateway6.String())
	default:
		args = append(args, "--ipv4-only")
	}
	return args
}

// adopt takes the user's addresses over, as far as they are given.
func (o pastaOptions) adopt(l *Link) {
	l.Address, l.Prefix, l.Gateway = netip.Addr{}, netip.Prefix{}, netip.Addr{}
	for _, text := range o.given["--address"] {
		text, bits, _ := strings.Cut(text, "/")
		a, err := netip.ParseAddr(text)
		switch {
		case err != nil:
		case a.Is4():
			if bits == "" {
				bits = o.value("--netmask")
			}
			if n, err := strconv.Atoi(bits); err == nil {
				l.Prefix, _ = a.Prefix(n)
			}
			l.Address = a
		default:
			l.Address6 = a
		}
	}
	for _, text := range o.given["--gateway"] {
		if a, err := netip.ParseAddr(text); err == nil && a.Is4() {
			l.Gateway = a
		} else if err == nil {
			l.Gateway6 = a
		}
	}
}

// ports are the options that publish ports, and no others than those.
func (o pastaOptions) ports(published []config.PortMapping) []string {
	args := []string{}
	for _, p := range published {
		option := "--tcp-ports"
		if p.Protocol == "udp" {
			option = "--udp-ports"
		}
		spec := fmt.Sprintf("%d:%d", p.HostPort, p.Port)
		if p.HostIP != "" {
			spec = p.HostIP + "/" + spec
		}
		args = append(args, option, spec)
	}
	for _, option := range []string{"--tcp-ports", "--udp-ports", "--tcp-ns", "--udp-ns"} {
		if !o.has(option) && !slices.Contains(args, option) {
			args = append(args, option, "none")
		}
	}
	return args
}

// choosePorts finds free ports of the host for those that leave it open.
func choosePorts(wanted []config.PortMapping) ([]config.PortMapping, error) {
	chosen := slices.Clone(wanted)
	for i := range chosen {
		p := &chosen[i]
		if p.Protocol != "tcp" && p.Protocol != "udp" {
			return nil, fmt.Errorf("publishing port %d/%s: --network %s forwards tcp and udp only", p.Port, p.Protocol, Pasta)
		}
		if p.HostPort != 0 && p.HostLast == 0 {
			continue
		}
		port, err := freePort(*p)
		if err != nil {
			return nil, err
		}
		p.HostPort, p.HostLast = port, 0
	}
	return chosen, nil
}

func freePort(p config.PortMapping) (uint16, error) {
	first, last := p.HostPort, max(p.HostPort, p.HostLast)
	var errs error
	for port := int(first); port <= int(last); port++ {
		address := net.JoinHostPort(p.HostIP, strconv.Itoa(port))
		if p.Protocol == "udp" {
			c, err := net.ListenPacket("udp", address)
			if err == nil {
				c.Close()
				return uint16(c.LocalAddr().(*net.UDPAddr).Port), nil
			}
			errs = err
			continue
		}
		c, err := net.Listen("tcp", address)
		if err == nil {
			c.Close()
			return uint16(c.Addr().(*net.TCPAddr).Port), nil
		}
		errs = err
	}
	return 0, errors.Join(fmt.Errorf("finding a free port of the host for port %d/%s", p.Port, p.Protocol), errs)
}
