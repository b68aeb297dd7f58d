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
	"strconv"
	"strings"

	"ctr/libpod/config"
)

// ResolvInput says what a container's /etc/resolv.conf is made of.
type ResolvInput struct {
	Host []byte     // the host's file; nil reads it
	DNS  config.DNS // what the user asked for; each part replaces the host's. A search list of "." is none

	// Embedded is the address of the container's own name server, which asks the others. Invalid without one.
	Embedded netip.Addr
	// Names says that the embedded server knows containers: a name without a dot is
	// then asked for as it is first (ndots:0), unless the host or the user has set ndots.
	Names bool

	// Forwarders, of a link that the container has for itself, stand for name servers that
	// only the host reaches. With any, servers that the container does not reach are left out.
	Forwarders []netip.Addr
	IPv6       bool // the container reaches the host's IPv6 name servers
}

// ResolvConf is the content of a container's /etc/resolv.conf, see resolv.conf(5).
// With neither an embedded server nor forwarders (network none or host) and nothing asked for, it
// is the host's file as it is.
func ResolvConf(in ResolvInput) ([]byte, error) {
	host, err := in.host()
	if err != nil {
		return nil, err
	}
	d := in.DNS
	if !in.Embedded.IsValid() && len(in.Forwarders) == 0 && len(d.Servers)+len(d.Search)+len(d.Options) == 0 {
		return host, nil
	}
	r := parseResolvConf(host)
	if err := r.override(d); err != nil {
		return nil, err
	}
	switch {
	case in.Embedded.IsValid():
		r.servers = []string{in.Embedded.String()}
		if in.Names {
			r.askAsItIs()
		}
	case len(in.Forwarders) > 0 && len(d.Servers) == 0:
		r.servers = in.reachable(r.servers)
	}
	return r.format(), nil
}

// Ndots says whether the host or the user has set the option ndots.
func (in ResolvInput) Ndots() (bool, error) {
	options := in.DNS.Options
	if len(options) == 0 {
		host, err := in.host()
		if err != nil {
			return false, err
		}
		options = parseResolvConf(host).options
	}
	return slices.ContainsFunc(options, validNdots), nil
}

func (in ResolvInput) host() ([]byte, error) {
	if in.Host != nil {
		return in.Host, nil
	}
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading the host's resolver configuration: %w", err)
	}
	return text, nil
}

// NameServers are the addresses of the name servers in a resolv.conf, perhaps with
// zones. What is no address is skipped, as the C library does.
func NameServers(resolvConf []byte) []netip.Addr {
	var servers []netip.Addr
	for _, s := range parseResolvConf(resolvConf).servers {
		if a, err := netip.ParseAddr(s); err == nil {
			servers = append(servers, a)
		}
	}
	return servers
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
		r.search = nil
		for _, s := range d.Search {
			if s != "." {
				r.search = append(r.search, s)
			}
		}
	}
	if len(d.Options) > 0 {
		r.options = slices.Clone(d.Options)
	}
	return nil
}

// askAsItIs adds ndots:0 unless there is a usable ndots.
func (r *resolvConf) askAsItIs() {
	if slices.ContainsFunc(r.options, validNdots) {
		return
	}
	r.options = slices.DeleteFunc(r.options, func(o string) bool {
		return o == "ndots" || strings.HasPrefix(o, "ndots:")
	})
	r.options = append(r.options, "ndots:0")
}

func validNdots(option string) bool {
	n, found := strings.CutPrefix(option, "ndots:")
	_, err := strconv.ParseUint(n, 10, 16)
	return found && err == nil
}

// reachable are the servers that a container reaches, the forwarders when there is none.
func (in ResolvInput) reachable(servers []string) []string {
	var reachable []string
	for _, s := range servers {
		a, err := netip.ParseAddr(s)
		switch {
		case err != nil, a.Unmap().IsLoopback(), a.IsUnspecified():
		case a.Is6() && (a.Zone() != "" || a.IsLinkLocalUnicast() || !in.IPv6):
		default:
			reachable = append(reachable, s)
		}
	}
	if len(reachable) == 0 {
		for _, a := range in.Forwarders {
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
