package netns

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"strings"

	"ctr/libpod/config"
)

// ResolvConf is the content of a container's /etc/resolv.conf.
// host is the host's file; nil reads it. d is what the user asked for and replaces
// the respective part of the host's; a search list of "." alone means none.
//
// With a Place, name servers on the host's loopback (systemd-resolved, dnsmasq), or
// none at all, become the helper's forwarder, which asks them; those that the
// container's network cannot reach are left out. Without a Place (network none or
// host) the host's file is taken as it is.
func ResolvConf(host []byte, d config.DNS, l *Place) ([]byte, error) {
	if host == nil {
		var err error
		if host, err = os.ReadFile("/etc/resolv.conf"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("reading the host's resolver configuration: %w", err)
		}
	}
	if l == nil && len(d.Servers)+len(d.Search)+len(d.Options) == 0 {
		return host, nil
	}
	r := parseResolvConf(host)
	if err := r.override(d); err != nil {
		return nil, err
	}
	if l != nil && len(d.Servers) == 0 {
		r.servers = reachableServers(r.servers, l)
	}
	return r.format(), nil
}

type resolvConf struct {
	servers []string // as written, IPv6 perhaps with a zone
	search  []string
	options []string
}

// parseResolvConf reads the format of resolv.conf(5); what it does not know it skips, as the C library does.
func parseResolvConf(text []byte) resolvConf {
	var r resolvConf
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			r.servers = append(r.servers, f[1])
		case "search", "domain": // the last one counts
			r.search = f[1:]
		case "options":
			r.options = append(r.options, f[1:]...)
		}
	}
	return r
}

func (r *resolvConf) override(d config.DNS) error {
	for _, s := range d.Servers {
		if _, err := netip.ParseAddr(s); err != nil {
			return fmt.Errorf("DNS server %q is not an IP address", s)
		}
	}
	for _, w := range slices.Concat(d.Search, d.Options) {
		if w == "" || strings.ContainsAny(w, " \t\r\n\x00#;") {
			return fmt.Errorf("DNS search domain or option %q is not one word", w)
		}
	}
	if len(d.Servers) > 0 {
		r.servers = d.Servers
	}
	if len(d.Search) > 0 {
		r.search = d.Search
	}
	if len(r.search) == 1 && r.search[0] == "." {
		r.search = nil
	}
	if len(d.Options) > 0 {
		r.options = d.Options
	}
	return nil
}

func reachableServers(servers []string, l *Place) []string {
	var reachable []string
	for _, s := range servers {
		a, err := netip.ParseAddr(s)
		switch {
		case err != nil, a.Unmap().IsLoopback(), a.IsUnspecified():
		case a.Is6() && (a.Zone() != "" || a.IsLinkLocalUnicast() || !l.Address6.IsValid()):
		default:
			reachable = append(reachable, s)
		}
	}
	if len(reachable) == 0 {
		for _, a := range l.DNS {
			reachable = append(reachable, a.String())
		}
	}
	return reachable
}

func (r *resolvConf) format() []byte {
	var b bytes.Buffer
	for _, s := range r.servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	if len(r.search) > 0 {
		fmt.Fprintf(&b, "search %s\n", strings.Join(r.search, " "))
	}
	if len(r.options) > 0 {
		fmt.Fprintf(&b, "options %s\n", strings.Join(r.options, " "))
	}
	return b.Bytes()
}
