// Package network keeps the definitions of networks: what `network create` was
// told, on disk until `network rm`.
package network

import (
	"net/netip"
	"time"
)

// The drivers.
const (
	Bridge  = "bridge"
	Macvlan = "macvlan"
	IPvlan  = "ipvlan"
	Host    = "host" // of the predefined network of that name, which is not on disk
	Null    = "null" // of the predefined network none
)

// DefaultName is the network of containers for which none is named.
const DefaultName = "bridge"

// Version is the newest format of a definition that this program understands.
const Version = 1

// Network is the definition of a network. JSON keys are part of the on-disk format.
type Network struct {
	Version    int               `json:"version"`
	ID         string            `json:"id"` // 64 hexadecimal digits
	Name       string            `json:"name"`
	Created    time.Time         `json:"created"`
	Driver     string            `json:"driver"`
	Subnets    []Subnet          `json:"subnets,omitempty"` // IPv4 first
	Internal   bool              `json:"internal,omitempty"`
	NoIPv4     bool              `json:"noIPv4,omitempty"`
	IPv6       bool              `json:"ipv6,omitempty"`
	Attachable bool              `json:"attachable,omitempty"`
	DisableDNS bool              `json:"disableDNS,omitempty"`
	DNS        []netip.Addr      `json:"dns,omitempty"` // asked instead of the host's resolvers
	Routes     []Route           `json:"routes,omitempty"`
	Options    map[string]string `json:"options,omitempty"` // -o, as given
	IPAM       IPAM              `json:"ipam"`
	Labels     map[string]string `json:"labels,omitempty"`
	Interface  string            `json:"interface,omitempty"` // of the bridge, or the parent of macvlan and ipvlan; "" is chosen by the ID
	ConfigOnly bool              `json:"configOnly,omitempty"`
	ConfigFrom string            `json:"configFrom,omitempty"`
}

// Subnet is a range of addresses of a network.
type Subnet struct {
	Subnet  netip.Prefix          `json:"subnet"`
	Gateway netip.Addr            `json:"gateway,omitzero"` // never invalid for a bridge
	Range   netip.Prefix          `json:"range,omitzero"`   // that addresses are taken from; zero is the whole subnet
	Aux     map[string]netip.Addr `json:"aux,omitempty"`    // reserved, by name
	Chosen  bool                  `json:"chosen,omitempty"` // by the user, who may then choose addresses too
}

// Route is a further route of every container on the network.
type Route struct {
	Destination netip.Prefix `json:"destination"`
	Gateway     netip.Addr   `json:"gateway"`
	Metric      uint32       `json:"metric,omitempty"`
}

// IPAM is what --ipam-driver and --ipam-opt said; shown by inspect.
type IPAM struct {
	Driver  string            `json:"driver,omitempty"` // "" is default
	Options map[string]string `json:"options,omitempty"`
}
