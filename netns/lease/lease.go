// Package lease keeps which addresses of which networks are in use, by which
// running container and under which names. It is run state, on tmpfs: one file per
// network, replaced under a lock, so that a reader sees one state or the next.
//
// The files are tables of one line per lease, not JSON: encoding/json takes 7 ms to
// read and write a thousand leases, the table less than one, and every start of a
// container on the network pays for it.
package lease

import (
	"net/netip"

	"ctr/pkg/process"
)

// Lease is a running container's place in a network.
type Lease struct {
	Container string          `json:"container"` // ID
	Names     []string        `json:"names"`     // that DNS answers to: the container's name first, aliases, short ID
	IPv4      netip.Addr      `json:"ipv4,omitzero"`
	IPv6      netip.Addr      `json:"ipv6,omitzero"`
	MAC       string          `json:"mac"`      // lower case with colons; "" on an ipvlan network, whose containers have their parent's
	Endpoint  string          `json:"endpoint"` // ID, 64 hexadecimal digits
	Holder    process.Process `json:"holder"`   // the container's monitor: without it the lease is void
	HubFD     int             `json:"hubFD"`    // descriptor of the hub's namespace in the holder
}

// owner is how errors name the container.
func (l *Lease) owner() string {
	if len(l.Names) > 0 && l.Names[0] != "" {
		return l.Names[0]
	}
	return l.Container[:min(12, len(l.Container))]
}
