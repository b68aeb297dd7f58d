package netns

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

const standardHosts = `127.0.0.1 localhost
::1 localhost ip6-localhost ip6-loopback
fe00:: ip6-localnet
ff00:: ip6-mcastprefix
ff02::1 ip6-allnodes
ff02::2 ip6-allrouters
`

// HostNames are the names under which a container finds the host.
const HostNames = "host.containers.internal host.docker.internal"

// HostsInput says what a container's /etc/hosts contains.
type HostsInput struct {
	Hostname string
	Domain   string   // "" for none; the container's address then has the names Hostname.Domain and Hostname
	Extra    []string // --add-host: name:address or name=address, where the address may be host-gateway
	Place    *Place   // nil without a helper
	// HostNetwork is for a container in the host's own network: it begins with the
	// host's file, and the host is 127.0.0.1.
	HostNetwork bool
}

// Hosts is the content of a container's /etc/hosts. (The file is mounted before the
// network is there, so the caller fills it in place.)
//
// [HostNames] and host-gateway stand for [Place.HostGateway], an address of the host
// itself: what listens there on that address or on all is reachable, what listens
// on loopback only is not. Without such an address the names are left out, and an
// entry that asks for host-gateway is an error.
func Hosts(in HostsInput) ([]byte, error) {
	var b bytes.Buffer
	if err := in.base(&b); err != nil {
		return nil, err
	}
	gateway := in.hostGateway()
	if gateway.IsValid() {
		fmt.Fprintf(&b, "%s %s\n", gateway, HostNames)
	}
	for _, e := range in.Extra {
		name, address, err := parseExtra(e, gateway)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(&b, "%s %s\n", address, name)
	}
	if !in.HostNetwork {
		in.own(&b)
	}
	return b.Bytes(), nil
}

func (in HostsInput) base(b *bytes.Buffer) error {
	if !in.HostNetwork {
		b.WriteString(standardHosts)
		return nil
	}
	text, err := os.ReadFile("/etc/hosts")
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("reading the host's names: %w", err)
	}
	b.Write(text)
	if len(text) > 0 && text[len(text)-1] != '\n' {
		b.WriteByte('\n')
	}
	return nil
}

func (in HostsInput) hostGateway() netip.Addr {
	switch {
	case in.HostNetwork:
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case in.Place != nil:
		return in.Place.HostGateway
	}
	return netip.Addr{}
}

// own writes the container's own name. Without a network it is loopback's.
func (in HostsInput) own(b *bytes.Buffer) {
	if in.Hostname == "" {
		return
	}
	names := in.Hostname
	if in.Domain != "" {
		names = in.Hostname + "." + in.Domain + " " + in.Hostname
	}
	if short, _, found := strings.Cut(in.Hostname, "."); found && short != "" {
		names += " " + short
	}
	if in.Place == nil {
		fmt.Fprintf(b, "127.0.0.1 %s\n", names)
		return
	}
	fmt.Fprintf(b, "%s %s\n", in.Place.Address, names)
	if in.Place.Address6.IsValid() {
		fmt.Fprintf(b, "%s %s\n", in.Place.Address6, names)
	}
}

func parseExtra(entry string, gateway netip.Addr) (name, address string, err error) {
	i := strings.IndexAny(entry, ":=")
	if i <= 0 || strings.ContainsAny(entry, " \t\r\n\x00#") {
		return "", "", fmt.Errorf("extra host %q is not of the form name:address", entry)
	}
	name, address = entry[:i], strings.Trim(entry[i+1:], "[]")
	if address == "host-gateway" {
		if !gateway.IsValid() {
			return "", "", fmt.Errorf("extra host %q: the host has no address that this container can reach", entry)
		}
		return name, gateway.String(), nil
	}
	a, err := netip.ParseAddr(address)
	if err != nil {
		return "", "", fmt.Errorf("extra host %q: %q is not an IP address", entry, address)
	}
	return name, a.String(), nil
}
