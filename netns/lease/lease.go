// Package lease keeps which addresses of which networks are in use, by which
// running container and under which names. It is run state, on tmpfs: one file per
// network, replaced under a lock.
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
	MAC       string          `json:"mac"`
	Endpoint  string          `json:"endpoint"` // ID, 64 hexadecimal digits
	Holder    process.Process `json:"holder"`   // the container's monitor: without it the lease is void
	HubFD     int             `json:"hubFD"`    // descriptor of the hub's namespace in the holder
}
