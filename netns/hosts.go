package netns

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

const standardHosts = "127.0.0.1\tlocalhost\n"

const standardHosts6 = "::1\tlocalhost ip6-localhost ip6-loopback\n" +
	"fe00::\tip6-localnet\n" +
	"ff00::\tip6-mcastprefix\n" +
	"ff02::1\tip6-allnodes\n" +
	"ff02::2\tip6-allrouters\n"

// HostNames are the names under which a container finds the host.
const HostNames = "host.containers.internal host.docker.internal"

// HostsInput says what a container's /etc/hosts contains.
type HostsInput struct {
	Hostname  string
	Domain    string       // "" for none; the container's addresses then have the names Hostname.Domain and Hostname
	Addresses []netip.Addr // the container's own, in all its networks; without any it is loopback's
	NoIPv6    bool         // IPv6 is off in the container: lines with such addresses are left out
	// HostGateway is an address of the host itself, as the container reaches it: what
	// listens there on that address or on all is reachable, what listens on loopback only
	// is not. Invalid when the container does not reach the host.
	HostGateway netip.Addr
	Extra       []string // --add-host: name:address or name=address, where the address may be host-gateway
	Links       []Linked // --link, on the default network
	// HostNetwork is for a container in the host's own network: it begins with the
	// host's file, and the host is 127.0.0.1.
	HostNetwork bool
}

// Linked is a container that another is linked to.
type Linked struct {
	Addresses []netip.Addr
	Alias     string
	Hostname  string
	Name      string
}

// Hosts is the content of a container's /etc/hosts, in Docker's form. (The file is mounted before the
// network is there, so the caller fills it in place.)
//
// [HostNames] and host-gateway stand for the host's address. Without one the names
// are left out, and an entry that asks for host-gateway is an error.
func Hosts(in HostsInput) ([]byte, error) {
	var b bytes.Buffer
	if err := in.base(&b); err != nil {
		return nil, err
	}
	gateway := in.HostGateway
	if in.HostNetwork {
		gateway = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	if gateway.IsValid() {
		in.line(&b, gateway, HostNames)
	}
	for _, e := range in.Extra {
		name, address, err := parseExtra(e, gateway)
		if err != nil {
			return nil, err
		}
		in.line(&b, address, name)
	}
	for _, l := range in.Links {
		names := l.Alias + " " + l.Hostname
		if l.Name != l.Alias {
			names += " " + l.Name
		}
		for _, a := range l.Addresses {
			in.line(&b, a, names)
		}
	}
	if !in.HostNetwork {
		in.own(&b)
	}
	return b.Bytes(), nil
}

func (in HostsInput) line(b *bytes.Buffer, address netip.Addr, names string) {
	if address.Unmap().Is4() || !in.NoIPv6 {
		fmt.Fprintf(b, "%s\t%s\n", address, names)
	}
}

func (in HostsInput) base(b *bytes.Buffer) error {
	if !in.HostNetwork {
		b.WriteString(standardHosts)
		if !in.NoIPv6 {
			b.WriteString(standardHosts6)
		}
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

// own writes the container's own name.
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
	if len(in.Addresses) == 0 {
		in.line(b, netip.AddrFrom4([4]byte{127, 0, 0, 1}), names)
	}
	for _, a := range in.Addresses {
		in.line(b, a, names)
	}
}

func parseExtra(entry string, gateway netip.Addr) (name string, address netip.Addr, err error) {
	i := strings.IndexAny(entry, ":=")
	if i <= 0 || strings.ContainsAny(entry, " \t\r\n\x00#") {
		return "", netip.Addr{}, fmt.Errorf("extra host %q is not of the form name:address", entry)
	}
	name, text := entry[:i], strings.Trim(entry[i+1:], "[]")
	if text == "host-gateway" {
		if !gateway.IsValid() {
			return "", netip.Addr{}, fmt.Errorf("extra host %q: the host has no address that this container can reach", entry)
		}
		return name, gateway, nil
	}
	address, err = netip.ParseAddr(text)
	if err != nil {
		return "", netip.Addr{}, fmt.Errorf("extra host %q: %q is not an IP address", entry, text)
	}
	return name, address, nil
}
